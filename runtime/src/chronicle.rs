//! The past of the supervision trees: what stood when, and why it went.
//!
//! A node's chronicle writes once a second what changed, as a segment of a chapter; see
//! [`store::Chronicles`](crate::store::Chronicles). [`past`] tells what stood at a moment,
//! [`life`] what became of actors between two, and [`diff`] how two pasts differ.

mod actor;
mod codec;
mod diff;
mod handle;
mod past;
mod retention;
mod scribe;
#[cfg(test)]
mod tests;

pub use actor::{Setup, chronicle};
pub use codec::{Tale, Unreadable};
pub use diff::diff;
pub use handle::{Archive, StoreArchive, changes, life, node_lost, past};
pub use past::{Past, PastActor, cursor, is_below};
pub use retention::Retention;
