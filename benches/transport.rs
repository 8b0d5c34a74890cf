//! What one link between two processes carries: TLS and ractor_cluster, nothing above. How long a
//! request takes over it, the bench `link` says.

use std::{path::Path, sync::Arc, time::Duration};

use benches::{Goal, Result, figure, rate, say_load, stopwatch};
use protocol::{id::NodeId, member::NodeRole};
use runtime::{
    clock::{Clock, Dice},
    cluster::{
        Link,
        transport::testkit::{
            Founded, Heard, Other, PATIENCE, Recorder, Running, SWALLOWED, be, settings,
            told_to_be_the_other,
        },
    },
};
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};

/// Bytes of an envelope.
const ENVELOPE: usize = 100;

/// Envelopes of a frame when they are batched.
const BATCH: usize = 64;

/// Frames between two that come back, and how many of those may be on their way: a window, so that
/// memory stays flat.
const STRIDE: usize = 1_000;
const AHEAD: usize = 8;

const ROUNDS: usize = 5;

#[tokio::main]
async fn main() -> Result<()> {
    if let Some(folder) = told_to_be_the_other() {
        return Ok(be(Path::new(&folder)).await?);
    }
    let founded = Founded::new(7)?;
    let clock = Clock::system();
    let identity = founded.identity("c1", NodeRole::Control, clock.now())?;
    let node = NodeId::from_uuid(Dice::system().uuid_v7(clock.now()));
    let (recorder, mut tape) = Recorder::new();
    let running = Running::start(settings(identity, node, recorder)).await?;
    let mut other = Other::start(&founded, "w1", &[]).await?;
    let watch = stopwatch();
    other.knows(node, &running.address).await?;
    let link = opened(&mut tape).await?;
    let took = watch.elapsed().as_secs_f64() * 1000.0;
    figure(
        "link opened, from being told of the peer",
        took,
        "ms",
        Goal::None,
    );

    let one = best(&link, &mut tape, ENVELOPE, 200_000).await?;
    figure(
        "frames of 100 B, one way",
        one,
        "/s",
        Goal::AtLeast(150_000.0),
    );
    let batched = best(&link, &mut tape, ENVELOPE * BATCH, 50_000).await? * BATCH as f64;
    figure(
        "envelopes of 100 B, 64 in a frame, one way",
        batched,
        "/s",
        Goal::AtLeast(700_000.0),
    );

    say_load();
    running.stop().await;
    Ok(())
}

/// The best of some rounds, in frames a second: the machine is shared.
async fn best(
    link: &Arc<dyn Link>,
    tape: &mut UnboundedReceiver<Heard>,
    size: usize,
    frames: usize,
) -> Result<f64> {
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        let watch = stopwatch();
        let mut ahead = 0;
        for _ in 0..frames / STRIDE {
            for _ in 1..STRIDE {
                link.send(vec![SWALLOWED; size]);
            }
            link.send(vec![1; size]);
            ahead += 1;
            if ahead == AHEAD {
                back(tape).await?;
                ahead -= 1;
            }
        }
        for _ in 0..ahead {
            back(tape).await?;
        }
        best = best.max(rate(frames, watch.elapsed()));
    }
    Ok(best)
}

async fn heard(tape: &mut UnboundedReceiver<Heard>) -> Result<Heard> {
    let heard = timeout(PATIENCE + Duration::from_secs(40), tape.recv()).await?;
    heard.ok_or_else(|| "the node is gone".into())
}

async fn opened(tape: &mut UnboundedReceiver<Heard>) -> Result<Arc<dyn Link>> {
    match heard(tape).await? {
        Heard::Opened(link) => Ok(link),
        other => Err(format!("{other:?}").into()),
    }
}

async fn back(tape: &mut UnboundedReceiver<Heard>) -> Result<()> {
    match heard(tape).await? {
        Heard::Frame(..) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}
