//! What callers can ask for: REST, CLI and embedding programs all come through here.

pub mod admission;
mod handle;
mod tracker;

pub use handle::{Cancel, EventFeed, Orchestrator, Rebuilt, Setup, Submission, rebuild};
