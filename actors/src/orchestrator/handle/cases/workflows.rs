//! Workflows: making, changing, reading and removing them.

use std::time::Duration;

use protocol::{
    access::{Caller, Role},
    api::{
        Page, VersionView, WorkflowChange, WorkflowDraft, WorkflowQuery, WorkflowSummary,
        WorkflowView,
    },
    entity::EntityKind,
    id::WorkflowId,
    workflow::Status,
};
use runtime::{
    entity::Seed,
    store::{StreamQuery, StreamRow},
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    Answer, Effect, Orchestrator, Place, UseCase, at_least,
    pages::{Leaf, page, streams_of},
    unanswered, unreachable,
};
use crate::{
    Rejection,
    workflow::{
        actor::{Command, Message, name_taken},
        draft::Draft,
        state::Workflow,
    },
};

/// Bytes of a text that is read in no time.
const SHORT: usize = 8 << 10;

/// Reads what a client gave; what is long on a thread of its own, as the longest take seconds, and all
/// others would wait for them.
pub(super) async fn read(given: WorkflowDraft) -> Answer<Option<Draft>> {
    if given.text().is_none_or(|text| text.len() < SHORT) {
        return Draft::read(&given);
    }
    let reading = tokio::task::spawn_blocking(move || Draft::read(&given));
    reading.await.unwrap_or_else(|_| {
        Err(Rejection::Unavailable {
            message: "the definition cannot be read now".to_owned(),
            retry_after: Duration::from_secs(1),
        })
    })
}

/// A new workflow.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct CreateWorkflow {
    pub(in super::super) draft: WorkflowDraft,
}

impl UseCase for CreateWorkflow {
    type Answer = WorkflowView;
    const NAME: &'static str = "workflow.create";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::New
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<WorkflowView> {
        at_least(caller, Role::Developer)?;
        let status = self.draft.status;
        let Some(draft) = read(self.draft).await? else {
            return Err(Rejection::field(
                "dag_definition",
                "is missing; give the definition in it, or as a text in `source`",
            ));
        };
        let name = draft.definition.name.clone();
        if let Some(other) = at.workflow_named(caller, &name).await? {
            return Err(name_taken(&name, other.stream));
        }
        let id = WorkflowId::from_uuid(at.fresh_id()?);
        let (reply, made) = oneshot::channel();
        let message = Message {
            caller: caller.clone(),
            command: Command::Change {
                draft: Some(draft),
                status,
            },
            reply,
        };
        let seed = Seed {
            tenant: caller.tenant.as_str().into(),
            name: Some(name.as_str().into()),
        };
        let services = &at.own()?.services;
        let created = services.workflows.create(id.into(), seed, message).await;
        created.map_err(unreachable)?;
        let change = made.await.unwrap_or_else(|_| Err(unanswered()))?;
        Ok(change.workflow)
    }
}

/// Another definition of a workflow, or another status.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct UpdateWorkflow {
    pub(in super::super) id: WorkflowId,
    pub(in super::super) draft: WorkflowDraft,
}

impl UseCase for UpdateWorkflow {
    type Answer = WorkflowChange;
    const NAME: &'static str = "workflow.update";
    // A definition that says the same makes no version.
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<WorkflowChange> {
        at_least(caller, Role::Developer)?;
        let mut given = self.draft;
        if given.name.is_none() && given.text().is_some() {
            // A definition without a name is another one of this workflow.
            let known = at.load_workflow(caller, self.id).await?;
            let newest = known.newest();
            given.name = newest.map(|newest| newest.definition.name.clone());
            let draft = read(given.clone()).await;
            // It has another one itself: the workflow says what is wrong with that.
            given.name = given.name.filter(|_| draft.is_ok());
        }
        let status = given.status;
        let draft = read(given).await?;
        let command = Command::Change { draft, status };
        at.change_workflow(caller, self.id, command).await
    }
}

/// The removal of a workflow from sight.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct DeleteWorkflow {
    pub(in super::super) id: WorkflowId,
}

impl UseCase for DeleteWorkflow {
    type Answer = ();
    const NAME: &'static str = "workflow.delete";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<()> {
        at_least(caller, Role::Developer)?;
        let deleted = at.change_workflow(caller, self.id, Command::Delete).await;
        deleted.map(drop)
    }
}

/// Which workflow is meant by a name or an id.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct FindWorkflow {
    pub(in super::super) workflow: String,
}

impl UseCase for FindWorkflow {
    type Answer = WorkflowId;
    const NAME: &'static str = "workflow.find";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<WorkflowId> {
        let found = at.find_workflow(caller, &self.workflow).await?;
        Ok(found.id)
    }
}

/// A workflow in one of its versions.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowWorkflow {
    pub(in super::super) id: WorkflowId,
    /// The newest when absent.
    pub(in super::super) version: Option<u32>,
}

impl UseCase for ShowWorkflow {
    type Answer = WorkflowView;
    const NAME: &'static str = "workflow.show";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<WorkflowView> {
        let workflow = at.load_workflow(caller, self.id).await?;
        let version = match self.version {
            None => workflow.newest(),
            Some(number) => workflow.version(number),
        };
        let newest = workflow.newest().map_or(0, |newest| newest.number);
        version
            .map(|version| workflow.view(self.id, version))
            .ok_or_else(|| no_version(self.version.unwrap_or(newest), newest))
    }
}

/// What a caller hears that asked for a version that is not there.
pub(super) fn no_version(asked: u32, newest: u32) -> Rejection {
    let message = format!("there is no version {asked}; the newest is {newest}");
    Rejection::field("version", message)
}

