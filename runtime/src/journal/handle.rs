//! [`Journal`]: makes the states of one node, and loads them from their streams.

mod journaled;
mod replay;

use std::sync::Arc;

use protocol::{entity::EntityId, id::NodeId};

use super::{EventSourced, Feed};
use crate::{
    clock::Clock,
    placement::Holdings,
    store::{self, AppendError, Refusal, Writer},
};

pub use self::{
    journaled::{Commit, Journaled},
    replay::{Replayed, decode, replay, replay_until},
};

/// Records read at once while replaying.
const PAGE: u32 = 512;

/// Why a state could not be loaded or a change not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else owns the stream now, or the client's key or name is taken.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed; what was staged may or may not be written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// This node does not own the stream any more; nothing was written.
    #[error("{0} is owned by another node now")]
    Deposed(EntityId),
}

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Refused(refusal) => Self::Refused(refusal),
            AppendError::Store(error) => Self::Store(error),
        }
    }
}

/// Makes and loads journaled states for one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: store::Shared,
    writer: Writer,
    clock: Clock,
    owner: NodeId,
    holdings: Holdings,
    feed: Feed,
}

impl Journal {
    /// A journal of one node, for the streams that it owns.
    #[must_use]
    pub fn new(
        store: store::Shared,
        writer: Writer,
        clock: Clock,
        owner: NodeId,
        holdings: Holdings,
    ) -> Self {
        Self(Arc::new(Parts {
            store,
            writer,
            clock,
            owner,
            holdings,
            feed: Feed::default(),
        }))
    }

    /// What is committed, as it is committed.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.0.feed
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &store::Shared {
        &self.0.store
    }

    /// The clock that stamps records.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The process that appends.
    #[must_use]
    pub fn owner(&self) -> NodeId {
        self.0.owner
    }

    /// Which streams it may append to.
    #[must_use]
    pub fn holdings(&self) -> &Holdings {
        &self.0.holdings
    }

    /// A state without a past; its first commit makes the stream, if this node owns it.
    #[must_use]
    pub fn create<S: EventSourced>(&self, stream: EntityId, tenant: &str) -> Journaled<S> {
        Journaled::new(self, stream, tenant)
    }

    /// The state as its stream has it, or nothing when there is no such stream.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the hash chain is broken or an event cannot be read.
    pub async fn load<S: EventSourced>(
        &self,
        stream: EntityId,
    ) -> Result<Option<Journaled<S>>, store::Error> {
        let mut journaled = self.create::<S>(stream, "");
        if let Some(snapshot) = self.0.store.snapshot(stream).await?
            && snapshot.version == S::STATE_VERSION
            && let Ok(state) = serde_json::from_str(&snapshot.data)
        {
            journaled.restore(state, &snapshot);
        }
        loop {
            let records = self.0.store.read(stream, journaled.head(), PAGE).await?;
            let read = records.len();
            for record in records {
                journaled.replay(&record)?;
            }
            if read < PAGE as usize {
                break;
            }
        }
        if journaled.head() == 0 {
            return Ok(None);
        }
        if journaled.tenant().is_empty() {
            // Everything was in the snapshot.
            let row = self.0.store.stream(stream).await?;
            journaled.belongs_to(row.map(|row| row.tenant).unwrap_or_default().into());
        }
        Ok(Some(journaled))
    }
}
