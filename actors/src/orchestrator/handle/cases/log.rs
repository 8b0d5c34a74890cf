//! How much a node says in its log.

use protocol::{
    access::{Caller, Role},
    api::LogView,
    id::NodeId,
};
use serde::{Deserialize, Serialize};

use super::{Answer, Effect, Orchestrator, Place, UseCase, at_least, runs_the_cluster};
use crate::Rejection;

/// Reads the level of one node, or sets it.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct TurnLog {
    pub(in super::super) node: NodeId,
    /// The new level.
    pub(in super::super) level: Option<String>,
}

impl UseCase for TurnLog {
    type Answer = LogView;
    const NAME: &'static str = "node.log";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Node(self.node)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<LogView> {
        at_least(caller, Role::Operator)?;
        let Some(dial) = at.0.log.get() else {
            return Err(Rejection::Conflict {
                code: "no_log",
                message: format!(
                    "what {} logs is decided by the program around it",
                    at.0.name
                ),
            });
        };
        if let Some(level) = self.level {
            at_least(caller, Role::Admin)?;
            runs_the_cluster(caller)?;
            let before = dial.level();
            let note = || {
                tracing::info!(target: "audit", by = %caller, from = before, to = level, "the log level was changed");
            };
            // Whichever of the two levels lets it through.
            let told = tracing::enabled!(target: "audit", tracing::Level::INFO);
            dial.set(&level)
                .map_err(|reason| Rejection::field("level", reason))?;
            match (
                told,
                tracing::enabled!(target: "audit", tracing::Level::INFO),
            ) {
                (true, false) => {
                    // A level that hides who set it is set once more, after that was said.
                    let quiet = dial.set(&before);
                    note();
                    quiet
                        .and_then(|()| dial.set(&level))
                        .map_err(|reason| Rejection::field("level", reason))?;
                }
                (true | false, true) | (false, false) => note(),
            }
        }
        Ok(LogView {
            node: at.0.name.to_string(),
            level: dial.level(),
        })
    }
}
