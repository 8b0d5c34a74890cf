//! One actor: what it is, and what operators do to it.

use std::time::Duration;

use protocol::{
    access::{Caller, DEFAULT_TENANT, Role},
    agent::StopMode,
    api::{ActionView, ActorAction, ActorView, TreeNode},
    entity::{EntityId, EntityKind, Sight, is_nobodys, name_in},
    id::{NodeId, TaskId},
};
use runtime::{entity::TellError, placement::Evict};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{
    Action, Answer, CancelTask, ChangeAgent, Effect, Orchestrator, PauseTask, Place, ResumeTask,
    TOLD_WITHIN, UseCase, at_least,
    cancel::{ENDING, Extent},
    kill::{Ended, Hastened, KillActor},
    runs_the_cluster, unreachable,
};
use crate::{Rejection, orchestrator::handle::tree::OpenAsk, task::ending};

/// Characters that a reason may have.
const LONGEST: usize = 1_000;

/// How long what was ended may take to stand in the tree again, and how often that is looked at.
pub(super) const BEGINNING: Duration = Duration::from_secs(1);
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// An actor of one node, as that node knows it.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowActor {
    pub(in super::super) node: NodeId,
    pub(in super::super) path: String,
}

impl UseCase for ShowActor {
    type Answer = Option<ActorView>;
    const NAME: &'static str = "node.actor";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Node(self.node)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Option<ActorView>> {
        at_least(caller, Role::Viewer)?;
        Ok(at.0.tree.actor_for(&self.path, Sight::of(&caller.tenant)))
    }
}

/// An actor in full, wherever it stands.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct FindActor {
    pub(in super::super) path: String,
    pub(in super::super) node: Option<String>,
}

impl UseCase for FindActor {
    type Answer = ActorView;
    const NAME: &'static str = "tree.actor";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Cluster
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<ActorView> {
        at_least(caller, Role::Viewer)?;
        let found = at.find_actor(caller, &self.path, self.node.as_deref());
        let mut actor = found.await?;
        actor.entity = at.durable_part(caller, &self.path).await?;
        at.complete_life(caller, &mut actor).await?;
        at.complete_links(caller, &mut actor).await?;
        Ok(actor)
    }
}

/// The questions that agents ask each other for a task and that wait for their answers: its owner alone
/// knows them.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowAsks {
    pub(in super::super) id: TaskId,
}

impl UseCase for ShowAsks {
    type Answer = Vec<OpenAsk>;
    const NAME: &'static str = "task.asks";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Vec<OpenAsk>> {
        at_least(caller, Role::Viewer)?;
        let asks = at.own()?.services.asks.of(self.id);
        Ok(asks.into_iter().map(OpenAsk::from).collect())
    }
}

/// What an operator does to an actor, wherever it stands.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ActOn {
    pub(in super::super) path: String,
    pub(in super::super) node: Option<String>,
    pub(in super::super) action: ActorAction,
    pub(in super::super) reason: String,
}

impl UseCase for ActOn {
    type Answer = ActionView;
    const NAME: &'static str = "tree.act";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    fn wait(&self) -> Duration {
        TOLD_WITHIN + 2 * ENDING
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<ActionView> {
        at_least(caller, Role::Operator)?;
        if self.reason.len() > LONGEST {
            let message = "must have 1,000 characters at most";
            return Err(Rejection::field("reason", message));
        }
        let (path, action) = (self.path.clone(), self.action);
        tracing::info!(
            target: "audit", by = %caller, path, node = self.node, action = action.as_str(),
            reason = self.reason, "an operator acts on an actor"
        );
        let node = self.node.clone();
        let before = at.find_actor(caller, &path, node.as_deref()).await;
        let outcome = match (at.stream_at(caller, &path).await?, &before) {
            (Some(row), _) => at.act_on_entity(caller, row.stream, self, &before).await?,
            (None, Ok(_)) => {
                may_act_on(caller, &path)?;
                // An entity is one, whoever is silent; what else has such a path is not.
                let actor = at.surely_only(caller, &path, node.as_deref()).await?;
                at.act_on_machinery(caller, self, &actor.row).await?
            }
            (None, Err(rejection)) => return Err(rejection.clone()),
        };
        let after = at.find_again(caller, &path, node.as_deref(), action).await;
        let actor = match (after, before) {
            (Ok(actor), _) => actor,
            (Err(_), Ok(mut last)) => {
                "stopped".clone_into(&mut last.row.state);
                last
            }
            (Err(_), Err(_)) => at.absent_actor(&path),
        };
        Ok(ActionView {
            actor,
            action,
            outcome: outcome.to_owned(),
        })
    }
}

