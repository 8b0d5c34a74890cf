//! The links that a node keeps: it listens, dials whoever the roster names, and renews its certificate.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
    time::Duration,
};

use protocol::{
    id::NodeId,
    member::{Member, MemberState, NodeRole},
    wire::{hello::PROTOCOL, join::Seat},
};
use runtime::{
    clock::{Clock, Dice},
    cluster::{
        Mesh, Peer,
        identity::{Authority, Identity, Subject},
        memory,
        transport::{Admit, DialError, Network, NetworkError, Settings},
    },
    membership::{Membership, Roster, Standing},
    store,
    supervision::ChildSpec,
};
use tokio::{net::TcpListener, runtime::Handle};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{
    desk::{Doorkeeper, seats},
    enrol::Enrolled,
    papers::{self, Papers},
};

/// How often revocations are read from the store.
const REVOCATIONS: Duration = Duration::from_secs(2);

/// How long a node that was removed may still hear that it was.
const LAST_WORD: Duration = Duration::from_secs(2);

/// The pause before a certificate that could not be renewed is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// What links are made of.
pub(crate) struct Start<'a> {
    pub(crate) enrolled: &'a Enrolled,
    pub(crate) identity: Identity,
    pub(crate) me: Member,
    pub(crate) mesh: Mesh,
    pub(crate) membership: Membership,
    pub(crate) certificate_life: Duration,
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
}

/// Nodes of this process that others of it can reach in memory.
static HOMES: Mutex<Vec<Weak<Home>>> = Mutex::new(Vec::new());

struct Home {
    cluster: Uuid,
    peer: Peer,
    mesh: Mesh,
}

/// A node's links while it runs.
pub(crate) struct Links {
    network: Option<Network>,
    listener: Option<TcpListener>,
    home: Arc<Home>,
    me: Member,
    membership: Membership,
    known: Vec<Seat>,
    papers: Papers,
    revoked: Arc<RwLock<HashSet<Uuid>>>,
    store: Option<store::Shared>,
    authority: Option<Arc<Authority>>,
    identity: Identity,
    certificate_life: Duration,
    clock: Clock,
    tasks: Vec<AbortOnDropHandle<()>>,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links")
            .field("network", &self.network.is_some())
            .finish_non_exhaustive()
    }
}

impl Links {
    /// Makes a node's links, and the children that carry them. The first node of a process has the
    /// network; the others are linked to it in memory.
    pub(crate) fn prepare(
        start: Start<'_>,
        listener: TcpListener,
    ) -> Result<(Self, Option<ChildSpec>), NetworkError> {
        let revoked = Arc::new(RwLock::new(HashSet::new()));
        let authority = start.enrolled.authority.clone();
        let settings = settings(&start, authority.clone(), revoked.clone());
        let peer = Peer {
            node: start.me.node,
            name: start.me.name.clone(),
            roles: start.me.roles.clone(),
        };
        let home = Arc::new(Home {
            cluster: start.enrolled.founding.cluster,
            peer,
            mesh: start.mesh.clone(),
        });
        let (network, child) = match Network::prepare(settings) {
            Ok((network, child)) => (Some(network), Some(child)),
            Err(NetworkError::Second) => (None, None),
            Err(error) => return Err(error),
        };
        let links = Self {
            listener: network.is_some().then_some(listener),
            network,
            home,
            me: start.me,
            membership: start.membership,
            known: start.enrolled.peers.clone(),
            papers: start.enrolled.papers.clone(),
            revoked,
            store: start.enrolled.store.clone(),
            authority,
            identity: start.identity,
            certificate_life: start.certificate_life,
            clock: start.clock,
            tasks: Vec::new(),
        };
        Ok((links, child))
    }

    /// Listens and dials. The children run by now.
    pub(crate) fn open(&mut self) {
        self.meet_housemates();
        if let (Some(network), Some(listener)) = (&self.network, self.listener.take()) {
            network.listen(listener);
            self.tasks.push(spawn(follow_roster(
                network.clone(),
                self.me.clone(),
                self.membership.clone(),
                std::mem::take(&mut self.known),
                self.papers.clone(),
            )));
            if let Some(authority) = &self.authority {
                super::renewal::serve(
                    &self.home.mesh,
                    network,
                    authority.clone(),
                    self.certificate_life,
                    self.clock.clone(),
                );
            }
            self.tasks.push(spawn(keep_certified(Certified {
                network: network.clone(),
                identity: self.identity.clone(),
                authority: self.authority.clone(),
                mesh: self.home.mesh.clone(),
                papers: self.papers.clone(),
                life: self.certificate_life,
                clock: self.clock.clone(),
            })));
        }
        if let (None, Some(network)) = (&self.store, &self.network) {
            let (network, membership) = (network.clone(), self.membership.clone());
            self.tasks.push(spawn(hear_of_end(network, membership)));
        }
        if let Some(store) = &self.store {
            self.tasks.push(spawn(read_revocations(
                store.clone(),
                self.revoked.clone(),
                self.network.clone(),
                self.membership.clone(),
            )));
        }
    }

