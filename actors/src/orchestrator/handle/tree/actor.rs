//! One actor, wherever it stands.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use protocol::{
    access::{Caller, Role},
    api::{ActionView, ActorAction, ActorView, EntityPart, LifeEvent, LifeQuery, Page, TreeNode},
    entity::{EntityId, EntityKind, Sight, meant_by, name_in},
};
use runtime::{
    chronicle::{self, LifeAt, Span},
    store::StreamRow,
};
use tokio::time::Instant;

use super::super::{
    Answer, Orchestrator,
    cases::{ActOn, FindActor, ReadLife, ShowActor, TOLD_WITHIN, at_least, before, is_path, views},
};
use crate::{Rejection, orchestrator::tree::hush};

/// Turns of a life that are shown, and events of an entity.
const TURNS: usize = 50;
const EVENTS: u32 = 10;

/// What the nodes that were asked have at one path.
#[derive(Debug, Default)]
struct Found {
    actors: Vec<ActorView>,
    /// Those of them that did not answer.
    silent: Vec<String>,
}

impl Found {
    /// The one that is there, as far as is known.
    fn seen(mut self, path: &str) -> Answer<ActorView> {
        let names = self.actors.iter().map(|actor| actor.row.node.as_str());
        let names = names.collect::<Vec<_>>().join(", ");
        match (self.actors.pop(), self.actors.is_empty()) {
            (Some(actor), true) => Ok(actor),
            (Some(_), false) => Err(Rejection::Conflict {
                code: "ambiguous",
                message: format!("several nodes have {path}: {names}; name one of them as `node`"),
            }),
            (None, _) if self.silent.is_empty() => Err(Rejection::not_found(path)),
            (None, _) => Err(unanswered(format!(
                "{path} is on no node that answers; {} did not",
                self.silent.join(", ")
            ))),
        }
    }

    /// The one that is there, if there can be no other.
    fn only(self, path: &str) -> Answer<ActorView> {
        let silent = self.silent.join(", ");
        let actor = self.seen(path)?;
        if silent.is_empty() {
            return Ok(actor);
        }
        Err(unanswered(format!(
            "{} has {path}, but {silent} did not answer and may have one too; name the one that is \
             meant as `node`",
            actor.row.node
        )))
    }
}

const fn unanswered(message: String) -> Rejection {
    Rejection::Unavailable {
        message,
        retry_after: Duration::from_secs(1),
    }
}

/// How far back what is kept of a life is looked at.
const LATELY: Duration = Duration::from_hours(1);

impl Orchestrator {
    /// One actor in full, on the node that is named or on whichever has it.
    ///
    /// # Errors
    ///
    /// `NotFound` when it runs nowhere, `Conflict` when several nodes have one at that path and none
    /// is named, `Unavailable` when no control node can be reached.
    pub async fn actor(
        &self,
        caller: &Caller,
        path: &str,
        node: Option<&str>,
    ) -> Answer<ActorView> {
        at_least(caller, Role::Viewer)?;
        is_path(Some(path))?;
        let case = FindActor {
            path: meant_by(path, &caller.tenant),
            node: node.map(str::to_owned),
        };
        self.carry_out(caller, case).await
    }

    /// Restarts, stops, kills, pauses, resumes or releases an actor.
    ///
    /// # Errors
    ///
    /// As [`actor`](Self::actor); `Forbidden` below the role operator, `Conflict` when that makes no
    /// sense for what it is, or not now.
    pub async fn act_on_actor(
        &self,
        caller: &Caller,
        path: &str,
        node: Option<&str>,
        action: ActorAction,
        reason: String,
    ) -> Answer<ActionView> {
        at_least(caller, Role::Operator)?;
        is_path(Some(path))?;
        let case = ActOn {
            path: meant_by(path, &caller.tenant),
            node: node.map(str::to_owned),
            action,
            reason,
        };
        self.carry_out(caller, case).await
    }

    /// What became of actors, as far as it is kept; the newest last.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role viewer, `Invalid` for a pattern that is none, `Unavailable` when no
    /// control node can be reached.
    pub async fn life(&self, caller: &Caller, query: &LifeQuery) -> Answer<Page<LifeEvent>> {
        let mut query = query.clone();
        query.path = query.path.map(|path| meant_by(&path, &caller.tenant));
        self.carry_out(caller, ReadLife { query }).await
    }

    /// The only actor at this path, on the node that is named or on any.
    pub(in super::super) async fn find_actor(
        &self,
        caller: &Caller,
        path: &str,
        node: Option<&str>,
    ) -> Answer<ActorView> {
        self.look_for(caller, path, node).await?.seen(path)
    }

    /// The same, where it matters that no other has one at that path: then who is silent counts.
    pub(in super::super) async fn surely_only(
        &self,
        caller: &Caller,
        path: &str,
        node: Option<&str>,
    ) -> Answer<ActorView> {
        self.look_for(caller, path, node).await?.only(path)
    }

    async fn look_for(&self, caller: &Caller, path: &str, node: Option<&str>) -> Answer<Found> {
        let nodes = self.meant(node)?;
        let until = Instant::now() + TOLD_WITHIN;
        let asked = nodes.iter().map(async |(name, node)| {
            let Some(node) = *node else {
                return (name, None);
            };
            let path = path.to_owned();
            let case = ShowActor { node, path };
            (name, self.ask_once(caller, node, case, until).await.ok())
        });
        let mut found = Found::default();
        for (name, told) in join_all(asked).await {
            match told {
                Some(actor) => found.actors.extend(actor),
                None => found.silent.push(name.clone()),
            }
        }
        Ok(found)
    }

