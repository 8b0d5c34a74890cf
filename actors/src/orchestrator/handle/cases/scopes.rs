//! Stopping, pausing and resuming all that is in a scope.

use protocol::{
    access::{Caller, Role},
    agent::StopMode,
    api::{HoldChange, Reach, ScopeView},
    hold::Target,
};
use serde::{Deserialize, Serialize};

use super::{
    Action, Answer, ChangeAgent, Effect, Interrupt, LiftHold, ListHolds, Orchestrator, Place,
    PlaceHold, UseCase, When, at_least, cancel::ENDING, holds::may_turn,
};
use crate::Rejection;

/// What is done to a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Deed {
    /// What is there ends for good.
    Stop,
    /// Nothing starts until it is resumed, neither of what is there nor of what comes.
    Pause(StopMode),
    /// It goes on.
    Resume,
}

/// A deed, to all that is in a scope.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct TurnScope {
    pub(in super::super) scope: Target,
    pub(in super::super) deed: Deed,
    pub(in super::super) reason: String,
}

impl UseCase for TurnScope {
    type Answer = ScopeView;
    const NAME: &'static str = "scope.turn";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    fn wait(&self) -> std::time::Duration {
        ENDING
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<ScopeView> {
        let Self {
            scope,
            deed,
            reason,
        } = self;
        at_least(caller, Role::Operator)?;
        tracing::info!(target: "audit", by = %caller, %scope, ?deed, reason, "a scope is turned");
        may_turn(caller, &scope)?;
        match (&scope, deed) {
            (Target::AgentType(_) | Target::Tool(_) | Target::Provider(_), _) => {
                Err(Rejection::field(
                    "scope",
                    "must be a session, a user, an agent, a node or the cluster; a dependency is held",
                ))
            }
            (Target::Agent(name), _) => at.turn_agent(caller, name.clone(), deed, reason).await,
            (Target::Cluster | Target::Session(_) | Target::User(_), Deed::Stop) => {
                let reach = at.end_scope(caller, scope.clone(), reason).await?;
                Ok(view(scope, reach))
            }
            (
                Target::Cluster | Target::Session(_) | Target::User(_) | Target::Node(_),
                Deed::Resume,
            ) => at.lift_all(caller, scope).await,
            (
                Target::Cluster | Target::Session(_) | Target::User(_) | Target::Node(_),
                Deed::Stop | Deed::Pause(_),
            ) => {
                let interrupt = match deed {
                    Deed::Pause(StopMode::Graceful) | Deed::Resume => None,
                    Deed::Stop | Deed::Pause(StopMode::Now) => Some(scope.clone()),
                };
                let case = PlaceHold {
                    target: scope.clone(),
                    reason,
                    interrupt,
                    when: When::Known,
                };
                let HoldChange { hold, reach, .. } = at.carry_out(caller, case).await?;
                let hold = Some(hold);
                Ok(ScopeView { scope, hold, reach })
            }
        }
    }
}

const fn view(scope: Target, reach: Reach) -> ScopeView {
    ScopeView {
        scope,
        hold: None,
        reach,
    }
}

impl Orchestrator {
    async fn turn_agent(
        &self,
        caller: &Caller,
        agent: String,
        deed: Deed,
        reason: String,
    ) -> Answer<ScopeView> {
        let (first, last) = match deed {
            Deed::Stop => (Action::Pause, Some(Action::Stop(StopMode::Now))),
            Deed::Pause(_) => (Action::Pause, None),
            Deed::Resume => (Action::Resume, None),
        };
        let change = |action| ChangeAgent {
            agent: agent.clone(),
            action,
        };
        let (found, _) = self.carry_out(caller, change(first)).await?;
        let scope = Target::Agent(found.name);
        let reach = match deed {
            Deed::Stop | Deed::Pause(StopMode::Now) => {
                let target = scope.clone();
                self.carry_out(caller, Interrupt { target, reason }).await?
            }
            Deed::Pause(StopMode::Graceful) | Deed::Resume => Reach::default(),
        };
        if let Some(last) = last {
            // What must not run twice was not interrupted: it ends with the agent.
            self.carry_out(caller, change(last)).await?;
        }
        Ok(view(scope, reach))
    }

    async fn lift_all(&self, caller: &Caller, scope: Target) -> Answer<ScopeView> {
        let holds = self.carry_out(caller, ListHolds).await?;
        let mut lifted = view(scope, Reach::default());
        for hold in holds {
            if hold.target == lifted.scope {
                let change = self.carry_out(caller, LiftHold { id: hold.id }).await?;
                lifted.hold = Some(change.hold);
                lifted.reach = change.reach;
            }
        }
        if lifted.hold.is_none() {
            // What is gone may be held still; what never was is mistyped.
            self.known(caller, &lifted.scope).await?;
        }
        Ok(lifted)
    }
}
