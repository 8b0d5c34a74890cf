//! From a text to the expression that it says.

use serde_json::Value;

use super::{
    MAX_DEPTH, Query, Syntax,
    function::Function,
    lexer::{Lexer, Token},
    number::Arithmetic,
    order::Order,
    print::Rank,
    term::{Access, Relation, Term},
};

/// Words that are no names.
pub(super) const RESERVED: [&str; 7] = ["true", "false", "null", "and", "or", "not", "in"];

/// Reads a text that is one expression.
pub(super) fn alone(text: &str) -> Result<Term, Syntax> {
    let mut parser = Parser::new(text, 0)?;
    let term = parser.expression()?;
    match parser.next {
        Token::End => Ok(term),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

/// Reads an expression up to a `}` that it does not open; also gives the byte after that.
pub(super) fn embedded(text: &str, start: usize) -> Result<(Term, usize), Syntax> {
    let mut parser = Parser::new(text, start)?;
    let term = parser.expression()?;
    match parser.next {
        Token::Mark("}") => Ok((term, parser.lexer.at())),
        _ => Err(parser.unexpected("an operator or `}`")),
    }
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    /// The token that is looked at, and where it begins.
    next: Token<'t>,
    at: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str, start: usize) -> Result<Self, Syntax> {
        let mut lexer = Lexer::new(text, start);
        let (at, next) = lexer.next()?;
        Ok(Self {
            lexer,
            next,
            at,
            depth: 0,
        })
    }

    fn advance(&mut self) -> Result<Token<'t>, Syntax> {
        let (at, next) = self.lexer.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.next, next))
    }

    fn unexpected(&self, expected: &str) -> Syntax {
        let found = self.next.described();
        Syntax::new(self.at, format!("{expected} is expected, not {found}"))
    }

    fn is(&self, mark: &str) -> bool {
        match &self.next {
            Token::Mark(next) => *next == mark,
            Token::Word(next) => *next == mark,
            Token::Number(_) | Token::Text(_) | Token::Query(_) | Token::End => false,
        }
    }

    /// Goes past a sign or a reserved word if it is there.
    fn skip(&mut self, mark: &str) -> Result<bool, Syntax> {
        let found = self.is(mark);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, mark: &str) -> Result<(), Syntax> {
        match self.skip(mark)? {
            true => Ok(()),
            false => Err(self.unexpected(&format!("`{mark}`"))),
        }
    }

    /// Every way further down comes by here, so that no text exhausts the stack.
    fn deeper<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, Syntax>,
    ) -> Result<T, Syntax> {
        if self.depth == MAX_DEPTH {
            return Err(Syntax::new(
                self.at,
                format!("an expression is nested at most {MAX_DEPTH} deep"),
            ));
        }
        self.depth += 1;
        let found = inner(self)?;
        self.depth -= 1;
        Ok(found)
    }

    fn expression(&mut self) -> Result<Term, Syntax> {
        self.deeper(|it| {
            let test = it.climb(Rank::FirstKnown)?;
            if !it.skip("?")? {
                return Ok(test);
            }
            let yes = it.expression()?;
            it.expect(":")?;
            let no = it.expression()?;
            Ok(Term::Choice(Box::new([test, yes, no])))
        })
    }

    /// A term with all operators after it that hold at least so tightly.
    fn climb(&mut self, least: Rank) -> Result<Term, Syntax> {
        let mut left = if least <= Rank::Not && self.skip("not")? {
            let term = self.deeper(|it| it.climb(Rank::Not))?;
            Term::Not(Box::new(term))
        } else {
            self.unary()?
        };
        // What stands between parentheses keeps to itself.
        let mut joined = None;
        while let Some(joint) = self.joint().filter(|joint| joint.rank() >= least) {
            let rank = joint.rank();
            if joined == Some(Rank::Compare) && rank == Rank::Compare {
                return Err(Syntax::new(
                    self.at,
                    "comparisons do not follow each other; join them by `and`",
                ));
            }
            self.advance()?;
            let right = self.deeper(|it| it.climb(rank.tighter()))?;
            left = joint.join(left, right, joined);
            joined = Some(rank);
        }
        Ok(left)
    }

    /// The operator that comes next.
    fn joint(&self) -> Option<Joint> {
        Some(match self.next {
            Token::Mark("??") => Joint::Else,
            Token::Mark("||") | Token::Word("or") => Joint::Or,
            Token::Mark("&&") | Token::Word("and") => Joint::And,
            Token::Mark("==") => Joint::Compare(Relation::Same),
            Token::Mark("!=") => Joint::Compare(Relation::Other),
            Token::Mark("<") => Joint::Compare(Relation::Ordered(Order::Before)),
            Token::Mark("<=") => Joint::Compare(Relation::Ordered(Order::NotAfter)),
            Token::Mark(">") => Joint::Compare(Relation::Ordered(Order::After)),
            Token::Mark(">=") => Joint::Compare(Relation::Ordered(Order::NotBefore)),
            Token::Word("in") => Joint::Compare(Relation::In),
            Token::Mark("+") => Joint::Sum(Arithmetic::Plus),
            Token::Mark("-") => Joint::Sum(Arithmetic::Minus),
            Token::Mark("*") => Joint::Product(Arithmetic::Times),
            Token::Mark("/") => Joint::Product(Arithmetic::By),
            Token::Mark("%") => Joint::Product(Arithmetic::Rest),
            _ => return None,
        })
    }

    fn unary(&mut self) -> Result<Term, Syntax> {
        if self.skip("!")? {
            let term = self.deeper(Self::unary)?;
            return Ok(Term::Not(Box::new(term)));
        }
        if self.skip("-")? {
            let term = self.deeper(Self::unary)?;
            return Ok(Term::Minus(Box::new(term)));
        }
        let whole = self.primary()?;
        let mut steps = Vec::new();
        loop {
            if self.skip(".")? {
                let Token::Word(name) = self.next else {
                    return Err(self.unexpected("the name of a field"));
                };
                self.advance()?;
                steps.push(Access::Field(name.to_owned()));
            } else if self.skip("[")? {
                steps.push(match self.expression()? {
                    Term::Literal(Value::String(key)) => Access::Field(key),
                    index => Access::Index(index),
                });
                self.expect("]")?;
            } else {
                return Ok(into(whole, steps));
            }
        }
    }

    fn primary(&mut self) -> Result<Term, Syntax> {
        let at = self.at;
        let value = match self.next {
            Token::Mark("(") => {
                self.advance()?;
                let term = self.expression()?;
                self.expect(")")?;
                return Ok(term);
            }
            Token::Mark("[") => {
                self.advance()?;
                return self.listed("]", Self::expression).map(Term::List);
            }
            Token::Mark("{") => {
                self.advance()?;
                return self.listed("}", Self::field).map(Term::Object);
            }
            Token::Mark(_) | Token::End => return Err(self.unexpected("a value")),
            Token::Number(_) | Token::Text(_) | Token::Word(_) | Token::Query(_) => {
                self.advance()?
            }
        };
        Ok(match value {
            Token::Number(number) => Term::Literal(Value::Number(number)),
            Token::Text(text) => Term::Literal(Value::String(text)),
            Token::Query(text) => Term::Query(Box::new(Query::parse(text, at)?)),
            Token::Word("true") => Term::Literal(Value::Bool(true)),
            Token::Word("false") => Term::Literal(Value::Bool(false)),
            Token::Word("null") => Term::Literal(Value::Null),
            Token::Word(word) if RESERVED.contains(&word) => {
                return Err(Syntax::new(
                    at,
                    format!("a value is expected, not `{word}`"),
                ));
            }
            Token::Word(word) if self.skip("(")? => self.call(word, at)?,
            Token::Word(word) => Term::Name(word.to_owned()),
            Token::Mark(_) | Token::End => return Err(self.unexpected("a value")),
        })
    }

    /// What stands between commas, up to a sign, also with a comma at the end.
    fn listed<T>(
        &mut self,
        end: &str,
        one: impl Fn(&mut Self) -> Result<T, Syntax>,
    ) -> Result<Vec<T>, Syntax> {
        let mut all = Vec::new();
        while !self.is(end) {
            all.push(one(self)?);
            if !self.is(end) {
                self.expect(",")?;
            }
        }
        self.advance()?;
        Ok(all)
    }

    fn field(&mut self) -> Result<(String, Term), Syntax> {
        let key = match &self.next {
            Token::Text(text) => text.clone(),
            Token::Word(word) => (*word).to_owned(),
            _ => return Err(self.unexpected("a key")),
        };
        self.advance()?;
        self.expect(":")?;
        Ok((key, self.expression()?))
    }

    fn call(&mut self, name: &str, at: usize) -> Result<Term, Syntax> {
        let function = Function::named(name).map_err(|message| Syntax::new(at, message))?;
        let terms = self.listed(")", Self::expression)?;
        match function.refuses(terms.len()) {
            None => Ok(Term::Call(function, terms)),
            Some(message) => Err(Syntax::new(at, message)),
        }
    }
}

