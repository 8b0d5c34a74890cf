//! Answers to callers whose request cannot be met; each says what they can do about it.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use protocol::{api::FieldError, entity::EntityId};
use runtime::{journal, store::Refusal};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// What a program tells one rejection from another by; one of a few words that the code spells out.
pub type Code = &'static str;

/// Codes that other nodes may bring along beyond those that this build knows.
const FOREIGN_CODES: usize = 256;

/// Why a request was not met. The same on every node, whichever was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Rejection {
    /// There is no such thing, or it is not the caller's to see.
    #[error("{what} was not found")]
    NotFound {
        /// What was looked for, such as `task task_0198…`.
        what: String,
    },
    /// The input is wrong.
    #[error("{message}")]
    Invalid {
        /// For programs, such as `invalid`, `idempotency_mismatch`, `plan_cycle`.
        #[serde(deserialize_with = "known")]
        code: Code,
        /// What is wrong and what helps.
        message: String,
        /// Where.
        errors: Vec<FieldError>,
    },
    /// The thing is not in a state in which this can be done.
    #[error("{message}")]
    Conflict {
        /// For programs, such as `name_taken`, `already_settled`.
        #[serde(deserialize_with = "known")]
        code: Code,
        /// What is in the way and what helps.
        message: String,
    },
    /// It was settled before, and what came of it then stands.
    #[error("{message}")]
    Preceded {
        /// For programs, such as `already_answered`.
        #[serde(deserialize_with = "known")]
        code: Code,
        /// Who settled it, when and how.
        message: String,
        /// The same for programs.
        first: Box<Value>,
    },
    /// The caller's role does not permit it.
    #[error("{message}")]
    Forbidden {
        /// Which role does.
        message: String,
    },
    /// Too much is waiting already.
    #[error("{message}")]
    Overloaded {
        /// What is full.
        message: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// Something that is needed does not work now; it is not known whether the request took effect.
    #[error("{message}")]
    Unavailable {
        /// What does not work.
        message: String,
        /// When to try again, with the same idempotency key.
        retry_after: Duration,
    },
}

impl Rejection {
    /// One wrong field.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        let error = FieldError::new(field, message);
        Self::Invalid {
            code: "invalid",
            message: format!("{}: {}", error.field, error.message),
            errors: vec![error],
        }
    }

    /// There is no such thing.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    /// Something else has the name; `instead` says what to do if that was meant.
    pub fn name_taken(name: &str, by: EntityId, instead: &str) -> Self {
        Self::Conflict {
            code: "name_taken",
            message: format!("the name `{name}` is taken by {by}; choose another, or {instead}"),
        }
    }

    /// For programs.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Invalid { code, .. }
            | Self::Conflict { code, .. }
            | Self::Preceded { code, .. } => code,
            Self::Forbidden { .. } => "forbidden",
            Self::Overloaded { .. } => "overloaded",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}

/// What a client hears when nothing was recorded; `taken` says whose the name is.
pub(crate) fn not_recorded(
    error: journal::Error,
    taken: impl FnOnce(EntityId) -> Rejection,
) -> Rejection {
    let later = |message: String| Rejection::Unavailable {
        message,
        retry_after: Duration::from_secs(1),
    };
    match error {
        journal::Error::Refused(Refusal::NameTaken { stream }) => taken(stream),
        journal::Error::Refused(refusal) => later(refusal.to_string()),
        journal::Error::Deposed(stream) => later(format!("{stream} is moving to another node")),
        journal::Error::Store(error) => error.into(),
    }
}

impl From<runtime::store::Error> for Rejection {
    fn from(error: runtime::store::Error) -> Self {
        Self::Unavailable {
            message: error.to_string(),
            retry_after: Duration::from_secs(1),
        }
    }
}

/// A code that came from another node, kept for the life of the process. There are few, and no more
/// than a bound even from a node that is out of its mind.
fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Code, D::Error> {
    static CODES: LazyLock<Mutex<HashSet<Code>>> = LazyLock::new(Mutex::default);
    let code = String::deserialize(deserializer)?;
    let mut codes = CODES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = codes.get(code.as_str()) {
        return Ok(known);
    }
    if codes.len() >= FOREIGN_CODES {
        return Ok("invalid");
    }
    let code: Code = Box::leak(code.into_boxed_str());
    codes.insert(code);
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rejection_reads_back_as_it_was() {
        let (message, retry_after) = ("why".to_owned(), Duration::from_millis(1500));
        let rejections = [
            Rejection::not_found("task x"),
            Rejection::field("steps[1].needs[0]", "names no step"),
            Rejection::Conflict {
                code: "name_taken",
                message: message.clone(),
            },
            Rejection::Preceded {
                code: "already_answered",
                message: message.clone(),
                first: Box::new(serde_json::json!({ "answer": [1, null] })),
            },
            Rejection::Forbidden {
                message: message.clone(),
            },
            Rejection::Overloaded {
                message: message.clone(),
                retry_after,
            },
            Rejection::Unavailable {
                message,
                retry_after,
            },
        ];
        for rejection in rejections {
            let text = serde_json::to_string(&rejection).unwrap();
            let read: Rejection = serde_json::from_str(&text).unwrap();
            assert_eq!((read.code(), &read), (rejection.code(), &rejection));
        }
    }
}
