//! Tokens and identities.

use protocol::record::ChainHash;
use uuid::Uuid;

use super::Memory;
use crate::store::{Admissions, Answer, IdentityRow, JoinToken, TokenRefusal};

impl Admissions for Memory {
    fn add_token<'a>(&'a self, token: &'a JoinToken) -> Answer<'a, ()> {
        self.with(|state| {
            if state.tokens.iter().all(|kept| kept.id != token.id) {
                state.tokens.push(token.clone());
            }
        })
    }

    fn tokens(&self) -> Answer<'_, Vec<JoinToken>> {
        self.with(|state| {
            let mut tokens = state.tokens.clone();
            tokens.sort_by_key(|token| std::cmp::Reverse((token.made_at, token.id)));
            tokens
        })
    }

    fn revoke_token(&self, id: Uuid) -> Answer<'_, bool> {
        self.with(|state| {
            let now = self.clock.now();
            let mut tokens = state.tokens.iter_mut();
            let token = tokens.find(|token| token.id == id && token.counts(now));
            let Some(token) = token else { return false };
            token.revoked = true;
            true
        })
    }

    fn admit<'a>(
        &'a self,
        identity: &'a IdentityRow,
        token: Option<ChainHash>,
    ) -> Answer<'a, Result<(), TokenRefusal>> {
        self.with(|state| {
            if let Some(hash) = token {
                let now = self.clock.now();
                let of_name = |by: Uuid| {
                    let row = state.identities.get(&by);
                    row.is_some_and(|row| row.name == identity.name && !row.revoked)
                };
                let is_kept = state.tokens.iter().any(|token| {
                    let by = token.used.map(|(_, by)| by);
                    token.keeps_a_name(identity, now) && by.is_some_and(of_name)
                });
                let mut tokens = state.tokens.iter_mut();
                let token = tokens.find(|token| token.hash == hash);
                let token = token.ok_or(TokenRefusal::Unknown)?;
                token.judge(identity, now)?;
                if is_kept {
                    let name = identity.name.clone();
                    return Err(TokenRefusal::NameTaken { name });
                }
                token.used.get_or_insert((now, identity.id));
            }
            let row = state.identities.entry(identity.id);
            row.or_insert_with(|| identity.clone());
            Ok(())
        })
    }

    fn identity(&self, id: Uuid) -> Answer<'_, Option<IdentityRow>> {
        self.with(|state| state.identities.get(&id).cloned())
    }

    fn revoked(&self) -> Answer<'_, Vec<Uuid>> {
        self.with(|state| {
            let revoked = state.identities.values().filter(|row| row.revoked);
            revoked.map(|row| row.id).collect()
        })
    }

    fn revoke_identities<'a>(&'a self, name: &'a str) -> Answer<'a, u64> {
        self.with(|state| {
            let identities = state.identities.values_mut();
            let counting = identities.filter(|row| row.name == name && !row.revoked);
            counting.map(|row| row.revoked = true).count() as u64
        })
    }
}
