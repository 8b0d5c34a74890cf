//! The past of the supervision trees: what stood when, and why it went.
//!
//! A node's chronicle writes once a second what changed, as a segment of a chapter; see
//! [`store::Chronicles`](crate::store::Chronicles). [`past`] tells what stood at a moment,
//! [`life`] what became of actors between two, and [`diff`] how two pasts differ. What is read is
//! bounded, and what is not wanted is not built: see [`Bounds`] and [`Sieve`].

mod actor;
mod codec;
mod diff;
mod handle;
mod past;
mod pieces;
mod retention;
mod scribe;
mod sieve;
#[cfg(test)]
mod tests;

pub use actor::{Setup, chronicle};
pub use codec::{Tale, Unreadable};
pub use diff::diff;
pub use handle::{
    Archive, Bounds, Keeping, Lives, Span, StoreArchive, Tidied, Unkept, Untold, changes, end_of,
    knows, life, node_lost, node_returned, past, stood,
};
pub use past::{Past, PastActor, cursor, is_below};
pub use retention::Retention;
pub use sieve::{Everything, LifeAt, Sieve};
