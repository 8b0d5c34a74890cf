//! Payloads in pieces over links that lose some of them.

use std::sync::atomic::{AtomicU32, Ordering};

use protocol::member::Roles;
use runtime::cluster::{Mesh, Peer, memory::Network};
use uuid::Uuid;

use super::*;

const MIB: usize = 1024 * 1024;

fn node(number: u128) -> NodeId {
    NodeId::from_uuid(Uuid::from_u128(number))
}

fn peer(number: u128) -> Peer {
    Peer {
        node: node(number),
        name: format!("node-{number}"),
        roles: Roles::all(),
    }
}

/// Bytes that differ from piece to piece; the first looks like a frame's.
fn long(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251).to_le_bytes()[0]).collect()
}

/// Two carriers over one network: the second gives back what it is asked.
struct Two {
    network: Network,
    meshes: [Mesh; 2],
    asker: Carrier,
    echo: Carrier,
}

impl Two {
    async fn new(limits: Limits) -> Self {
        let meshes = [Mesh::new(node(1)), Mesh::new(node(2))];
        let [asker, echo] = meshes
            .each_ref()
            .map(|mesh| Carrier::new(Arc::new(mesh.clone()), limits));
        let back: Handler = Arc::new(|incoming| Box::pin(async move { Ok(incoming.payload) }));
        echo.serve(Service::HOST, back);
        let two = Self {
            network: Network::new(7),
            meshes,
            asker,
            echo,
        };
        two.link().await;
        two
    }

    async fn link(&self) {
        let [a, b] = &self.meshes;
        self.network.connect(a, peer(1), b, peer(2));
        while a.peers().is_empty() || b.peers().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    async fn ask(&self, payload: Vec<u8>) -> Result<Vec<u8>, Fault> {
        let within = Duration::from_secs(10);
        self.asker
            .ask(node(2), Service::HOST, payload, within)
            .await
    }

    fn kept(&self) -> usize {
        self.asker.desk.parcels().kept() + self.echo.desk.parcels().kept()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_long_arrives_whole_and_so_does_its_answer() {
    let two = Two::new(Limits::WORK).await;
    for size in [0, 1, 5, PIECE, PIECE + 1, MIB, 15 * MIB] {
        let answer = two.ask(long(size)).await;
        assert!(answer == Ok(long(size)), "{size}");
        assert_eq!(two.kept(), 0, "{size}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_long_is_refused_where_it_would_leave() {
    let two = Two::new(Limits::WORK).await;
    let (size, limit) = (16 * MIB + 1, 16 * MIB);
    assert_eq!(
        two.ask(long(size)).await,
        Err(Fault::TooLarge { size, limit })
    );
    let told = two.asker.tell(node(2), Service::HOST, long(size));
    assert_eq!(told, Err(Fault::TooLarge { size, limit }));
}

/// A net that loses two questions of seven, or their answers.
#[derive(Debug)]
struct Lossy {
    mesh: Mesh,
    asked: AtomicU32,
}

impl Net for Lossy {
    fn ask(&self, to: NodeId, service: Service, payload: Vec<u8>, within: Duration) -> Asking {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        let asking = Net::ask(&self.mesh, to, service, payload, within);
        Box::pin(async move {
            match turn % 7 {
                2 => Err(Fault::Lost(to)),
                5 => asking.await.and(Err(Fault::Lost(to))),
                _ => asking.await,
            }
        })
    }

    fn tell(&self, to: NodeId, service: Service, payload: Vec<u8>) -> Result<(), Fault> {
        Net::tell(&self.mesh, to, service, payload)
    }

    fn serve(&self, service: Service, handler: Handler) {
        Net::serve(&self.mesh, service, handler);
    }
}

#[tokio::test(start_paused = true)]
async fn pieces_that_are_lost_are_sent_again() {
    let two = Two::new(Limits::WORK).await;
    let net = Lossy {
        mesh: two.meshes[0].clone(),
        asked: AtomicU32::new(0),
    };
    let asker = Carrier::new(Arc::new(net), Limits::WORK);
    let (mut arrived, whole) = (0, long(3 * MIB));
    for _ in 0..6 {
        let within = Duration::from_secs(10);
        let asked = asker.ask(node(2), Service::HOST, whole.clone(), within);
        match asked.await {
            Ok(answer) => {
                assert!(answer == whole);
                arrived += 1;
            }
            // The last piece is never sent twice, so that a question may fail, not count double.
            Err(fault) => assert_eq!(fault, Fault::Lost(node(2))),
        }
    }
    assert!(arrived >= 2, "{arrived} of 6");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_breaks_half_way_leaves_nothing_done_and_the_next_question_arrives() {
    let two = Two::new(Limits::WORK).await;
    let asking = two.ask(long(15 * MIB));
    let breaking = async {
        while two.kept() < 2 * MIB {
            tokio::task::yield_now().await;
        }
        two.network.sever(node(1), node(2));
    };
    let (asked, ()) = tokio::join!(asking, breaking);
    assert!(asked.is_err_and(|fault| fault.nothing_happened()));
    two.link().await;
    assert!(two.ask(long(15 * MIB)).await == Ok(long(15 * MIB)));
}

#[tokio::test(start_paused = true)]
async fn one_node_cannot_fill_the_memory_of_another() {
    let limits = Limits {
        largest: 2 * MIB,
        peer: 3 * MIB,
        all: 16 * MIB,
    };
    let two = Two::new(limits).await;
    let never: Handler = Arc::new(|_| Box::pin(std::future::pending()));
    two.echo.serve(Service::TASK, never);
    let held = {
        let asker = two.asker.clone();
        let within = Duration::from_secs(60);
        tokio::spawn(asker.ask(node(2), Service::TASK, long(2 * MIB), within))
    };
    while two.kept() < 2 * MIB {
        tokio::task::yield_now().await;
    }
    let more = two.ask(long(2 * MIB)).await;
    assert_eq!(more, Err(Fault::Overloaded(node(2))));
    held.abort();
    // Nobody waits any more, so the handler ends, and what it held is gone.
    while two.kept() >= 2 * MIB {
        tokio::task::yield_now().await;
    }
    assert!(two.ask(long(MIB)).await == Ok(long(MIB)));
}
