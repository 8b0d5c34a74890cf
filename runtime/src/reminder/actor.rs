//! Delivers what is due.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{TryStreamExt, stream};
use protocol::entity::EntityId;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::{
    clock::Clock,
    placement::Holdings,
    store,
    supervision::{ChildSpec, Message, Restart, child},
};

/// How often the store is asked what is due.
const PERIOD: Duration = Duration::from_millis(500);

/// Reminders that are read at once.
const BATCH: u32 = 256;

/// Reminders delivered beside each other: none waits for one that takes its time, and the store writes
/// down together what was delivered together.
const BESIDE: usize = 64;

/// Wakes an entity with a reminder's name; answers whether it was told.
pub type Wake =
    Arc<dyn Fn(EntityId, String) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

struct Reminders {
    store: store::Shared,
    holdings: Holdings,
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

/// The child that delivers the reminders of what this node owns.
#[must_use]
pub fn reminders(store: store::Shared, holdings: Holdings, clock: Clock, wake: Wake) -> ChildSpec {
    child("reminders", "system", Restart::Permanent, move || {
        let actor = Reminders {
            store: store.clone(),
            holdings: holdings.clone(),
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
        let scope = self.holdings.scope();
        let due = match self.store.due(&scope, self.clock.now(), BATCH).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "due reminders could not be read");
                Vec::new()
            }
        };
        let (full, told) = (due.len() >= BATCH as usize, AtomicBool::new(false));
        stream::iter(due.into_iter().map(Ok::<_, store::Error>))
            .try_for_each_concurrent(BESIDE, |(stream, name, moment)| {
                let told = &told;
                async move {
                    if (self.wake)(stream, name.clone()).await {
                        self.store.delivered(stream, &name, moment).await?;
                        told.store(true, Ordering::Relaxed);
                    }
                    Ok(())
                }
            })
            .await?;
        match full && told.into_inner() {
            // More may be due.
            true => myself.cast(Tick::Look)?,
            false => drop(myself.send_after(PERIOD, || Tick::Look)),
        }
        Ok(())
    }
}
