//! The rows of entities in the supervision tree: what they say while an entity is away.

use std::sync::Arc;

use dashmap::Entry;
use protocol::{
    api::ActorLink,
    entity::{EntityId, path},
};

use super::Inner;
use crate::{
    entity::Entity,
    metrics,
    store::StreamRow,
    supervision::{Guard, Pause, Status},
};

/// Why an entity ends that this node may not act for any more, as its past tells it.
const LEASE: &str = "lease: its node may not act for it any more";

/// What an entity's row says of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sign<'a> {
    tenant: &'a str,
    /// By its id when absent.
    name: Option<&'a str>,
}

impl<'a> Sign<'a> {
    pub(super) const fn new(tenant: &'a str, name: Option<&'a str>) -> Self {
        Self { tenant, name }
    }

    pub(super) fn of(row: &'a StreamRow) -> Self {
        Self::new(&row.tenant, row.summary.name.as_deref())
    }
}

impl<E: Entity> Inner<E> {
    /// The entity's row in the tree, and whether it is there because the entity comes back.
    pub(super) fn place(&self, id: EntityId, sign: Sign<'_>) -> (Arc<Guard>, bool) {
        match self.places.entry(id) {
            Entry::Occupied(place) => {
                place.get().restart();
                // What an earlier activation said; this one says it again where it is still so.
                place.get().show_links(Vec::new());
                if self.parked.remove(&id).is_some() {
                    self.count_parked();
                }
                (place.get().clone(), true)
            }
            Entry::Vacant(place) => {
                let row = self.row(id, sign);
                row.set_status(Status::Starting);
                (place.insert(Arc::new(row)).clone(), false)
            }
        }
    }

    /// The same, for one that is not started now.
    pub(super) fn stand(&self, id: EntityId, sign: Sign<'_>) -> Arc<Guard> {
        let place = self.places.entry(id);
        let place = place.or_insert_with(|| Arc::new(self.row(id, sign)));
        Arc::clone(&place)
    }

    fn row(&self, id: EntityId, sign: Sign<'_>) -> Guard {
        let name = sign.name.map_or_else(|| id.to_string(), str::to_owned);
        let path = path(E::FOLDER, sign.tenant, &name);
        self.tree.enter(path, E::KIND.as_str())
    }

    /// Its row leaves the tree: the entity ended in order, or is another node's.
    pub(in crate::entity) fn left_place(&self, id: EntityId) {
        self.places.remove(&id);
        if self.parked.remove(&id).is_some() {
            self.count_parked();
        }
    }

    /// The entity ends because another node may own it: its past says so with its end.
    pub(in crate::entity) fn ends_with_lease(&self, id: EntityId) {
        self.ends_because(id, LEASE);
    }

    /// The entity is about to end, which its past tells with its end.
    pub(in crate::entity) fn ends_because(&self, id: EntityId, why: &str) {
        if let Some(place) = self.places.get(&id) {
            place.ends_because(why);
        }
    }

    pub(super) fn clear_places(&self) {
        self.places.clear();
        self.parked.clear();
        self.count_parked();
    }

    /// The entity failed: its row says so until it is back.
    pub(in crate::entity) fn show_failure(&self, id: EntityId, error: &str) {
        // Where it stands was found before it was started, or when that failed.
        if let Some(place) = self.places.get(&id) {
            place.failed(error);
            place.set_status(Status::BackingOff);
        }
    }

    /// A person holds the entity, or does so no more: its row says so while it is in service.
    pub(in crate::entity) fn show_pause(&self, id: EntityId, pause: Pause) {
        if let Some(place) = self.places.get(&id) {
            place.show_pause(pause);
        }
    }

    /// What the entity has to do with others.
    pub(in crate::entity) fn show_links(&self, id: EntityId, links: Vec<ActorLink>) {
        if let Some(place) = self.places.get(&id) {
            place.show_links(links);
        }
    }

    /// The entity is out of service: its row says so until a person releases it.
    pub(super) fn show_parked(&self, id: EntityId, place: &Guard) {
        place.set_status(Status::Parked);
        if self.parked.insert(id) {
            self.count_parked();
        }
    }

    pub(super) fn count_parked(&self) {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
        let parked = self.parked.len() as f64;
        ::metrics::gauge!(metrics::PARKED, "kind" => E::KIND.as_str()).set(parked);
    }
}
