//! Records one template: what it says, and that it is gone.

use protocol::{
    access::Caller,
    api::TemplateView,
    entity::{EntityId, EntityKind},
    id::TemplateId,
    template::{Event, TemplateSpec},
};
use ractor::ActorProcessingErr;
use runtime::{
    entity::{Context, Entity},
    supervision,
};
use tokio::sync::oneshot;

use super::Template;
use crate::{Rejection, rejection::not_recorded, services::Services};

/// A template has nothing that is not recorded.
#[derive(Debug, Default)]
pub(crate) struct TemplateEntity;

/// What clients may do to a template.
#[derive(Debug)]
pub(crate) enum Command {
    /// Says this from now on. The first of all makes it.
    Write(Box<TemplateSpec>),
    /// Out of sight.
    Delete,
}

/// What lies in a template's mailbox.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) caller: Caller,
    pub(crate) command: Command,
    /// Answered once it is on disk.
    pub(crate) reply: oneshot::Sender<Result<TemplateView, Rejection>>,
}
impl ractor::Message for Message {}
impl supervision::Message for Message {
    fn name(&self) -> &'static str {
        match self.command {
            Command::Write(_) => "Write",
            Command::Delete => "Delete",
        }
    }
}

impl Entity for TemplateEntity {
    type State = Template;
    type Message = Message;
    type Services = Services;
    const KIND: EntityKind = EntityKind::Template;
    const FOLDER: &'static str = "templates";

    async fn recover(_: &mut Context<Self>) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(cx: &mut Context<Self>, message: Message) -> Result<(), ActorProcessingErr> {
        let Message {
            caller,
            command,
            reply,
        } = message;
        let done = match decide(cx, &caller, command) {
            Ok(event) => record(cx, &caller, event).await?,
            Err(rejection) => Err(rejection),
        };
        // Whoever asked may be gone.
        let _ = reply.send(done);
        cx.passivate();
        Ok(())
    }
}

fn decide(
    cx: &Context<TemplateEntity>,
    caller: &Caller,
    command: Command,
) -> Result<Option<Event>, Rejection> {
    let is_new = cx.state.head() == 0;
    if !is_new && (cx.state.tenant() != caller.tenant || cx.state.deleted) {
        return Err(Rejection::not_found(cx.id().to_string()));
    }
    match command {
        Command::Write(spec) => cx.state.write(caller, spec),
        Command::Delete => cx.state.delete(caller).map(Some),
    }
}

async fn record(
    cx: &mut Context<TemplateEntity>,
    caller: &Caller,
    event: Option<Event>,
) -> Result<Result<TemplateView, Rejection>, ActorProcessingErr> {
    let is_new = cx.state.head() == 0;
    if let Some(event) = event {
        cx.state.stage(&event)?;
        let commit = cx.services.commit_by(&caller.user);
        match cx.state.commit(commit).await {
            Ok(()) => {}
            // There is no such template: nothing is to be made whole.
            Err(error) if is_new => {
                let taken = |stream| name_taken(&cx.state.spec.name, stream);
                return Ok(Err(not_recorded(error, taken)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Ok(cx.state.view(TemplateId::from_uuid(cx.id().key()))))
}

/// What a client hears that gave a template the name of another.
pub(crate) fn name_taken(name: &str, stream: EntityId) -> Rejection {
    let instead = format!("change that one with PUT /api/v1/task-templates/{name}");
    Rejection::name_taken(name, stream, &instead)
}
