//! Answers to callers whose request cannot be met; each says what they can do about it.

use std::time::Duration;

use protocol::api::FieldError;

/// Why a request was not met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
        code: &'static str,
        /// What is wrong and what helps.
        message: String,
        /// Where.
        errors: Vec<FieldError>,
    },
    /// The thing is not in a state in which this can be done.
    #[error("{message}")]
    Conflict {
        /// For programs, such as `name_taken`, `already_settled`.
        code: &'static str,
        /// What is in the way and what helps.
        message: String,
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

    /// For programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Invalid { code, .. } | Self::Conflict { code, .. } => code,
            Self::Forbidden { .. } => "forbidden",
            Self::Overloaded { .. } => "overloaded",
            Self::Unavailable { .. } => "unavailable",
        }
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
