//! From papers to a member with a lease: what stands before anything runs.

use std::{io, sync::Arc, time::Duration};

use actors::cluster::{Gatekeeper, Part};
use protocol::{
    id::NodeId,
    member::{Member, MemberState, NodeRole, Roles},
    shard::Shard,
    wire::hello::PROTOCOL,
};
use runtime::{
    clock::{Clock, Dice},
    cluster::{Mesh, transport::DialError},
    membership::{
        Fence, Membership, Registrar, Rival, Roster, SponsorRegistrar, Standing, StoreRegistrar,
        sponsor,
    },
    placement::Holdings,
    store,
};
use tokio::net::TcpListener;

use super::{EnrolError, Enrolled, Links, links};
use crate::{Config, node::StartError};

/// How long a node without a store may take to reach one that has it.
const REACH: Duration = Duration::from_secs(15);

/// How long a control node waits for its part of the shards, which it can do without.
const SHARE: Duration = Duration::from_secs(5);

/// How long others may take to take over what a draining node gives back.
const HAND_OVER: Duration = Duration::from_secs(10);

/// A member, before anything runs on it.
pub(crate) struct Footing {
    pub(crate) part: Part,
    pub(crate) links: Option<Links>,
    pub(crate) place: Place,
}

/// A node's place in its cluster while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) membership: Membership,
    registrar: Arc<dyn Registrar>,
    holdings: Holdings,
    /// Nobody else can own what this node owns.
    sole: bool,
    mesh: Mesh,
}

/// Makes a member of an enrolled node. `admin` is how the others know its administrator's token.
pub(crate) async fn stand(
    config: &Config,
    enrolled: &Enrolled,
    admin: Option<String>,
    clock: &Clock,
    dice: &Dice,
) -> Result<Footing, StartError> {
    let listener = match &enrolled.identity {
        Some(_) => Some(bind(config).await?),
        None => None,
    };
    let mut me = member(config, enrolled, listener.as_ref(), clock, dice)?;
    me.admin = admin;
    let mesh = Mesh::new(me.node);
    let sole = enrolled
        .store
        .as_ref()
        .is_some_and(|store| store.engine() != "postgres");
    let fence = if sole {
        Fence::open()
    } else {
        Fence::closed(clock.clone())
    };
    let registrar: Arc<dyn Registrar> = match &enrolled.store {
        Some(store) => Arc::new(StoreRegistrar(store.clone())),
        None => Arc::new(SponsorRegistrar::new(mesh.clone())),
    };
    let (roster, sent) = match &enrolled.store {
        Some(store) => enter(config, enrolled, &me, (store, sole), clock).await?,
        None => (Roster::empty(enrolled.founding.shards), clock.boot()),
    };
    let timing = config.cluster.timing();
    let membership = Membership::new(me.clone(), roster, timing, clock.clone(), fence.clone());
    if enrolled.store.is_none() {
        // Who enters through another node tells of its earlier start with the first word.
        let papers = &enrolled.papers;
        if let Some(former) = papers.former().map_err(EnrolError::from)? {
            membership.replaces(former);
        }
        papers.starts(me.node).map_err(EnrolError::from)?;
    } else {
        membership.confirmed(sent);
    }
    let holdings = Holdings::none(enrolled.founding.shards, fence);
    if let Some(store) = enrolled.store.as_ref().filter(|_| sole) {
        take_all(store, me.node, &holdings).await?;
    }
    if enrolled.store.is_some() {
        sponsor(&mesh, &membership, registrar.clone());
    }
    let admission = gatekeeper(enrolled, &me, sole);
    let (mut children, mut opened) = (Vec::new(), None);
    if let Some((identity, listener)) = enrolled.identity.clone().zip(listener) {
        let start = links::Start {
            enrolled,
            identity,
            me,
            mesh: mesh.clone(),
            membership: membership.clone(),
            certificate_life: config.cluster.certificate_life.0,
            clock: clock.clone(),
            dice: dice.clone(),
        };
        let (links, child) = Links::prepare(start, listener)?;
        children.extend(child);
        opened = Some(links);
    }
    Ok(Footing {
        place: Place {
            membership: membership.clone(),
            registrar: registrar.clone(),
            holdings: holdings.clone(),
            sole,
            mesh: mesh.clone(),
        },
        part: Part {
            membership,
            registrar,
            holdings,
            mesh,
            children,
            admission,
        },
        links: opened,
    })
}

