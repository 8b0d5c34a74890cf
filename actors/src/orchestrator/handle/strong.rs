//! Waiting until what is read holds all that the cluster had committed when it was asked.

use protocol::access::Caller;
use tokio::time::{Instant, sleep};

use super::{
    Answer, Orchestrator,
    cases::{AGAIN, CAUGHT_UP_WITHIN, CatchUp, CommittedAgents, SyncAgent, SyncAgents, behind},
};

impl Orchestrator {
    /// Waits until the totals of agents hold all that is committed now.
    ///
    /// # Errors
    ///
    /// `Unavailable` when they do not within three seconds, and says how far they are.
    pub(super) async fn totals_caught_up(&self, caller: &Caller) -> Answer<()> {
        self.carry_out(caller, CatchUp).await
    }

    /// Waits until lists of agents hold all that is committed now: each agent has come to its owner, and
    /// has told it all that it recorded.
    ///
    /// # Errors
    ///
    /// `Unavailable` when some do not within three seconds, and names one.
    pub(super) async fn agents_caught_up(&self, caller: &Caller) -> Answer<()> {
        let mut missing = self.carry_out(caller, CommittedAgents).await?;
        let until = Instant::now() + CAUGHT_UP_WITHIN;
        while let Some(one) = missing.iter().min().copied() {
            if Instant::now() >= until {
                return Err(behind(&format!(
                    "{one} has not come to the node that owns it, and would be left out"
                )));
            }
            let sync = |node| SyncAgents {
                node,
                agents: missing.clone(),
            };
            let synced = self.everywhere(caller, sync).await?;
            for synced in synced {
                missing.retain(|agent| !synced.contains(agent));
            }
            if !missing.is_empty() {
                sleep(AGAIN).await;
            }
        }
        Ok(())
    }

    /// Waits until one agent has told its owner all that it recorded.
    ///
    /// # Errors
    ///
    /// `Unavailable` when the views are not caught up within three seconds, `NotFound` without such an agent.
    pub async fn agent_caught_up(&self, caller: &Caller, agent: &str) -> Answer<()> {
        let agent = agent.to_owned();
        self.carry_out(caller, SyncAgent { agent }).await
    }
}
