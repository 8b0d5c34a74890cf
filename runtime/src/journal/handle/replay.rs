//! From a stream's records to the state that follows from them.

use protocol::{
    entity::EntityId,
    record::{ChainHash, Record},
};

use serde::de::DeserializeOwned;

use super::PAGE;
use crate::{
    journal::EventSourced,
    store::{self, Error},
};

/// Reads the events of a record.
///
/// # Errors
///
/// `Corrupt` when they are not what this build knows.
pub fn decode<E: DeserializeOwned>(record: &Record) -> Result<Vec<E>, store::Error> {
    let events: Vec<E> = serde_json::from_str(&record.data).map_err(|error| {
        store::Error::Corrupt(format!("{} at {}: {error}", record.stream, record.seq))
    })?;
    if events.len() == record.count as usize {
        Ok(events)
    } else {
        Err(store::Error::Corrupt(format!(
            "{} at {} holds {} events, not {}",
            record.stream,
            record.seq,
            events.len(),
            record.count
        )))
    }
}

/// The events of a record, as this build knows them.
///
/// One that a newer build wrote and this one cannot read is no damage: a node of that build goes on
/// with the stream.
pub(super) fn events<S: EventSourced>(record: &Record) -> Result<Vec<S::Event>, store::Error> {
    decode(record).map_err(|error| match error {
        store::Error::Corrupt(_) if record.version > S::EVENT_VERSION => {
            store::Error::Unusable(format!(
                "{} at {} was written by a newer build, with events of version {} where this one \
                 knows {}; upgrade this node",
                record.stream,
                record.seq,
                record.version,
                S::EVENT_VERSION
            ))
        }
        other => other,
    })
}

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
