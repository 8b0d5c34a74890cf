//! Delivers what is due.

use std::{pin::Pin, sync::Arc, time::Duration};

use protocol::entity::EntityId;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::{
    clock::Clock,
    store::{self, Scope},
    supervision::{ChildSpec, Message, Restart, child},
};

/// How often the store is asked what is due.
const PERIOD: Duration = Duration::from_millis(500);

/// Reminders delivered at once.
const BATCH: u32 = 256;

/// Wakes an entity with a reminder's name; answers whether it was told.
pub type Wake =
    Arc<dyn Fn(EntityId, String) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

struct Reminders {
    store: store::Shared,
    clock: Clock,
    wake: Wake,
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

/// The child that delivers reminders.
#[must_use]
pub fn reminders(store: store::Shared, clock: Clock, wake: Wake) -> ChildSpec {
    child("reminders", "system", Restart::Permanent, move || {
        let actor = Reminders {
            store: store.clone(),
            clock: clock.clone(),
            wake: wake.clone(),
        };
        (actor, ())
    })
    .0
}

impl Actor for Reminders {
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
        // A store that is away is a state, not a failure: what is due stays due.
        match self.store.due(&Scope::All, self.clock.now(), BATCH).await {
            Ok(due) => {
                for (stream, name, moment) in due {
                    if (self.wake)(stream, name.clone()).await {
                        self.store.delivered(stream, &name, moment).await?;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "due reminders could not be read"),
        }
        myself.send_after(PERIOD, || Tick::Look);
        Ok(())
    }
}