/// What this node needs for letting others in, if it can. A store in a file has one control node.
fn gatekeeper(enrolled: &Enrolled, me: &Member, sole: bool) -> Option<Gatekeeper> {
    let (authority, mesh) = enrolled.authority.as_ref().zip(me.mesh.clone())?;
    enrolled.store.as_ref().map(|_| Gatekeeper {
        authority: authority.fingerprint(),
        mesh,
        roles: if sole {
            [NodeRole::Worker, NodeRole::Edge].into_iter().collect()
        } else {
            Roles::all()
        },
    })
}

/// Where others reach this node. One that was not told where takes a free port when the usual one is
/// taken: the roster says which.
async fn bind(config: &Config) -> Result<TcpListener, StartError> {
    let wanted = config.cluster.listen;
    let refused = |source: io::Error| {
        StartError::from(EnrolError::Refused(format!(
            "cannot listen for other nodes at {wanted}: {source}; choose another address with `cluster.listen` or `--mesh`"
        )))
    };
    match TcpListener::bind(wanted).await {
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse
                && wanted == crate::config::ClusterSection::default().listen =>
        {
            TcpListener::bind((wanted.ip(), 0)).await.map_err(refused)
        }
        bound => bound.map_err(refused),
    }
}

fn member(
    config: &Config,
    enrolled: &Enrolled,
    listener: Option<&TcpListener>,
    clock: &Clock,
    dice: &Dice,
) -> Result<Member, StartError> {
    let local = listener
        .map(TcpListener::local_addr)
        .transpose()
        .map_err(EnrolError::from)?;
    let mesh = local.map(|local| {
        let advertised = config.cluster.advertise.clone();
        advertised.unwrap_or_else(|| local.to_string())
    });
    let now = clock.now();
    Ok(Member {
        node: NodeId::from_uuid(dice.uuid_v7(now)),
        name: enrolled.name.clone(),
        roles: enrolled.roles.clone(),
        mesh,
        edge: None,
        region: config.cluster.region.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL,
        started_at: now,
        admin: None,
    })
}

/// Writes the member down and looks who else is there; answers also when it asked for its lease. While
/// its name is held by another start it waits until that one's lease is over or seen to be renewed.
async fn enter(
    config: &Config,
    enrolled: &Enrolled,
    me: &Member,
    (store, sole): (&store::Shared, bool),
    clock: &Clock,
) -> Result<(Roster, Duration), StartError> {
    let papers = &enrolled.papers;
    let former = papers.former().map_err(EnrolError::from)?;
    if sole {
        // The lock on the directory proves that no other process has this store.
        for row in store.survey().await?.members {
            if row.member.roles.has(NodeRole::Control) && row.lives() {
                store.set_state(row.member.node, MemberState::Left).await?;
            }
        }
    }
    let timing = config.cluster.timing();
    let mut rival = Rival::default();
    let sent = loop {
        let sent = clock.boot();
        let Err(refusal) = store.enter(me, timing.ttl, former).await? else {
            break sent;
        };
        if rival.is_final(&refusal) {
            return Err(EnrolError::Refused(refusal.to_string()).into());
        }
        tracing::info!(%refusal, "another lease of this node's name runs still");
        tokio::time::sleep(timing.look).await;
    };
    papers.starts(me.node).map_err(EnrolError::from)?;
    Ok((Roster::new(store.survey().await?), sent))
}

async fn take_all(
    store: &store::Shared,
    me: NodeId,
    holdings: &Holdings,
) -> Result<(), StartError> {
    let all: Vec<Shard> = (0..holdings.count()).map(Shard).collect();
    match store.take(me, &all).await? {
        Some((epoch, taken)) if taken.len() == all.len() => {
            for shard in taken {
                holdings.hold(shard, epoch);
            }
            Ok(())
        }
        taken => Err(EnrolError::Refused(format!(
            "another node owns a part of this store, which only one can ({} of {} shards were free)",
            taken.map_or(0, |(_, taken)| taken.len()),
            all.len()
        ))
        .into()),
    }
}

