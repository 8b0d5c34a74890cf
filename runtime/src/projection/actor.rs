//! Keeps a read model in step.

use std::{sync::Arc, time::Duration};

use protocol::{shard::Shard, time::Timestamp};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{Projection, handle::catch_up};
use crate::{
    journal::Journal,
    metrics,
    store::Scope,
    supervision::{ChildSpec, Message, Restart, child},
};

/// How far a view may be behind.
const PERIOD: Duration = Duration::from_millis(500);

struct Projector<P> {
    projection: Arc<P>,
    journal: Journal,
}

/// How far the view is.
struct Known {
    /// Appends that had been committed when the view was folded last.
    folded: Option<u64>,
    /// All that was recorded before is in it.
    whole: Timestamp,
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
    type State = Known;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Tick>, (): ()) -> Result<Known, ActorProcessingErr> {
        myself.cast(Tick::Look)?;
        Ok(Known {
            folded: None,
            whole: self.journal.clock().now(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Tick>,
        Tick::Look: Tick,
        known: &mut Known,
    ) -> Result<(), ActorProcessingErr> {
        let committed = self.journal.feed().committed();
        // One node folds, the owner of the first shard; what others commit it learns by looking.
        let holdings = self.journal.holdings();
        let alone = holdings.scope() == Scope::All;
        let now = self.journal.clock().now();
        if !holdings.owns(Shard(0)) {
            // Whoever folds it tells how far it is.
            self.tell(now, now);
            known.whole = now;
        } else if !alone || known.folded != Some(committed) {
            let clock = self.journal.clock();
            let behind = |since| self.tell(since, clock.now());
            match catch_up(&*self.projection, self.journal.store(), behind).await {
                Ok(_) => {
                    known.folded = Some(committed);
                    known.whole = now;
                    self.tell(now, now);
                }
                Err(error) => {
                    tracing::warn!(view = P::VIEW, %error, "the view is behind");
                    self.tell(known.whole, self.journal.clock().now());
                }
            }
        }
        myself.send_after(PERIOD, || Tick::Look);
        Ok(())
    }
}

impl<P: Projection> Projector<P> {
    /// The view holds all that was recorded before `since`.
    fn tell(&self, since: Timestamp, now: Timestamp) {
        ::metrics::gauge!(metrics::PROJECTION_LAG, "view" => P::VIEW).set(now.since(since));
    }
}
