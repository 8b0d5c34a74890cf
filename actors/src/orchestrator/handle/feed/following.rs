//! A task of another node that this one follows.

use std::sync::{Arc, atomic::Ordering};

use protocol::{
    access::Caller,
    id::{NodeId, TaskId},
    wire::Service,
};
use tokio::sync::mpsc;

use super::{Orchestrator, WINDOW};
use crate::orchestrator::{
    call::{Follow, News, Subscribed, decode, encode},
    handle::{Member, peers::Peers},
};

/// Where news goes that comes in for a subscription.
#[derive(Debug)]
pub(super) struct Followed {
    owner: NodeId,
    news: mpsc::Sender<News>,
}

/// A subscription with the owner of a task. Ends when dropped.
pub(super) struct Following {
    at: Orchestrator,
    peers: Arc<dyn Peers>,
    number: u64,
    owner: NodeId,
    task: TaskId,
    news: mpsc::Receiver<News>,
    acknowledged: u64,
}

impl Following {
    /// Subscribes; everything that is recorded after this returns is told. None when that fails.
    pub(super) async fn begin(
        at: &Orchestrator,
        owner: NodeId,
        task: TaskId,
        after: u64,
        caller: &Caller,
    ) -> Option<Self> {
        let member = at.0.member.as_ref()?;
        let number = member.feeds.next.fetch_add(1, Ordering::Relaxed);
        // An owner never sends more messages than the window has events.
        let room = usize::try_from(WINDOW).unwrap_or(usize::MAX) + 2;
        let (sender, news) = mpsc::channel(room);
        let followed = Followed {
            owner,
            news: sender,
        };
        member.feeds.followed.insert(number, followed);
        let mut following = Self {
            at: at.clone(),
            peers: member.peers.clone(),
            number,
            owner,
            task,
            news,
            acknowledged: after,
        };
        following.renew(after, caller).await?;
        Some(following)
    }

    /// Who records the task's events.
    pub(super) const fn owner(&self) -> NodeId {
        self.owner
    }

    /// How far the owner may believe this node to be behind.
    pub(super) const fn unacknowledged(&self, position: u64) -> u64 {
        position.saturating_sub(self.acknowledged)
    }

    /// What the owner told next; none when it will tell nothing more.
    pub(super) async fn next(&mut self) -> Option<News> {
        self.news.recv().await
    }

    /// Tells the owner up to where everything arrived, and learns up to where it was sent; none when
    /// the subscription does not stand any more.
    pub(super) async fn renew(&mut self, position: u64, caller: &Caller) -> Option<u64> {
        let member = self.at.0.member.as_ref()?;
        let subscribe = Follow::Subscribe {
            number: self.number,
            task: self.task,
            after: position,
            caller: caller.clone(),
        };
        let answer = member.feed(self.owner, &subscribe).await;
        let answer = answer.map(|answer| decode::<Subscribed>(&answer));
        match answer {
            Ok(Ok(Subscribed::Yes { sent })) => {
                self.acknowledged = position;
                Some(sent)
            }
            Ok(Ok(Subscribed::Elsewhere | Subscribed::Rejected(_)) | Err(_)) | Err(_) => None,
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(member) = &self.at.0.member {
            member.feeds.followed.remove(&self.number);
        }
        let unsubscribe = Follow::Unsubscribe {
            number: self.number,
        };
        if let Ok(unsubscribe) = encode(&unsubscribe) {
            // Whom this does not reach ends the subscription when nobody renews it.
            let _ = self.peers.tell(self.owner, Service::FEED, unsubscribe);
        }
    }
}

impl Member {
    /// Hands on what the owner of a task told.
    pub(super) fn heard(&self, from: NodeId, number: u64, news: News) {
        let lagging = match self.feeds.followed.get(&number) {
            Some(followed) if followed.owner == from => followed.news.try_send(news).is_err(),
            Some(_) | None => false,
        };
        if lagging {
            // Its reader finds the end, reads the store and subscribes again.
            self.feeds.followed.remove(&number);
        }
    }
}
