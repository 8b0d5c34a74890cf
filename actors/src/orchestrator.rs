//! What callers can ask for: REST, CLI and embedding programs all come through here.
//!
//! Each use case is carried out on the node that owns what it is about, whichever node was asked.

pub mod admission;
mod call;
mod diary;
mod events;
mod handle;
mod members;
mod placement;
mod tokens;
mod tracker;
mod tree;

pub use events::{EventTypes, HappeningFrame, WORKER_STATUS};
pub use handle::{
    AgentLog, Artifact, Asked, Begun, Cancel, Cluster, Drawing, Duty, EventFeed, Feed, Lent,
    LogDial, Orchestrator, Outpost, Peers, Pieces, Rebuilt, Setup, Submission, TicketDesk, rebuild,
};
pub use placement::{Owner, Placement};
pub use tree::{LifeFrame, Told};