/// The versions of a workflow, the newest first.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct WorkflowVersions {
    pub(in super::super) id: WorkflowId,
}

impl UseCase for WorkflowVersions {
    type Answer = Vec<VersionView>;
    const NAME: &'static str = "workflow.versions";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Vec<VersionView>> {
        let workflow = at.load_workflow(caller, self.id).await?;
        Ok(workflow.versions().collect())
    }
}

/// A page of workflows, the newest first.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ListWorkflows {
    pub(in super::super) query: WorkflowQuery,
}

impl UseCase for ListWorkflows {
    type Answer = Page<WorkflowSummary>;
    const NAME: &'static str = "workflow.list";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Page<WorkflowSummary>> {
        let query = self.query;
        let rows = StreamQuery {
            status: query.status.map(|status| status.as_str().to_owned()),
            text: query.q,
            ..streams_of(caller, EntityKind::Workflow)
        };
        let leaf = Leaf {
            limit: query.limit,
            cursor: query.cursor.as_deref(),
            ..Leaf::default()
        };
        page(at, rows, leaf, summary).await
    }
}

fn summary(row: &StreamRow) -> Answer<WorkflowSummary> {
    let brief: Option<WorkflowSummary> = serde_json::from_str(&row.summary.body).ok();
    let mut summary = brief.ok_or_else(|| Rejection::Unavailable {
        message: format!(
            "the index of {} cannot be read; `troupe db rebuild` makes it anew",
            row.stream
        ),
        retry_after: std::time::Duration::from_secs(60),
    })?;
    summary.id = WorkflowId::from_uuid(row.stream.key());
    summary.workflow_id = summary.id;
    Ok(summary)
}

impl Orchestrator {
    /// A workflow of the caller's tenant, by name or id, as lists show it.
    pub(in super::super) async fn find_workflow(
        &self,
        caller: &Caller,
        workflow: &str,
    ) -> Answer<WorkflowSummary> {
        let row = match workflow.parse::<WorkflowId>() {
            Ok(id) => {
                let row = self.own()?.journal.store().stream(id.into()).await?;
                row.filter(|row| row.tenant == caller.tenant && !row.summary.hidden)
            }
            Err(_) => self.workflow_named(caller, workflow).await?,
        };
        match row {
            Some(row) => summary(&row),
            None => Err(no_workflow(workflow)),
        }
    }

    pub(in super::super) async fn workflow_named(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Answer<Option<StreamRow>> {
        // Others would be looked for among all there are.
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(named) {
            return Ok(None);
        }
        let library = &self.own()?.services.library;
        let store = self.own()?.journal.store();
        let is_it = |row: &StreamRow| {
            row.tenant == caller.tenant
                && !row.summary.hidden
                && row.summary.name.as_deref() == Some(name)
        };
        if let Some(id) = library.named(&caller.tenant, name)
            && let Some(row) = store.stream(id.into()).await?.filter(is_it)
        {
            return Ok(Some(row));
        }
        let found = self
            .entity_named(caller, EntityKind::Workflow, name)
            .await?;
        if let Some(row) = &found {
            let id = WorkflowId::from_uuid(row.stream.key());
            library.is_named(&caller.tenant, name, id);
        }
        Ok(found)
    }

    async fn load_workflow(&self, caller: &Caller, id: WorkflowId) -> Answer<Workflow> {
        let loaded = self.own()?.journal.load::<Workflow>(id.into()).await?;
        loaded
            .filter(|it| it.tenant() == caller.tenant && !it.deleted)
            .map(|it| (*it).clone())
            .ok_or_else(|| no_workflow(&id.to_string()))
    }

    async fn change_workflow(
        &self,
        caller: &Caller,
        id: WorkflowId,
        command: Command,
    ) -> Answer<WorkflowChange> {
        let caller = caller.clone();
        let workflows = &self.own()?.services.workflows;
        let answer = workflows.ask(id.into(), |reply| Message {
            caller,
            command,
            reply,
        });
        let answer = answer.await.map_err(unreachable)?;
        answer.unwrap_or_else(|| Err(unanswered()))
    }
}

fn no_workflow(workflow: &str) -> Rejection {
    let shown: String = workflow.chars().take(80).collect();
    Rejection::not_found(format!("workflow {shown}"))
}

/// Whether runs of a workflow may begin.
pub(super) fn may_begin(workflow: &WorkflowSummary) -> Answer<()> {
    match workflow.status {
        Status::Active => Ok(()),
        Status::Draft | Status::Archived => Err(Rejection::Conflict {
            code: "not_active",
            message: format!(
                "workflow {} is {}; runs of it begin once it is active: PUT /api/v1/workflows/{} {{\"status\": \"active\"}}",
                workflow.name,
                workflow.status.as_str(),
                workflow.name
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[test]
    fn what_is_long_is_read_on_another_thread() {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.max_blocking_threads(1).build().unwrap();
        let node = r#"{"id": "a", "type": "parallel"}"#;
        let text = format!(r#"{{"name": "n", "nodes": [{node}{}]}}"#, " ".repeat(SHORT));
        let given = WorkflowDraft {
            source: Some(text.clone()),
            ..WorkflowDraft::default()
        };
        runtime.block_on(async {
            let (let_go, held) = std::sync::mpsc::channel::<()>();
            let other = tokio::task::spawn_blocking(move || held.recv());
            let mut reading = std::pin::pin!(read(given));
            let first = std::future::poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await;
            assert!(first.is_pending(), "{first:?}");
            let_go.send(()).unwrap();
            other.await.unwrap().unwrap();
            let read = reading.await.unwrap().unwrap();
            assert_eq!(read.source, text);
        });
    }
}
