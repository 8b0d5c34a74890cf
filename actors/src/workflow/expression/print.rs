//! An expression as text; it parses back to the same.

use std::fmt::{Display, Formatter, Result, Write};

use serde_json::Value;

use super::{
    lexer::is_in_word,
    parser::RESERVED,
    term::{Access, Term},
};

/// How tightly a term holds together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Choice,
    FirstKnown,
    Any,
    All,
    Not,
    Compare,
    Sum,
    Product,
    Unary,
    /// Further steps may follow, but belong to it.
    Inside,
    Whole,
}

impl Rank {
    /// The next rank among those of operators.
    pub(super) const fn tighter(self) -> Self {
        match self {
            Self::Choice => Self::FirstKnown,
            Self::FirstKnown => Self::Any,
            Self::Any => Self::All,
            Self::All => Self::Not,
            Self::Not => Self::Compare,
            Self::Compare => Self::Sum,
            Self::Sum => Self::Product,
            Self::Product | Self::Unary | Self::Inside | Self::Whole => Self::Unary,
        }
    }
}

impl Term {
    fn rank(&self) -> Rank {
        match self {
            Self::Choice(_) => Rank::Choice,
            Self::FirstKnown(_) => Rank::FirstKnown,
            Self::Any(_) => Rank::Any,
            Self::All(_) => Rank::All,
            Self::Not(term) if term.rank() < Rank::Unary => Rank::Not,
            Self::Compare(..) => Rank::Compare,
            Self::Sum(..) => Rank::Sum,
            Self::Product(..) => Rank::Product,
            Self::Not(_) | Self::Minus(_) => Rank::Unary,
            Self::Query(_) => Rank::Inside,
            Self::Inside { .. }
            | Self::Literal(_)
            | Self::List(_)
            | Self::Object(_)
            | Self::Name(_)
            | Self::Call(..) => Rank::Whole,
        }
    }

    /// Prints it where at least so tight a term can stand.
    fn print(&self, least: Rank, f: &mut Formatter<'_>) -> Result {
        if self.rank() < least {
            return write!(f, "({self})");
        }
        write!(f, "{self}")
    }
}

impl Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Literal(value) => write!(f, "{value}"),
            Self::List(terms) => {
                f.write_char('[')?;
                separated(terms, ", ", Rank::Choice, f)?;
                f.write_char(']')
            }
            Self::Object(fields) => object(fields, f),
            Self::Query(query) => write!(f, "{query}"),
            Self::Name(name) => f.write_str(name),
            Self::Inside { of, steps } => {
                of.print(Rank::Whole, f)?;
                steps.iter().try_for_each(|step| write!(f, "{step}"))
            }
            Self::Call(function, terms) => {
                write!(f, "{}(", function.name())?;
                separated(terms, ", ", Rank::Choice, f)?;
                f.write_char(')')
            }
            Self::Not(term) if self.rank() == Rank::Not => {
                f.write_str("not ")?;
                term.print(Rank::Not, f)
            }
            Self::Not(term) => {
                f.write_char('!')?;
                term.print(Rank::Unary, f)
            }
            Self::Minus(term) => {
                f.write_char('-')?;
                term.print(Rank::Unary, f)
            }
            Self::Product(first, rest) => {
                first.print(Rank::Unary, f)?;
                rest.iter().try_for_each(|(sign, term)| {
                    write!(f, " {} ", sign.sign())?;
                    term.print(Rank::Unary, f)
                })
            }
            Self::Sum(first, rest) => {
                first.print(Rank::Product, f)?;
                rest.iter().try_for_each(|(sign, term)| {
                    write!(f, " {} ", sign.sign())?;
                    term.print(Rank::Product, f)
                })
            }
            Self::Compare(left, relation, right) => {
                left.print(Rank::Sum, f)?;
                write!(f, " {} ", relation.sign())?;
                right.print(Rank::Sum, f)
            }
            Self::All(terms) => separated(terms, " && ", Rank::Not, f),
            Self::Any(terms) => separated(terms, " || ", Rank::All, f),
            Self::FirstKnown(terms) => separated(terms, " ?? ", Rank::Any, f),
            Self::Choice(parts) => {
                let [test, yes, no] = parts.as_ref();
                test.print(Rank::FirstKnown, f)?;
                write!(f, " ? {yes} : {no}")
            }
        }
    }
}

fn separated(terms: &[Term], by: &str, least: Rank, f: &mut Formatter<'_>) -> Result {
    terms.iter().enumerate().try_for_each(|(at, term)| {
        if at > 0 {
            f.write_str(by)?;
        }
        term.print(least, f)
    })
}

fn object(fields: &[(String, Term)], f: &mut Formatter<'_>) -> Result {
    f.write_char('{')?;
    fields
        .iter()
        .enumerate()
        .try_for_each(|(at, (key, term))| {
            if at > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{}: {term}", Value::from(key.as_str()))
        })?;
    f.write_char('}')
}

impl Display for Access {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Field(name) if is_plain(name) => write!(f, ".{name}"),
            Self::Field(name) => write!(f, "[{}]", Value::from(name.as_str())),
            Self::Index(term) => write!(f, "[{term}]"),
        }
    }
}

/// Whether a field's name can stand after a point.
fn is_plain(name: &str) -> bool {
    let starts = name.starts_with(|letter: char| !letter.is_ascii_digit());
    starts && name.chars().all(is_in_word) && !RESERVED.contains(&name)
}
