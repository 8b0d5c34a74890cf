//! Events of the whole cluster, as they happen: what is recorded, and how its nodes are.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use protocol::{
    access::{Caller, Role},
    api::{EventsQuery, MemberView},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Answer, Feed, Orchestrator,
    cases::{ListNodes, ReadJournal, at_least},
};
use crate::{
    Rejection,
    orchestrator::{
        EventTypes, HappeningFrame, Told,
        events::{Cursor, Workers},
    },
};

/// How often the journal is read for one reader, and how often it is looked how nodes are.
const LOOK: Duration = Duration::from_millis(250);

/// The pause after nobody could be asked.
const RETRY: Duration = Duration::from_secs(1);

/// How often who is told nothing hears at least how far it is.
const MARK: Duration = Duration::from_secs(5);

impl Orchestrator {
    /// What is recorded of the caller's tasks, runs and agents from now on or after a position, and first how
    /// each node is, then what becomes of it.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role viewer, `Invalid` for names or a position that are none,
    /// `Unavailable` when the journal cannot be read.
    pub async fn follow_events(
        &self,
        caller: &Caller,
        query: &EventsQuery,
    ) -> Answer<Feed<HappeningFrame>> {
        at_least(caller, Role::Viewer)?;
        let types = EventTypes::read(query.types.as_deref())?;
        let since = query.since.as_deref().map(str::parse::<Cursor>);
        let since = since
            .transpose()
            .map_err(|_| Rejection::field("since", "is not the `id` of an event"))?;
        let workers = types.want("worker").then(|| self.workers());
        let groups = ["task", "workflow", "agent"];
        let recorded = match groups.iter().any(|group| types.want(group)) {
            true => Some(self.recorded(caller, query.types.clone(), since).await?),
            false => None,
        };
        Ok(match (recorded, workers) {
            (Some(recorded), Some(workers)) => Box::pin(stream::select(recorded, workers)),
            (Some(recorded), None) => Box::pin(recorded),
            (None, Some(workers)) => Box::pin(workers),
            // A list that names nothing is refused above.
            (None, None) => Box::pin(stream::empty()),
        })
    }

    async fn recorded(
        &self,
        caller: &Caller,
        types: Option<String>,
        since: Option<Cursor>,
    ) -> Answer<impl Stream<Item = Told<HappeningFrame>> + Send + use<>> {
        let cursor = match since {
            Some(since) => since,
            None => {
                let ask = ReadJournal {
                    after: None,
                    types: None,
                };
                Cursor::at(self.carry_out(caller, ask).await?.place)
            }
        };
        let tail = Tail {
            at: self.clone(),
            caller: caller.clone(),
            types,
            cursor,
            ready: VecDeque::new(),
            next: Instant::now(),
            marked: Instant::now(),
        };
        Ok(stream::unfold(tail, Tail::next))
    }

    fn workers(&self) -> impl Stream<Item = Told<HappeningFrame>> + Send + use<> {
        let watching = self.0.nodes.watch(self);
        let state = (
            watching.seen.clone(),
            watching,
            Workers::default(),
            self.clone(),
        );
        let batches = stream::unfold(state, async |(mut seen, watching, mut workers, at)| {
            // Whoever looks lives as long as this does.
            seen.changed().await.ok()?;
            let nodes = seen.borrow_and_update().clone();
            let news = workers.learn(&nodes, at.0.tree.clock().now());
            Some((news, (seen, watching, workers, at)))
        });
        batches.flat_map(|news| {
            stream::iter(news).map(|worker| Told {
                cursor: String::new(),
                what: HappeningFrame::Worker(Box::new(worker)),
            })
        })
    }
}

/// One reader of the journal.
struct Tail {
    at: Orchestrator,
    caller: Caller,
    types: Option<String>,
    cursor: Cursor,
    ready: VecDeque<Told<HappeningFrame>>,
    /// Not before this the journal is read again.
    next: Instant,
    /// When the reader heard last how far it is.
    marked: Instant,
}

impl Tail {
    async fn next(mut self) -> Option<(Told<HappeningFrame>, Self)> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                self.marked = Instant::now();
                return Some((told, self));
            }
            sleep_until(self.next).await;
            self.next = Instant::now() + LOOK;
            let ask = ReadJournal {
                after: Some(self.cursor.after()),
                types: self.types.clone(),
            };
            match self.at.carry_out(&self.caller, ask).await {
                Ok(page) => {
                    if page.more {
                        self.next = Instant::now();
                    }
                    for event in page.events {
                        if event.number <= self.cursor.skips(event.place) {
                            continue;
                        }
                        let cursor = Cursor::within(event.place, event.number, event.of);
                        self.ready.push_back(Told {
                            cursor: cursor.to_string(),
                            what: HappeningFrame::Recorded(event.name, event.view),
                        });
                    }
                    self.reached(page.place);
                }
                Err(error) => {
                    tracing::debug!(%error, "the journal is not told on");
                    self.next = Instant::now() + RETRY;
                }
            }
        }
    }

    /// All is looked at up to this place.
    fn reached(&mut self, place: i64) {
        if place > self.cursor.after() {
            self.cursor = Cursor::at(place);
        }
        if self.ready.is_empty() && self.marked.elapsed() >= MARK {
            self.ready.push_back(Told {
                cursor: self.cursor.to_string(),
                what: HappeningFrame::Mark,
            });
        }
    }
}

/// How all nodes are: looked at once for all readers of this node, while there are any.
#[derive(Debug, Default)]
pub(super) struct Nodes(Mutex<Weak<Watching>>);

#[derive(Debug)]
struct Watching {
    seen: watch::Receiver<Arc<Vec<MemberView>>>,
    _looking: AbortOnDropHandle<()>,
}

impl Nodes {
    fn watch(&self, at: &Orchestrator) -> Arc<Watching> {
        let mut watching = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watching) = watching.upgrade() {
            return watching;
        }
        let (tell, seen) = watch::channel(Arc::default());
        let looking = tokio::spawn(look(at.clone(), tell));
        let begun = Arc::new(Watching {
            seen,
            _looking: AbortOnDropHandle::new(looking),
        });
        *watching = Arc::downgrade(&begun);
        begun
    }
}

async fn look(at: Orchestrator, tell: watch::Sender<Arc<Vec<MemberView>>>) {
    let caller = Caller::admin();
    loop {
        match at.carry_out(&caller, ListNodes).await {
            Ok(nodes) => {
                tell.send_replace(Arc::new(nodes));
            }
            Err(error) => tracing::debug!(%error, "how nodes are is not known"),
        }
        sleep(LOOK).await;
    }
}
