//! Writes the past of this node's tree, a segment a second.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use protocol::{id::NodeId, time::Timestamp};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Mutex;

use super::{Archive, Retention, Tidied, Unkept, scribe::Pen};
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

/// The longest rest after a loss, in periods: a base that is lost as well costs most.
const LONGEST_REST: u32 = 16;

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

struct Chronicle {
    setup: Setup,
    papers: Arc<Mutex<Papers>>,
}

/// How far the tree was read, and what waits to be kept. They outlast an incarnation of the chronicle,
/// so that the next one also tells what became of actors in between.
struct Papers {
    pen: Pen,
    waiting: VecDeque<Segment>,
}

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

#[derive(Debug, Default)]
struct State {
    /// Periods until spent chapters are looked for.
    untidied: u64,
    /// Periods of the last rest, and those that are left of it.
    rest: u32,
    resting: u32,
}

/// The child that writes the past of its node, from now on.
#[must_use]
pub fn chronicle(setup: Setup) -> ChildSpec {
    let mut changes = setup.tree.changes();
    // What stands already is shown; what begins before the first look is told.
    changes.take_life();
    let (of, now) = ((setup.node, setup.name.clone()), setup.tree.clock().now());
    let papers = Papers {
        pen: Pen::new(of, changes, now, setup.retention.chapter()),
        waiting: VecDeque::new(),
    };
    let papers = Arc::new(Mutex::new(papers));
    let make = move || {
        let (setup, papers) = (setup.clone(), papers.clone());
        (Chronicle { setup, papers }, ())
    };
    child("chronicle", "chronicle", Restart::Permanent, make).0
}

impl Actor for Chronicle {
    type Msg = Tick;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Tick>, (): ()) -> Result<State, ActorProcessingErr> {
        // What is asked about the past goes back to its first entry.
        myself.cast(Tick::Write)?;
        Ok(State::default())
    }

    async fn handle(
        &self,
        myself: ActorRef<Tick>,
        Tick::Write: Tick,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.setup.tree.clock().now();
        let mut papers = self.papers.lock().await;
        if state.resting == 0 {
            papers.note(now);
        }
        state.resting = state.resting.saturating_sub(1);
        self.flush(&mut papers, state).await;
        drop(papers);
        self.tidy(now, state).await;
        myself.send_after(PERIOD, || Tick::Write);
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<Tick>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.setup.tree.clock().now();
        let mut papers = self.papers.lock().await;
        papers.note(now);
        // Another incarnation goes on, unless the whole tree ends.
        if self.setup.tree.is_ending() {
            let end = papers.pen.end(now);
            papers.waiting.push_back(end);
        }
        if tokio::time::timeout(FAREWELL, self.flush(&mut papers, state))
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
    async fn flush(&self, papers: &mut Papers, state: &mut State) {
        while let Some(segment) = papers.waiting.front() {
            match self.setup.archive.keep(segment).await {
                Ok(()) => {
                    metrics::chronicled(segment.data.len());
                    state.rest = 0;
                    papers.waiting.pop_front();
                }
                Err(Unkept::Away(error)) => {
                    tracing::warn!(error, "a piece of the past was not written yet");
                    break;
                }
                Err(Unkept::Refused(error)) => {
                    let chapter = segment.chapter;
                    tracing::warn!(error, "a piece of the past was refused");
                    // What follows it could not be read.
                    papers.lose(|segment| segment.chapter == chapter);
                    state.rests();
                }
            }
        }
        let waiting: usize = papers.waiting.iter().map(|it| it.data.len()).sum();
        if waiting > WAITING_AT_MOST {
            papers.lose(|_| true);
            state.rests();
        }
    }

    /// In pieces: what is written stands behind none of it for long.
    async fn tidy(&self, now: Timestamp, state: &mut State) {
        if state.untidied > 0 {
            state.untidied -= 1;
            return;
        }
        state.untidied = match self.setup.archive.tidy(now).await {
            Ok(Tidied::Some) => 0,
            Ok(Tidied::All) => TIDY,
            Err(error) => {
                tracing::warn!(%error, "the spent past was not dropped");
                TIDY
            }
        };
    }
}

impl Papers {
    fn note(&mut self, now: Timestamp) {
        self.waiting.extend(self.pen.note(now));
    }

    /// Drops what waits of the past; all that stands is said anew.
    fn lose(&mut self, is_lost: impl Fn(&Segment) -> bool) {
        let lost = self.waiting.iter().filter(|it| is_lost(it));
        let bytes = lost.map(|it| it.data.len()).sum();
        tracing::warn!(bytes, "a piece of the past is lost");
        metrics::lost_of_past(bytes);
        self.waiting.retain(|it| !is_lost(it));
        self.pen.lose();
    }
}

impl State {
    /// After a loss.
    fn rests(&mut self) {
        self.rest = (2 * self.rest).clamp(1, LONGEST_REST);
        self.resting = self.rest;
    }
}
