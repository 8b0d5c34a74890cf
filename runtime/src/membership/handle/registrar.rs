//! The store as registrar, for nodes that have it.

use std::time::Duration;

use protocol::{
    id::NodeId,
    member::{Member, MemberState},
};

use crate::{
    membership::Registrar,
    store::{Answer, EntryRefusal, Renewal, Shared, Survey},
};

/// Writes straight into the store.
#[derive(Debug)]
pub struct StoreRegistrar(pub Shared);

impl Registrar for StoreRegistrar {
    fn enter<'a>(
        &'a self,
        member: &'a Member,
        ttl: Duration,
        former: Option<NodeId>,
    ) -> Answer<'a, Result<(), EntryRefusal>> {
        self.0.enter(member, ttl, former)
    }

    fn renew<'a>(&'a self, node: NodeId, health: String, ttl: Duration) -> Answer<'a, bool> {
        Box::pin(async move {
            let renewed = self.0.renew(&[Renewal { node, health }], ttl).await?;
            Ok(renewed.contains(&node))
        })
    }

    fn set_state(&self, node: NodeId, state: MemberState) -> Answer<'_, ()> {
        self.0.set_state(node, state)
    }

    fn survey(&self) -> Answer<'_, Survey> {
        self.0.survey()
    }
}
