//! What callers can ask for: REST, CLI and embedding programs all come through here.

mod handle;

pub use handle::{EventFeed, Orchestrator, Setup, Submission};
