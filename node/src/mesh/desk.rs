//! Lets machines in: checks the token in the store, and issues the certificate.

use std::{net::IpAddr, sync::Arc, time::Duration};

use protocol::{
    member::{MemberState, NodeRole, Roles},
    record::ChainHash,
    time::Span,
    wire::{
        hello::PROTOCOL,
        join::{JoinGrant, JoinRefusal, JoinRequest, Seat},
    },
};
use runtime::{
    clock::{Clock, Dice},
    cluster::{
        identity::{Authority, Subject},
        join::{Desk, Granting},
    },
    membership::{Membership, Roster},
    store::{self, Founding, IdentityRow, JoinToken, TokenRefusal},
};
use sha2::{Digest, Sha256};

/// What it takes to let others in.
#[derive(Debug)]
pub(super) struct Doorkeeper {
    pub(super) store: store::Shared,
    /// What control nodes are told; absent for a store that only this node can open.
    pub(super) store_url: Option<String>,
    pub(super) authority: Arc<Authority>,
    pub(super) founding: Founding,
    pub(super) membership: Membership,
    pub(super) certificate_life: Duration,
    pub(super) clock: Clock,
    pub(super) dice: Dice,
}

impl Doorkeeper {
    pub(super) fn desk(self: Arc<Self>) -> Desk {
        let clock = self.clock.clone();
        Desk::new(
            PROTOCOL,
            clock,
            Arc::new(move |request, from| {
                let keeper = self.clone();
                let granting: Granting = Box::pin(async move {
                    let name = request.name.clone();
                    let granted = keeper.grant(request, from).await;
                    if let Err(refusal) = &granted {
                        tracing::warn!(target: "audit", node = name, %from, "a node was not let in: {refusal}");
                    }
                    granted
                });
                granting
            }),
        )
    }

    async fn grant(&self, request: JoinRequest, from: IpAddr) -> Result<JoinGrant, JoinRefusal> {
        let roster = self.membership.roster();
        if is_taken(&roster, &request.name) {
            return Err(JoinRefusal::NameTaken { name: request.name });
        }
        let hash = ChainHash(Sha256::digest(request.secret.as_bytes()).into());
        let tokens = self.store.tokens().await.map_err(unable)?;
        let token = tokens.into_iter().find(|token| token.hash == hash);
        // Only who may join is told how the cluster is set, and the token is still good after that.
        if token.as_ref().is_some_and(|token| self.is_good(token)) {
            self.set_alike(&request)?;
        }
        let roles = self.roles(&request, token)?;
        let identity = IdentityRow {
            id: self.dice.uuid_v7(self.clock.now()),
            name: request.name.clone(),
            roles: roles.clone(),
            admitted_at: self.clock.now(),
            revoked: false,
        };
        let admitted = self.store.admit(&identity, Some(hash)).await;
        admitted
            .map_err(unable)?
            .map_err(|refusal| refused(&refusal, &roles))?;
        let subject = Subject {
            cluster: self.founding.cluster,
            identity: identity.id,
            name: request.name,
            roles,
        };
        let certificate = self
            .authority
            .issue(
                &request.csr,
                &subject,
                self.certificate_life,
                self.clock.now(),
            )
            .map_err(unable)?;
        let controls = subject.roles.has(NodeRole::Control);
        tracing::info!(target: "audit", node = subject.name, %from, roles = %subject.roles, identity = %subject.identity, "a node was let in by its token");
        Ok(JoinGrant {
            certificate,
            authority: self.authority.certificate_pem().to_owned(),
            cluster: self.founding.cluster,
            shards: self.founding.shards,
            peers: seats(&self.membership.roster()),
            store: self.store_url.clone().filter(|_| controls),
            authority_key: controls.then(|| self.authority.key_pem()),
        })
    }

    fn is_good(&self, token: &JoinToken) -> bool {
        !token.revoked && token.used.is_none() && token.expires_at > self.clock.now()
    }

    /// Whether the machine was told the same as this node of what must be the same on all.
    fn set_alike(&self, request: &JoinRequest) -> Result<(), JoinRefusal> {
        let cluster = self.founding.shards;
        if let Some(own) = request.shards.filter(|own| *own != cluster) {
            return Err(JoinRefusal::Shards { own, cluster });
        }
        let cluster = Span(self.membership.timing().ttl);
        if let Some(own) = request.lease.filter(|own| *own != cluster) {
            return Err(JoinRefusal::Lease { own, cluster });
        }
        Ok(())
    }

    /// The roles that were asked for, or all that the token allows.
    fn roles(&self, request: &JoinRequest, token: Option<JoinToken>) -> Result<Roles, JoinRefusal> {
        let mut roles = request.roles.clone();
        if roles.is_empty() {
            roles = token.ok_or(JoinRefusal::UnknownToken)?.roles;
        }
        if roles.has(NodeRole::Control) && self.store_url.is_none() {
            return Err(JoinRefusal::Unable {
                reason: "this cluster keeps its store in a SQLite file, which one control node can open; join with `--roles worker,edge`, or move the store to PostgreSQL with `troupe db move`".to_owned(),
            });
        }
        Ok(roles)
    }
}

/// Whether a node of this name lives.
fn is_taken(roster: &Roster, name: &str) -> bool {
    roster.living().any(|row| {
        row.member.name == name && matches!(row.state, MemberState::Up | MemberState::Draining)
    })
}

/// Where living nodes listen.
pub(super) fn seats(roster: &Roster) -> Vec<Seat> {
    roster
        .living()
        .filter_map(|row| {
            Some(Seat {
                node: row.member.node,
                name: row.member.name.clone(),
                address: row.member.mesh.clone()?,
            })
        })
        .collect()
}

fn refused(refusal: &TokenRefusal, asked: &Roles) -> JoinRefusal {
    match refusal {
        TokenRefusal::Unknown => JoinRefusal::UnknownToken,
        TokenRefusal::Revoked => JoinRefusal::RevokedToken,
        TokenRefusal::Used { .. } => JoinRefusal::UsedToken,
        TokenRefusal::Expired { .. } => JoinRefusal::ExpiredToken,
        TokenRefusal::NameTaken { name } => JoinRefusal::NameTaken { name: name.clone() },
        TokenRefusal::Roles { .. } => JoinRefusal::Role {
            asked: asked.clone(),
        },
    }
}

fn unable(error: impl std::fmt::Display) -> JoinRefusal {
    JoinRefusal::Unable {
        reason: error.to_string(),
    }
}
