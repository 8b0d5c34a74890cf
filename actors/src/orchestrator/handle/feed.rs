//! Events of one task, as they happen, whichever node owns it.

mod follower;
mod following;

use std::{collections::VecDeque, sync::atomic::AtomicU64, time::Duration};

use dashmap::DashMap;
use futures_util::stream;
use protocol::{
    access::Caller,
    api::EventView,
    id::{NodeId, TaskId},
    task::TaskStatus,
};
use runtime::journal::Watch;
use serde_json::Value;
use tokio::{
    sync::broadcast::error::RecvError,
    time::{sleep, timeout},
};

use super::{
    Answer, EventFeed, Orchestrator,
    cases::{EventsAfter, views},
};
use crate::{
    Rejection,
    orchestrator::{Owner, call::News},
};
use follower::Follower;
use following::{Followed, Following};

/// How often it is looked whether a task is still where it was.
const LOOK: Duration = Duration::from_secs(2);
/// The pause before the store is read again while nobody tells what is new.
const RETRY: Duration = Duration::from_millis(500);
/// How often in a row that may fail before the feed ends with the error.
const FAILURES: u32 = 60;
/// Events that an owner may be ahead of what has arrived.
const WINDOW: u64 = 256;

/// Who follows what across nodes.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    next: AtomicU64,
    /// Tasks of other nodes that this one follows.
    followed: DashMap<u64, Followed>,
    /// Other nodes that follow tasks of this one.
    followers: DashMap<(NodeId, u64), Follower>,
}

impl Orchestrator {
    /// The task's events after position `after`, then each as it happens, until it is settled.
    ///
    /// # Errors
    ///
    /// As [`task`](Self::task).
    pub async fn task_events(&self, caller: &Caller, id: TaskId, after: u64) -> Answer<EventFeed> {
        let mut tail = Tail {
            at: self.clone(),
            caller: caller.clone(),
            id,
            position: after,
            ready: VecDeque::new(),
            live: None,
            behind: true,
            failures: 0,
            over: false,
        };
        tail.catch_up().await?;
        Ok(Box::pin(stream::unfold(tail, Tail::next)))
    }

    /// Listens for what is recorded of a task from now on; none while nobody owns it.
    async fn listen(&self, caller: &Caller, id: TaskId, after: u64) -> Option<Live> {
        match (self.owner(id.into()), &self.0.own) {
            (Owner::Here, Some(own)) => Some(Live::Here(own.journal.feed().watch(id.into()))),
            (Owner::There(node), _) => {
                let following = Following::begin(self, node, id, after, caller).await;
                following.map(Live::There)
            }
            (Owner::Here, None) | (Owner::Nobody, _) => None,
        }
    }
}

/// Where news of a task comes from.
enum Live {
    Here(Watch),
    There(Following),
}

/// One event at a time, from the store and then from whoever records it.
struct Tail {
    at: Orchestrator,
    caller: Caller,
    id: TaskId,
    /// Of the last event that was given out.
    position: u64,
    ready: VecDeque<EventView>,
    live: Option<Live>,
    /// The store may have more than was given out.
    behind: bool,
    failures: u32,
    over: bool,
}

impl Tail {
    async fn next(mut self) -> Option<(Result<EventView, Rejection>, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((Ok(event), self));
            }
            if self.over {
                return None;
            }
            let filled = if self.behind {
                self.catch_up().await
            } else {
                self.hear().await
            };
            match filled {
                Ok(()) => self.failures = 0,
                Err(rejection) if self.may_pass(&rejection) => sleep(RETRY).await,
                Err(rejection) => {
                    self.over = true;
                    return Some((Err(rejection), self));
                }
            }
        }
    }

    /// Whether it is worth trying again: in a cluster, nodes come and go.
    fn may_pass(&mut self, rejection: &Rejection) -> bool {
        self.failures += 1;
        self.at.0.member.is_some()
            && matches!(rejection, Rejection::Unavailable { .. })
            && self.failures < FAILURES
    }

    /// Takes what the store has.
    async fn catch_up(&mut self) -> Answer<()> {
        // Listening before reading, so that nothing falls between the two.
        if self.live.is_none() {
            let (caller, id) = (&self.caller, self.id);
            self.live = self.at.listen(caller, id, self.position).await;
        }
        let case = EventsAfter {
            id: self.id,
            after: self.position,
        };
        let page = self.at.carry_out(&self.caller, case).await?;
        self.behind = page.more;
        self.over |= !page.more && page.settled;
        for event in page.events {
            if event.seq > self.position {
                self.take(event);
            }
        }
        Ok(())
    }

    /// Waits for what is new.
    async fn hear(&mut self) -> Answer<()> {
        match &mut self.live {
            None => {
                sleep(RETRY).await;
                self.behind = true;
            }
            Some(Live::Here(watch)) => {
                let alone = self.at.0.member.is_none();
                let received = if alone {
                    Ok(watch.records.recv().await)
                } else {
                    timeout(LOOK, watch.records.recv()).await
                };
                match received {
                    Ok(Ok(record)) => self.take_all(views(&record)?),
                    Ok(Err(RecvError::Lagged(_))) => self.behind = true,
                    Ok(Err(RecvError::Closed)) => self.over = true,
                    Err(_) if self.at.owner(self.id.into()) == Owner::Here => (),
                    Err(_) => self.lost(),
                }
            }
            Some(Live::There(following)) => match timeout(LOOK, following.next()).await {
                Ok(Some(News::Events(events))) => {
                    self.take_all(events);
                    self.acknowledge().await;
                }
                Ok(Some(News::Behind)) => self.behind = true,
                Ok(Some(News::Ended) | None) => self.lost(),
                Err(_) => self.look().await,
            },
        }
        Ok(())
    }

    /// The task is not where it was: it is looked for, and what was missed is read.
    fn lost(&mut self) {
        self.live = None;
        self.behind = true;
    }

    /// Lets the owner go on before it has to wait.
    async fn acknowledge(&mut self) {
        if let Some(Live::There(following)) = &self.live
            && following.unacknowledged(self.position) >= WINDOW / 2
        {
            self.look().await;
        }
    }

    /// Tells the owner that this is still wanted, and learns whether anything was lost on the way.
    async fn look(&mut self) {
        let Some(Live::There(following)) = &mut self.live else {
            return;
        };
        let sent = match self.at.owner(self.id.into()) {
            Owner::There(owner) if owner == following.owner() => {
                following.renew(self.position, &self.caller).await
            }
            Owner::Here | Owner::There(_) | Owner::Nobody => None,
        };
        match sent {
            Some(sent) => self.behind |= sent > self.position,
            None => self.lost(),
        }
    }

    /// Takes news, as far as it follows on what was given out.
    fn take_all(&mut self, events: Vec<EventView>) {
        for event in events {
            if event.seq > self.position + 1 {
                self.behind = true;
                return;
            }
            if event.seq > self.position {
                self.take(event);
            }
        }
    }

    fn take(&mut self, event: EventView) {
        self.position = event.seq;
        self.over |= settles(&event.event);
        self.ready.push_back(event);
    }
}

/// Whether nothing but late results and removal can follow.
fn settles(event: &Value) -> bool {
    event["type"] == "settled"
        && TaskStatus::ALL
            .iter()
            .any(|status| status.is_terminal() && event["status"] == status.as_str())
}
