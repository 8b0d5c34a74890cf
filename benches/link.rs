//! Messages between two nodes: envelopes a second, and how long a request takes, in memory and between
//! two processes over TLS and ractor_cluster.

#[path = "link/bare.rs"]
mod bare;
#[path = "link/ends.rs"]
mod ends;

use std::{hint::black_box, path::Path, time::Duration};

use benches::{
    Goal, Latencies, Result, Rounds, figure, processor_seconds, rate, say, say_load, stopwatch,
};
use protocol::{
    id::NodeId,
    member::Roles,
    wire::{
        Envelope, Lane, Service,
        frame::{Bulk, Frame},
    },
};
use runtime::cluster::{
    Fault, Mesh, Peer, PeerEvent, memory::Network, transport::testkit::told_to_be_the_other,
};
use uuid::Uuid;

use self::ends::{Far, be, counting, far};

/// Bytes of a message.
const SIZE: usize = 100;
const TELLS: usize = 1_000_000;
const CALLS: usize = 10_000;
const CROWD: usize = 64;
const ROUNDS: usize = 5;
const WAIT: Duration = Duration::from_secs(30);
/// How long whoever tells too much waits: the queue does not run empty meanwhile.
const PAUSE: Duration = Duration::from_millis(1);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    if let Some(folder) = told_to_be_the_other() {
        return runtime.block_on(be(Path::new(&folder)));
    }
    if let Some(port) = bare::told() {
        return runtime.block_on(bare::be(port?));
    }
    codec()?;
    // Not on the thread that waits for the runtime: to wake that one costs more than a message.
    runtime.block_on(async { tokio::spawn(all()).await? })
}

async fn all() -> Result<()> {
    say("link: two nodes in one process, over the in-memory link, two threads");
    let (a, b) = in_memory().await?;
    counting(&b);
    report(&a, b.me(), None).await?;
    say("link: two processes, bare ractor_cluster without TLS (the yardstick)");
    bare::report().await?;
    say("link: two processes, TLS 1.3 and ractor_cluster, told and asked end to end");
    let Far { mesh, other, near } = far().await?;
    report(&mesh, other.node, other.pid()).await?;
    near.stop().await;
    say_load();
    Ok(())
}

/// What writing and reading costs alone, on one core.
fn codec() -> Result<()> {
    say("link: the codec alone, one thread");
    let payload = vec![7; SIZE];
    let tell = Envelope::Tell {
        service: Service::TASK,
        trace: None,
        payload: &payload,
    };
    let rounds = 2 * TELLS / 64;
    let watch = stopwatch();
    for number in 0..rounds {
        black_box(frame(number as u64, tell));
    }
    let name = format!("envelopes of {SIZE} B written, 64 a frame");
    figure(&name, rate(rounds * 64, watch.elapsed()), "/s", Goal::None);
    let frame = frame(1, tell);
    let watch = stopwatch();
    for _ in 0..rounds {
        let Frame::Bulk { envelopes, .. } = Frame::read(black_box(&frame))? else {
            return Err("it was written as bulk".into());
        };
        for envelope in envelopes {
            black_box(envelope?);
        }
    }
    figure(
        "the same, read",
        rate(rounds * 64, watch.elapsed()),
        "/s",
        Goal::None,
    );
    Ok(())
}

fn frame(number: u64, envelope: Envelope<'_>) -> Vec<u8> {
    let mut frame = Bulk::new(Lane::tells(Service::TASK), number, 64 * 164);
    for _ in 0..64 {
        frame.push(&envelope);
    }
    frame.into_bytes()
}

async fn in_memory() -> Result<(Mesh, Mesh)> {
    let [first, second] = ["a", "b"].map(|name| Peer {
        node: NodeId::from_uuid(Uuid::now_v7()),
        name: name.to_owned(),
        roles: Roles::all(),
    });
    let (a, b) = (Mesh::new(first.node), Mesh::new(second.node));
    let mut events = a.watch();
    Network::new(1).connect(&a, first, &b, second);
    match events.recv().await? {
        PeerEvent::Up(_) => Ok((a, b)),
        PeerEvent::Down(node) => Err(format!("{node} went away").into()),
    }
}

