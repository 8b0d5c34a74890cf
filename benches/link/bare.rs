//! The yardstick: ractor_cluster as it comes, one actor in another process, no TLS and no batches.

#![expect(
    clippy::disallowed_methods,
    reason = "it is measured without what supervision adds"
)]

use std::{
    net::{Ipv4Addr, TcpListener},
    process::Stdio,
    time::Duration,
};

use benches::{Goal, Latencies, Rounds, figure, rate, say, stopwatch};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call, pg};
use ractor_cluster::{NodeServer, RactorClusterMessage, client_connect};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::{CALLS, ROUNDS, SIZE};

const PORT: &str = "TROUPE_BENCH_BARE_PORT";
const GROUP: &str = "bare";
const COOKIE: &str = "bench";
const CASTS: usize = 200_000;
/// Casts between two that wait for an answer, so that mailboxes stay small.
const STRIDE: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(20);

struct Ear;

#[derive(RactorClusterMessage)]
enum Message {
    Hear(Vec<u8>),
    #[rpc]
    Echo(Vec<u8>, RpcReplyPort<Vec<u8>>),
}

impl Actor for Ear {
    type Msg = Message;
    type State = u64;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        (): (),
    ) -> Result<u64, ActorProcessingErr> {
        pg::join(GROUP.to_owned(), vec![myself.get_cell()]);
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        heard: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Hear(_) => *heard += 1,
            // Whoever asked may be gone.
            Message::Echo(payload, reply) => drop(reply.send(payload)),
        }
        Ok(())
    }
}

/// Where this process is to listen as the other one, if it is.
pub(super) fn told() -> Option<benches::Result<u16>> {
    let port = std::env::var(PORT).ok()?;
    Some(port.parse().map_err(Into::into))
}

/// Is the other process, until it is killed.
pub(super) async fn be(port: u16) -> benches::Result<()> {
    let _server = serve(port, "far").await?;
    let (_ear, end) = Actor::spawn(None, Ear, ()).await?;
    say("ready");
    Ok(end.await?)
}

async fn serve(
    port: u16,
    name: &str,
) -> benches::Result<ActorRef<ractor_cluster::NodeServerMessage>> {
    let host = "localhost".to_owned();
    let server = NodeServer::new(port, COOKIE.to_owned(), name.to_owned(), host, None, None)
        .with_listen_addr(Ipv4Addr::LOCALHOST.into());
    Ok(Actor::spawn(None, server, ()).await?.0)
}

pub(super) async fn report() -> benches::Result<()> {
    let port = free_port()?;
    let _other = other(port).await?;
    let server = serve(0, "near").await?;
    client_connect(&server, (Ipv4Addr::LOCALHOST, port)).await?;
    let far: ActorRef<Message> = timeout(PATIENCE, found()).await?.into();

    let mut reached = Rounds::default();
    for _ in 0..ROUNDS {
        let watch = stopwatch();
        for _ in 0..CASTS / STRIDE {
            for _ in 1..STRIDE {
                far.cast(Message::Hear(vec![7; SIZE]))?;
            }
            call!(far, Message::Echo, vec![7; SIZE])?;
        }
        reached.add(rate(CASTS, watch.elapsed()));
    }
    let name = format!("casts of {SIZE} B, one way");
    reached.report(&name, "/s", Goal::None);

    let (mut p50, mut p99) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        let mut trips = Latencies::default();
        for _ in 0..CALLS {
            let watch = stopwatch();
            call!(far, Message::Echo, vec![7; SIZE])?;
            trips.add(watch.elapsed());
        }
        p50.add(trips.percentile(0.5) * 1000.0);
        p99.add(trips.percentile(0.99) * 1000.0);
    }
    p50.report("call, one in flight, p50", "µs", Goal::Under(100.0));
    let name = "  p99 of the round with the best";
    figure(name, p99.least(), "µs", Goal::None);
    server.stop(None);
    Ok(())
}

async fn found() -> ractor::ActorCell {
    loop {
        if let Some(ear) = pg::get_members(&GROUP.to_owned()).pop() {
            return ear;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

fn free_port() -> benches::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// This program again, as the other process; it is killed with what this gives.
async fn other(port: u16) -> benches::Result<Child> {
    let mut child = Command::new(std::env::current_exe()?)
        .env(PORT, port.to_string())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let out = child.stdout.take().ok_or("it has no output")?;
    let mut lines = BufReader::new(out).lines();
    timeout(PATIENCE, lines.next_line()).await??;
    Ok(child)
}
