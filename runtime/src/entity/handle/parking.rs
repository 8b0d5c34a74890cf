//! Entities that are out of service: recorded in the store, shown in the tree until they are released.

use std::sync::Arc;

use protocol::entity::EntityId;

use super::{Host, Inner, places::Sign};
use crate::{
    entity::{Entity, activation::recalled},
    placement::Arrival,
    store::{self, StreamRow},
};

/// Streams read at once.
const BATCH: u32 = 200;

impl<E: Entity> Host<E> {
    /// Puts a parked entity back into service.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn unpark(&self, id: EntityId) -> Result<(), store::Error> {
        self.0.journal.store().park(id, None).await?;
        self.0.left_place(id);
        Ok(())
    }

    /// Those of this node that are out of service.
    #[must_use]
    pub fn parked(&self) -> Vec<EntityId> {
        self.0.parked.iter().map(|id| *id).collect()
    }

    /// Whether one of this node's is out of service.
    #[must_use]
    pub fn is_parked(&self, id: EntityId) -> bool {
        self.0.parked.contains(&id)
    }

    /// Shows the streams of `scope` that are out of service, which nothing brings to life.
    ///
    /// # Errors
    ///
    /// When the store cannot list them.
    pub async fn show_parked(
        &self,
        scope: &store::Scope,
        arrival: Arrival,
    ) -> Result<(), store::Error> {
        let store = self.0.journal.store().clone();
        let mut after = None;
        loop {
            let rows = store.parked(E::KIND, scope, after, BATCH).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            after = Some(last.stream);
            for row in &rows {
                self.show_one_parked(row, arrival);
            }
        }
    }

    /// Shows one that is this node's and was found to be out of service.
    pub(super) fn show_one_parked(&self, row: &StreamRow, arrival: Arrival) {
        let (id, holdings) = (row.stream, self.0.journal.holdings());
        let Some(errors) = row.parked.as_deref() else {
            return;
        };
        if holdings.activates(id).is_none() || self.0.parked.contains(&id) {
            return;
        }
        let is_new = !self.0.places.contains_key(&id);
        let place = self.0.stand(id, Sign::of(row));
        if is_new {
            let origin = holdings.origin(id);
            if let (Arrival::Taken { .. }, Some(origin)) = (arrival, origin) {
                place.moved_from(&origin);
            }
            place.failed_before(recalled(errors, row.updated_at));
        }
        self.0.show_parked(id, &place);
    }
}

impl<E: Entity> Inner<E> {
    /// Takes the entity out of service in the store, then out of memory.
    pub(in crate::entity) fn park(self: &Arc<Self>, id: EntityId, errors: String) {
        let inner = self.clone();
        if let Some(place) = self.places.get(&id) {
            self.show_parked(id, &place);
        }
        tokio::spawn(async move {
            tracing::error!(entity = %id, errors, "entity is parked");
            if let Err(error) = inner.journal.store().park(id, Some(&errors)).await {
                tracing::error!(entity = %id, %error, "parking could not be recorded");
            }
            inner.gone(id);
        });
    }

    /// The rows of those that are another node's from here on leave the tree.
    pub(super) fn forget_parked(&self, scope: &store::Scope) {
        let ids = self.parked.iter().map(|id| *id);
        let ids: Vec<EntityId> = ids.filter(|id| scope.holds(*id)).collect();
        for id in ids {
            self.left_place(id);
        }
    }
}
