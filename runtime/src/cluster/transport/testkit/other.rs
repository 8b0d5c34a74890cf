//! A node in another process: the same program again, told by its environment to be one.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::Path,
    process::Stdio,
    time::Duration,
};

use protocol::{id::NodeId, member::NodeRole};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::{Founded, Heard, Recorder, Running, settings};
use crate::{
    clock::{Clock, Dice},
    cluster::identity::Identity,
};

const FOLDER: &str = "TROUPE_TEST_OTHER_NODE";

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A frame that begins with this is swallowed by the other node; any other comes back.
pub const SWALLOWED: u8 = 0;

/// Another process with a node; it ends with this one.
#[derive(Debug)]
pub struct Other {
    /// Its start.
    pub node: NodeId,
    /// Where it listens.
    pub address: String,
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

/// Where this process should be the other node: in the folder with its identity.
#[must_use]
pub fn told_to_be_the_other() -> Option<OsString> {
    std::env::var_os(FOLDER)
}

impl Other {
    /// Starts this program again with `args`, by which it comes to [`be`].
    ///
    /// # Errors
    ///
    /// When it does not start within [`PATIENCE`].
    pub async fn start(founded: &Founded, name: &str, args: &[&str]) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("troupe-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder)?;
        let identity = founded.identity(name, NodeRole::Worker, Clock::system().now());
        let saved = identity.and_then(|identity| identity.save(&folder));
        saved.map_err(io::Error::other)?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            .env(FOLDER, &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(io::Error::other("it has no pipes"));
        };
        let mut lines = BufReader::new(stdout).lines();
        let started = said(&mut lines, "node ").await;
        std::fs::remove_dir_all(&folder)?;
        let started = started?;
        let (node, address) = started.split_once(' ').unwrap_or_default();
        Ok(Self {
            node: node.parse().map_err(io::Error::other)?,
            address: address.to_owned(),
            child,
            stdin,
            lines,
        })
    }

    /// What it prints next that begins with `word`, without it: `opened NAME`, `closed NAME WHY`.
    ///
    /// # Errors
    ///
    /// When it ends or says nothing of the kind.
    pub async fn says(&mut self, word: &str) -> io::Result<String> {
        said(&mut self.lines, word).await
    }

    /// Lets it know one peer.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub async fn knows(&mut self, node: NodeId, address: &str) -> io::Result<()> {
        let line = format!("{node} {address}\n");
        self.stdin.write_all(line.as_bytes()).await?;
        self.stdin.flush().await
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}

async fn said(lines: &mut Lines<BufReader<ChildStdout>>, word: &str) -> io::Result<String> {
    let word = format!("troupe: {word}");
    let saying = async {
        while let Some(line) = lines.next_line().await? {
            // A test harness's own words may stand before it.
            if let Some((_, rest)) = line.split_once(&word) {
                return Ok(rest.to_owned());
            }
        }
        Err(io::Error::other("it ended"))
    };
    timeout(PATIENCE, saying).await?
}

/// Runs a node from the identity in `folder` until its input ends: sends frames back, tells of
/// links, and dials whom it is told.
///
/// # Errors
///
/// When the node does not start.
pub async fn be(folder: &Path) -> io::Result<()> {
    let identity = Identity::load(folder).map_err(io::Error::other)?;
    let clock = Clock::system();
    let node = NodeId::from_uuid(Dice::system().uuid_v7(clock.now()));
    let (recorder, mut tape) = Recorder::new();
    let running = Running::start(settings(identity, node, recorder));
    let running = running.await.map_err(io::Error::other)?;
    say(&format!("node {node} {}", running.address))?;
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    let mut links = Vec::new();
    loop {
        tokio::select! {
            heard = tape.recv() => match heard {
                Some(Heard::Opened(link)) => {
                    say(&format!("opened {}", link.peer().name))?;
                    links.push(link);
                }
                Some(Heard::Frame(from, frame)) => {
                    let link = links.iter().rev().find(|link| link.peer().node == from.node);
                    if let Some(link) = link && frame.first() != Some(&SWALLOWED) {
                        link.send(frame);
                    }
                }
                Some(Heard::Closed(peer, reason)) => {
                    say(&format!("closed {} {reason}", peer.name))?;
                }
                None => break,
            },
            order = orders.next_line() => {
                let Some(order) = order? else { break };
                let (node, address) = order.split_once(' ').unwrap_or_default();
                let node = node.parse().map_err(io::Error::other)?;
                running.network.set_peers(vec![(node, address.to_owned())]);
            }
        }
    }
    running.stop().await;
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "troupe: {line}")?;
    out.flush()
}
