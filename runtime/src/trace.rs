//! Spans: where a request spent its time, from the edge through actors and nodes to tools.
//!
//! A [`Span`] is made when its work is over, by whoever knows how it went; its place in its trace may
//! have been known long before, on another node. Nothing is recorded unless the process has a
//! [`Recorder`] for the node; then [`record`] hands spans over and never waits.

mod handle;
mod span;

pub use crate::cluster::{current_trace, traced};
pub use handle::{Recorder, begin, below, install, is_on, record, records, remove};
pub use span::{Kind, Link, Note, Origin, Span, Value};
