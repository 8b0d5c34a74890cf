//! Records one hold, and looks now and then at all of them.

use std::time::Duration;

use protocol::{
    api::HoldView,
    entity::EntityKind,
    hold::{Event, Target},
    id::HoldId,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use runtime::{
    entity::{Context, Entity},
    supervision::{self, ChildSpec, Restart, child},
};
use tokio::sync::oneshot;

use super::Hold;
use crate::{Rejection, services::Services};

/// How often a node looks, for what it was not told of.
const PERIOD: Duration = Duration::from_secs(1);

/// A hold has nothing that is not recorded.
#[derive(Debug, Default)]
pub(crate) struct HoldEntity;

/// What operators may do to a hold.
#[derive(Debug)]
pub(crate) enum Command {
    /// The first of all.
    Place { target: Target, reason: String },
    /// For good.
    Lift,
}

/// What lies in a hold's mailbox.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) user: String,
    /// Whose hold it is; that of others is not found.
    pub(crate) tenant: String,
    pub(crate) command: Command,
    /// Answered once it is on disk.
    pub(crate) reply: oneshot::Sender<Result<HoldView, Rejection>>,
}
impl ractor::Message for Message {}
impl supervision::Message for Message {
    fn name(&self) -> &'static str {
        match self.command {
            Command::Place { .. } => "Place",
            Command::Lift => "Lift",
        }
    }
}

impl Entity for HoldEntity {
    type State = Hold;
    type Message = Message;
    type Services = Services;
    const KIND: EntityKind = EntityKind::Hold;
    const FOLDER: &'static str = "holds";

    async fn recover(_: &mut Context<Self>) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(cx: &mut Context<Self>, message: Message) -> Result<(), ActorProcessingErr> {
        let Message {
            user,
            tenant,
            command,
            reply,
        } = message;
        let id = HoldId::from_uuid(cx.id().key());
        let event = match command {
            Command::Place { target, reason } if cx.state.target.is_none() => Some(Event::Placed {
                target,
                reason,
                user: user.clone(),
                tenant: tenant.clone(),
            }),
            Command::Lift if cx.state.tenant == tenant && !cx.state.lifted => {
                Some(Event::Lifted { user: user.clone() })
            }
            Command::Place { .. } | Command::Lift => None,
        };
        if let Some(event) = event {
            cx.state.stage(&event)?;
            cx.state.commit(cx.services.commit_by(&user)).await?;
        }
        let view = cx.state.view(id).filter(|_| cx.state.tenant == tenant);
        // Whoever asked may be gone.
        let _ = reply.send(view.ok_or_else(|| Rejection::not_found(id.to_string())));
        cx.passivate();
        Ok(())
    }
}

struct Keeper {
    services: Services,
}

#[derive(Debug)]
struct Look;
impl ractor::Message for Look {}
impl supervision::Message for Look {
    fn name(&self) -> &'static str {
        "Look"
    }
}

/// The child that keeps the node's copy as the store says.
pub(crate) fn keeper(services: Services) -> ChildSpec {
    let make = move || {
        let services = services.clone();
        (Keeper { services }, ())
    };
    child("holds", "system", Restart::Permanent, make).0
}

impl Actor for Keeper {
    type Msg = Look;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Look>, (): ()) -> Result<(), ActorProcessingErr> {
        myself.send_after(PERIOD, || Look);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Look>,
        _: Look,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        // Beside the mailbox: a store that does not answer keeps nobody.
        let services = self.services.clone();
        tokio::spawn(async move {
            if let Err(error) = services.look_at_holds().await {
                tracing::debug!(%error, "what is held could not be read");
            }
            myself.send_after(PERIOD, || Look);
        });
        Ok(())
    }
}
