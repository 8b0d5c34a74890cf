//! Who is calling, as tokens and records carry it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The tenant that everything belongs to until a second one is made.
pub const DEFAULT_TENANT: &str = "default";

/// What a caller may do, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May read.
    Viewer,
    /// May also submit and control its own tasks.
    Developer,
    /// May also control agents and everybody's tasks.
    Operator,
    /// May do everything.
    Admin,
}

/// The authenticated caller of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Whose data it sees.
    pub tenant: String,
    /// Who it is, as records name it.
    pub user: String,
    /// What it may do.
    pub role: Role,
}

impl Caller {
    /// The node's own administrator, and the caller of an embedding program.
    #[must_use]
    pub fn admin() -> Self {
        Self {
            tenant: DEFAULT_TENANT.to_owned(),
            user: "admin".to_owned(),
            role: Role::Admin,
        }
    }

    /// Whether it sees what other users of its tenant own.
    #[must_use]
    pub fn sees_all_users(&self) -> bool {
        self.role >= Role::Operator
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.user)
    }
}
