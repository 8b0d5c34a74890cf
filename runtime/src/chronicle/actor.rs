//! Writes the past of this node's tree, a segment a second.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use protocol::id::NodeId;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{Archive, Retention, scribe::Pen};
use crate::{
    metrics,
    store::Segment,
    supervision::{ChildSpec, Message, Restart, Tree, child},
};

/// How often it writes: the past is as fine as this.
const PERIOD: Duration = Duration::from_secs(1);

/// How often what is spent is dropped, in periods.
const TIDY: u64 = 60;

/// Bytes that wait for an archive that is away; beyond, they are dropped and a base makes it good.
const WAITING_AT_MOST: usize = 8 << 20;

/// How long the last segment may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a chronicle works with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Whose past it writes.
    pub tree: Tree,
    /// This start of the node.
    pub node: NodeId,
    /// The node's name.
    pub name: String,
    /// Where its segments go.
    pub archive: Arc<dyn Archive>,
    /// How much is kept.
    pub retention: Retention,
}

struct Chronicle(Setup);

#[derive(Debug)]
enum Tick {
    Write,
}
impl ractor::Message for Tick {}
impl Message for Tick {
    fn name(&self) -> &'static str {
        match self {
            Self::Write => "Write",
        }
    }
}

struct State {
    pen: Pen,
    waiting: VecDeque<Segment>,
    turn: u64,
}

/// The child that writes the past of its node.
#[must_use]
pub fn chronicle(setup: Setup) -> ChildSpec {
    let make = move || (Chronicle(setup.clone()), ());
    child("chronicle", "chronicle", Restart::Permanent, make).0
}

impl Actor for Chronicle {
    type Msg = Tick;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Tick>, (): ()) -> Result<State, ActorProcessingErr> {
        myself.send_after(PERIOD, || Tick::Write);
        Ok(State {
            pen: Pen::new(
                (self.0.node, self.0.name.clone()),
                self.0.tree.changes(),
                self.0.tree.clock().now(),
                self.0.retention.chapter(),
            ),
            waiting: VecDeque::new(),
            turn: 0,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Tick>,
        Tick::Write: Tick,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.0.tree.clock().now();
        state.waiting.extend(state.pen.note(now));
        self.flush(state).await;
        if state.turn.is_multiple_of(TIDY)
            && let Err(error) = self.0.archive.tidy(now).await
        {
            tracing::warn!(%error, "the spent past was not dropped");
        }
        state.turn += 1;
        myself.send_after(PERIOD, || Tick::Write);
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<Tick>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.0.tree.clock().now();
        state.waiting.extend(state.pen.note(now));
        state.waiting.push_back(state.pen.end(now));
        if tokio::time::timeout(FAREWELL, self.flush(state))
            .await
            .is_err()
        {
            tracing::warn!("the end of this node's past was not written in time");
        }
        Ok(())
    }
}

impl Chronicle {
    /// An archive that is away is a state, not a failure: what waits goes later.
    async fn flush(&self, state: &mut State) {
        while let Some(segment) = state.waiting.front() {
            if let Err(error) = self.0.archive.keep(segment).await {
                tracing::warn!(%error, "a piece of the past was not written yet");
                break;
            }
            metrics::chronicled(segment.data.len());
            state.waiting.pop_front();
        }
        let waiting: usize = state.waiting.iter().map(|it| it.data.len()).sum();
        if waiting > WAITING_AT_MOST {
            tracing::warn!(bytes = waiting, "a piece of the past is lost");
            state.waiting.clear();
            state.pen.lose();
        }
    }
}