/// What is done to an entity's actor, not to what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Tending {
    Restart,
    Kill,
    Release,
}

/// An entity comes back from its stream.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct TendEntity {
    pub(in super::super) id: EntityId,
    pub(in super::super) how: Tending,
    /// Where its actor stands, if it does.
    #[serde(default)]
    pub(in super::super) path: String,
    /// Why, in the operator's words.
    #[serde(default)]
    pub(in super::super) reason: String,
    /// Where it is to be, if the operator named a node.
    #[serde(default)]
    pub(in super::super) node: Option<String>,
}

impl UseCase for TendEntity {
    type Answer = ();
    const NAME: &'static str = "entity.tend";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id)
    }

    fn wait(&self) -> Duration {
        ENDING
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<()> {
        at_least(caller, Role::Operator)?;
        let Self {
            id,
            how,
            path,
            reason,
            node,
        } = self;
        if node.is_some_and(|node| *node != *at.0.name) {
            return Err(Rejection::not_found(path));
        }
        let _turn = at.0.turns.take(&id.to_string()).await?;
        let row = at.own()?.journal.store().stream(id).await?;
        let parked = row.and_then(|row| row.parked);
        let back = match (how, parked) {
            (Tending::Restart | Tending::Kill, Some(errors)) => {
                return Err(Rejection::Conflict {
                    code: "parked",
                    message: format!("{id} is parked; release it. Its last errors: {errors}"),
                });
            }
            (Tending::Release, None) => {
                return Err(Rejection::Conflict {
                    code: "not_parked",
                    message: format!("{id} is not parked, so there is nothing to release it from"),
                });
            }
            (Tending::Release, Some(_)) => {
                at.unpark(id).await?;
                at.bring_back(id, Evict::Politely).await
            }
            // An entity that is not in memory does nothing that could begin again. An older node
            // names no path, and has seen to that.
            (Tending::Restart | Tending::Kill, None)
                if !path.is_empty() && at.0.tree.actor(&path).is_none() =>
            {
                return Err(Rejection::not_found(path));
            }
            (Tending::Restart | Tending::Kill, None) => {
                let (done, how) = match how {
                    Tending::Kill => ("killed", Evict::AtOnce),
                    Tending::Restart | Tending::Release => ("restarted", Evict::Politely),
                };
                at.0.tree.ends_because(&path, &by(caller, done, &reason));
                at.bring_back(id, how).await
            }
        };
        back.map_err(unreachable)
    }
}

impl Orchestrator {
    /// The actor after an act: where it goes on after that, it may just begin.
    async fn find_again(
        &self,
        caller: &Caller,
        path: &str,
        node: Option<&str>,
        action: ActorAction,
    ) -> Answer<ActorView> {
        let until = Instant::now() + BEGINNING;
        let goes_on = !matches!(action, ActorAction::Stop | ActorAction::Pause);
        loop {
            let found = self.find_actor(caller, path, node).await;
            let is_absent = matches!(&found, Err(Rejection::NotFound { .. }));
            if !(goes_on && is_absent) || Instant::now() >= until {
                return found;
            }
            sleep(LOOK).await;
        }
    }

    async fn unpark(&self, id: EntityId) -> Answer<()> {
        let services = &self.own()?.services;
        match id.kind() {
            EntityKind::Task => services.tasks.unpark(id).await,
            EntityKind::Agent => services.agents.unpark(id).await,
            EntityKind::Hold => services.held.unpark(id).await,
            EntityKind::Workflow => services.workflows.unpark(id).await,
            EntityKind::Question => services.questions.host().unpark(id).await,
            EntityKind::Schedule => services.schedules.unpark(id).await,
            EntityKind::Trigger => services.triggers.unpark(id).await,
            EntityKind::Template => services.templates.unpark(id).await,
        }
        .map_err(Rejection::from)
    }

