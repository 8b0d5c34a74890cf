//! What can be done to runs: another context, another end, a fork.

use std::{collections::BTreeSet, time::Duration};

use protocol::{
    access::{Caller, Role},
    api::{CancelView, ContextPatch, ContextView, ForkRequest},
    entity::EntityKind,
    id::TaskId,
    task::{Event, TaskSpec},
    time::Timestamp,
    workflow::{NodeStatus, Origin, RunEvent, RunSpec},
};
use runtime::journal::decode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Answer, CancelTask, Effect, Extent, Orchestrator, Place, UseCase, at_least,
    runs::{Begun, admitted, no_run},
    submission::Admitted,
    visible,
};
use crate::{
    Rejection,
    task::{Task, actor::Command},
    workflow::{draw, large::Large, run::fork, view as execution},
};

/// Records read at once.
const PAGE: u32 = 500;

/// Runs within a run that a fork looks at; beyond that it is taken that they called something irreversible.
const MOST_PARTS: usize = 1000;

/// New values for what the nodes of a run share.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct WriteContext {
    pub(in super::super) id: TaskId,
    pub(in super::super) patch: ContextPatch,
}

impl UseCase for WriteContext {
    type Answer = ContextView;
    const NAME: &'static str = "run.write";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<ContextView> {
        at_least(caller, Role::Developer)?;
        let Self { id, patch } = self;
        let ContextPatch { version, values } = patch;
        at.command(caller, id, Command::Write { version, values })
            .await?;
        at.shared(id).await
    }
}

/// The graph of a run as a picture.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct DrawRun {
    pub(in super::super) id: TaskId,
    pub(in super::super) format: Drawing,
}

/// For whom a graph is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drawing {
    /// For a terminal, with where each node stands.
    #[default]
    Text,
    /// For Graphviz.
    Dot,
    /// For Mermaid.
    Mermaid,
}

impl UseCase for DrawRun {
    type Answer = String;
    const NAME: &'static str = "run.draw";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<String> {
        let Self { id, format } = self;
        let of = at.run_of(caller, id).await?;
        let library = &at.own()?.services.library;
        let edition = library.edition(of.id, of.version).await?;
        let edition = edition.ok_or_else(|| no_run(id))?;
        let definition = &edition.definition;
        Ok(match format {
            Drawing::Dot => draw::dot(definition),
            Drawing::Mermaid => draw::mermaid(definition),
            Drawing::Text => {
                let run = at.read(id, |task, _| task.run.clone()).await?;
                let run = run.unwrap_or_default();
                draw::text(definition, |node| {
                    let status = run.turn(node).map(|turn| turn.status);
                    Some(mark(status.unwrap_or_default()).to_owned())
                })
            }
        })
    }
}

const fn mark(status: NodeStatus) -> &'static str {
    match status {
        NodeStatus::Completed => "✓",
        NodeStatus::Failed => "✗",
        NodeStatus::Unknown => "?",
        NodeStatus::Skipped | NodeStatus::Cancelled => "–",
        NodeStatus::Running => "▶",
        NodeStatus::Waiting => "…",
        NodeStatus::Pending => "·",
    }
}

/// What the nodes of a run share.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowContext {
    pub(in super::super) id: TaskId,
}

impl UseCase for ShowContext {
    type Answer = ContextView;
    const NAME: &'static str = "run.context";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<ContextView> {
        visible(at, caller, self.id).await?;
        at.shared(self.id).await
    }
}

/// A large value of a run, which views refer to.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowValue {
    pub(in super::super) id: TaskId,
    pub(in super::super) digest: String,
}

impl UseCase for ShowValue {
    type Answer = Value;
    const NAME: &'static str = "run.value";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Value> {
        let Self { id, digest } = self;
        at.run_of(caller, id).await?;
        let missing = format!("value {digest}");
        let value = at.read(id, move |task, _| task.large.named(&digest));
        value.await?.ok_or_else(|| Rejection::not_found(missing))
    }
}

/// The end of a run, at once: what it did is not taken back.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct TerminateRun {
    pub(in super::super) id: TaskId,
    pub(in super::super) reason: String,
    pub(in super::super) wait: Duration,
}

impl UseCase for TerminateRun {
    type Answer = CancelView;
    const NAME: &'static str = "run.terminate";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    fn wait(&self) -> Duration {
        self.wait
    }

    fn waited(&mut self, time: Duration) {
        self.wait = self.wait.saturating_sub(time);
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<CancelView> {
        at_least(caller, Role::Developer)?;
        let Self { id, reason, wait } = self;
        at.run_of(caller, id).await?;
        let terminate = Command::Terminate {
            reason: reason.clone(),
        };
        at.command(caller, id, terminate).await?;
        // From here on it is a task that is being cancelled; its parts are not yet.
        let case = CancelTask {
            id,
            reason,
            wait,
            extent: Extent::Tree,
        };
        case.perform(at, caller).await
    }
}

