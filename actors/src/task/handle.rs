//! What other nodes tell the tasks that this one owns.

use std::{sync::Arc, time::Duration};

use protocol::{
    entity::EntityId,
    id::{NodeId, TaskId},
    question::Reply,
    wire::Service,
};
use runtime::{cluster::Fault, entity::TellError};
use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, time::Instant};

use super::actor::Message;
use crate::{
    cluster::{Net, Owner},
    host::{Ended, Receipt, read, record, write},
    services::Services,
};

/// How long an owner may take to record what it is told before it is told again.
const RECORDED_WITHIN: Duration = Duration::from_secs(10);

/// The longest pause before it is told again.
const LONGEST: Duration = Duration::from_secs(5);

/// What an entity says to the task that waits for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Word {
    /// Who waits.
    pub(crate) task: TaskId,
    /// For whom.
    pub(crate) by: EntityId,
    /// What that says.
    pub(crate) told: Reply,
}

/// Takes results from other nodes from now on. Whose attempt it is, its token proves.
pub(crate) fn serve(services: &Services) {
    let own = services.clone();
    services.hosts.around.net.serve(
        Service::TASK,
        Arc::new(move |incoming| {
            let services = own.clone();
            Box::pin(async move {
                let ended: Ended =
                    read(&incoming.payload).map_err(|error| Fault::Refused(error.to_string()))?;
                let receipt = receive(&services, incoming.from.node, &ended).await;
                Ok(write(&receipt))
            })
        }),
    );
    let own = services.clone();
    services.questions.carrier().serve(
        Service::WORD,
        Arc::new(move |incoming| {
            let services = own.clone();
            Box::pin(async move {
                let word: Word =
                    read(&incoming.payload).map_err(|error| Fault::Refused(error.to_string()))?;
                // Whoever sends it on knows a later owner, or will.
                let receipt = match services.hosts.owner(word.task) {
                    Owner::Here => services.hear(word).await,
                    Owner::There(_) | Owner::Nobody => Receipt::Again,
                };
                Ok(write(&receipt))
            })
        }),
    );
}

async fn receive(services: &Services, from: NodeId, ended: &Ended) -> Receipt {
    // Whoever sends it on knows a later owner, or will.
    if services.hosts.owner(ended.task) != Owner::Here {
        return Receipt::Again;
    }
    if let Some(figures) = &ended.load {
        services
            .directory
            .loads(from, std::slice::from_ref(figures));
    }
    record(&services.tasks, ended).await
}

impl Services {
    /// Tells a task what it waits for, on whichever node it is, again and again until that is on disk
    /// there or there is no such task.
    pub(crate) async fn tell_task(&self, word: Word) {
        let mut wait = Duration::from_millis(50);
        while self.try_tell(&word).await != Receipt::Recorded {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST);
        }
    }

    /// Tells it once; answers whether that is on disk there.
    pub(crate) async fn try_tell(&self, word: &Word) -> Receipt {
        match self.hosts.owner(word.task) {
            Owner::Here => self.hear(word.clone()).await,
            Owner::There(node) => {
                // An answer may be longer than one message.
                let carrier = self.questions.carrier();
                let until = Instant::now() + RECORDED_WITHIN;
                let asking = carrier.ask_until(node, Service::WORD, write(word), until);
                let answer = asking.await;
                let answer = answer.map(|answer| read::<Receipt>(&answer));
                if let Ok(Ok(receipt)) = answer {
                    return receipt;
                }
                tracing::debug!(task = %word.task, by = %word.by, "it could not be told yet");
                Receipt::Again
            }
            Owner::Nobody => Receipt::Again,
        }
    }

    async fn hear(&self, word: Word) -> Receipt {
        let (recorded, on_disk) = oneshot::channel();
        let message = Message::Told {
            by: word.by,
            told: word.told,
            recorded,
        };
        match self.tasks.tell(word.task.into(), message).await {
            Ok(()) if on_disk.await.is_ok() => Receipt::Recorded,
            // It was parked with all that it waited for, or never was.
            Err(TellError::NoSuchEntity(_)) => Receipt::Recorded,
            Ok(()) | Err(_) => Receipt::Again,
        }
    }
}
