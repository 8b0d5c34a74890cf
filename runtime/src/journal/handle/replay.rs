//! From a stream's records to the state that follows from them.

use protocol::{
    entity::EntityId,
    record::{ChainHash, Record},
};

use super::{PAGE, events};
use crate::{
    journal::EventSourced,
    store::{self, Error},
};

/// The state that follows from a stream's events alone, whatever its snapshot says; nothing when
/// there is no such stream.
///
/// # Errors
///
/// `Corrupt` when the hash chain is broken or an event cannot be read.
pub async fn replay<S: EventSourced>(
    store: &store::Shared,
    stream: EntityId,
) -> Result<Option<S>, Error> {
    let mut state = S::default();
    let (mut head, mut hash) = (0, ChainHash::default());
    loop {
        let records = store.read(stream, head, PAGE).await?;
        for record in &records {
            follows(record, head, hash)?;
            for event in events::<S>(record)? {
                state.apply(&event, record.at);
            }
            (head, hash) = (record.head(), record.hash);
        }
        if records.len() < PAGE as usize {
            return Ok((head > 0).then_some(state));
        }
    }
}

/// Checks that a record stands right behind the one that ended at `head` with `hash`.
pub(super) fn follows(record: &Record, head: u64, hash: ChainHash) -> Result<(), Error> {
    let fault = if record.seq != head + 1 {
        "events are missing before it"
    } else if record.chain(hash) != record.hash {
        "its hash does not follow from the record before it"
    } else {
        return Ok(());
    };
    let Record { stream, seq, .. } = record;
    Err(Error::Corrupt(format!("{stream} at {seq}: {fault}")))
}
