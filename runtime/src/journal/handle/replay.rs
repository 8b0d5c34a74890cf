//! From a stream's records to the state that follows from them.

use protocol::{
    entity::EntityId,
    record::{ChainHash, Record},
    time::Timestamp,
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
    let replayed = replay_until(store, stream, u64::MAX).await?;
    Ok(replayed.map(|replayed| replayed.state))
}

/// A state as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed<S> {
    /// The state.
    pub state: S,
    /// The position of the last event that it follows from.
    pub position: u64,
    /// When that one was recorded.
    pub at: Timestamp,
}

/// The same, up to the event at this position; nothing when it has none up to there.
///
/// # Errors
///
/// As for [`replay`].
pub async fn replay_until<S: EventSourced>(
    store: &store::Shared,
    stream: EntityId,
    until: u64,
) -> Result<Option<Replayed<S>>, Error> {
    let mut replayed = Replayed {
        state: S::default(),
        position: 0,
        at: Timestamp::default(),
    };
    let (mut head, mut hash) = (0, ChainHash::default());
    loop {
        let records = store.read(stream, head, PAGE).await?;
        for record in &records {
            if record.seq > until {
                break;
            }
            follows(record, head, hash)?;
            for (position, event) in (record.seq..=until).zip(events::<S>(record)?) {
                replayed.state.apply(&event, record.at);
                (replayed.position, replayed.at) = (position, record.at);
            }
            (head, hash) = (record.head(), record.hash);
        }
        if records.len() < PAGE as usize || head >= until || replayed.position >= until {
            return Ok((replayed.position > 0).then_some(replayed));
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