/// Figures of the link to another mesh, whatever carries it; `process` is the other one's.
async fn report(mesh: &Mesh, to: NodeId, process: Option<u32>) -> Result<()> {
    tells(mesh, to, TELLS / 10).await?;
    let mut reached = Rounds::default();
    let before = spent(process)?;
    for _ in 0..ROUNDS {
        reached.add(tells(mesh, to, TELLS).await?);
    }
    let after = spent(process)?;
    let name = format!("envelopes of {SIZE} B told, one way");
    reached.report(&name, "/s", Goal::AtLeast(700_000.0));
    sides(before, after, ROUNDS * TELLS);

    let mut crowds = Rounds::default();
    let (mut p50, mut p99) = (Rounds::default(), Rounds::default());
    calls(mesh, to, CALLS / 10).await?;
    for _ in 0..ROUNDS {
        let one = calls(mesh, to, CALLS).await?;
        p50.add(one.percentile(0.5) * 1000.0);
        p99.add(one.percentile(0.99) * 1000.0);
        crowds.add(crowd(mesh, to).await?);
    }
    let name = "request and reply, one in flight, p50";
    p50.report(name, "µs", Goal::Under(100.0));
    figure(
        "  p99 of the round with the best",
        p99.least(),
        "µs",
        Goal::None,
    );
    let name = format!("requests and replies, {CROWD} in flight");
    crowds.report(&name, "/s", Goal::None);
    Ok(())
}

/// Prints what an envelope cost this process and the other one.
fn sides(before: [f64; 2], after: [f64; 2], envelopes: usize) {
    for (side, name) in ["sends", "hears"].into_iter().enumerate() {
        let micros = (after[side] - before[side]) * 1e6 / envelopes as f64;
        if micros > 0.0 {
            let name = format!("  processor time an envelope, process that {name}");
            figure(&name, micros, "µs", Goal::None);
        }
    }
}

fn spent(process: Option<u32>) -> Result<[f64; 2]> {
    let theirs = process.map_or(Ok(0.0), processor_seconds)?;
    Ok([processor_seconds(std::process::id())?, theirs])
}

async fn crowd(mesh: &Mesh, to: NodeId) -> Result<f64> {
    let watch = stopwatch();
    let crowd = (0..CROWD).map(|_| {
        let mesh = mesh.clone();
        tokio::spawn(async move { calls(&mesh, to, CALLS / 8).await })
    });
    for caller in crowd.collect::<Vec<_>>() {
        caller.await??;
    }
    Ok(rate(CROWD * (CALLS / 8), watch.elapsed()))
}

/// Tells `count` messages and waits until all were heard: messages a second.
async fn tells(mesh: &Mesh, to: NodeId, count: usize) -> Result<f64> {
    let expected = (count as u64).to_be_bytes().to_vec();
    mesh.ask(to, ends::COUNT, expected, WAIT).await?;
    let watch = stopwatch();
    for number in 0..count {
        while let Err(fault) = mesh.tell(to, Service::TASK, vec![7; SIZE]) {
            if !matches!(fault, Fault::Overloaded(_)) {
                return Err(fault.into());
            }
            tokio::time::sleep(PAUSE).await;
        }
        if number % 64 == 0 {
            tokio::task::consume_budget().await;
        }
    }
    mesh.ask(to, ends::COUNT, Vec::new(), WAIT).await?;
    Ok(rate(count, watch.elapsed()))
}

/// Makes `count` requests, one after another.
async fn calls(mesh: &Mesh, to: NodeId, count: usize) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    for _ in 0..count {
        let watch = stopwatch();
        mesh.ask(to, Service::CALL, vec![7; SIZE], WAIT).await?;
        latencies.add(watch.elapsed());
    }
    Ok(latencies)
}
