//! Both ends of a link: a mesh of this process, one of another, and what the other one answers.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use benches::{Result, say};
use protocol::{id::NodeId, member::NodeRole, wire::Service};
use runtime::{
    clock::{Clock, Dice},
    cluster::{
        Fault, Handler, Mesh, PeerEvent,
        identity::Identity,
        transport::testkit::{Founded, Other, PATIENCE, Running, settings},
    },
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::Notify,
    time::timeout,
};

use super::SIZE;

/// Asked with a number, it counts from zero to it; asked with nothing, it answers when it is there.
pub(super) const COUNT: Service = Service::FEED;

#[derive(Default)]
struct Count {
    heard: AtomicU64,
    expected: AtomicU64,
    all: Notify,
}

/// Lets a mesh answer requests with what they hold, and count what it is told.
pub(super) fn counting(mesh: &Mesh) {
    let count = Arc::new(Count::default());
    let ears = count.clone();
    let hear: Handler = Arc::new(move |incoming| {
        debug_assert_eq!(incoming.payload.len(), SIZE);
        let heard = ears.heard.fetch_add(1, Ordering::Relaxed) + 1;
        if heard == ears.expected.load(Ordering::Relaxed) {
            ears.all.notify_one();
        }
        Box::pin(async { Ok(Vec::new()) })
    });
    mesh.serve(Service::TASK, hear);
    let tally: Handler = Arc::new(move |incoming| {
        let count = count.clone();
        Box::pin(async move {
            if incoming.payload.is_empty() {
                count.all.notified().await;
                return Ok(Vec::new());
            }
            let number = incoming.payload.try_into().map(u64::from_be_bytes);
            let number = number.map_err(|_| Fault::Refused("not a number".to_owned()))?;
            count.heard.store(0, Ordering::Relaxed);
            count.expected.store(number, Ordering::Relaxed);
            Ok(Vec::new())
        })
    });
    mesh.serve(COUNT, tally);
    let echo: Handler = Arc::new(|incoming| Box::pin(async move { Ok(incoming.payload) }));
    mesh.serve(Service::CALL, echo);
}

/// A node of another process, and the mesh of this one that is linked to it.
pub(super) struct Far {
    pub(super) mesh: Mesh,
    pub(super) other: Other,
    pub(super) near: Running,
}

pub(super) async fn far() -> Result<Far> {
    let founded = Founded::new(7)?;
    let (near, mesh) =
        node(founded.identity("c1", NodeRole::Control, Clock::system().now())?).await?;
    let mut events = mesh.watch();
    let mut other = Other::start(&founded, "w1", &[]).await?;
    other.knows(mesh.me(), &near.address).await?;
    match timeout(PATIENCE, events.recv()).await?? {
        PeerEvent::Up(_) => Ok(Far { mesh, other, near }),
        PeerEvent::Down(node) => Err(format!("{node} went away").into()),
    }
}

async fn node(identity: Identity) -> Result<(Running, Mesh)> {
    let me = NodeId::from_uuid(Dice::system().uuid_v7(Clock::system().now()));
    let mesh = Mesh::new(me);
    let running = Running::start(settings(identity, me, Arc::new(mesh.clone()))).await?;
    Ok((running, mesh))
}

/// Is the other process, until its input ends.
pub(super) async fn be(folder: &Path) -> Result<()> {
    let (running, mesh) = node(Identity::load(folder)?).await?;
    counting(&mesh);
    say(&format!("troupe: node {} {}", mesh.me(), running.address));
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(order) = orders.next_line().await? {
        let (node, address) = order.split_once(' ').unwrap_or_default();
        let peers = vec![(node.parse()?, address.to_owned())];
        running.network.set_peers(peers);
    }
    running.stop().await;
    Ok(())
}