/// What stands between two terms.
#[derive(Debug, Clone, Copy)]
enum Joint {
    Else,
    Or,
    And,
    Compare(Relation),
    Sum(Arithmetic),
    Product(Arithmetic),
}

impl Joint {
    const fn rank(self) -> Rank {
        match self {
            Self::Else => Rank::FirstKnown,
            Self::Or => Rank::Any,
            Self::And => Rank::All,
            Self::Compare(_) => Rank::Compare,
            Self::Sum(_) => Rank::Sum,
            Self::Product(_) => Rank::Product,
        }
    }

    /// One term of two: the left one goes on if it was joined by the same rank.
    fn join(self, left: Term, right: Term, joined: Option<Rank>) -> Term {
        let goes_on = joined == Some(self.rank());
        match (self, left) {
            (Self::Else, Term::FirstKnown(terms)) if goes_on => {
                Term::FirstKnown(more(terms, right))
            }
            (Self::Or, Term::Any(terms)) if goes_on => Term::Any(more(terms, right)),
            (Self::And, Term::All(terms)) if goes_on => Term::All(more(terms, right)),
            (Self::Sum(sign), Term::Sum(first, rest)) if goes_on => {
                Term::Sum(first, more(rest, (sign, right)))
            }
            (Self::Product(sign), Term::Product(first, rest)) if goes_on => {
                Term::Product(first, more(rest, (sign, right)))
            }
            (Self::Else, left) => Term::FirstKnown(vec![left, right]),
            (Self::Or, left) => Term::Any(vec![left, right]),
            (Self::And, left) => Term::All(vec![left, right]),
            (Self::Compare(relation), left) => {
                Term::Compare(Box::new(left), relation, Box::new(right))
            }
            (Self::Sum(sign), left) => Term::Sum(Box::new(left), vec![(sign, right)]),
            (Self::Product(sign), left) => Term::Product(Box::new(left), vec![(sign, right)]),
        }
    }
}

fn more<T>(mut all: Vec<T>, one: T) -> Vec<T> {
    all.push(one);
    all
}

fn into(whole: Term, mut further: Vec<Access>) -> Term {
    match whole {
        whole if further.is_empty() => whole,
        Term::Inside { of, mut steps } => {
            steps.append(&mut further);
            Term::Inside { of, steps }
        }
        whole => Term::Inside {
            of: Box::new(whole),
            steps: further,
        },
    }
}
