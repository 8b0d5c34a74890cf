//! Answers machines that want to join.

use std::{
    fmt,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use protocol::wire::{
    hello::common,
    join::{JoinAnswer, JoinGrant, JoinRefusal, JoinRequest},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::limit::Failures;
use crate::{
    clock::Clock,
    cluster::{
        hello::{MAX_SKEW, skew},
        identity::{certificate_request, is_name},
        transport::{
            framing::{self, GREETING},
            socket::linger,
        },
    },
};

/// How long a machine may take to say what it wants.
const ASK: Duration = Duration::from_secs(5);

/// A grant on its way.
pub type Granting = Pin<Box<dyn Future<Output = Result<JoinGrant, JoinRefusal>> + Send>>;

/// Grants a join or refuses it: looks the token up by its digest, uses it, issues the certificate.
/// The request's version, clock, name and signature have been checked. It is told the address.
pub type Grant = Arc<dyn Fn(JoinRequest, IpAddr) -> Granting + Send + Sync>;

/// Where machines join. Cheap to clone.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    protocol: u16,
    clock: Clock,
    grant: Grant,
    failures: Mutex<Failures>,
}

impl Desk {
    /// A desk of a node that speaks `protocol`.
    #[must_use]
    pub fn new(protocol: u16, clock: Clock, grant: Grant) -> Self {
        Self(Arc::new(Inner {
            protocol,
            clock,
            grant,
            failures: Mutex::default(),
        }))
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.0
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: JoinRequest, from: IpAddr) -> JoinAnswer {
        let now = self.0.clock.monotonic();
        if !self.failures().allow(from, now) {
            return JoinAnswer::Refused(JoinRefusal::TooMany);
        }
        let name = request.name.clone();
        let granted = match self.check(&request) {
            Ok(()) => (self.0.grant)(request, from).await,
            Err(refusal) => Err(refusal),
        };
        match granted {
            Ok(grant) => {
                tracing::info!(%from, name, "a machine joined");
                JoinAnswer::Granted(Box::new(grant))
            }
            Err(refusal) => {
                tracing::warn!(%from, name = name.escape_debug().to_string(), "a join was refused: {refusal}");
                if is_suspicious(&refusal) {
                    self.failures().fail(from, now);
                }
                JoinAnswer::Refused(refusal)
            }
        }
    }

    fn check(&self, request: &JoinRequest) -> Result<(), JoinRefusal> {
        let (own, cluster) = (request.protocol, self.0.protocol);
        if common(own, cluster).is_none() {
            return Err(JoinRefusal::Protocol { own, cluster });
        }
        let now = self.0.clock.now();
        let apart = skew(now, now, request.now);
        if apart > MAX_SKEW {
            let seconds = apart.as_secs();
            return Err(JoinRefusal::Clock { seconds });
        }
        if !is_name(&request.name) {
            let name = request.name.chars().take(80).collect();
            return Err(JoinRefusal::BadName { name });
        }
        if let Err(error) = certificate_request(&request.csr) {
            let reason = error.to_string();
            return Err(JoinRefusal::BadRequest { reason });
        }
        Ok(())
    }
}

/// Whether whoever asked may be guessing.
fn is_suspicious(refusal: &JoinRefusal) -> bool {
    match refusal {
        JoinRefusal::UnknownToken
        | JoinRefusal::RevokedToken
        | JoinRefusal::UsedToken
        | JoinRefusal::ExpiredToken
        | JoinRefusal::Role { .. }
        | JoinRefusal::BadName { .. }
        | JoinRefusal::BadRequest { .. } => true,
        JoinRefusal::NameTaken { .. }
        | JoinRefusal::Clock { .. }
        | JoinRefusal::Protocol { .. }
        | JoinRefusal::Shards { .. }
        | JoinRefusal::Lease { .. }
        | JoinRefusal::TooMany
        | JoinRefusal::Unable { .. } => false,
    }
}

/// Answers one machine on a stream whose TLS stands.
pub(in crate::cluster) async fn serve<S>(desk: Option<&Desk>, mut stream: S, from: IpAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let asked = timeout(ASK, framing::receive::<JoinRequest>(&mut stream, GREETING)).await;
    let answer = match (asked, desk) {
        (Ok(Ok(request)), Some(desk)) => desk.answer(request, from).await,
        (Ok(Ok(_)), None) => {
            let reason = "this node cannot let others join; ask one that has the role `control`";
            JoinAnswer::Refused(JoinRefusal::Unable {
                reason: reason.to_owned(),
            })
        }
        (Ok(Err(error)), _) => {
            tracing::info!(%from, %error, "a join could not be read");
            let reason = error.to_string();
            JoinAnswer::Refused(JoinRefusal::BadRequest { reason })
        }
        (Err(_), _) => return,
    };
    if let Err(error) = framing::send(&mut stream, &answer).await {
        tracing::info!(%from, %error, "the answer to a join could not be sent");
    }
    linger(stream).await;
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}