    /// Links this node to those of its cluster in the same process, and lets later ones find it.
    fn meet_housemates(&self) {
        let mut homes = HOMES.lock().unwrap_or_else(PoisonError::into_inner);
        homes.retain(|home| home.strong_count() > 0);
        for other in homes.iter().filter_map(Weak::upgrade) {
            let (a, b) = (&self.home, &*other);
            if a.cluster == b.cluster && a.peer.node != b.peer.node {
                memory::Network::new(0).connect(&a.mesh, a.peer.clone(), &b.mesh, b.peer.clone());
            }
        }
        homes.push(Arc::downgrade(&self.home));
    }

    /// Breaks every link off.
    pub(crate) fn cut(&mut self) {
        const REASON: &str = "the node was dropped";
        self.tasks.clear();
        self.home.mesh.leave(REASON);
        // Outside of a runtime nothing of the network runs any more.
        if let (Some(network), Ok(runtime)) = (self.network.take(), Handle::try_current()) {
            runtime.spawn(async move { network.stop(REASON).await });
        }
    }

    /// Why no node could be reached lately, if none could.
    pub(crate) fn failure(&self) -> Option<DialError> {
        self.network.as_ref().and_then(Network::failure)
    }

    /// Closes every link.
    pub(crate) async fn close(&mut self) {
        self.tasks.clear();
        if let Some(network) = &self.network {
            network.stop("the node stops").await;
        }
        self.home.mesh.leave("the node stops");
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

fn settings(
    start: &Start<'_>,
    authority: Option<Arc<Authority>>,
    revoked: Arc<RwLock<HashSet<Uuid>>>,
) -> Settings {
    let enrolled = start.enrolled;
    let desk = enrolled
        .store
        .clone()
        .zip(authority)
        .map(|(store, authority)| {
            let shared = store.engine() == "postgres";
            Arc::new(Doorkeeper {
                store,
                store_url: enrolled.store_url.clone().filter(|_| shared),
                authority,
                founding: enrolled.founding,
                membership: start.membership.clone(),
                certificate_life: start.certificate_life,
                clock: start.clock.clone(),
                dice: start.dice.clone(),
            })
            .desk()
        });
    Settings {
        identity: start.identity.clone(),
        node: start.me.node,
        shards: enrolled.founding.shards,
        protocol: PROTOCOL,
        version: start.me.version.clone(),
        region: start.me.region.clone(),
        mesh: start.me.mesh.clone(),
        clock: start.clock.clone(),
        dice: start.dice.clone(),
        inbox: Arc::new(start.mesh.clone()),
        admit: admit(revoked, start.membership.clone()),
        desk,
    }
}

/// Who is not welcome although its certificate holds.
fn admit(revoked: Arc<RwLock<HashSet<Uuid>>>, membership: Membership) -> Admit {
    Arc::new(move |hello, subject| {
        let revoked = revoked.read().unwrap_or_else(PoisonError::into_inner);
        if revoked.contains(&subject.identity) {
            return Err(removal(&subject.name));
        }
        let roster = membership.roster();
        let stolen = roster
            .member(hello.node)
            .is_some_and(|row| row.member.name != subject.name);
        if stolen {
            return Err(format!("{} is the start of another node", hello.node));
        }
        let later = roster
            .living()
            .find(|row| row.member.name == subject.name && row.member.node > hello.node);
        later.map_or(Ok(()), |row| {
            let why = replacement(&subject.name);
            Err(format!("{why} ({})", row.member.node))
        })
    })
}

/// What a node hears whose certificate was revoked; it knows by these words that nobody will let it in.
fn removal(name: &str) -> String {
    format!(
        "node `{name}` was removed from the cluster; make a token with `troupe token create` and let it join anew from an empty data directory"
    )
}

/// What a node hears whose place a later start has; it knows by these words that it must end.
fn replacement(name: &str) -> String {
    format!(
        "a later start of node `{name}` is a member, from a copy of its data directory; stop one of the two"
    )
}

/// Ends a node without the store that was removed, or whose place another start took, while it heard
/// nothing, frozen say: all others refuse it from then on, and one of them says why.
async fn hear_of_end(network: Network, membership: Membership) {
    let name = &membership.me().name;
    let ends = [removal(name), replacement(name)];
    let mut standing = membership.watch_standing();
    while standing
        .wait_for(|standing| *standing == Standing::Fenced)
        .await
        .is_ok()
    {
        let failure = network.failure().map(|failure| failure.to_string());
        let told = failure.and_then(|failure| ends.iter().find(|end| failure.contains(*end)));
        if let Some(end) = told {
            membership.expelled(end.clone());
            return;
        }
        tokio::time::sleep(membership.timing().look).await;
    }
}

/// Dials whoever the roster names; two nodes that both own nothing need no link.
async fn follow_roster(
    network: Network,
    me: Member,
    membership: Membership,
    known: Vec<Seat>,
    papers: Papers,
) {
    let mut news = membership.watch();
    let mut told: Vec<Seat> = known;
    network.set_peers(addresses(&told, me.node));
    while news.changed().await.is_ok() {
        let roster = news.borrow_and_update().clone();
        let wanted: Vec<Seat> = seats(&roster)
            .into_iter()
            .filter(|seat| {
                let controls = |node| {
                    roster
                        .member(node)
                        .is_some_and(|row| row.member.roles.has(NodeRole::Control))
                };
                seat.node != me.node && (me.roles.has(NodeRole::Control) || controls(seat.node))
            })
            .collect();
        // A roster without others may be one that was not filled yet.
        if wanted != told && !(wanted.is_empty() && roster.members().is_empty()) {
            network.set_peers(addresses(&wanted, me.node));
            remember(&papers, &wanted);
            told = wanted;
        }
    }
}

fn addresses(seats: &[Seat], me: NodeId) -> Vec<(NodeId, String)> {
    let others = seats.iter().filter(|seat| seat.node != me);
    others
        .map(|seat| (seat.node, seat.address.clone()))
        .collect()
}

/// Keeps the addresses for the next start, when nobody is there to ask.
fn remember(papers: &Papers, peers: &[Seat]) {
    let kept = papers.membership().ok().flatten();
    if let Some(membership) = kept.filter(|_| !peers.is_empty()) {
        let peers = peers.to_vec();
        let kept = papers.keep(&papers::Membership {
            peers,
            ..membership
        });
        if let Err(error) = kept {
            tracing::warn!(%error, "the addresses of other nodes could not be kept");
        }
    }
}

/// Takes in who was removed: they are refused at once, and what links they have are closed when they
/// had time to hear why.
async fn read_revocations(
    store: store::Shared,
    revoked: Arc<RwLock<HashSet<Uuid>>>,
    network: Option<Network>,
    membership: Membership,
) {
    let mut rosters = membership.watch();
    loop {
        let known = removed(&membership.roster());
        match store.revoked().await {
            Ok(found) => {
                let found: HashSet<Uuid> = found.into_iter().collect();
                let news = {
                    let mut held = revoked.write().unwrap_or_else(PoisonError::into_inner);
                    let news: HashSet<Uuid> = found.difference(&held).copied().collect();
                    *held = found;
                    news
                };
                if let Some(network) = network.as_ref().filter(|_| !news.is_empty()) {
                    tokio::time::sleep(LAST_WORD).await;
                    network.close_identities(&news, "it was removed from the cluster");
                }
            }
            Err(error) => tracing::warn!(%error, "revocations could not be read"),
        }
        let another = rosters.wait_for(|roster| removed(roster) != known);
        tokio::select! {
            () = tokio::time::sleep(REVOCATIONS) => {}
            _ = another => {}
        }
    }
}

fn removed(roster: &Roster) -> HashSet<NodeId> {
    let rows = roster.members().iter();
    rows.filter(|row| row.state == MemberState::Removed)
        .map(|row| row.member.node)
        .collect()
}

/// What it takes to keep a certificate fresh.
struct Certified {
    network: Network,
    identity: Identity,
    authority: Option<Arc<Authority>>,
    mesh: Mesh,
    papers: Papers,
    life: Duration,
    clock: Clock,
}

/// Renews the certificate at two thirds of its life.
async fn keep_certified(mut held: Certified) {
    loop {
        let left = held.identity.not_after().since(held.clock.now());
        let wait = left.saturating_sub(held.life / 3);
        tokio::time::sleep(wait).await;
        match renewed(&held).await {
            Ok(identity) => {
                if let Err(error) = identity.save(held.papers.folder()) {
                    tracing::error!(%error, "the renewed certificate could not be kept");
                }
                held.network.renew(identity.clone());
                held.identity = identity;
                tracing::info!(until = %held.identity.not_after(), "the certificate was renewed");
            }
            Err(error) => {
                tracing::warn!(error, "the certificate could not be renewed yet");
                tokio::time::sleep(AGAIN.min(left / 10)).await;
            }
        }
    }
}

async fn renewed(held: &Certified) -> Result<Identity, String> {
    let subject = held.identity.subject();
    let made = Identity::request(&subject.name).map_err(|error| error.to_string())?;
    let certificate = match &held.authority {
        Some(authority) => issue(authority, &made.csr, subject, held.life, &held.clock)?,
        None => super::renewal::ask(&held.mesh, &made.csr).await?,
    };
    Identity::new(&made.key, &certificate, held.identity.authority_pem())
        .map_err(|error| error.to_string())
}

fn issue(
    authority: &Authority,
    csr: &str,
    subject: &Subject,
    life: Duration,
    clock: &Clock,
) -> Result<String, String> {
    authority
        .issue(csr, subject, life, clock.now())
        .map_err(|error| error.to_string())
}
