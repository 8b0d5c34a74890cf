//! Stopping an agent, and what becomes of what it runs.

use std::time::Duration;

use protocol::{
    access::Caller,
    agent::StopMode,
    api::{AgentChange, AgentView, Reach},
    hold::Target,
};
use serde::{Deserialize, Serialize};

use super::{Action, Answer, ChangeAgent, Deed, Effect, Interrupt, Orchestrator, Place, UseCase};
use crate::hold::Fate;

/// How long what an agent runs may take to end when the agent is stopped, before it is named as what
/// may go on.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// An agent takes nothing more; what it runs ends first, or now.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct StopAgent {
    pub(in super::super) agent: String,
    pub(in super::super) mode: StopMode,
}

impl UseCase for StopAgent {
    type Answer = AgentChange;
    const NAME: &'static str = "agent.stop";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    fn wait(&self) -> Duration {
        // Each of the changes may take its time too.
        2 * GONE_WITHIN
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<AgentChange> {
        let deed = match self.mode {
            StopMode::Now => Deed::Stop,
            StopMode::Graceful => Deed::Drain,
        };
        let (agent, reach) = at
            .turn_agent(caller, &self.agent, deed, String::new())
            .await?;
        Ok(AgentChange { agent, reach })
    }
}

impl Orchestrator {
    pub(super) async fn turn_agent(
        &self,
        caller: &Caller,
        agent: &str,
        deed: Deed,
        reason: String,
    ) -> Answer<(AgentView, Reach)> {
        let first = match deed {
            Deed::Stop | Deed::Drain => Action::Stop(StopMode::Graceful),
            Deed::Pause(_) => Action::Pause,
            Deed::Resume => Action::Resume,
        };
        let change = |action| ChangeAgent {
            agent: agent.to_owned(),
            action,
        };
        let (found, _) = self.carry_out(caller, change(first)).await?;
        let look = |fate, within| Interrupt {
            target: Target::Agent(found.name.clone()),
            fate,
            reason: reason.clone(),
            within,
        };
        let fate = match deed {
            Deed::Stop | Deed::Pause(StopMode::Now) => Fate::Interrupted,
            Deed::Drain | Deed::Pause(StopMode::Graceful) => Fate::GoesOn,
            Deed::Resume => return Ok((found, Reach::default())),
        };
        let reach = self.carry_out(caller, look(fate, Duration::ZERO)).await?;
        if deed != Deed::Stop {
            return Ok((found, reach));
        }
        // What must not run twice was not interrupted: it ends with the agent.
        let stop = change(Action::Stop(StopMode::Now));
        let (found, _) = self.carry_out(caller, stop).await?;
        let last = self
            .carry_out(caller, look(Fate::Ends, GONE_WITHIN))
            .await?;
        // What was gone before this last look is not in it; what ran before is, when nothing is left.
        let is_all = last.running == 0 && last.unconfirmed.is_empty();
        let ended = reach.ended + if is_all { reach.running } else { last.ended };
        Ok((found, Reach { ended, ..last }))
    }
}
