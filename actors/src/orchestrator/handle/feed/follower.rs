//! Another node that follows a task of this one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

use protocol::{
    access::Caller,
    id::{NodeId, TaskId},
    wire::Service,
};
use runtime::{
    cluster::{Fault, Incoming},
    journal::Watch,
};
use tokio::{
    sync::{broadcast::error::RecvError, watch},
    time::{Instant, sleep_until},
};

use super::{LOOK, Orchestrator, WINDOW};
use crate::{
    Rejection,
    cluster::parcel::PIECE,
    orchestrator::{
        Owner,
        call::{Follow, News, Subscribed, decode, encode},
        handle::{
            Inner,
            cases::{views, visible},
            serve::{forbidden, may_act_for_users},
        },
    },
};

/// How long a subscription stands that nobody renews.
const LEASE: Duration = Duration::from_secs(10);

/// A subscription of another node, as long as it stands.
#[derive(Debug)]
pub(in super::super) struct Follower {
    task: TaskId,
    /// Up to where everything arrived there.
    arrived: watch::Sender<u64>,
    /// Up to where everything was sent.
    sent: Arc<AtomicU64>,
}

impl Orchestrator {
    /// Takes what other nodes say of following.
    pub(in super::super) async fn followed(self, incoming: Incoming) -> Result<Vec<u8>, Fault> {
        let follow = decode(&incoming.payload);
        let follow: Follow = follow.map_err(|error| Fault::Refused(error.to_string()))?;
        let from = incoming.from.node;
        let Some(member) = &self.0.member else {
            return Err(Fault::Refused("the node is alone".to_owned()));
        };
        match follow {
            Follow::Subscribe {
                number,
                task,
                after,
                caller,
            } => {
                let subscribed = if may_act_for_users(&incoming.from) {
                    let key = (from, number);
                    let subscribed = self.subscribe(key, task, after, &caller).await;
                    subscribed.unwrap_or_else(Subscribed::Rejected)
                } else {
                    Subscribed::Rejected(forbidden(&incoming.from))
                };
                encode(&subscribed).map_err(|error| Fault::Refused(error.to_string()))
            }
            Follow::Unsubscribe { number } => {
                member.feeds.followers.remove(&(from, number));
                Ok(Vec::new())
            }
            Follow::News { number, news } => {
                member.heard(from, number, news);
                Ok(Vec::new())
            }
        }
    }

    async fn subscribe(
        &self,
        key: (NodeId, u64),
        task: TaskId,
        after: u64,
        caller: &Caller,
    ) -> Result<Subscribed, Rejection> {
        let (Some(member), Some(own)) = (&self.0.member, &self.0.own) else {
            return Ok(Subscribed::Elsewhere);
        };
        if let Some(follower) = member.feeds.followers.get(&key)
            && follower.task == task
            && follower.arrived.send(after).is_ok()
        {
            let sent = follower.sent.load(Ordering::Acquire);
            return Ok(Subscribed::Yes { sent });
        }
        if member.placement.owner(task.into()) != Owner::Here {
            return Ok(Subscribed::Elsewhere);
        }
        let records = own.journal.feed().watch(task.into());
        visible(self, caller, task).await?;
        let (arrived, acknowledged) = watch::channel(after);
        let sent = Arc::new(AtomicU64::new(after));
        let follower = Follower {
            task,
            arrived,
            sent: sent.clone(),
        };
        let pusher = Pusher {
            at: Arc::downgrade(&self.0),
            key,
            task,
            records,
            acknowledged,
            sent,
        };
        member.feeds.followers.insert(key, follower);
        tokio::spawn(pusher.push());
        Ok(Subscribed::Yes { sent: after })
    }
}

/// Tells one follower what is recorded.
struct Pusher {
    at: std::sync::Weak<Inner>,
    key: (NodeId, u64),
    task: TaskId,
    records: Watch,
    acknowledged: watch::Receiver<u64>,
    sent: Arc<AtomicU64>,
}

/// Whether a subscription goes on.
enum Then {
    On,
    End,
}

impl Pusher {
    async fn push(mut self) {
        let mut renewed = Instant::now();
        let mut look = renewed + LOOK;
        loop {
            let ahead = *self.acknowledged.borrow() + WINDOW;
            let open = self.sent.load(Ordering::Acquire) < ahead;
            let then = tokio::select! {
                biased;
                changed = self.acknowledged.changed() => match changed {
                    Ok(()) => {
                        renewed = Instant::now();
                        Then::On
                    }
                    // Nobody follows any more.
                    Err(_) => return,
                },
                record = self.records.records.recv(), if open => match record {
                    Ok(record) => match views(&record) {
                        Ok(events) => self.tell(News::Events(events)),
                        Err(_) => self.tell(News::Behind),
                    },
                    Err(RecvError::Lagged(_)) => self.tell(News::Behind),
                    Err(RecvError::Closed) => Then::End,
                },
                () = sleep_until(look) => {
                    look = Instant::now() + LOOK;
                    if renewed.elapsed() < LEASE && self.is_owned() { Then::On } else { Then::End }
                }
            };
            match then {
                Then::On => (),
                Then::End => {
                    self.tell(News::Ended);
                    return self.forget();
                }
            }
        }
    }

    fn is_owned(&self) -> bool {
        let at = self.at.upgrade().map(Orchestrator);
        at.is_some_and(|at| at.owner(self.task.into()) == Owner::Here)
    }

    fn forget(&self) {
        let at = self.at.upgrade();
        if let Some(member) = at.as_ref().and_then(|at| at.member.as_ref()) {
            member.feeds.followers.remove(&self.key);
        }
    }

    /// Sends news, or that there is some when it is too long for a message.
    fn tell(&self, news: News) -> Then {
        let at = self.at.upgrade();
        let Some(member) = at.as_ref().and_then(|at| at.member.as_ref()) else {
            return Then::End;
        };
        let (node, number) = self.key;
        let last = match &news {
            News::Events(events) => events.last().map(|event| event.seq),
            News::Behind | News::Ended => None,
        };
        let news = encode(&Follow::News { number, news });
        let message = match news {
            Ok(message) if message.len() <= PIECE => message,
            Ok(_) | Err(_) => {
                let news = News::Behind;
                encode(&Follow::News { number, news }).unwrap_or_default()
            }
        };
        let told = member.peers.tell(node, Service::FEED, message);
        if let Some(last) = last {
            // Also when it is lost: the follower learns at its next look that it lacks something.
            self.sent.store(last, Ordering::Release);
        }
        match told {
            Err(Fault::Unreachable(_)) => Then::End,
            Ok(())
            | Err(
                Fault::Lost(_)
                | Fault::Deadline(_)
                | Fault::Overloaded(_)
                | Fault::TooLarge { .. }
                | Fault::NoService(_)
                | Fault::Refused(_),
            ) => Then::On,
        }
    }
}
