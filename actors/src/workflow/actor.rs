//! Records one workflow: its versions, and whether runs of it may begin.

use protocol::{
    access::Caller,
    api::WorkflowChange,
    entity::{EntityId, EntityKind},
    id::WorkflowId,
    workflow::{Event, Status},
};
use ractor::ActorProcessingErr;
use runtime::{
    entity::{Context, Entity},
    supervision,
};
use tokio::sync::oneshot;

use super::{draft::Draft, state::Workflow};
use crate::{Rejection, rejection::not_recorded, services::Services};

/// A workflow has nothing that is not recorded.
#[derive(Debug, Default)]
pub(crate) struct WorkflowEntity;

/// What clients may do to a workflow.
#[derive(Debug)]
pub(crate) enum Command {
    /// Another definition, another status, or both. The first of all makes it.
    Change {
        draft: Option<Draft>,
        status: Option<Status>,
    },
    /// Out of sight.
    Delete,
}

/// What lies in a workflow's mailbox.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) caller: Caller,
    pub(crate) command: Command,
    /// Answered once it is on disk.
    pub(crate) reply: oneshot::Sender<Result<WorkflowChange, Rejection>>,
}
impl ractor::Message for Message {}
impl supervision::Message for Message {
    fn name(&self) -> &'static str {
        match self.command {
            Command::Change { .. } => "Change",
            Command::Delete => "Delete",
        }
    }
}

impl Entity for WorkflowEntity {
    type State = Workflow;
    type Message = Message;
    type Services = Services;
    const KIND: EntityKind = EntityKind::Workflow;
    const FOLDER: &'static str = "workflows";

    async fn recover(_: &mut Context<Self>) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(cx: &mut Context<Self>, message: Message) -> Result<(), ActorProcessingErr> {
        let Message {
            caller,
            command,
            reply,
        } = message;
        let events = decide(cx, &caller, command);
        let done = match events {
            Ok(events) => record(cx, &caller, events).await?,
            Err(rejection) => Err(rejection),
        };
        // Whoever asked may be gone.
        let _ = reply.send(done);
        cx.passivate();
        Ok(())
    }
}

fn workflow_id(cx: &Context<WorkflowEntity>) -> WorkflowId {
    WorkflowId::from_uuid(cx.id().key())
}

fn decide(
    cx: &Context<WorkflowEntity>,
    caller: &Caller,
    command: Command,
) -> Result<Vec<Event>, Rejection> {
    let is_new = cx.state.head() == 0;
    if !is_new && (cx.state.tenant() != caller.tenant || cx.state.deleted) {
        return Err(missing(workflow_id(cx)));
    }
    match command {
        Command::Change { draft, status } => cx.state.change(caller, draft, status),
        Command::Delete => cx.state.delete(caller),
    }
}

async fn record(
    cx: &mut Context<WorkflowEntity>,
    caller: &Caller,
    events: Vec<Event>,
) -> Result<Result<WorkflowChange, Rejection>, ActorProcessingErr> {
    for event in &events {
        cx.state.stage(event)?;
    }
    let commit = cx.services.commit_by(&caller.user);
    let is_new = cx.state.head() == 0;
    match cx.state.commit(commit).await {
        Ok(()) => {}
        // There is no such workflow: nothing is to be made whole.
        Err(error) if is_new => {
            let name = cx.state.newest().map_or("", |it| &it.definition.name);
            let taken = |stream| name_taken(name, stream);
            return Ok(Err(not_recorded(error, taken)));
        }
        Err(error) => return Err(error.into()),
    }
    let published = |event: &Event| matches!(event, Event::Published { .. });
    let newest = cx.state.newest().ok_or_else(|| missing(workflow_id(cx)));
    Ok(newest.map(|newest| WorkflowChange {
        published: events.iter().any(published),
        workflow: cx.state.view(workflow_id(cx), newest),
    }))
}

fn missing(id: WorkflowId) -> Rejection {
    Rejection::not_found(id.to_string())
}

/// What a client hears that gave a workflow the name of another.
pub(crate) fn name_taken(name: &str, stream: EntityId) -> Rejection {
    let instead = format!("change that one with PUT /api/v1/workflows/{name}");
    Rejection::name_taken(name, stream, &instead)
}
