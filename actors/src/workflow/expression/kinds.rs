//! What a value can be, known before there is one.

use std::ops::BitOr;

use serde_json::Value;

use super::{number::Arithmetic, term::Term};

/// Kinds of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    pub const NULL: Self = Self(1);
    pub const BOOL: Self = Self(2);
    pub const NUMBER: Self = Self(4);
    pub const TEXT: Self = Self(8);
    pub const LIST: Self = Self(16);
    pub const OBJECT: Self = Self(32);
    pub const ANY: Self = Self(63);

    const NAMES: [(Self, &str); 6] = [
        (Self::NULL, "null"),
        (Self::BOOL, "true or false"),
        (Self::NUMBER, "a number"),
        (Self::TEXT, "a text"),
        (Self::LIST, "a list"),
        (Self::OBJECT, "an object"),
    ];

    /// Whether a value can be of one of these kinds.
    #[must_use]
    pub const fn can_be(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Without some.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The kind of a value.
    #[must_use]
    pub const fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOL,
            Value::Number(_) => Self::NUMBER,
            Value::String(_) => Self::TEXT,
            Value::Array(_) => Self::LIST,
            Value::Object(_) => Self::OBJECT,
        }
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl std::fmt::Display for Kinds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Self::ANY {
            return f.write_str("anything");
        }
        let names = Self::NAMES.iter().filter(|(kind, _)| self.can_be(*kind));
        let names: Vec<&str> = names.map(|(_, name)| *name).collect();
        f.write_str(&names.join(" or "))
    }
}

/// What a term can be; no fewer kinds than it turns out to be.
pub(super) fn of(term: &Term) -> Kinds {
    match term {
        Term::Literal(value) => Kinds::of(value),
        Term::List(_) => Kinds::LIST,
        Term::Object(_) => Kinds::OBJECT,
        Term::Query(query) if query.finds_many() => Kinds::LIST,
        Term::Query(_) | Term::Name(_) | Term::Inside { .. } => Kinds::ANY,
        Term::Call(function, _) => function.gives(),
        Term::Not(_) | Term::Compare(..) | Term::All(_) | Term::Any(_) => Kinds::BOOL,
        Term::Minus(_) | Term::Product(..) => Kinds::NUMBER,
        Term::Sum(first, rest) => sum(first, rest),
        Term::FirstKnown(terms) => first_known(terms),
        Term::Choice(parts) => {
            let [_, yes, no] = parts.as_ref();
            of(yes) | of(no)
        }
    }
}

/// Both sides of a sum are of one kind, which is its own.
fn sum(first: &Term, rest: &[(Arithmetic, Term)]) -> Kinds {
    const ADDED: Kinds = Kinds::NUMBER.with(Kinds::TEXT).with(Kinds::LIST);
    let mut all = std::iter::once(first).chain(rest.iter().map(|(_, term)| term));
    if rest.iter().any(|(sign, _)| *sign == Arithmetic::Minus) {
        return Kinds::NUMBER;
    }
    let known = all.find_map(|term| {
        let kinds = of(term);
        [Kinds::NUMBER, Kinds::TEXT, Kinds::LIST]
            .into_iter()
            .find(|kind| *kind == kinds)
    });
    known.unwrap_or(ADDED)
}

fn first_known(terms: &[Term]) -> Kinds {
    let Some((last, before)) = terms.split_last() else {
        return Kinds::NULL;
    };
    before.iter().fold(of(last), |kinds, term| {
        kinds | of(term).without(Kinds::NULL)
    })
}