    /// The stream of the caller's that a path of the tree stands for, if it is one of an entity.
    pub(in super::super) async fn stream_at(
        &self,
        caller: &Caller,
        path: &str,
    ) -> Answer<Option<StreamRow>> {
        let mut names = path.split('/').skip(1);
        let (Some(folder), Some(name), None) = (names.next(), names.next(), names.next()) else {
            return Ok(None);
        };
        let kind = match folder {
            "tasks" => EntityKind::Task,
            "agents" => EntityKind::Agent,
            "holds" => EntityKind::Hold,
            "workflows" => EntityKind::Workflow,
            "questions" => EntityKind::Question,
            "schedules" => EntityKind::Schedule,
            "triggers" => EntityKind::Trigger,
            "templates" => EntityKind::Template,
            _ => return Ok(None),
        };
        let Some(name) = name_in(name, &caller.tenant) else {
            return Ok(None);
        };
        let id = match (name.parse::<EntityId>(), kind) {
            (Ok(id), _) => Some(id),
            (Err(_), EntityKind::Agent) => self.agent_id(caller, name).await?.map(EntityId::from),
            (Err(_), EntityKind::Workflow) => {
                let row = self.workflow_named(caller, name).await?;
                row.map(|row| row.stream)
            }
            (Err(_), EntityKind::Template) => {
                let row = self.template_named(caller, name).await?;
                row.map(|row| row.stream)
            }
            (
                Err(_),
                EntityKind::Task
                | EntityKind::Hold
                | EntityKind::Question
                | EntityKind::Schedule
                | EntityKind::Trigger,
            ) => None,
        };
        let Some(id) = id.filter(|id| id.kind() == kind) else {
            return Ok(None);
        };
        let row = self.own()?.journal.store().stream(id).await?;
        let is_seen = |row: &StreamRow| {
            let is_own = match kind {
                EntityKind::Task => caller.sees_all_users() || row.summary.user == caller.user,
                // Whoever is asked finds it in the inbox, whoever asks in the task.
                EntityKind::Question => caller.sees_all_users(),
                EntityKind::Agent
                | EntityKind::Hold
                | EntityKind::Workflow
                | EntityKind::Schedule
                | EntityKind::Trigger
                | EntityKind::Template => true,
            };
            row.tenant == caller.tenant && is_own && !row.summary.hidden
        };
        Ok(row.filter(is_seen))
    }

    /// A row for an entity that no node has in memory.
    pub(in super::super) fn absent_actor(&self, path: &str) -> ActorView {
        let (parent, kind) = match path.split('/').nth(1) {
            Some("agents") => ("/agents", EntityKind::Agent),
            Some("holds") => ("/holds", EntityKind::Hold),
            Some("workflows") => ("/workflows", EntityKind::Workflow),
            Some("questions") => ("/questions", EntityKind::Question),
            Some("schedules") => ("/schedules", EntityKind::Schedule),
            Some("triggers") => ("/triggers", EntityKind::Trigger),
            Some("templates") => ("/templates", EntityKind::Template),
            Some(_) | None => ("/tasks", EntityKind::Task),
        };
        ActorView {
            row: TreeNode {
                path: path.to_owned(),
                kind: kind.as_str().to_owned(),
                state: "stopped".to_owned(),
                node: self.0.name.to_string(),
                mailbox: 0,
                handled: 0,
                rate: 0.0,
                restarts: 0,
                last_error: None,
                restored_from: None,
                started_at: self.0.tree.clock().now(),
                current: None,
                current_ms: None,
                children: 0,
                links: Vec::new(),
                links_total: None,
            },
            parent: Some(parent.to_owned()),
            child_paths: Vec::new(),
            failures: Vec::new(),
            life: Vec::new(),
            entity: None,
            budget: None,
        }
    }

    /// What is durable of the actor at a path, if it is the caller's to see.
    pub(in super::super) async fn durable_part(
        &self,
        caller: &Caller,
        path: &str,
    ) -> Answer<Option<EntityPart>> {
        let Some(row) = self.stream_at(caller, path).await? else {
            return Ok(None);
        };
        let store = self.own()?.journal.store();
        let after = row.head.saturating_sub(u64::from(EVENTS));
        let mut events = Vec::new();
        for record in store.read(row.stream, after, EVENTS).await? {
            let new = views(&record)?.into_iter();
            events.extend(new.filter(|event| event.seq > after));
        }
        Ok(Some(EntityPart {
            id: row.stream,
            epoch: row.epoch,
            position: events.last().map_or(row.head, |last| last.seq),
            events,
        }))
    }

    /// Adds what is kept of an actor's life to what its node remembers, of an entity also what it was on
    /// the node where it was before. Others who read the past come first.
    pub(in super::super) async fn complete_life(
        &self,
        caller: &Caller,
        actor: &mut ActorView,
    ) -> Answer<()> {
        let Some(mut reading) = self.0.readings.begin_at_once() else {
            return Ok(());
        };
        let now = self.0.tree.clock().now();
        let former = actor.row.restored_from.iter().cloned();
        let span = Span {
            from: before(now, LATELY),
            to: now,
            nodes: Some(former.chain([actor.row.node.clone()]).collect()),
            limit: TURNS,
        };
        let (store, path) = (self.own()?.journal.store(), actor.row.path.clone());
        let kept = chronicle::life(store, &span, Arc::new(LifeAt(path)), &mut reading.bounds);
        for mut event in kept.await?.events {
            hush(&mut event, Sight::of(&caller.tenant));
            if !actor.life.contains(&event) {
                actor.life.push(event);
            }
        }
        actor.life.sort_by_key(|event| event.at);
        let surplus = actor.life.len().saturating_sub(TURNS);
        actor.life.drain(..surplus);
        Ok(())
    }
}
