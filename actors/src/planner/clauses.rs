//! Where a description is cut: into clauses that follow one another, and these into pieces.

use std::ops::Range;

/// Where the clauses of a text are, which follow one another.
pub(super) fn clauses(text: &str) -> Vec<Range<usize>> {
    let is = |word: &str, this: &str| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        bare.eq_ignore_ascii_case(this)
    };
    split(text, 0..text.len(), |word, next| {
        if word == "\n" || is(word, "then") || is(word, "afterwards") {
            Some(Cut::Words(1))
        } else if is(word, "after") && next.is_some_and(|next| is(next, "that")) {
            Some(Cut::Words(2))
        } else {
            word.ends_with(['.', '!', '?', ';']).then_some(Cut::After)
        }
    })
}

/// Where the pieces of a clause are, which are independent of each other.
pub(super) fn pieces(text: &str, clause: Range<usize>) -> Vec<Range<usize>> {
    split(text, clause, |word, _| {
        if word.eq_ignore_ascii_case("and") || word == "&" {
            Some(Cut::Words(1))
        } else {
            word.ends_with(',').then_some(Cut::After)
        }
    })
}

/// Where a text is cut.
enum Cut {
    /// This word and those after it, so many in all, separate and belong to neither side.
    Words(usize),
    /// Behind this word.
    After,
}

/// Cuts a part of a text where a word, seen with the next one, says so.
fn split(
    text: &str,
    within: Range<usize>,
    cut: impl Fn(&str, Option<&str>) -> Option<Cut>,
) -> Vec<Range<usize>> {
    let words = words(text, within.clone());
    let mut found = Vec::new();
    let mut begun = within.start;
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let next = words.get(at + 1).map(|next| &text[next.clone()]);
        at += 1;
        match cut(&text[word.clone()], next) {
            None => {}
            Some(Cut::After) => {
                found.push(begun..word.end);
                begun = word.end;
            }
            Some(Cut::Words(count)) => {
                found.push(begun..word.start);
                at += count - 1;
                begun = words.get(at - 1).map_or(within.end, |last| last.end);
            }
        }
    }
    found.push(begun..within.end);
    found.retain(|range| text[range.clone()].contains(char::is_alphanumeric));
    found
}

/// Where the words of a part of a text are: separated by spaces, ended by `;` as well; a line break
/// is a word of its own.
fn words(text: &str, within: Range<usize>) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut begun = within.start;
    for (at, letter) in text[within.clone()].char_indices() {
        let (at, after) = (within.start + at, within.start + at + letter.len_utf8());
        if letter == ';' {
            words.push(begun..after);
            begun = after;
        } else if letter.is_whitespace() {
            words.push(begun..at);
            if letter == '\n' {
                words.push(at..after);
            }
            begun = after;
        }
    }
    words.push(begun..within.end);
    words.retain(|word| !word.is_empty());
    words
}
