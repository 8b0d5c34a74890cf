//! All that follows from the journal, made again from it while no node runs.

use std::collections::HashSet;

use protocol::{
    entity::{EntityId, EntityKind},
    record::Summary,
};
use runtime::{
    journal::{self, EventSourced},
    projection,
    store::{self, Error},
};

use crate::{
    agent::{AgentRecord, view::AgentTotalsView},
    task::Task,
};

/// Records read at once.
const PAGE: u32 = 1000;

/// What was found and put right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Streams in the journal.
    pub streams: u64,
    /// Records in the journal.
    pub records: u64,
    /// Rows of the index that did not say what their events say.
    pub corrected: u64,
    /// Streams whose row is gone; only a backup has it.
    pub missing: Vec<EntityId>,
    /// Views that were dropped and folded again.
    pub views: u64,
}

/// Recomputes the index row of every stream, and folds every view again.
///
/// No node may run on the store meanwhile.
///
/// # Errors
///
/// `Corrupt` when a stream is not what was written; other errors when the store fails.
pub async fn rebuild(store: &store::Shared) -> Result<Rebuilt, Error> {
    let (streams, records) = streams(store).await?;
    let mut rebuilt = Rebuilt {
        streams: streams.len() as u64,
        records,
        ..Rebuilt::default()
    };
    let mut named = Vec::new();
    for stream in streams {
        let Some(mut summary) = summary(store, stream).await? else {
            continue;
        };
        match store.stream(stream).await? {
            None => rebuilt.missing.push(stream),
            Some(row) if row.summary == summary => {}
            Some(_) => {
                rebuilt.corrected += 1;
                let name = summary.name.take();
                store.reindex(stream, &summary).await?;
                if name.is_some() {
                    named.push((stream, Summary { name, ..summary }));
                }
            }
        }
    }
    // A name is unique, and a wrong row may hold another's: all give theirs up before any gets one.
    for (stream, summary) in &named {
        store.reindex(*stream, summary).await?;
    }
    projection::rebuild(&AgentTotalsView, store).await?;
    rebuilt.views = 1;
    Ok(rebuilt)
}

/// Every stream of the journal, the first made first, and how many records there are.
async fn streams(store: &store::Shared) -> Result<(Vec<EntityId>, u64), Error> {
    let (mut seen, mut streams) = (HashSet::new(), Vec::new());
    let (mut after, mut records) = (0, 0);
    loop {
        let page = store.journal(after, PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok((streams, records));
        };
        after = *last;
        records += page.len() as u64;
        let of_page = page.iter().map(|(_, record)| record.stream);
        streams.extend(of_page.filter(|stream| seen.insert(*stream)));
    }
}

/// What the index must say of a stream.
async fn summary(store: &store::Shared, stream: EntityId) -> Result<Option<Summary>, Error> {
    async fn of<S: EventSourced>(
        store: &store::Shared,
        stream: EntityId,
    ) -> Result<Option<Summary>, Error> {
        let state = journal::replay::<S>(store, stream).await?;
        Ok(state.map(|state| state.summary()))
    }
    match stream.kind() {
        EntityKind::Agent => of::<AgentRecord>(store, stream).await,
        EntityKind::Task => of::<Task>(store, stream).await,
        EntityKind::Hold => of::<crate::hold::Hold>(store, stream).await,
        EntityKind::Workflow => of::<crate::workflow::state::Workflow>(store, stream).await,
        EntityKind::Question => of::<crate::question::Question>(store, stream).await,
        EntityKind::Schedule => of::<crate::schedule::Schedule>(store, stream).await,
        EntityKind::Trigger => of::<crate::trigger::Trigger>(store, stream).await,
        EntityKind::Template => of::<crate::template::Template>(store, stream).await,
    }
}
