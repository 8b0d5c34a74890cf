//! Stopping, pausing and resuming all that is in a scope.

use futures_util::{StreamExt, stream};
use protocol::{
    access::{Caller, Role},
    agent::StopMode,
    api::{HoldChange, Reach, ScopeView},
    entity::EntityKind,
    hold::Target,
    id::TaskId,
    task::TaskStatus,
};
use runtime::store::StreamQuery;
use serde::{Deserialize, Serialize};

use super::{
    Answer, Effect, LiftHold, ListHolds, Orchestrator, Place, PlaceHold, UseCase, at_least,
    task_change::ENDING, tasks::summary,
};
use crate::{Rejection, hold::Fate};

/// Tasks that are stopped at once.
const AT_ONCE: usize = 64;

/// Tasks that are read at once.
const PAGE: u32 = 500;

/// Looks for tasks that came while others were stopped.
const LOOKS: usize = 5;

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
                let reach = at.stop_tasks(caller, &scope, &reason).await?;
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
                };
                let HoldChange { hold, reach } = at.carry_out(caller, case).await?;
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
        Ok(lifted)
    }

    /// Cancels every open task in a scope.
    async fn stop_tasks(&self, caller: &Caller, scope: &Target, reason: &str) -> Answer<Reach> {
        let mut reach = Reach::default();
        for _ in 0..LOOKS {
            let open = self.open_in(caller, scope).await?;
            if open.is_empty() {
                break;
            }
            let stopped =
                stream::iter(open).map(|id| self.cancel(caller, id, reason.to_owned(), ENDING));
            let stopped: Vec<_> = stopped.buffer_unordered(AT_ONCE).collect().await;
            let mut any = false;
            for stopped in stopped.into_iter().flatten() {
                reach.tasks += 1;
                reach.ended += stopped.reach.ended;
                reach.running += stopped.reach.running;
                any |= stopped.task.status.is_terminal();
                reach.unconfirmed.extend(stopped.reach.unconfirmed);
            }
            if !any {
                break;
            }
        }
        let nodes = self.own()?.services.hosts.others().len() + 1;
        reach.nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
        Ok(reach)
    }

    async fn open_in(&self, caller: &Caller, scope: &Target) -> Answer<Vec<TaskId>> {
        let (user, text) = match scope {
            Target::User(name) => (Some(name.clone()), None),
            Target::Session(id) => {
                let id = serde_json::Value::from(id.as_str());
                (None, Some(format!("\"session_id\":{id}")))
            }
            Target::Cluster
            | Target::Node(_)
            | Target::Agent(_)
            | Target::AgentType(_)
            | Target::Tool(_)
            | Target::Provider(_) => (None, None),
        };
        let mut open = Vec::new();
        for status in [TaskStatus::Executing, TaskStatus::Paused] {
            let mut before = None;
            loop {
                let query = StreamQuery {
                    tenant: caller.tenant.clone(),
                    kind: EntityKind::Task,
                    status: Some(status.as_str().to_owned()),
                    user: user.clone(),
                    parent: None,
                    text: text.clone(),
                    before,
                    limit: PAGE,
                };
                let rows = self.own()?.journal.store().list(&query).await?;
                before = rows.last().map(|row| row.stream);
                for row in &rows {
                    // The text may stand elsewhere in a row, or be spelled otherwise.
                    let is_in = match scope {
                        Target::Session(id) => summary(row)?.session_id.as_ref() == Some(id),
                        Target::Cluster
                        | Target::User(_)
                        | Target::Node(_)
                        | Target::Agent(_)
                        | Target::AgentType(_)
                        | Target::Tool(_)
                        | Target::Provider(_) => true,
                    };
                    open.extend(is_in.then(|| TaskId::from_uuid(row.stream.key())));
                }
                if rows.len() < PAGE as usize {
                    break;
                }
            }
        }
        Ok(open)
    }
}
