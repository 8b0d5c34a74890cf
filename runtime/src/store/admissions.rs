//! Who may join the cluster: one-time tokens, and the identities that were admitted by them.

use std::time::Duration;

use protocol::{member::Roles, record::ChainHash, time::Timestamp};
use uuid::Uuid;

use super::Answer;

/// For how long the name of a machine that was let in is kept for it. By then it is a member, and its
/// lease keeps the name, or its start has failed.
const NAME_KEPT: Duration = Duration::from_secs(30);

/// A token with which one node may join, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// By which operators name it; no secret.
    pub id: Uuid,
    /// SHA-256 of the secret.
    pub hash: ChainHash,
    /// Roles that it admits to, at most.
    pub roles: Roles,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub made_at: Timestamp,
    /// Until when it counts.
    pub expires_at: Timestamp,
    /// When it was used, and by which identity.
    pub used: Option<(Timestamp, Uuid)>,
    /// Whether an operator took it back.
    pub revoked: bool,
}

impl JoinToken {
    /// Whether it admits `identity` at `now`. It does so again for the one that used it, whose
    /// answer was lost.
    pub(super) fn judge(&self, identity: &IdentityRow, now: Timestamp) -> Result<(), TokenRefusal> {
        if let Some((at, by)) = self.used {
            if by == identity.id {
                return Ok(());
            }
            return Err(TokenRefusal::Used { at });
        }
        if self.revoked {
            return Err(TokenRefusal::Revoked);
        }
        if self.expires_at <= now {
            return Err(TokenRefusal::Expired {
                at: self.expires_at,
            });
        }
        if identity.roles.iter().all(|role| self.roles.has(role)) {
            return Ok(());
        }
        Err(TokenRefusal::Roles {
            allowed: self.roles.clone(),
        })
    }

    /// Whether it was used a moment ago, at `now`, by another identity than this one.
    pub(super) fn keeps_a_name(&self, identity: &IdentityRow, now: Timestamp) -> bool {
        self.used
            .is_some_and(|(at, by)| by != identity.id && now.since(at) < NAME_KEPT)
    }

    /// Whether somebody might still join with it.
    pub(super) fn counts(&self, now: Timestamp) -> bool {
        self.used.is_none() && !self.revoked && self.expires_at > now
    }
}

/// A node that was admitted; its certificates name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRow {
    /// Stands in each certificate.
    pub id: Uuid,
    /// The node's name.
    pub name: String,
    /// Roles that it may have.
    pub roles: Roles,
    /// When it was admitted.
    pub admitted_at: Timestamp,
    /// Whether an operator removed it.
    pub revoked: bool,
}

/// Why a token admits nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// There is no such token.
    #[error("the token is not one of this cluster; make one with `troupe token create`")]
    Unknown,
    /// A node joined with it.
    #[error("the token was used at {at}; make a new one with `troupe token create`")]
    Used {
        /// When.
        at: Timestamp,
    },
    /// Its time is over.
    #[error("the token expired at {at}; make a new one with `troupe token create`")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// An operator took it back.
    #[error("the token was revoked; make a new one with `troupe token create`")]
    Revoked,
    /// A machine was let in under this name a moment ago, with another token.
    #[error("another machine joins as `{name}` at this moment; choose another name")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// It does not admit to the roles that were asked for.
    #[error("the token admits to the roles {allowed} only; join with fewer, or make another token")]
    Roles {
        /// Those that it admits to.
        allowed: Roles,
    },
}

/// Tokens and identities.
pub trait Admissions: Send + Sync {
    /// Keeps a token.
    fn add_token<'a>(&'a self, token: &'a JoinToken) -> Answer<'a, ()>;

    /// All tokens, the newest first.
    fn tokens(&self) -> Answer<'_, Vec<JoinToken>>;

    /// Takes a token back; answers whether there was one that still counted.
    fn revoke_token(&self, id: Uuid) -> Answer<'_, bool>;

    /// Uses up the token with this hash and writes the identity down, in one transaction: of many who
    /// try at once, one is admitted, and of many who want one name. Who is refused may use its token again. Expiry is judged by the store's clock. Without a token, for the
    /// founder and for nodes with the certificate authority at hand, only the identity is written.
    fn admit<'a>(
        &'a self,
        identity: &'a IdentityRow,
        token: Option<ChainHash>,
    ) -> Answer<'a, Result<(), TokenRefusal>>;

    /// One identity.
    fn identity(&self, id: Uuid) -> Answer<'_, Option<IdentityRow>>;

    /// Identities that operators removed.
    fn revoked(&self) -> Answer<'_, Vec<Uuid>>;

    /// Revokes every identity of this name; answers how many counted until then. Nodes with them are
    /// refused from now on.
    fn revoke_identities<'a>(&'a self, name: &'a str) -> Answer<'a, u64>;
}
