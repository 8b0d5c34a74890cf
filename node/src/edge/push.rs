//! News without an end, to whoever reads it: as server-sent events, or over a WebSocket.
//!
//! Handlers make a stream of [`Frame`]s; [`push`] sends it through either door.

mod socket;
mod sse;

use futures_util::Stream;
use protocol::entity::EntityId;
use serde::Serialize;

use super::{answer::Answer, problem::Refused, request::Call, shared::Shared};

pub(super) use socket::{Upgrade, is_ours};

/// One event, as both doors send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// Where to go on after it.
    pub(super) id: Option<String>,
    /// What it is called; nothing but a position has no name.
    pub(super) event: Option<String>,
    /// What it is about, for those who want events of one entity only.
    pub(super) about: Option<EntityId>,
    /// JSON.
    pub(super) data: String,
}

impl Frame {
    /// An event; without a cursor, readers go on where they were.
    pub(super) fn new(cursor: String, event: impl Into<String>, data: &impl Serialize) -> Self {
        Self {
            id: Some(cursor).filter(|cursor| !cursor.is_empty()),
            event: Some(event.into()),
            about: None,
            data: serde_json::to_string(data).unwrap_or_default(),
        }
    }

    /// Nothing happened; so far it is told.
    pub(super) const fn mark(cursor: String) -> Self {
        Self {
            id: Some(cursor),
            event: None,
            about: None,
            data: String::new(),
        }
    }

    /// The same, of one entity.
    pub(super) fn about(mut self, entity: EntityId) -> Self {
        self.about = Some(entity);
        self
    }
}

/// Through what a reader gets its frames.
#[derive(Debug)]
pub(super) enum Door {
    /// Server-sent events.
    Events,
    /// A WebSocket, of this kind in the measurements.
    Socket(Upgrade, &'static str),
}

/// Sends frames until they end, the reader goes, what it was let in by counts no more, or the edge
/// stops.
pub(super) fn push(
    shared: &Shared,
    call: &Call,
    door: Door,
    frames: impl Stream<Item = Frame> + Send + 'static,
) -> Answer {
    let withdrawn = call
        .credential
        .clone()
        .withdrawn(shared.orchestrator.clone());
    match door {
        Door::Events => {
            let farewell = Refused::withdrawn().problem(call.id.as_str());
            let farewell = Frame::new(String::new(), "problem", &farewell);
            sse::answer(shared, frames, withdrawn, farewell)
        }
        Door::Socket(upgrade, kind) => upgrade.answer(shared, kind, frames, withdrawn),
    }
}
