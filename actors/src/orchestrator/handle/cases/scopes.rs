//! Stopping, pausing and resuming all that is in a scope.

use protocol::{
    access::{Caller, Role},
    agent::StopMode,
    api::{HoldChange, Reach, ScopeView},
    hold::Target,
};
use serde::{Deserialize, Serialize};

use super::{
    Answer, Effect, LiftHold, ListHolds, Orchestrator, Place, PlaceHold, UseCase, When, at_least,
    cancel::ENDING, holds::may_turn, holds::named,
};
use crate::{Rejection, hold::Fate};

/// What is done to a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Deed {
    /// What is there ends for good.
    Stop,
    /// An agent takes nothing more; what it runs ends by itself.
    Drain,
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
        named(&scope, "scope")?;
        match (&scope, deed) {
            (Target::AgentType(_) | Target::Tool(_) | Target::Provider(_), _) => {
                Err(Rejection::field(
                    "scope",
                    "must be a session, a user, an agent, a node or the cluster; a dependency is held",
                ))
            }
            (Target::Agent(name), _) => {
                let (found, reach) = at.turn_agent(caller, name, deed, reason).await?;
                Ok(view(Target::Agent(found.name), reach))
            }
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
                Deed::Stop | Deed::Drain | Deed::Pause(_),
            ) => {
                let fate = match deed {
                    Deed::Pause(StopMode::Graceful) | Deed::Drain | Deed::Resume => Fate::GoesOn,
                    Deed::Stop | Deed::Pause(StopMode::Now) => Fate::Interrupted,
                };
                let case = PlaceHold {
                    target: scope.clone(),
                    reason,
                    fate,
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