/// A run that begins with what another one had.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ForkRun {
    pub(in super::super) id: TaskId,
    pub(in super::super) request: ForkRequest,
}

impl UseCase for ForkRun {
    type Answer = Begun;
    const NAME: &'static str = "run.fork";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::New
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Begun> {
        at_least(caller, Role::Developer)?;
        let Self { id: run, request } = self;
        let of = at.run_of(caller, run).await?;
        let own = at.own()?;
        let task = own.journal.load::<Task>(run.into()).await?;
        let task = task.ok_or_else(|| no_run(run))?;
        let graph = own.services.library.graph(of.id, of.version).await?;
        let recorded = at.history(run).await?;
        let within = at.irreversible_within(&recorded).await?;
        let events = recorded.iter().map(|(event, _)| event);
        let of_run: (TaskId, &Task) = (run, &task);
        let forked = fork::inherited(&graph, of_run, &request.from_node, events, within)?;
        if !forked.again.is_empty() && !request.confirm {
            return Err(Rejection::Conflict {
                code: "irreversible",
                message: format!(
                    "a fork at `{}` does again what cannot be taken back: {}; confirm it if that is meant",
                    request.from_node,
                    forked.again.join(", ")
                ),
            });
        }
        own.services.admission.enter()?;
        let origin = Origin {
            run,
            node: request.from_node,
            input: request.input,
        };
        let of = RunSpec {
            origin: Some(origin),
            ..of
        };
        let spec = TaskSpec {
            parent_id: None,
            workflow: Some(Box::new(of)),
            input: task.large.loaded(&task.spec.input),
            ..task.spec.clone()
        };
        let id = TaskId::from_uuid(at.fresh_id()?);
        let admitted = Admitted {
            forked: Some(forked.event),
            ..admitted(id, spec, None)
        };
        let made = at.make_task(caller, admitted, None).await?;
        at.begun(made).await
    }
}

impl Orchestrator {
    async fn shared(&self, id: TaskId) -> Answer<ContextView> {
        let context = self.read(id, |task, _| {
            let run = task.run.as_deref()?;
            Some(ContextView {
                version: run.context_version,
                values: execution::shared(task, run, Large::loaded),
            })
        });
        context.await?.ok_or_else(|| no_run(id))
    }

    /// Of which workflow a task is a run, if it is one that the caller may see.
    pub(super) async fn run_of(&self, caller: &Caller, id: TaskId) -> Answer<RunSpec> {
        visible(self, caller, id).await?;
        let of = self.read(id, |task, _| task.spec.workflow.as_deref().cloned());
        of.await?.ok_or_else(|| no_run(id))
    }

    /// Nodes that waited for runs of other workflows in which something irreversible was called.
    async fn irreversible_within(
        &self,
        recorded: &[(Event, Timestamp)],
    ) -> Answer<BTreeSet<String>> {
        let journal = &self.own()?.journal;
        let mut open: Vec<(String, TaskId)> = parts(recorded).collect();
        let (mut found, mut looked) = (BTreeSet::new(), 0);
        while let Some((node, part)) = open.pop() {
            if found.contains(&node) {
                continue;
            }
            looked += 1;
            let Some(task) = journal.load::<Task>(part.into()).await? else {
                continue;
            };
            if looked > MOST_PARTS || fork::irreversible(&task).next().is_some() {
                found.insert(node);
                continue;
            }
            let recorded = self.history(part).await?;
            open.extend(parts(&recorded).map(|(_, part)| (node.clone(), part)));
        }
        Ok(found)
    }

    /// All that was recorded of a task.
    pub(super) async fn history(&self, id: TaskId) -> Answer<Vec<(Event, Timestamp)>> {
        let store = self.own()?.journal.store();
        let mut recorded = Vec::new();
        loop {
            let records = store.read(id.into(), recorded.len() as u64, PAGE).await?;
            for record in &records {
                let events = decode::<Event>(record)?.into_iter();
                recorded.extend(events.map(|event| (event, record.at)));
            }
            if records.len() < PAGE as usize {
                return Ok(recorded);
            }
        }
    }
}

/// The runs that a run was waiting for, each with its node.
fn parts(recorded: &[(Event, Timestamp)]) -> impl Iterator<Item = (String, TaskId)> {
    recorded.iter().filter_map(|(event, _)| {
        let Event::Run {
            event: RunEvent::Asked { at, entity, .. },
        } = event
        else {
            return None;
        };
        let is_run = entity.kind() == EntityKind::Task;
        is_run.then(|| (at.node.clone(), TaskId::from_uuid(entity.key())))
    })
}