    async fn bring_back(&self, id: EntityId, how: Evict) -> Result<(), TellError> {
        let Some(own) = &self.0.own else {
            return Err(TellError::Elsewhere(id));
        };
        let services = &own.services;
        match id.kind() {
            EntityKind::Task => services.tasks.restart(id, how).await,
            EntityKind::Agent => services.agents.restart(id, how).await,
            EntityKind::Hold => services.held.restart(id, how).await,
            EntityKind::Workflow => services.workflows.restart(id, how).await,
            EntityKind::Question => services.questions.host().restart(id, how).await,
            EntityKind::Schedule => services.schedules.restart(id, how).await,
            EntityKind::Trigger => services.triggers.restart(id, how).await,
            EntityKind::Template => services.templates.restart(id, how).await,
        }
    }

    /// What is asked of a task, an agent or a hold.
    async fn act_on_entity(
        &self,
        caller: &Caller,
        id: EntityId,
        asked: ActOn,
        found: &Answer<ActorView>,
    ) -> Answer<&'static str> {
        let ActOn {
            action,
            reason,
            path: asked_path,
            node,
            ..
        } = asked;
        let begins_again = matches!(action, ActorAction::Restart | ActorAction::Kill);
        if let (Some(_), Err(rejection), false) = (&node, found, begins_again) {
            // Who names a node means what stands there, and nothing that stands elsewhere.
            return Err(rejection.clone());
        }
        let change = |action| ChangeAgent {
            agent: id.to_string(),
            action,
        };
        let how = match (action, id.kind()) {
            (ActorAction::Stop, EntityKind::Task) => {
                let (id, wait) = (TaskId::from_uuid(id.key()), ENDING);
                let extent = Extent::Tree;
                let case = CancelTask {
                    id,
                    reason,
                    wait,
                    extent,
                };
                self.carry_out(caller, case).await?;
                return Ok("the task is cancelled with all that it runs");
            }
            (ActorAction::Pause, EntityKind::Task) => {
                let (id, running) = (TaskId::from_uuid(id.key()), StopMode::Graceful);
                let case = PauseTask {
                    id,
                    reason,
                    running,
                };
                self.carry_out(caller, case).await?;
                return Ok("nothing more of the task and of its parts starts until it is resumed");
            }
            (ActorAction::Resume, EntityKind::Task) => {
                let id = TaskId::from_uuid(id.key());
                self.carry_out(caller, ResumeTask { id }).await?;
                return Ok("the task goes on, with the parts that rested because of it");
            }
            (ActorAction::Stop, EntityKind::Agent) => {
                let case = change(Action::Stop(StopMode::Graceful));
                self.carry_out(caller, case).await?;
                return Ok("the agent takes nothing more and stops; start it to use it again");
            }
            (ActorAction::Pause, EntityKind::Agent) => {
                self.carry_out(caller, change(Action::Pause)).await?;
                return Ok("the agent takes nothing new until it is resumed");
            }
            (ActorAction::Resume, EntityKind::Agent) => {
                self.carry_out(caller, change(Action::Resume)).await?;
                return Ok("the agent goes on");
            }
            (ActorAction::Stop | ActorAction::Pause | ActorAction::Resume, EntityKind::Hold) => {
                return Err(senseless(
                    action,
                    "a hold",
                    &format!("lift it with `DELETE /api/v1/holds/{id}`"),
                ));
            }
            (
                ActorAction::Stop | ActorAction::Pause | ActorAction::Resume,
                EntityKind::Workflow
                | EntityKind::Question
                | EntityKind::Schedule
                | EntityKind::Trigger
                | EntityKind::Template,
            ) => {
                let what = format!("a {}", id.kind());
                return Err(senseless(action, &what, "it has routes of its own"));
            }
            (ActorAction::Release, _) => Tending::Release,
            (ActorAction::Restart, _) => Tending::Restart,
            (ActorAction::Kill, _) => Tending::Kill,
        };
        match (how, found) {
            // Somebody else may just restart it, which its owner knows.
            (_, Err(Rejection::NotFound { .. })) | (Tending::Release, _) | (_, Ok(_)) => {}
            (Tending::Restart | Tending::Kill, Err(rejection)) => return Err(rejection.clone()),
        }
        let path = found
            .as_ref()
            .map_or_else(|_| asked_path, |it| it.row.path.clone());
        let case = TendEntity {
            id,
            how,
            path,
            reason,
            node,
        };
        self.carry_out(caller, case).await?;
        Ok(match how {
            Tending::Restart => "it ended and began again from what is recorded",
            Tending::Kill => "it was killed and began again from what is recorded",
            Tending::Release => "it is in service again",
        })
    }

    /// What is asked of what is no entity.
    async fn act_on_machinery(
        &self,
        caller: &Caller,
        asked: ActOn,
        row: &TreeNode,
    ) -> Answer<&'static str> {
        let remedy = match (asked.action, row.kind.as_str()) {
            (ActorAction::Restart | ActorAction::Kill, _) if asked.path.starts_with("/system/") => {
                if caller.tenant != DEFAULT_TENANT {
                    return Err(Rejection::Forbidden {
                        message: format!(
                            "what runs below /system is every tenant's: this needs an operator of the tenant {DEFAULT_TENANT}"
                        ),
                    });
                }
                let until = Instant::now() + TOLD_WITHIN + ENDING;
                let node = self.company().get(&row.node).copied();
                let node =
                    node.ok_or_else(|| Rejection::not_found(format!("node {}", row.node)))?;
                let done = match asked.action {
                    ActorAction::Restart => "restarted",
                    _ => "killed",
                };
                let why = by(caller, done, &asked.reason);
                let path = asked.path;
                let case = KillActor { node, path, why };
                let ended = self.ask_once(caller, node, case, until).await?;
                match ended {
                    Ended::Waited(Hastened::Hastened) => {
                        return Ok(
                            "it waited for its next try, which its supervisor makes at once",
                        );
                    }
                    Ended::Killed(true) => {
                        return Ok("it was killed; its supervisor begins it again");
                    }
                    Ended::Killed(false) => {}
                }
                "it cannot be killed by itself; restart the node"
            }
            (_, "agent-proxy") => "act on its agent, the path without `/proxy`",
            (_, "tool") => {
                "it lives as long as its attempt; stop or pause the task that it works for"
            }
            (ActorAction::Release, _) => "only entities are parked: tasks, agents and holds",
            (ActorAction::Stop | ActorAction::Pause | ActorAction::Resume, _) => {
                "it is part of the node; drain or pause the node, or act on a task or an agent"
            }
            (ActorAction::Restart | ActorAction::Kill, _) => {
                "only tasks, agents, holds and what runs below `/system` begin again by themselves"
            }
        };
        Err(senseless(asked.action, &row.kind, remedy))
    }
}

/// What belongs to nobody is the default tenant's to act on; what is another tenant's is its own.
pub(super) fn may_act_on(caller: &Caller, path: &str) -> Answer<()> {
    if is_nobodys(path) {
        return runs_the_cluster(caller);
    }
    let name = path.split('/').nth(2).unwrap_or_default();
    if name_in(name, &caller.tenant).is_some() {
        return Ok(());
    }
    Err(Rejection::Forbidden {
        message: format!("{path} is another tenant's, whose operators act on it"),
    })
}

/// Who did something to an actor, as its past tells it.
pub(super) fn by(caller: &Caller, done: &str, reason: &str) -> String {
    ending::by(&caller.user, done, reason)
}

fn senseless(action: ActorAction, kind: &str, remedy: &str) -> Rejection {
    Rejection::Conflict {
        code: "not_applicable",
        message: format!("{} makes no sense for {kind}: {remedy}", action.as_str()),
    }
}
