//! Writes the end into the past of nodes that could not, and that it goes on when they are back.

use std::{sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use runtime::{
    chronicle::{node_lost, node_returned},
    clock::Clock,
    membership::Membership,
    store,
    supervision::{ChildSpec, Message, Restart, child},
};
use tokio_util::task::AbortOnDropHandle;

use super::loss::{is_back, lost};
use crate::cluster::Cluster;

/// How often it looks without news.
const PERIOD: Duration = Duration::from_secs(30);

/// What it takes to find out who is gone.
#[derive(Debug, Clone)]
struct Losses {
    store: store::Shared,
    clock: Clock,
    cluster: Arc<dyn Cluster>,
    /// Absent on a node that is no member of anything.
    membership: Option<Membership>,
}

#[derive(Debug)]
enum Notice {
    Tick,
    /// Nodes came or went.
    News,
    Looked,
}
impl ractor::Message for Notice {}
impl Message for Notice {
    fn name(&self) -> &'static str {
        match self {
            Self::Tick => "Tick",
            Self::News => "News",
            Self::Looked => "Looked",
        }
    }
}

#[derive(Debug)]
struct State {
    looking: bool,
    /// There was news meanwhile.
    again: bool,
    _news: AbortOnDropHandle<()>,
}

/// The child that ends the past of nodes that are gone. Every control node has one; the first to find
/// out counts.
pub(crate) fn losses(
    store: store::Shared,
    clock: Clock,
    cluster: Arc<dyn Cluster>,
    membership: Option<Membership>,
) -> ChildSpec {
    let losses = Losses {
        store,
        clock,
        cluster,
        membership,
    };
    child("losses", "system", Restart::Permanent, move || {
        (losses.clone(), ())
    })
    .0
}

impl Actor for Losses {
    type Msg = Notice;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Notice>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        myself.cast(Notice::Tick)?;
        let mut changes = self.cluster.changes();
        let news = tokio::spawn(async move {
            while changes.changed().await.is_ok() && myself.cast(Notice::News).is_ok() {}
        });
        Ok(State {
            looking: false,
            again: false,
            _news: AbortOnDropHandle::new(news),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Notice>,
        notice: Notice,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match notice {
            Notice::Tick => {
                self.look(&myself, state);
                myself.send_after(PERIOD, || Notice::Tick);
            }
            Notice::News => self.look(&myself, state),
            Notice::Looked => {
                state.looking = false;
                if std::mem::take(&mut state.again) {
                    self.look(&myself, state);
                }
            }
        }
        Ok(())
    }
}

/// Says that a look is over, however it ended.
struct Over(ActorRef<Notice>);

impl Drop for Over {
    fn drop(&mut self) {
        // Who stopped meanwhile looks no more.
        let _ = self.0.cast(Notice::Looked);
    }
}

impl Losses {
    /// Beside the mailbox: a store that does not answer keeps nobody.
    fn look(&self, myself: &ActorRef<Notice>, state: &mut State) {
        if std::mem::replace(&mut state.looking, true) {
            state.again = true;
            return;
        }
        let (losses, over) = (self.clone(), Over(myself.clone()));
        tokio::spawn(async move {
            if let Err(error) = losses.end().await {
                tracing::debug!(%error, "the past of lost nodes has no end yet");
            }
            drop(over);
        });
    }

    async fn end(&self) -> Result<(), store::Error> {
        let now = self.clock.now();
        let roster = self.membership.as_ref().map(Membership::roster);
        let ttl = self.membership.as_ref();
        let ttl = ttl.map_or(Duration::ZERO, |membership| membership.timing().ttl);
        for chapter in self.store.chapters(now, now).await? {
            if is_back(&chapter, roster.as_deref()) {
                tracing::info!(node = chapter.name, "its past goes on");
                node_returned(&self.store, chapter, now).await?;
                continue;
            }
            if !self.cluster.gone(chapter.node) {
                continue;
            }
            if let Some((at, reason)) = lost(&chapter, roster.as_deref(), ttl) {
                tracing::info!(node = chapter.name, %at, reason, "its past has an end");
                node_lost(&self.store, chapter.node, at, reason).await?;
            }
        }
        Ok(())
    }
}
