//! What two processes see of each other.

use std::{collections::HashSet, sync::Arc, time::Duration};

use protocol::{id::NodeId, member::NodeRole};
use runtime::{
    clock::{Clock, Dice},
    cluster::{
        Link,
        transport::testkit::{Founded, Heard, PATIENCE, Recorder, Running, settings},
    },
};
use rustix::process::Signal;
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};

use super::other::{other, signal};

type Tape = UnboundedReceiver<Heard>;

async fn this_node(founded: &Founded) -> (Running, Tape, NodeId) {
    let clock = Clock::system();
    let identity = founded.identity("c1", NodeRole::Control, clock.now());
    let node = NodeId::from_uuid(Dice::system().uuid_v7(clock.now()));
    let (recorder, tape) = Recorder::new();
    let settings = settings(identity.unwrap(), node, recorder);
    (Running::start(settings).await.unwrap(), tape, node)
}

async fn heard(tape: &mut Tape) -> Heard {
    let heard = timeout(PATIENCE, tape.recv()).await;
    heard.unwrap().unwrap()
}

async fn opened(tape: &mut Tape) -> Arc<dyn Link> {
    match heard(tape).await {
        Heard::Opened(link) => link,
        other => panic!("{other:?}"),
    }
}

async fn closed(tape: &mut Tape) -> String {
    match heard(tape).await {
        Heard::Closed(_, reason) => reason,
        other => panic!("{other:?}"),
    }
}

async fn echoed(tape: &mut Tape) -> Vec<u8> {
    match heard(tape).await {
        Heard::Frame(_, frame) => frame,
        other => panic!("{other:?}"),
    }
}

fn numbered(number: u32) -> Vec<u8> {
    format!("number {number}").into_bytes()
}

/// TCP sockets that this process holds; runtimes have sockets of other kinds.
fn sockets() -> usize {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let inodes = table
        .lines()
        .filter_map(|line| line.split_whitespace().nth(9));
    let inodes: HashSet<_> = inodes.map(|inode| format!("socket:[{inode}]")).collect();
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let targets = fds.filter_map(|fd| std::fs::read_link(fd.path()).ok());
    targets
        .filter(|target| inodes.contains(target.to_string_lossy().as_ref()))
        .count()
}

/// Looks again and again, as nothing tells when it becomes so.
async fn becomes(what: impl Fn() -> bool) {
    let looking = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap();
}

fn alive() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

#[tokio::test]
async fn frames_cross_in_both_directions_and_in_order() {
    let founded = Founded::new(7).unwrap();
    let (running, mut tape, me) = this_node(&founded).await;
    let mut other = other(&founded, "w1").await;
    // The later start dials.
    running
        .network
        .set_peers(vec![(other.node, other.address.clone())]);
    other.knows(me, &running.address).await.unwrap();
    let link = opened(&mut tape).await;
    assert_eq!(link.peer().name, "w1");
    assert_eq!(link.peer().node, other.node);
    assert_eq!(other.says("opened ").await.unwrap(), "c1");
    for number in 0..1_000_u32 {
        link.send(numbered(number));
    }
    link.send(vec![7; 900 * 1024]);
    for number in 0..1_000_u32 {
        assert_eq!(echoed(&mut tape).await, numbered(number));
    }
    assert_eq!(echoed(&mut tape).await.len(), 900 * 1024);
    // More than a frame may weigh is dropped here; over there it would end the link.
    link.send(vec![7; 1024 * 1024 + 1]);
    link.send(b"still there".to_vec());
    assert_eq!(echoed(&mut tape).await, b"still there");
    let [view] = &running.network.links()[..] else {
        panic!("one link");
    };
    assert!(!view.dialled && view.mesh.as_ref() == Some(&other.address));
    running.stop().await;
    assert!(matches!(heard(&mut tape).await, Heard::Closed(..)));
}

