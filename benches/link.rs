//! Messages between two nodes: envelopes a second, and how long a request takes.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use benches::{Goal, Latencies, Result, figure, rate, say, stopwatch};
use protocol::{
    id::NodeId,
    member::Roles,
    wire::{
        Envelope, Lane, Service,
        frame::{Bulk, Frame},
    },
};
use runtime::cluster::{Fault, Handler, Mesh, Peer, PeerEvent, memory::Network};
use tokio::sync::Notify;
use uuid::Uuid;

/// Bytes of a message.
const SIZE: usize = 100;
const TELLS: usize = 2_000_000;
const CALLS: usize = 30_000;
const CROWD: usize = 64;
const WAIT: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    codec()?;
    runtime.block_on(async {
        let (a, b) = in_memory().await?;
        say("link: two nodes in one process, over the in-memory link, two threads");
        let work = tokio::spawn(async move { report(&a, &b, Goal::AtLeast(700_000.0)).await });
        work.await?
    })
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
    let rounds = TELLS / 64;
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

/// Figures of the link between two meshes, whatever carries it.
async fn report(a: &Mesh, b: &Mesh, envelopes: Goal) -> Result<()> {
    let reached = tells(a, b, TELLS).await?;
    let name = format!("envelopes of {SIZE} B told, one way");
    figure(&name, reached, "/s", envelopes);

    b.serve(Service::CALL, echo());
    calls(a, b, CALLS / 10).await?;
    let one = calls(a, b, CALLS).await?;
    let micros = |share| one.percentile(share) * 1000.0;
    let name = "request and reply, one in flight, p50";
    figure(name, micros(0.5), "µs", Goal::Under(100.0));
    figure("the same, p99", micros(0.99), "µs", Goal::None);

    let watch = stopwatch();
    let crowd = (0..CROWD).map(|_| {
        let (a, b) = (a.clone(), b.clone());
        tokio::spawn(async move { calls(&a, &b, CALLS / 8).await })
    });
    for caller in crowd.collect::<Vec<_>>() {
        caller.await??;
    }
    let name = format!("requests and replies, {CROWD} in flight");
    let reached = rate(CROWD * (CALLS / 8), watch.elapsed());
    figure(&name, reached, "/s", Goal::None);
    Ok(())
}

fn echo() -> Handler {
    Arc::new(|incoming| Box::pin(async move { Ok(incoming.payload) }))
}

/// Tells `count` messages and waits until all were heard: messages a second.
async fn tells(a: &Mesh, b: &Mesh, count: usize) -> Result<f64> {
    let heard = Arc::new((AtomicUsize::new(0), Notify::new()));
    let ears = heard.clone();
    let handler: Handler = Arc::new(move |incoming| {
        let all = ears.0.fetch_add(1, Ordering::Relaxed) + 1 == count;
        debug_assert_eq!(incoming.payload.len(), SIZE);
        if all {
            ears.1.notify_one();
        }
        Box::pin(async { Ok(Vec::new()) })
    });
    b.serve(Service::TASK, handler);
    let watch = stopwatch();
    for _ in 0..count {
        while let Err(fault) = a.tell(b.me(), Service::TASK, vec![7; SIZE]) {
            if !matches!(fault, Fault::Overloaded(_)) {
                return Err(fault.into());
            }
            tokio::task::yield_now().await;
        }
    }
    tokio::time::timeout(WAIT, heard.1.notified()).await?;
    Ok(rate(count, watch.elapsed()))
}

/// Makes `count` requests, one after another.
async fn calls(a: &Mesh, b: &Mesh, count: usize) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    for _ in 0..count {
        let watch = stopwatch();
        a.ask(b.me(), Service::CALL, vec![7; SIZE], WAIT).await?;
        latencies.add(watch.elapsed());
    }
    Ok(latencies)
}
