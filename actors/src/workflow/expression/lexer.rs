//! The words and signs of an expression.

use super::{MAX_LENGTH, Syntax, query};

/// Longer ones before those that they begin with.
const MARKS: [&str; 25] = [
    "==", "!=", "<=", ">=", "&&", "||", "??", "<", ">", "?", ":", "+", "-", "*", "/", "%", "!",
    "(", ")", "[", "]", "{", "}", ",", ".",
];

/// The smallest part that means something.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'t> {
    Number(serde_json::Number),
    Text(String),
    Word(&'t str),
    Query(&'t str),
    Mark(&'static str),
    End,
}

impl Token<'_> {
    /// As messages name it.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Number(number) => format!("`{number}`"),
            Self::Text(_) => "a text".to_owned(),
            Self::Word(word) => format!("`{word}`"),
            Self::Query(text) => format!("`{text}`"),
            Self::Mark(mark) => format!("`{mark}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

/// Reads tokens one at a time, so that an expression within a text ends where it ends.
#[derive(Debug)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    start: usize,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(super) const fn new(text: &'t str, start: usize) -> Self {
        Self {
            text,
            start,
            at: start,
        }
    }

    /// The byte after the last token.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next token with the byte at which it begins.
    pub(super) fn next(&mut self) -> Result<(usize, Token<'t>), Syntax> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        let begin = self.at;
        let token = self.token()?;
        if self.at - self.start > MAX_LENGTH {
            return Err(Syntax::new(
                begin,
                format!("an expression has at most {MAX_LENGTH} bytes"),
            ));
        }
        Ok((begin, token))
    }

    fn token(&mut self) -> Result<Token<'t>, Syntax> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(Token::End);
        };
        if first.is_ascii_digit() {
            return self.number();
        }
        if matches!(first, '"' | '\'') {
            return self.text(first);
        }
        if first == '$' {
            return Ok(Token::Query(self.take(query::length(rest))));
        }
        let word = rest.find(|c: char| !is_in_word(c)).unwrap_or(rest.len());
        if word > 0 {
            return Ok(Token::Word(self.take(word)));
        }
        if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            self.at += mark.len();
            return Ok(Token::Mark(mark));
        }
        let hint = match first {
            '=' => "`=` alone means nothing; `==` compares",
            '&' => "`&` alone means nothing; `&&` or `and` joins conditions",
            '|' => "`|` alone means nothing; `||` or `or` joins conditions",
            _ => return Err(self.fault(format!("{first:?} has no meaning here"))),
        };
        Err(self.fault(hint))
    }

    fn fault(&self, message: impl Into<String>) -> Syntax {
        Syntax::new(self.at, message)
    }

    fn take(&mut self, length: usize) -> &'t str {
        let (taken, _) = self.rest().split_at(length);
        self.at += length;
        taken
    }

    fn number(&mut self) -> Result<Token<'t>, Syntax> {
        let rest = self.rest().as_bytes();
        let digits = |from: usize| {
            let rest = rest.get(from..).unwrap_or_default();
            rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let mut end = digits(0);
        let whole = end;
        if rest.get(end) == Some(&b'.') && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
        }
        if matches!(rest.get(end), Some(b'e' | b'E')) {
            let signed = usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
            if digits(end + 1 + signed) > 0 {
                end += 1 + signed + digits(end + 1 + signed);
            }
        }
        let text = &self.rest()[..end];
        let number = if end == whole {
            text.parse::<u64>().ok().map(Into::into)
        } else {
            let real = text.parse().ok();
            real.and_then(serde_json::Number::from_f64)
        };
        let number = number.ok_or_else(|| self.fault(format!("{text} is too large a number")))?;
        self.at += end;
        Ok(Token::Number(number))
    }

    fn text(&mut self, quote: char) -> Result<Token<'t>, Syntax> {
        let mut text = String::new();
        let mut letters = self.rest().char_indices().skip(1);
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => {
                    let escaped = letters.next().map(|(_, letter)| letter);
                    let mut code = || -> Option<u32> {
                        let digits: String = letters.by_ref().take(4).map(|(_, c)| c).collect();
                        let plain = digits.len() == 4 && !digits.starts_with('+');
                        plain.then(|| u32::from_str_radix(&digits, 16).ok())?
                    };
                    let letter = match escaped {
                        Some('u') => code().and_then(char::from_u32),
                        Some(letter) => unescaped(letter),
                        None => None,
                    };
                    let fault = "what follows `\\` is none of \" ' \\ / b f n r t uXXXX";
                    text.push(letter.ok_or_else(|| Syntax::new(self.at + at, fault))?);
                }
                letter if letter == quote => {
                    self.at += at + quote.len_utf8();
                    return Ok(Token::Text(text));
                }
                letter => text.push(letter),
            }
        }
        Err(self.fault("the text that begins here has no end"))
    }
}

const fn unescaped(letter: char) -> Option<char> {
    Some(match letter {
        '"' | '\'' | '\\' | '/' => letter,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        _ => return None,
    })
}

/// Whether a letter can stand in a name.
pub(super) const fn is_in_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}
