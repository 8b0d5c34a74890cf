//! What can be read of the store.

use protocol::{
    access::{Caller, Role},
    api::StoreView,
};
use serde::{Deserialize, Serialize};

use super::{Answer, Effect, Orchestrator, Place, UseCase, at_least};

/// What the store holds.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct StoreStatus;

impl UseCase for StoreStatus {
    type Answer = StoreView;
    const NAME: &'static str = "store.status";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<StoreView> {
        at_least(caller, Role::Viewer)?;
        let store = at.own()?.journal.store();
        let census = store.census().await?;
        Ok(StoreView {
            engine: store.engine().to_owned(),
            schema: census.schema,
            streams: census.streams,
            open: census.open,
            records: census.records,
            bytes: census.bytes,
        })
    }
}
