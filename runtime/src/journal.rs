//! Event sourcing: an entity's state is what its events say, and they are on disk before anyone
//! acts on them.
//!
//! [`EventSourced`] is the rule, [`Journaled`] a state with its stream, [`Journal`] makes them.
//! [`Feed`] tells whoever watches what was committed.

mod feed;
mod handle;
pub mod snapshot;

use protocol::{record::Summary, time::Timestamp};
use serde::{Serialize, de::DeserializeOwned};

pub use feed::{Feed, Watch};
pub use handle::{Commit, Error, Journal, Journaled, Replayed, decode, replay, replay_until};

/// A state that follows from events alone.
pub trait EventSourced: Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What can happen to it.
    type Event: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Version of `Event` that this build writes.
    const EVENT_VERSION: u16;

    /// Version of the state's own form, for snapshots; another version is replayed instead.
    const STATE_VERSION: u16;

    /// Takes an event in. Events are facts: this cannot fail.
    fn apply(&mut self, event: &Self::Event, at: Timestamp);

    /// What lists show.
    fn summary(&self) -> Summary;
}
