//! [`Questions`]: how tasks ask, how people answer, and how those who asked are told.

mod inbox;
mod peers;
mod telling;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use dashmap::DashSet;
use protocol::{entity::EntityId, id::QuestionId, question::QuestionSpec};
use runtime::{
    clock::Dice,
    entity::{Host, Seed, TellError},
    journal::Journal,
    supervision::Tree,
};
use tokio::{sync::oneshot, time::timeout};

pub use self::telling::{Askers, Heard, Telling};
pub(crate) use self::{
    inbox::Undone,
    peers::serve,
    telling::{Tasks, Untold, tell},
};
use super::{
    actor::{Message, QuestionEntity, Services as Shares},
    review,
};
use crate::cluster::{Carrier, Cluster, Surroundings, parcel::Limits};

/// How long a question may take to be written down.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);

/// The questions of a node. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Questions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    host: Host<QuestionEntity>,
    journal: Journal,
    cluster: Arc<dyn Cluster>,
    carrier: Carrier,
    /// Those that are being made: one is not made twice.
    making: DashSet<QuestionId>,
}

/// A question that is being made, until this is dropped.
struct Making(Questions, QuestionId);

impl Drop for Making {
    fn drop(&mut self) {
        self.0.0.making.remove(&self.1);
    }
}

/// Why a question was not put.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotPut {
    /// It makes no sense, today or tomorrow.
    #[error("{}: {}", .0.field, .0.message)]
    Refused(protocol::api::FieldError),
    /// Its owner cannot be reached; the same may be tried again.
    #[error("{0}")]
    Later(String),
}

impl Questions {
    /// Those of a node in these surroundings; `askers` hear what came of them.
    pub(crate) fn new(
        tree: &Tree,
        journal: &Journal,
        dice: Dice,
        around: &Surroundings,
        askers: Arc<dyn Askers>,
    ) -> Self {
        let host = Host::new(tree.clone(), journal.clone());
        host.provide(Shares {
            clock: journal.clock().clone(),
            dice,
            askers,
        });
        Self(Arc::new(Inner {
            host,
            journal: journal.clone(),
            cluster: around.cluster.clone(),
            carrier: Carrier::new(around.net.clone(), Limits::WORK),
            making: DashSet::new(),
        }))
    }

    /// Those that are in memory.
    pub(crate) fn host(&self) -> &Host<QuestionEntity> {
        &self.0.host
    }

    /// What brings words of any length to the nodes that ask and those that are asked.
    pub(crate) fn carrier(&self) -> &Carrier {
        &self.0.carrier
    }

    /// A reminder is due; answers whether what follows from it is on disk.
    pub(crate) async fn wake(&self, stream: EntityId) -> bool {
        let woken = self.0.host.ask(stream, Message::Wake);
        match timeout(WRITTEN_WITHIN, woken).await {
            Ok(Ok(Some(()))) | Ok(Err(TellError::NoSuchEntity(_))) => true,
            Ok(Ok(None)) | Err(_) => false,
            Ok(Err(error)) => {
                tracing::warn!(%stream, %error, "a question's deadline is looked at again soon");
                false
            }
        }
    }

    /// Makes a question that this node will own; one that is there already stays as it is.
    async fn make(
        &self,
        id: QuestionId,
        tenant: &str,
        spec: Box<QuestionSpec>,
    ) -> Result<(), NotPut> {
        review(&spec.asking).map_err(NotPut::Refused)?;
        if !self.0.making.insert(id) {
            return Err(NotPut::Later("it is being put already".to_owned()));
        }
        let (making, tenant) = (Making(self.clone(), id), tenant.to_owned());
        // In a task of its own: who asks may go away meanwhile, and its link with it.
        let made = tokio::spawn(async move { making.0.make_once(id, &tenant, spec).await });
        made.await
            .unwrap_or_else(|error| Err(NotPut::Later(error.to_string())))
    }

    async fn make_once(
        &self,
        id: QuestionId,
        tenant: &str,
        spec: Box<QuestionSpec>,
    ) -> Result<(), NotPut> {
        let later = |error: &dyn std::fmt::Display| NotPut::Later(error.to_string());
        let store = self.0.journal.store();
        let row = store
            .stream(id.into())
            .await
            .map_err(|error| later(&error))?;
        if row.is_some() {
            return Ok(());
        }
        let seed = Seed {
            tenant: tenant.into(),
            name: None,
        };
        let (reply, written) = oneshot::channel();
        let asked = Message::Ask { spec, reply };
        let made = self.0.host.create(id.into(), seed, asked).await;
        made.map_err(|error| later(&error))?;
        match timeout(WRITTEN_WITHIN, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NotPut::Later("it was not written down".to_owned())),
        }
    }

    /// Takes a question back that this node owns; one that is over stays as it is.
    async fn take_back(&self, id: QuestionId, reason: String) -> Result<(), NotPut> {
        if self.0.making.contains(&id) {
            return Err(NotPut::Later("it is just being put".to_owned()));
        }
        let withdrawn = self
            .0
            .host
            .ask(id.into(), |reply| Message::Withdraw { reason, reply });
        match timeout(WRITTEN_WITHIN, withdrawn).await {
            // What never was made needs not be taken back.
            Ok(Ok(Some(())) | Err(TellError::NoSuchEntity(_))) => Ok(()),
            Ok(Ok(None)) | Err(_) => Err(NotPut::Later("it was not written down".to_owned())),
            Ok(Err(error)) => Err(NotPut::Later(error.to_string())),
        }
    }
}
