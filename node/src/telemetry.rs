//! What a node says about itself: log lines and metrics.
//!
//! Embedding programs choose their own subscriber and recorder first; a node then keeps to those.

#[cfg(feature = "cli")]
mod log;
#[cfg(feature = "edge")]
mod metrics;
#[cfg(feature = "otlp")]
mod traces;

#[cfg(feature = "cli")]
pub(crate) use log::{check_level, dial, start_logging};
#[cfg(feature = "edge")]
pub(crate) use metrics::{Used, install_recorder, render, sample_for_ever};
#[cfg(feature = "otlp")]
pub(crate) use traces::Traces;
