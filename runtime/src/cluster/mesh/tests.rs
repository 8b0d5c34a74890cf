//! Two nodes and a network between them, as callers of a mesh see them.

mod calls;
mod chaos;
mod life;
mod window;

use std::{sync::Arc, time::Duration};

use protocol::{
    id::NodeId,
    member::Roles,
    wire::{Hello, Service, WIRE_VERSION, frame},
};
use tokio::sync::{broadcast, mpsc};
use uuid::Uuid;

use super::{Mesh, PeerEvent, Tuning};
use crate::cluster::{Fault, Handler, Incoming, Link, Peer, memory::Network};

const SERVICE: Service = Service::CALL;
const OTHER: Service = Service::FEED;
const SECOND: Duration = Duration::from_secs(1);

fn node(number: u128) -> NodeId {
    NodeId::from_uuid(Uuid::from_u128(number))
}

fn peer(mesh: &Mesh) -> Peer {
    Peer {
        node: mesh.me(),
        name: format!("n{}", mesh.me().uuid().as_u128()),
        roles: Roles::all(),
    }
}

fn handler<F>(handle: impl Fn(Incoming) -> F + Send + Sync + 'static) -> Handler
where
    F: Future<Output = Result<Vec<u8>, Fault>> + Send + 'static,
{
    Arc::new(move |incoming| Box::pin(handle(incoming)))
}

/// Answers with what it was asked.
fn echo() -> Handler {
    handler(|incoming| async move { Ok(incoming.payload) })
}

/// Gives what it hears to a channel.
fn ears() -> (Handler, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (heard, ears) = mpsc::unbounded_channel();
    let handler = handler(move |incoming| {
        heard.send(incoming.payload).unwrap();
        async { Ok(Vec::new()) }
    });
    (handler, ears)
}

struct Pair {
    network: Network,
    a: Mesh,
    b: Mesh,
}

impl Pair {
    async fn new(tuning: Tuning) -> Self {
        let (a, b) = (node(1), node(2));
        let pair = Self {
            network: Network::new(1),
            a: Mesh::tuned(a, tuning).unwrap(),
            b: Mesh::tuned(b, tuning).unwrap(),
        };
        pair.link().await;
        pair
    }

    /// Links both anew, and waits until each can reach the other.
    async fn link(&self) {
        let (mut at_a, mut at_b) = (self.a.watch(), self.b.watch());
        let (a, b) = (peer(&self.a), peer(&self.b));
        self.network.connect(&self.a, a, &self.b, b);
        up(&mut at_a).await;
        up(&mut at_b).await;
    }

    async fn ask(&self, payload: &[u8]) -> Result<Vec<u8>, Fault> {
        let payload = payload.to_vec();
        self.a.ask(self.b.me(), SERVICE, payload, SECOND).await
    }

    fn tell(&self, service: Service, payload: &[u8]) -> Result<(), Fault> {
        self.a.tell(self.b.me(), service, payload.to_vec())
    }
}

async fn up(events: &mut broadcast::Receiver<PeerEvent>) -> Arc<Peer> {
    loop {
        if let PeerEvent::Up(peer) = events.recv().await.unwrap() {
            return peer;
        }
    }
}

async fn down(events: &mut broadcast::Receiver<PeerEvent>) -> NodeId {
    loop {
        if let PeerEvent::Down(node) = events.recv().await.unwrap() {
            return node;
        }
    }
}

/// The other end of a link, where a test reads and writes the bytes itself.
#[derive(Debug)]
struct Stranger {
    peer: Arc<Peer>,
    frames: mpsc::UnboundedSender<Vec<u8>>,
    closed: mpsc::UnboundedSender<String>,
}

impl Link for Stranger {
    fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    fn send(&self, frame: Vec<u8>) {
        let _ = self.frames.send(frame);
    }

    fn close(&self, reason: &str) {
        let _ = self.closed.send(reason.to_owned());
    }
}

struct Raw {
    link: Arc<dyn Link>,
    frames: mpsc::UnboundedReceiver<Vec<u8>>,
    closed: mpsc::UnboundedReceiver<String>,
}

/// Opens a link to a peer that a test plays.
fn raw(mesh: &Mesh, number: u128) -> Raw {
    let (frames, sent) = mpsc::unbounded_channel();
    let (closed, reasons) = mpsc::unbounded_channel();
    let peer = Arc::new(Peer {
        node: node(number),
        name: "stranger".to_owned(),
        roles: Roles::all(),
    });
    let link: Arc<dyn Link> = Arc::new(Stranger {
        peer,
        frames,
        closed,
    });
    mesh.opened(link.clone());
    Raw {
        link,
        frames: sent,
        closed: reasons,
    }
}

fn hello(turn: u64) -> Hello {
    Hello {
        version: WIRE_VERSION,
        turn,
        window: 100,
        window_bytes: 1024 * 1024,
        heard: true,
    }
}

fn hello_frame(turn: u64) -> Vec<u8> {
    frame::hello(&hello(turn))
}
