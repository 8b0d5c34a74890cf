//! Keeps a read model in step.

use std::{sync::Arc, time::Duration};

use protocol::shard::Shard;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{Projection, handle::catch_up};
use crate::{
    journal::Journal,
    store::Scope,
    supervision::{ChildSpec, Message, Restart, child},
};

/// How far a view may be behind.
const PERIOD: Duration = Duration::from_millis(500);

struct Projector<P> {
    projection: Arc<P>,
    journal: Journal,
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

/// The child that keeps a view in step with the journal.
#[must_use]
pub fn projector<P: Projection>(projection: P, journal: Journal) -> ChildSpec {
    let projection = Arc::new(projection);
    child(P::VIEW, "projector", Restart::Permanent, move || {
        let projector = Projector {
            projection: projection.clone(),
            journal: journal.clone(),
        };
        (projector, ())
    })
    .0
}

impl<P: Projection> Actor for Projector<P> {
    type Msg = Tick;
    /// Appends that had been committed when the view was folded last.
    type State = Option<u64>;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Tick>,
        (): (),
    ) -> Result<Option<u64>, ActorProcessingErr> {
        myself.cast(Tick::Look)?;
        Ok(None)
    }

    async fn handle(
        &self,
        myself: ActorRef<Tick>,
        Tick::Look: Tick,
        folded: &mut Option<u64>,
    ) -> Result<(), ActorProcessingErr> {
        let committed = self.journal.feed().committed();
        // One node folds, the owner of the first shard; what others commit it learns by looking.
        let holdings = self.journal.holdings();
        let alone = holdings.scope() == Scope::All;
        if holdings.owns(Shard(0)) && (!alone || *folded != Some(committed)) {
            match catch_up(&*self.projection, self.journal.store()).await {
                Ok(_) => *folded = Some(committed),
                Err(error) => tracing::warn!(view = P::VIEW, %error, "the view is behind"),
            }
        }
        myself.send_after(PERIOD, || Tick::Look);
        Ok(())
    }
}
