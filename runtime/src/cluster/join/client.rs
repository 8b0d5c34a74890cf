//! Asks a node to let this machine join.

use std::{io, time::Duration};

use protocol::{
    member::Roles,
    time::Span,
    wire::join::{JoinAnswer, JoinGrant, JoinRefusal, JoinRequest, Seat},
};
use tokio::time::timeout;
use uuid::Uuid;

use super::Token;
use crate::{
    clock::Clock,
    cluster::{
        identity::{Authority, Identity, IdentityError, pinned_client},
        transport::{
            DialError,
            dial::connect,
            fault::diagnose,
            framing::{self, ANSWER},
            greeting::one_line,
        },
    },
};

/// How long the other node may take to ask its store.
const ANSWERED: Duration = Duration::from_secs(25);

/// What a machine says of itself when it asks to join.
#[derive(Debug, Clone)]
pub struct Applicant {
    /// What it wants to be called.
    pub name: String,
    /// What it wants to do; with none, whatever the token allows.
    pub roles: Roles,
    /// Version of the protocol between nodes that it speaks.
    pub protocol: u16,
    /// Version of its program.
    pub version: String,
    /// Where it stands; may be empty.
    pub region: String,
    /// How many shards it was told that there are.
    pub shards: Option<u16>,
    /// How long it lets leases run.
    pub lease: Option<Span>,
}

/// What a machine that joined holds.
#[derive(Debug)]
pub struct Joined {
    /// Its key and certificate, to be saved.
    pub identity: Identity,
    /// How many shards the cluster has.
    pub shards: u16,
    /// Whom to dial.
    pub peers: Vec<Seat>,
    /// Where the store is; only for nodes that own entities.
    pub store: Option<String>,
    /// What issues certificates; only for nodes that own entities.
    pub authority: Option<Authority>,
}

impl Joined {
    /// Which cluster it is.
    #[must_use]
    pub fn cluster(&self) -> Uuid {
        self.identity.subject().cluster
    }
}

/// Why a machine did not join: one line each, naming cause and remedy.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The node that answers is of another cluster than the token.
    #[error(
        "the node at {0} belongs to another cluster than the token; check the address, or make a token in that cluster with `troupe token create`"
    )]
    AnotherCluster(String),
    /// It could not be asked.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It refused.
    #[error(transparent)]
    Refused(#[from] JoinRefusal),
    /// A key or a certificate cannot be made or used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// What it granted is not what was asked.
    #[error("the node at {address} granted something else than was asked: {reason}; see its log")]
    Grant {
        /// Who.
        address: String,
        /// What is wrong.
        reason: String,
    },
}

/// Joins the cluster of `token` by the node at `address`, as `host:port`. Nothing is sent before
/// the other end has shown a certificate of the token's cluster; the key stays here.
///
/// # Errors
///
/// Whatever stands in the way.
pub async fn request(
    address: &str,
    token: &Token,
    applicant: &Applicant,
    clock: &Clock,
) -> Result<Joined, JoinError> {
    let made = Identity::request(&applicant.name)?;
    let stream = connect(address, pinned_client(token.authority())?).await;
    let mut stream = stream.map_err(|error| match error {
        DialError::ForeignNode { address } => JoinError::AnotherCluster(address),
        other => other.into(),
    })?;
    let request = JoinRequest {
        secret: token.secret(),
        csr: made.csr,
        name: applicant.name.clone(),
        roles: applicant.roles.clone(),
        protocol: applicant.protocol,
        now: clock.now(),
        version: applicant.version.clone(),
        region: applicant.region.clone(),
        shards: applicant.shards,
        lease: applicant.lease,
    };
    let asking = async {
        framing::send(&mut stream, &request).await?;
        framing::receive::<JoinAnswer>(&mut stream, ANSWER).await
    };
    let answer: io::Result<_> = match timeout(ANSWERED, asking).await {
        Ok(answer) => answer,
        Err(_) => {
            let address = address.to_owned();
            return Err(DialError::Silent { address }.into());
        }
    };
    match answer.map_err(|error| diagnose(address, &error))? {
        JoinAnswer::Granted(grant) => accept(address, token, applicant, &made.key, *grant),
        JoinAnswer::Refused(JoinRefusal::Unable { reason }) => {
            let reason = one_line(&reason);
            Err(JoinRefusal::Unable { reason }.into())
        }
        JoinAnswer::Refused(refusal) => Err(refusal.into()),
    }
}

/// Believes a grant only as far as its certificates prove it.
fn accept(
    address: &str,
    token: &Token,
    applicant: &Applicant,
    key: &str,
    grant: JoinGrant,
) -> Result<Joined, JoinError> {
    let wrong = |reason: &str| JoinError::Grant {
        address: address.to_owned(),
        reason: reason.to_owned(),
    };
    let identity = Identity::new(key, &grant.certificate, &grant.authority)?;
    if identity.authority() != token.authority() {
        return Err(wrong("the authority is not the token's"));
    }
    let subject = identity.subject();
    if subject.name != applicant.name
        || !(applicant.roles.is_empty() || subject.roles == applicant.roles)
    {
        return Err(wrong("the certificate has another name or other roles"));
    }
    if subject.cluster != grant.cluster {
        return Err(wrong("the certificate is for another cluster"));
    }
    let authority = grant.authority_key.as_deref();
    let authority = authority.map(|key| Authority::from_pem(&grant.authority, key));
    Ok(Joined {
        identity,
        shards: grant.shards,
        peers: grant.peers,
        store: grant.store,
        authority: authority.transpose()?,
    })
}
