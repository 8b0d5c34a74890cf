//! Who takes spans, node by node: a process may hold several.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use protocol::{id::NodeId, wire::Trace};
use uuid::Uuid;

use super::Span;

/// Takes spans on their way to a collector.
pub trait Recorder: fmt::Debug + Send + Sync {
    /// Whether a trace that begins at its node is recorded.
    fn samples(&self) -> bool;

    /// Takes one; neither waits nor fails, so what cannot be kept is dropped.
    fn record(&self, span: Span);
}

/// Whether any node of this process has a recorder: the one thing that is looked at when none has.
static ON: AtomicBool = AtomicBool::new(false);

static RECORDERS: RwLock<Vec<(NodeId, Arc<dyn Recorder>)>> = RwLock::new(Vec::new());

/// From now on, spans of `node` go to `recorder`.
pub fn install(node: NodeId, recorder: Arc<dyn Recorder>) {
    let mut recorders = RECORDERS.write().unwrap_or_else(PoisonError::into_inner);
    recorders.retain(|(of, _)| *of != node);
    recorders.push((node, recorder));
    ON.store(true, Ordering::Relaxed);
}

/// Spans of `node` go nowhere any more.
pub fn remove(node: NodeId) {
    let mut recorders = RECORDERS.write().unwrap_or_else(PoisonError::into_inner);
    recorders.retain(|(of, _)| *of != node);
    ON.store(!recorders.is_empty(), Ordering::Relaxed);
}

/// Whether anything is recorded.
#[must_use]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Whether spans of a trace are recorded here.
#[must_use]
pub fn records(trace: Trace) -> bool {
    trace.is_sampled() && is_on()
}

/// A trace that begins at `node`, at a span that has caused nothing yet; absent where none is recorded.
#[must_use]
pub fn begin(node: NodeId) -> Option<Trace> {
    if !is_on() {
        return None;
    }
    let sampled = recorder(node)?.samples();
    let trace = *Uuid::new_v4().as_bytes();
    Some(Trace::begin(trace, fresh(), sampled))
}

fn recorder(node: NodeId) -> Option<Arc<dyn Recorder>> {
    let recorders = RECORDERS.read().unwrap_or_else(PoisonError::into_inner);
    let found = recorders.iter().find(|(of, _)| *of == node);
    found.map(|(_, recorder)| Arc::clone(recorder))
}

/// The place of a new span below `parent`; where none is recorded, that of `parent`.
#[must_use]
pub fn below(parent: Trace) -> Trace {
    if records(parent) {
        parent.at(fresh())
    } else {
        parent
    }
}

/// Hands a span to its node's recorder, if there is one.
pub fn record(span: Span) {
    if !records(span.at) {
        return;
    }
    if let Some(recorder) = recorder(span.node) {
        recorder.record(span);
    }
}

/// An id that no other span has; never all zero, as the variant is part of it.
fn fresh() -> [u8; 8] {
    Uuid::new_v4().as_u64_pair().1.to_be_bytes()
}
