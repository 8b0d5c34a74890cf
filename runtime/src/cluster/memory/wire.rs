//! [`Wire`]: one end of a link within the process, and the task that brings it frames.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::faults::{Direction, Route};
use crate::cluster::{Link, Mesh, Peer};

/// What lies between two ends.
#[derive(Debug)]
enum Item {
    Frame(Vec<u8>, Option<Instant>),
    /// The sender closed it, and why.
    Last(String),
}

#[derive(Debug)]
pub(super) struct Wire {
    peer: Arc<Peer>,
    out: Mutex<(Direction, mpsc::UnboundedSender<Item>)>,
    over: watch::Sender<Option<String>>,
}

impl Link for Wire {
    fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    fn send(&self, frame: Vec<u8>) {
        if self.over.borrow().is_some() {
            return;
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let (direction, items) = &mut *out;
        direction.pass(frame, |frame, due| {
            // An end that is gone takes no more.
            let _ = items.send(Item::Frame(frame, due));
        });
    }

    fn close(&self, reason: &str) {
        let first = self.over.send_if_modified(|over| {
            let first = over.is_none();
            over.get_or_insert_with(|| reason.to_owned());
            first
        });
        if first {
            let out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
            // An end that is gone needs no reason.
            let _ = out.1.send(Item::Last(reason.to_owned()));
        }
    }
}

/// An end, with what brings it frames.
pub(super) struct End {
    pub(super) wire: Arc<Wire>,
    items: mpsc::UnboundedReceiver<Item>,
    route: Route,
}

/// The end at `first`, whose frames go `there`, and the end at `second`, whose frames come `back`.
pub(super) fn pair(
    first: Arc<Peer>,
    second: Arc<Peer>,
    there: Direction,
    back: Direction,
) -> (End, End) {
    let (to_second, at_second) = mpsc::unbounded_channel();
    let (to_first, at_first) = mpsc::unbounded_channel();
    let (route_there, route_back) = (there.route(), back.route());
    let end = |peer, direction, out, items, route| End {
        wire: Arc::new(Wire {
            peer,
            out: Mutex::new((direction, out)),
            over: watch::Sender::new(None),
        }),
        items,
        route,
    };
    (
        end(second, there, to_second, at_first, route_back),
        end(first, back, to_first, at_second, route_there),
    )
}

impl End {
    /// Tells a mesh of it, and of all that it brings.
    pub(super) fn open(self, mesh: &Mesh) {
        let link: Arc<dyn Link> = self.wire.clone();
        mesh.opened(link.clone());
        tokio::spawn(self.carry(mesh.clone(), link));
    }

    async fn carry(mut self, mesh: Mesh, link: Arc<dyn Link>) {
        let mut over = self.wire.over.subscribe();
        let reason = loop {
            tokio::select! {
                biased;
                Ok(ended) = over.wait_for(Option::is_some) => break ended.clone(),
                item = next(&mut self.items, &self.route) => match item {
                    Some(Item::Frame(frame, _)) => mesh.received(&link, frame),
                    Some(Item::Last(reason)) => break Some(reason),
                    None => break None,
                },
            }
        };
        let reason = reason.unwrap_or_else(|| "the other end is gone".to_owned());
        link.close(&reason);
        mesh.closed(&link, &reason);
    }
}

/// The next item, once it is due and nothing holds it up.
async fn next(items: &mut mpsc::UnboundedReceiver<Item>, route: &Route) -> Option<Item> {
    let item = items.recv().await?;
    if let Item::Frame(_, Some(due)) = &item {
        tokio::time::sleep_until(*due).await;
    }
    route.clear().await;
    Some(item)
}
