//! The end of what runs under `/system`, which its supervisor begins again.

use std::time::Duration;

use protocol::{
    access::{Caller, Role},
    id::NodeId,
};
use runtime::supervision::Kill;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{
    Answer, Effect, Orchestrator, Place, UseCase,
    actors::{BEGINNING, LOOK, by, may_act_on},
    at_least,
    cancel::ENDING,
};
use crate::Rejection;

/// How long what is to be ended may take to begin, when it just does.
const RETURNING: Duration = Duration::from_secs(4);

/// What runs under `/system` on one node ends as in a crash.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct KillActor {
    pub(in super::super) node: NodeId,
    pub(in super::super) path: String,
    /// Who wants it and why, for its past.
    #[serde(default)]
    pub(in super::super) why: String,
}

/// What became of what was to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(in super::super) enum Ended {
    /// Whether it was.
    Killed(bool),
    /// It waited for its next try, which comes at once instead.
    Waited(Hastened),
}

/// How that is told to another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Hastened {
    Hastened,
}

impl UseCase for KillActor {
    type Answer = Ended;
    const NAME: &'static str = "node.kill";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Node(self.node)
    }

    fn wait(&self) -> Duration {
        ENDING
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Ended> {
        at_least(caller, Role::Operator)?;
        may_act_on(caller, &self.path)?;
        let _turn = at.0.turns.take(&self.path).await?;
        tracing::info!(target: "audit", by = %caller, path = self.path, "an actor is killed");
        let why = match self.why.as_str() {
            // An older node asks.
            "" => by(caller, "killed", ""),
            why => why.to_owned(),
        };
        let tree = &at.0.tree;
        let until = Instant::now() + RETURNING;
        let ended = loop {
            match tree.kill(&self.path, &why) {
                Kill::Ended => break Ended::Killed(true),
                Kill::Hastened => break Ended::Waited(Hastened::Hastened),
                Kill::Never => return Ok(Ended::Killed(false)),
                // Its supervisor may just begin it again, or itself.
                Kill::NotNow | Kill::Absent if Instant::now() < until => sleep(LOOK).await,
                Kill::Absent => return Err(Rejection::not_found(self.path)),
                Kill::NotNow => {
                    return Err(Rejection::Unavailable {
                        message: format!(
                            "{} just ends or begins; nothing was changed, try again",
                            self.path
                        ),
                        retry_after: Duration::from_secs(1),
                    });
                }
            }
        };
        // Whoever comes next finds it as it is after this.
        let until = Instant::now() + BEGINNING;
        while tree.can_kill(&self.path) == Some(false) && Instant::now() < until {
            sleep(LOOK).await;
        }
        Ok(ended)
    }
}