impl Place {
    /// Waits until this node is a member that can do something; `failure` says why no other was
    /// reached.
    pub(crate) async fn settle(
        &self,
        failure: impl Fn() -> Option<DialError>,
    ) -> Result<(), EnrolError> {
        let mut standing = self.membership.watch_standing();
        let member = standing.wait_for(|standing| *standing != Standing::Fenced);
        match tokio::time::timeout(REACH, member).await {
            Ok(Ok(standing)) => {
                if let Standing::Ended(why) = &*standing {
                    return Err(EnrolError::Refused(why.clone()));
                }
            }
            Ok(Err(_)) | Err(_) => {
                return Err(self.unreached(failure()));
            }
        }
        let controls = self.membership.me().roles.has(NodeRole::Control);
        if controls && !self.sole {
            let deadline = tokio::time::Instant::now() + SHARE;
            let mut rosters = self.membership.watch();
            while self.holdings.held().is_empty() {
                let news = tokio::time::timeout(Duration::from_millis(50), rosters.changed()).await;
                if matches!(news, Ok(Err(_))) || tokio::time::Instant::now() > deadline {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Why nobody made this node a member for so long.
    fn unreached(&self, failure: Option<DialError>) -> EnrolError {
        let peers = self.mesh.peers();
        let sponsored = peers.iter().any(|peer| peer.roles.has(NodeRole::Control));
        // A control node that was reached knows better than one that was not.
        let told = self.membership.hindrance().filter(|_| sponsored);
        match (told, failure) {
            (Some(told), _) if told.passes => EnrolError::Unreached(told.why),
            (Some(told), _) => EnrolError::Refused(told.why),
            (None, Some(failure)) if failure.passes() => EnrolError::Unreached(failure.to_string()),
            (None, Some(failure)) => EnrolError::Refused(failure.to_string()),
            (None, None) => EnrolError::Unreached(format!(
                "no control node could be reached within {REACH:?}; see whether one runs, and whether its mesh address is the one that this node was told"
            )),
        }
    }

    /// Resolves when this process is a member no more, and says why.
    pub(crate) async fn ended(&self) -> String {
        let mut standing = self.membership.watch_standing();
        let ended = standing.wait_for(|standing| matches!(standing, Standing::Ended(_)));
        let why = match ended.await.as_deref() {
            Ok(Standing::Ended(why)) => Some(why.clone()),
            Ok(Standing::Member | Standing::Fenced) | Err(_) => None,
        };
        match why {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    /// Tells the others that this node is about to stop, and hands over what it owns.
    pub(crate) async fn drain(&self) {
        let me = self.membership.node();
        let said = self.registrar.set_state(me, MemberState::Draining).await;
        if let Err(error) = said {
            tracing::warn!(%error, "the others could not be told that this node drains");
            return;
        }
        self.membership.hurry();
        let others = self
            .membership
            .roster()
            .owners_to_be()
            .iter()
            .any(|other| other.node != me);
        if self.sole || !others {
            return;
        }
        let deadline = tokio::time::Instant::now() + HAND_OVER;
        let mut rosters = self.membership.watch();
        while !self.holdings.held().is_empty() && tokio::time::Instant::now() < deadline {
            let _ = tokio::time::timeout(Duration::from_millis(50), rosters.changed()).await;
        }
        runtime::membership::announce(&self.mesh);
    }

    /// Gives up the lease: nobody has to wait for its end.
    pub(crate) async fn leave(&self) {
        self.membership.leaves();
        let left = self
            .registrar
            .set_state(self.membership.node(), MemberState::Left);
        match tokio::time::timeout(Duration::from_secs(5), left).await {
            Ok(Ok(())) => runtime::membership::announce(&self.mesh),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the others were not told that this node left");
            }
            Err(_) => tracing::warn!("the others were not told that this node left in time"),
        }
    }
}
