//! Members and the shards they own.
use super::Postgres;
use crate::store::*;
use protocol::{
    member::{Member, MemberState},
    shard::Shard,
};
use std::time::Duration;
use uuid::Uuid;
fn absent<'a, T: Send + 'a>() -> Answer<'a, T> {
    Box::pin(std::future::ready(Err(Error::Unusable(
        "members are kept by SQLite alone so far".into(),
    ))))
}
impl Members for Postgres {
    fn found(&self, _wanted: Founding) -> Answer<'_, Founding> {
        absent()
    }
    fn enter<'a>(
        &'a self,
        _member: &'a Member,
        _ttl: Duration,
        _former: Option<NodeId>,
    ) -> Answer<'a, Result<(), EntryRefusal>> {
        absent()
    }
    fn renew<'a>(&'a self, _renewals: &'a [Renewal], _ttl: Duration) -> Answer<'a, Vec<NodeId>> {
        absent()
    }
    fn set_state(&self, _node: NodeId, _state: MemberState) -> Answer<'_, ()> {
        absent()
    }
    fn survey(&self) -> Answer<'_, Survey> {
        absent()
    }
    fn take<'a>(
        &'a self,
        _taker: NodeId,
        _shards: &'a [Shard],
    ) -> Answer<'a, Option<(Epoch, Vec<Shard>)>> {
        absent()
    }
    fn give_back<'a>(&'a self, _owner: NodeId, _shards: &'a [Shard]) -> Answer<'a, ()> {
        absent()
    }
}
impl Admissions for Postgres {
    fn add_token<'a>(&'a self, _token: &'a JoinToken) -> Answer<'a, ()> {
        absent()
    }
    fn tokens(&self) -> Answer<'_, Vec<JoinToken>> {
        absent()
    }
    fn revoke_token(&self, _id: Uuid) -> Answer<'_, bool> {
        absent()
    }
    fn admit<'a>(
        &'a self,
        _identity: &'a IdentityRow,
        _token: Option<ChainHash>,
    ) -> Answer<'a, Result<(), TokenRefusal>> {
        absent()
    }
    fn identity(&self, _id: Uuid) -> Answer<'_, Option<IdentityRow>> {
        absent()
    }
    fn revoke_identities<'a>(&'a self, _name: &'a str) -> Answer<'a, u64> {
        absent()
    }
}
