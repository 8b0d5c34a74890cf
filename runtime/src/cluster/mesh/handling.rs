//! Runs handlers: a panic becomes a refusal, and time runs out.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use protocol::{
    id::NodeId,
    wire::{Service, Trace},
};

use super::trace::traced;
use crate::cluster::{Fault, Handler, Incoming, MAX_PAYLOAD};

/// Answers a request, within the time that its asker waits.
pub(super) async fn answer(
    me: NodeId,
    handler: Handler,
    incoming: Incoming,
    trace: Option<Trace>,
) -> Result<Vec<u8>, Fault> {
    let left = incoming.left;
    let answered = tokio::time::timeout(left, run(&handler, incoming, trace)).await;
    let payload = answered.unwrap_or(Err(Fault::Deadline(me)))?;
    if payload.len() > MAX_PAYLOAD {
        return Err(Fault::TooLarge {
            size: payload.len(),
            limit: MAX_PAYLOAD,
        });
    }
    Ok(payload)
}

/// Hears what was told; nobody waits for what comes of it.
pub(super) async fn hear(
    service: Service,
    handler: &Handler,
    incoming: Incoming,
    trace: Option<Trace>,
) {
    if let Err(fault) = run(handler, incoming, trace).await {
        tracing::debug!(%fault, service = service.0, "what a peer told came to nothing");
    }
}

async fn run(
    handler: &Handler,
    incoming: Incoming,
    trace: Option<Trace>,
) -> Result<Vec<u8>, Fault> {
    let handled = traced(trace, async move { handler(incoming).await });
    let caught = AssertUnwindSafe(handled).catch_unwind().await;
    caught.unwrap_or_else(|panic| {
        Err(Fault::Refused(format!(
            "its handler panicked: {}",
            words(&*panic)
        )))
    })
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without words")
}
