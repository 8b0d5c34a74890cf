//! Carries deliveries out.

use std::{collections::HashMap, pin::Pin, sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::delivery::{Next, after_failure};
use crate::{
    clock::Clock,
    store::{self, Delivery},
    supervision::{ChildSpec, Message, Restart, child},
};

/// How often the store is asked what is due.
const PERIOD: Duration = Duration::from_millis(500);

/// How long one delivery may take before another courier may take it up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Deliveries carried at once.
const BATCH: u32 = 32;

/// Brings one kind of delivery about; an error says why it must be tried again.
pub type Carrier =
    Arc<dyn Fn(Delivery) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

struct Courier {
    store: store::Shared,
    clock: Clock,
    carriers: Arc<HashMap<&'static str, Carrier>>,
}

#[derive(Debug)]
enum Tick {
    Look,
}
impl ractor::Message for Tick {}
impl Message for Tick {
    fn name(&self) -> &'static str {
        "Look"
    }
}

/// The child that carries deliveries out, each by the carrier of its kind.
#[must_use]
pub fn couriers(
    store: store::Shared,
    clock: Clock,
    carriers: HashMap<&'static str, Carrier>,
) -> ChildSpec {
    let carriers = Arc::new(carriers);
    child("outbox", "system", Restart::Permanent, move || {
        let courier = Courier {
            store: store.clone(),
            clock: clock.clone(),
            carriers: carriers.clone(),
        };
        (courier, ())
    })
    .0
}

impl Actor for Courier {
    type Msg = Tick;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Tick>, (): ()) -> Result<(), ActorProcessingErr> {
        myself.send_after(PERIOD, || Tick::Look);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Tick>,
        Tick::Look: Tick,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let now = self.clock.now();
        match self.store.claim_due(now, now.plus(PATIENCE), BATCH).await {
            Ok(due) => {
                for delivery in due {
                    tokio::spawn(carry(
                        self.store.clone(),
                        self.clock.clone(),
                        self.carriers.clone(),
                        delivery,
                    ));
                }
            }
            Err(error) => tracing::warn!(%error, "the outbox could not be read"),
        }
        myself.send_after(PERIOD, || Tick::Look);
        Ok(())
    }
}

async fn carry(
    store: store::Shared,
    clock: Clock,
    carriers: Arc<HashMap<&'static str, Carrier>>,
    delivery: Delivery,
) {
    let (id, tries, kind) = (delivery.id, delivery.tries + 1, delivery.kind.clone());
    let carried = match carriers.get(kind.as_str()) {
        Some(carrier) => tokio::time::timeout(PATIENCE / 2, carrier(delivery))
            .await
            .unwrap_or_else(|_| Err("it took too long".to_owned())),
        None => Err(format!("this node has no carrier for `{kind}`")),
    };
    let settled = match carried {
        Ok(()) => store.settle(id).await,
        Err(cause) => match after_failure(tries, clock.now()) {
            Next::At(due) => {
                tracing::warn!(%id, kind, tries, cause, "delivery is tried again");
                store.postpone(id, due).await
            }
            Next::GiveUp => {
                tracing::error!(%id, kind, tries, cause, "delivery is given up");
                store.settle(id).await
            }
        },
    };
    if let Err(error) = settled {
        tracing::warn!(%id, %error, "the outbox could not be written; the delivery will repeat");
    }
}
