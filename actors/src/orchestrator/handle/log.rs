//! How much each node says in its log, read and set from any node.

use std::fmt;

use protocol::{access::Caller, api::LogView};

use super::{Answer, Orchestrator, cases::TurnLog};
use crate::orchestrator::members;

/// Sets how much this process logs; the program that has the subscriber provides it.
pub trait LogDial: fmt::Debug + Send + Sync {
    /// The level in force.
    fn level(&self) -> String;

    /// Puts another one in force.
    ///
    /// # Errors
    ///
    /// Why `level` is none.
    fn set(&self, level: &str) -> Result<(), String>;
}

impl Orchestrator {
    /// Lets callers read and set how much this process logs; only the first time counts.
    pub fn provide_log(&self, dial: &'static dyn LogDial) {
        let _ = self.0.log.set(dial);
    }

    /// The level of the node that is named, or of this one; sets it first, if there is a new one.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role operator to read and admin to set, `Invalid` when it is no level,
    /// `Conflict` when the node's log is not its own.
    pub async fn log_level(
        &self,
        caller: &Caller,
        node: Option<&str>,
        level: Option<String>,
    ) -> Answer<LogView> {
        let node = match node {
            None => self.0.id,
            Some(name) => self
                .node_named(name)
                .ok_or_else(|| members::no_node(name))?,
        };
        self.carry_out(caller, TurnLog { node, level }).await
    }
}
