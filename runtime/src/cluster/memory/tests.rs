//! Frames meet what was injected, and the same seed repeats it.

use std::time::Duration;

use protocol::{member::Roles, wire::Service};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::*;
use crate::cluster::Handler;

const TOLD: u32 = 200;
const LONG: Duration = Duration::from_secs(60);

fn peer(number: u128) -> Peer {
    Peer {
        node: NodeId::from_uuid(Uuid::from_u128(number)),
        name: format!("n{number}"),
        roles: Roles::all(),
    }
}

struct Rig {
    network: Network,
    a: Mesh,
    b: Mesh,
    heard: mpsc::UnboundedReceiver<u32>,
}

impl Rig {
    async fn new(seed: u64) -> Self {
        let network = Network::new(seed);
        let (first, second) = (peer(1), peer(2));
        let (a, b) = (Mesh::new(first.node), Mesh::new(second.node));
        let (ears, heard) = mpsc::unbounded_channel();
        let handler: Handler = Arc::new(move |incoming| {
            let number = incoming.payload.as_slice().try_into();
            ears.send(u32::from_le_bytes(number.unwrap())).unwrap();
            Box::pin(async { Ok(Vec::new()) })
        });
        b.serve(Service::TASK, handler);
        let mut events = a.watch();
        network.connect(&a, first, &b, second);
        events.recv().await.unwrap();
        Self {
            network,
            a,
            b,
            heard,
        }
    }

    /// Tells all numbers, each in a frame of its own, and gives those that were heard.
    async fn numbers(&mut self) -> Vec<u32> {
        for number in 0..TOLD {
            let payload = number.to_le_bytes().to_vec();
            self.a.tell(self.b.me(), Service::TASK, payload).unwrap();
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let mut heard = Vec::new();
        while let Ok(Some(number)) = tokio::time::timeout(LONG, self.heard.recv()).await {
            heard.push(number);
        }
        heard
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_repeats_the_same_faults() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let mut rig = Rig::new(seed).await;
        rig.network.inject(Faults {
            drop: 0.2,
            duplicate: 0.2,
            reorder: 0.2,
            delay: Duration::ZERO..=Duration::from_millis(20),
        });
        let heard = rig.numbers().await;
        assert!(
            heard.len() < TOLD as usize && heard.is_sorted(),
            "{heard:?}"
        );
        runs.push((heard, rig.network.injected()));
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test(start_paused = true)]
async fn delays_keep_the_order_of_a_link() {
    let mut rig = Rig::new(1).await;
    rig.network.inject(Faults {
        delay: Duration::ZERO..=Duration::from_secs(1),
        ..Faults::default()
    });
    assert_eq!(rig.numbers().await, Vec::from_iter(0..TOLD));
    assert!(rig.network.injected().delayed > 0);
}

#[tokio::test(start_paused = true)]
async fn a_cut_holds_frames_up_until_it_heals() {
    let mut rig = Rig::new(1).await;
    rig.network.part(&[rig.a.me()], &[rig.b.me()]);
    let payload = 5_u32.to_le_bytes().to_vec();
    rig.a.tell(rig.b.me(), Service::TASK, payload).unwrap();
    let two = Duration::from_secs(2);
    tokio::time::timeout(two, rig.heard.recv())
        .await
        .unwrap_err();
    rig.network.heal();
    assert_eq!(rig.heard.recv().await, Some(5));
    assert!(rig.network.injected().held > 0);
}
