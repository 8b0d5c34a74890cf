//! Which trace the current task works for, so that it follows a message to the next node.

use protocol::wire::Trace;

tokio::task_local! {
    static TRACE: Option<Trace>;
}

/// The trace that the current task works for; what it asks and tells other nodes belongs to it.
#[must_use]
pub fn current_trace() -> Option<Trace> {
    TRACE.try_with(|trace| *trace).ok().flatten()
}

/// Lets a future work for a trace.
pub fn traced<F: Future>(trace: Option<Trace>, future: F) -> impl Future<Output = F::Output> {
    TRACE.scope(trace, future)
}
