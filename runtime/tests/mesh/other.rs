//! The other node: this program again, told by its environment to be one.

use std::{path::Path, process::Stdio, time::Duration};

use protocol::{id::NodeId, member::NodeRole};
use runtime::{
    clock::{Clock, Dice},
    cluster::{
        identity::Identity,
        transport::testkit::{Founded, Heard, Recorder, Running, settings},
    },
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

const FOLDER: &str = "TROUPE_TEST_OTHER_NODE";

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Another process with a node; it ends with this one.
pub(crate) struct Other {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) node: NodeId,
    pub(crate) address: String,
}

impl Other {
    pub(crate) async fn start(founded: &Founded, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = founded.identity(name, NodeRole::Worker, Clock::system().now());
        identity.unwrap().save(folder.path()).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "other::is_the_other_node_when_told_so", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let started = said(&mut lines, "node ").await;
        let (node, address) = started.split_once(' ').unwrap();
        Self {
            node: node.parse().unwrap(),
            address: address.to_owned(),
            child,
            stdin,
            lines,
        }
    }

    /// What it prints next that begins with `word`, without it.
    pub(crate) async fn says(&mut self, word: &str) -> String {
        said(&mut self.lines, word).await
    }

    pub(crate) async fn tell(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.stdin.write_all(line.as_bytes()).await.unwrap();
        self.stdin.flush().await.unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }
}

async fn said(lines: &mut Lines<BufReader<ChildStdout>>, word: &str) -> String {
    let saying = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it ended");
            // The harness's own words may stand before the first line.
            if let Some((_, rest)) = line.split_once(&format!("troupe: {word}")) {
                return rest.to_owned();
            }
        }
    };
    timeout(PATIENCE, saying).await.expect("it said nothing")
}

/// Echoes frames, dials whom it is told, and ends with its input. In the process that runs the
/// tests nobody tells it so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_the_other_node_when_told_so() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let identity = Identity::load(Path::new(&folder)).unwrap();
    let clock = Clock::system();
    let node = NodeId::from_uuid(Dice::system().uuid_v7(clock.now()));
    let (recorder, mut tape) = Recorder::new();
    let running = Running::start(settings(identity, node, recorder))
        .await
        .unwrap();
    println!("troupe: node {node} {}", running.address);
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    let mut links = Vec::new();
    loop {
        tokio::select! {
            heard = tape.recv() => match heard.unwrap() {
                Heard::Opened(link) => {
                    println!("troupe: opened {}", link.peer().name);
                    links.push(link);
                }
                Heard::Frame(from, frame) => {
                    let link = links.iter().rev().find(|link| link.peer().node == from.node);
                    link.unwrap().send(frame);
                }
                Heard::Closed(peer, reason) => println!("troupe: closed {} {reason}", peer.name),
            },
            order = orders.next_line() => {
                let Some(order) = order.unwrap() else { break };
                let (node, address) = order.split_once(' ').unwrap();
                running.network.set_peers(vec![(node.parse().unwrap(), address.to_owned())]);
            }
        }
    }
    running.stop().await;
}
