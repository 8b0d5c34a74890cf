//! How to start a child, when to restart it, and how long to wait for its end.

use std::{fmt, time::Duration};

use super::handle::Start;

/// When a child that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent,
    /// When it failed; one that ended normally stays down.
    Transient,
    /// Never; it leaves the supervisor when it ends.
    Temporary,
}

/// How a child came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It stopped, by itself or because it was told to.
    Normal,
    /// It failed, was killed, or did not start.
    Failed(String),
}

impl Restart {
    /// Whether a child that ended like this comes up again.
    #[must_use]
    pub const fn wants(self, exit: &Exit) -> bool {
        match (self, exit) {
            (Self::Permanent, Exit::Normal | Exit::Failed(_)) => true,
            (Self::Transient, exit) => matches!(exit, Exit::Failed(_)),
            (Self::Temporary, Exit::Normal | Exit::Failed(_)) => false,
        }
    }
}

/// How a child is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// It is told to stop, and killed if it has not ended within this time.
    Within(Duration),
    /// It is told to stop and waited for: for supervisors, whose children have limits of their own.
    Unbounded,
    /// It is killed at once and cleans nothing up.
    Kill,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::Within(Duration::from_secs(5))
    }
}

/// A child of a supervisor; the clones start incarnations of one child.
#[derive(Clone)]
pub struct ChildSpec {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) start: Start,
}

impl ChildSpec {
    /// The same child, ended in another way than within five seconds.
    #[must_use]
    pub fn shutdown(self, shutdown: Shutdown) -> Self {
        Self { shutdown, ..self }
    }

    /// What its supervisor calls it; the last step of its path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("restart", &self.restart)
            .field("shutdown", &self.shutdown)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_child_comes_up_when_its_name_says() {
        let failed = Exit::Failed("boom".to_owned());
        for (restart, after_normal, after_failure) in [
            (Restart::Permanent, true, true),
            (Restart::Transient, false, true),
            (Restart::Temporary, false, false),
        ] {
            assert_eq!(restart.wants(&Exit::Normal), after_normal, "{restart:?}");
            assert_eq!(restart.wants(&failed), after_failure, "{restart:?}");
        }
    }
}
