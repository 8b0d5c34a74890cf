//! Pages of what the index of streams lists, the newest first.

use protocol::{
    access::Caller,
    api::{Consistency, Page},
    entity::{EntityId, EntityKind},
};
use runtime::store::{StreamQuery, StreamRow};
use serde::de::DeserializeOwned;

use super::{Answer, LONGEST_PAGE, Orchestrator, PAGE};
use crate::Rejection;

/// Which page of a list a client asks for.
#[derive(Debug, Default)]
pub(super) struct Leaf<'a> {
    pub(super) limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub(super) cursor: Option<&'a str>,
    pub(super) consistency: Consistency,
}

/// All of the caller's tenant that are of a kind.
pub(in super::super) fn streams_of(caller: &Caller, kind: EntityKind) -> StreamQuery {
    StreamQuery {
        tenant: caller.tenant.clone(),
        kind,
        status: None,
        user: None,
        parent: None,
        runs: None,
        text: None,
        before: None,
        limit: LONGEST_PAGE,
    }
}

/// One page of `rows`.
pub(super) async fn page<T>(
    at: &Orchestrator,
    rows: StreamQuery,
    leaf: Leaf<'_>,
    view: impl Fn(&StreamRow) -> Answer<T>,
) -> Answer<Page<T>> {
    let limit = leaf.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let before = leaf.cursor.map(str::parse::<EntityId>).transpose();
    let before = before
        .ok()
        .filter(|before| before.is_none_or(|id| id.kind() == rows.kind));
    let before =
        before.ok_or_else(|| Rejection::field("cursor", "is not a cursor that this list gave"))?;
    let rows = StreamQuery {
        before,
        limit: limit + 1,
        ..rows
    };
    let store = at.own()?.journal.store();
    // The index is committed with what it shows; a copy of it may be behind.
    let mut rows = match leaf.consistency {
        Consistency::Eventual => store.browse(&rows).await?,
        Consistency::Strong => store.list(&rows).await?,
    };
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = rows
        .last()
        .filter(|_| more)
        .map(|row| row.stream.to_string());
    Ok(Page {
        items: rows.iter().map(view).collect::<Answer<_>>()?,
        total: None,
        next_cursor,
    })
}

/// What the index keeps of a row.
pub(super) fn body<T: DeserializeOwned>(row: &StreamRow) -> Answer<T> {
    serde_json::from_str(&row.summary.body).map_err(|error| {
        runtime::store::Error::Corrupt(format!("the row of {}: {error}", row.stream)).into()
    })
}
