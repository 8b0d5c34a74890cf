//! What is between two programs, and can be slow, break, or be shut: kernels that shape traffic are
//! not everywhere.

use std::{
    net::{Ipv4Addr, TcpListener as Socket},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{Instant, sleep_until},
};

/// Bytes that go on together; a slow pipe lets others between two of them.
const CHUNK: usize = 2048;

/// Chunks that may be under way in one direction.
const UNDER_WAY: usize = 64;

/// How a pipe treats what comes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Flow {
    Free,
    /// As a link far away, each way of each connection.
    Slow {
        latency: Duration,
        bytes_per_second: f64,
    },
    /// Whoever comes is reset.
    Shut,
}

/// A port whose connections end at another port of this machine.
pub(crate) struct Pipe {
    port: u16,
    flow: watch::Sender<Flow>,
    resets: watch::Sender<u64>,
    dials: Arc<Mutex<Vec<Instant>>>,
    accepting: AbortHandle,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.accepting.abort();
        self.reset();
    }
}

impl Pipe {
    pub(crate) fn to(target: u16) -> Self {
        let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let port = socket.local_addr().unwrap().port();
        let listener = TcpListener::from_std(socket).unwrap();
        let (flow, resets) = (watch::channel(Flow::Free).0, watch::channel(0).0);
        let dials = Arc::new(Mutex::new(Vec::new()));
        let accepting = {
            let (flow, resets, dials) = (flow.subscribe(), resets.subscribe(), dials.clone());
            tokio::spawn(async move {
                while let Ok((near, _)) = listener.accept().await {
                    dials.lock().unwrap().push(Instant::now());
                    tokio::spawn(carry(near, target, flow.clone(), resets.clone()));
                }
            })
        };
        Self {
            port,
            flow,
            resets,
            dials,
            accepting: accepting.abort_handle(),
        }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn flow(&self, flow: Flow) {
        self.flow.send_replace(flow);
        if flow == Flow::Shut {
            self.reset();
        }
    }

    /// Resets every connection, at both ends; what was under way is lost.
    pub(crate) fn reset(&self) {
        self.resets.send_modify(|resets| *resets += 1);
    }

    /// When somebody came, since `since`.
    pub(crate) fn dials(&self, since: Instant) -> Vec<Instant> {
        let dials = self.dials.lock().unwrap();
        dials.iter().copied().filter(|at| *at >= since).collect()
    }
}

/// Carries bytes both ways until both ends have closed, or a reset.
async fn carry(
    mut near: TcpStream,
    target: u16,
    flow: watch::Receiver<Flow>,
    mut resets: watch::Receiver<u64>,
) {
    resets.mark_unchanged();
    if *flow.borrow() == Flow::Shut {
        near.set_zero_linger().unwrap();
        return;
    }
    let Ok(mut far) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else {
        return;
    };
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let carried = {
        let (near, far) = (near.split(), far.split());
        let there = one_way(near.0, far.1, flow.clone());
        let back = one_way(far.0, near.1, flow);
        tokio::select! {
            _ = async { tokio::join!(there, back) } => true,
            _ = resets.changed() => false,
        }
    };
    if !carried {
        // One that is gone already cannot be set.
        let _ = (near.set_zero_linger(), far.set_zero_linger());
    }
}

async fn one_way(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, flow: watch::Receiver<Flow>) {
    let (chunks, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let rules = flow.clone();
    let reading = async move {
        let mut chunk = [0; CHUNK];
        while let Ok(read @ 1..) = from.read(&mut chunk).await {
            let latency = match *rules.borrow() {
                Flow::Slow { latency, .. } => latency,
                Flow::Free | Flow::Shut => Duration::ZERO,
            };
            let due = Instant::now() + latency;
            if chunks.send((due, chunk[..read].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, chunk)) = arriving.recv().await {
            sleep_until(due).await;
            let slow = match *flow.borrow() {
                Flow::Slow {
                    bytes_per_second, ..
                } => Duration::from_secs_f64(chunk.len() as f64 / bytes_per_second),
                Flow::Free | Flow::Shut => Duration::ZERO,
            };
            sleep_until(Instant::now() + slow).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
        // The other end may be gone.
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}