#[tokio::test]
async fn a_killed_node_is_noticed_at_once() {
    let founded = Founded::new(7).unwrap();
    let (running, mut tape, me) = this_node(&founded).await;
    let mut other = other(&founded, "w1").await;
    other.knows(me, &running.address).await.unwrap();
    opened(&mut tape).await;
    signal(&other, Signal::KILL);
    let reason = timeout(Duration::from_secs(1), closed(&mut tape)).await;
    assert!(reason.unwrap().contains("the other end"), "reason");
    assert!(running.network.links().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn closing_the_link_to_a_frozen_node_frees_its_socket_and_its_tasks() {
    let founded = Founded::new(7).unwrap();
    let (running, mut tape, me) = this_node(&founded).await;
    let mut other = other(&founded, "w1").await;
    let (sockets_before, tasks_before) = (sockets(), alive());
    other.knows(me, &running.address).await.unwrap();
    let link = opened(&mut tape).await;
    // Or it never hears of the end of what it did not hear of.
    assert_eq!(other.says("opened ").await.unwrap(), "c1");
    signal(&other, Signal::STOP);
    // More than sockets buffer, so that the writer is stuck when the link is closed.
    for _ in 0..64 {
        link.send(vec![7; 512 * 1024]);
    }
    link.close("enough");
    assert_eq!(closed(&mut tape).await, "enough");
    becomes(|| sockets() == sockets_before && alive() == tasks_before).await;
    // It lives on, hears that the link is gone, and dials again.
    signal(&other, Signal::CONT);
    other.says("closed ").await.unwrap();
    opened(&mut tape).await;
    running.stop().await;
}

#[tokio::test]
async fn links_come_back_when_what_carries_them_is_restarted() {
    let founded = Founded::new(7).unwrap();
    let (running, mut tape, me) = this_node(&founded).await;
    let mut other = other(&founded, "w1").await;
    other.knows(me, &running.address).await.unwrap();
    opened(&mut tape).await;
    running.restart().await;
    closed(&mut tape).await;
    let link = opened(&mut tape).await;
    link.send(b"again".to_vec());
    assert_eq!(echoed(&mut tape).await, b"again");
    running.stop().await;
}

#[tokio::test]
async fn a_link_that_comes_and_goes_leaves_nothing_behind() {
    let founded = Founded::new(7).unwrap();
    let mut other = other(&founded, "w1").await;
    let (running, mut tape, _) = this_node(&founded).await;
    running
        .network
        .set_peers(vec![(other.node, other.address.clone())]);
    let mut held = None;
    for round in 0..20 {
        let link = opened(&mut tape).await;
        assert_eq!(other.says("opened ").await.unwrap(), "c1");
        link.send(numbered(round));
        assert_eq!(echoed(&mut tape).await, numbered(round));
        drop(link);
        // Sessions, what stands for the other's actors, writers and timers are all tasks.
        let (sockets_before, tasks_before) = *held.get_or_insert_with(|| (sockets(), alive()));
        becomes(|| sockets() == sockets_before && alive() == tasks_before).await;
        running.network.close(other.node, "it flaps");
        assert_eq!(closed(&mut tape).await, "it flaps");
        let network = running.network.clone();
        becomes(move || {
            network.nudge();
            !network.links().is_empty()
        })
        .await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_closed_link_is_dialled_again_at_once_when_nudged() {
    let founded = Founded::new(7).unwrap();
    let mut other = other(&founded, "w1").await;
    let (running, mut tape, _) = this_node(&founded).await;
    let peers = vec![(other.node, other.address.clone())];
    running.network.set_peers(peers);
    for round in 0..5 {
        let link = opened(&mut tape).await;
        assert_eq!(other.says("opened ").await.unwrap(), "c1");
        running.network.close(other.node, "another round");
        assert_eq!(closed(&mut tape).await, "another round", "{round}");
        drop(link);
        let network = running.network.clone();
        becomes(move || {
            network.nudge();
            !network.links().is_empty()
        })
        .await;
    }
    running.stop().await;
}
