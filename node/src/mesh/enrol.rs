//! From a data directory, a configuration and perhaps a token to a member's papers and store.

use std::{io, path::Path, sync::Arc};

use protocol::{
    id::NodeId,
    member::{NodeRole, Roles},
    shard::DEFAULT_SHARDS,
    wire::{
        hello::PROTOCOL,
        join::{JoinRefusal, Seat},
    },
};
use runtime::{
    clock::{Clock, Dice},
    cluster::{
        identity::{Authority, Identity, IdentityError, Subject},
        join::{self, Applicant, InvalidToken, JoinError, Token},
    },
    store::{self, Address, Founding, IdentityRow},
};

use uuid::Uuid;

use super::papers::{Membership, Papers};
use crate::{Config, node::StartError};

/// Whom to join, and by which right.
#[derive(Debug, Clone)]
pub(crate) struct Join {
    /// `HOST:PORT` of a control node's mesh.
    pub(crate) address: String,
    /// As `troupe token create` printed it; not needed by a node that joined before.
    pub(crate) token: Option<String>,
}

/// Why a node is no part of a cluster: one line each, naming cause and remedy.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The token is none.
    #[error(transparent)]
    Token(#[from] InvalidToken),
    /// It was not let in.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// A key or certificate cannot be made or used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its papers cannot be read or written.
    #[error("the folder `mesh` of the data directory cannot be used: {0}")]
    Papers(#[from] io::Error),
    /// It has papers, and no node that could make it a member answers now.
    #[error("{0}")]
    Unreached(String),
    /// Whatever is said in words.
    #[error("{0}")]
    Refused(String),
}

/// A node that may take part.
#[derive(Debug)]
pub(crate) struct Enrolled {
    pub(crate) name: String,
    pub(crate) roles: Roles,
    pub(crate) founding: Founding,
    /// With the role `control` only.
    pub(crate) store: Option<store::Shared>,
    /// Where that store is, for those who join.
    pub(crate) store_url: Option<String>,
    /// Absent for a node that never has others.
    pub(crate) identity: Option<Identity>,
    pub(crate) authority: Option<Arc<Authority>>,
    /// Whom to dial before the roster is known.
    pub(crate) peers: Vec<Seat>,
    pub(crate) papers: Papers,
}

/// Whether a node is to have others.
#[derive(Debug, Clone, Default)]
pub(crate) enum Company {
    /// It stays alone.
    #[default]
    None,
    /// Others may join it.
    Welcome,
    /// It joins others.
    Sought(Join),
}

/// What the steps of enrolling share.
struct Desk<'a> {
    config: &'a Config,
    dir: &'a Path,
    papers: Papers,
    clock: &'a Clock,
    dice: &'a Dice,
}

/// Finds the node's papers, or has them made.
pub(crate) async fn enrol(
    config: &Config,
    dir: &Path,
    company: &Company,
    clock: &Clock,
    dice: &Dice,
) -> Result<Enrolled, StartError> {
    let papers = Papers::of(dir).map_err(EnrolError::from)?;
    let desk = Desk {
        config,
        dir,
        papers,
        clock,
        dice,
    };
    let identity = desk.papers.identity().map_err(EnrolError::from)?;
    match (company, identity) {
        (Company::None, identity) => desk.alone(identity).await,
        (Company::Welcome | Company::Sought(_), Some(identity)) => {
            desk.member(identity, company).await
        }
        (Company::Welcome, None) => desk.founder().await,
        (Company::Sought(join), None) => desk.newcomer(join).await,
    }
}

/// Without others there is nobody else who could own anything.
fn needs_control(roles: &Roles) -> Result<(), EnrolError> {
    if roles.has(NodeRole::Control) {
        return Ok(());
    }
    Err(EnrolError::Refused(
        "a node without the role `control` needs a cluster: start it with `--join HOST:PORT --token TOKEN`"
            .to_owned(),
    ))
}

/// A store without the founder of this node's cluster is another cluster's, or was made anew.
fn strange_store(url: &str, membership: &Membership) -> StartError {
    // An address shows no password.
    let shown = |url: &str| {
        url.parse::<Address>()
            .map_or_else(|_| url.to_owned(), |it| it.to_string())
    };
    let had = membership.store.as_deref().filter(|had| *had != url);
    let had = had.map(|had| format!("; it was {} the last time", shown(had)));
    let (url, had) = (shown(url), had.unwrap_or_default());
    EnrolError::Refused(format!(
        "the store {url} is not that of this node's cluster {}{had}; name the right one with `store.url`, put a backup in its place, or, to begin anew with nothing, start from an empty data directory",
        membership.cluster
    ))
    .into()
}

impl Desk<'_> {
    /// A node without others: its store may be a cluster's all the same, when that one sleeps.
    async fn alone(self, identity: Option<Identity>) -> Result<Enrolled, StartError> {
        let roles = identity.as_ref().map_or_else(
            || self.config.cluster.roles.clone(),
            |of| of.subject().roles.clone(),
        );
        needs_control(&roles)?;
        let told = self.papers.membership().map_err(EnrolError::from)?;
        let told = told.and_then(|of| of.store);
        let (store, url) = self.open(told.as_deref()).await?;
        let wanted = Founding {
            cluster: self.dice.uuid_v7(self.clock.now()),
            shards: self.config.cluster.shards,
        };
        let founding = store.found(wanted).await?;
        Ok(Enrolled {
            name: self.config.node.name.clone(),
            roles,
            founding,
            store: Some(store),
            store_url: Some(url),
            identity: None,
            authority: None,
            peers: Vec::new(),
            papers: self.papers,
        })
    }

    /// The first node of a cluster makes its authority.
    async fn founder(self) -> Result<Enrolled, StartError> {
        needs_control(&self.config.cluster.roles)?;
        let now = self.clock.now();
        let wanted = Founding {
            cluster: self.dice.uuid_v7(now),
            shards: self.config.cluster.shards,
        };
        let (store, url) = self.open(None).await?;
        let founding = store.found(wanted).await?;
        let kept = self.papers.authority().map_err(EnrolError::from)?;
        let has_founder = store.identity(founding.cluster).await?.is_some();
        // A file that was put back from a copy is this node's alone: it founds its mesh anew.
        let shared = store.engine() == "postgres";
        if kept.is_none() && has_founder && shared {
            return Err(EnrolError::Refused(format!(
                "the store belongs to a cluster already ({}); make a token on one of its nodes with `troupe token create`, and start this one with `--join HOST:PORT --token TOKEN`",
                founding.cluster
            ))
            .into());
        }
        let authority = match kept {
            Some(authority) => authority,
            None => Authority::create(founding.cluster, now).map_err(EnrolError::from)?,
        };
        authority
            .save(self.papers.folder())
            .map_err(EnrolError::from)?;
        let subject = Subject {
            cluster: founding.cluster,
            // The founder's identity is named as the cluster, so that there is one founder.
            identity: founding.cluster,
            name: self.config.node.name.clone(),
            roles: Roles::all(),
        };
        let row = IdentityRow {
            id: subject.identity,
            name: subject.name.clone(),
            roles: subject.roles.clone(),
            admitted_at: now,
            revoked: false,
        };
        // Without a token nothing can be refused.
        let _ = store.admit(&row, None).await?;
        let identity = self.certify(&authority, &subject)?;
        let membership = Membership {
            cluster: founding.cluster,
            shards: founding.shards,
            // A start that is not told where it is must not begin with an empty file.
            store: shared.then(|| url.clone()),
            peers: Vec::new(),
        };
        self.papers.keep(&membership).map_err(EnrolError::from)?;
        Ok(Enrolled {
            name: subject.name,
            roles: self.config.cluster.roles.clone(),
            founding,
            store: Some(store),
            store_url: Some(url),
            identity: Some(identity),
            authority: Some(Arc::new(authority)),
            peers: Vec::new(),
            papers: self.papers,
        })
    }

    fn certify(&self, authority: &Authority, subject: &Subject) -> Result<Identity, EnrolError> {
        let made = Identity::request(&subject.name)?;
        let life = self.config.cluster.certificate_life.0;
        let certificate = authority.issue(&made.csr, subject, life, self.clock.now())?;
        let identity = Identity::new(&made.key, &certificate, authority.certificate_pem())?;
        identity.save(self.papers.folder())?;
        Ok(identity)
    }

    /// A machine with a token.
    async fn newcomer(self, to: &Join) -> Result<Enrolled, StartError> {
        let token = to.token.as_deref().ok_or_else(|| {
            EnrolError::Refused(
                "this node has not joined the cluster yet; make a token on one of its nodes with `troupe token create`, and pass it with `--token`"
                    .to_owned(),
            )
        })?;
        let token: Token = token.parse().map_err(EnrolError::from)?;
        let everything = self.config.cluster.roles == Roles::all();
        let applicant = Applicant {
            name: self.own_name(),
            // All roles is what nobody thought about: the token says which.
            roles: if everything {
                Roles::default()
            } else {
                self.config.cluster.roles.clone()
            },
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            region: self.config.cluster.region.clone(),
            shards: self.told_shards(),
            lease: Some(self.config.cluster.lease),
        };
        let joined = join::request(&to.address, &token, &applicant, self.clock)
            .await
            .map_err(EnrolError::from)?;
        let membership = Membership {
            cluster: joined.cluster(),
            shards: joined.shards,
            store: joined.store.clone(),
            peers: joined.peers.clone(),
        };
        self.papers.keep(&membership).map_err(EnrolError::from)?;
        if let Some(authority) = &joined.authority {
            authority
                .save(self.papers.folder())
                .map_err(EnrolError::from)?;
        }
        joined
            .identity
            .save(self.papers.folder())
            .map_err(EnrolError::from)?;
        self.with_papers(joined.identity, membership).await
    }

    /// A node that joined before.
    async fn member(self, identity: Identity, company: &Company) -> Result<Enrolled, StartError> {
        let authority = self.papers.authority().map_err(EnrolError::from)?;
        let expired = identity.not_after() <= self.clock.now();
        let identity = match (expired, &authority, company) {
            (false, _, _) => identity,
            (true, Some(authority), _) => self.certify(authority, identity.subject())?,
            (true, None, Company::Sought(join)) if join.token.is_some() => {
                return self.newcomer(join).await;
            }
            (true, None, Company::None | Company::Welcome | Company::Sought(_)) => {
                return Err(EnrolError::Refused(format!(
                    "this node's certificate expired at {}; make a token with `troupe token create` and start it with `--join HOST:PORT --token TOKEN`",
                    identity.not_after()
                ))
                .into());
            }
        };
        let Some(membership) = self.papers.membership().map_err(EnrolError::from)? else {
            return Err(EnrolError::Refused(
                "the data directory has a certificate, but not its cluster; remove the folder `mesh` in it and join anew"
                    .to_owned(),
            )
            .into());
        };
        let named = &self.config.node.name;
        let name = &identity.subject().name;
        if *named != crate::config::NodeSection::default().name && named != name {
            tracing::warn!(
                "this node joined its cluster as `{name}`, which it stays: `{named}` is not taken"
            );
        }
        let mut enrolled = self.with_papers(identity, membership).await?;
        if let Company::Sought(join) = company {
            // Those that it knew may be elsewhere by now. Whoever is there says which start it is.
            enrolled.peers.push(Seat {
                node: NodeId::from_uuid(Uuid::nil()),
                name: join.address.clone(),
                address: join.address.clone(),
            });
        }
        Ok(enrolled)
    }

    async fn with_papers(
        self,
        identity: Identity,
        mut membership: Membership,
    ) -> Result<Enrolled, StartError> {
        let subject = identity.subject().clone();
        let wanted = &self.config.cluster.roles;
        let roles: Roles = wanted
            .iter()
            .filter(|role| subject.roles.has(*role))
            .collect();
        let cluster = membership.shards;
        if let Some(own) = self.told_shards().filter(|own| *own != cluster) {
            return Err(EnrolError::Join(JoinRefusal::Shards { own, cluster }.into()).into());
        }
        let mut founding = Founding {
            cluster: membership.cluster,
            shards: membership.shards,
        };
        let (mut store, mut store_url) = (None, None);
        if roles.has(NodeRole::Control) {
            let (opened, url) = self.open(membership.store.as_deref()).await?;
            if opened.identity(membership.cluster).await?.is_none() {
                return Err(strange_store(&url, &membership));
            }
            founding = opened.found(founding).await?;
            let kept = Some(&url).filter(|_| opened.engine() == "postgres");
            if membership.store.as_ref() != kept {
                membership.store = kept.cloned();
                self.papers.keep(&membership).map_err(EnrolError::from)?;
            }
            (store, store_url) = (Some(opened), Some(url));
        }
        Ok(Enrolled {
            name: subject.name.clone(),
            roles,
            founding,
            store,
            store_url,
            authority: self
                .papers
                .authority()
                .map_err(EnrolError::from)?
                .map(Arc::new),
            identity: Some(identity),
            peers: membership.peers,
            papers: self.papers,
        })
    }

    /// The number of shards that somebody wrote down; the default is what nobody thought about.
    fn told_shards(&self) -> Option<u16> {
        let told = self.config.cluster.shards;
        (told != DEFAULT_SHARDS).then_some(told)
    }

    /// The store that the configuration names, else the one that the cluster told of, else a file.
    async fn open(&self, told: Option<&str>) -> Result<(store::Shared, String), StartError> {
        let mut config = self.config.clone();
        if config.store.url.is_none() {
            config.store.url = told.map(str::to_owned);
        }
        let store = crate::node::open_store(&config, self.dir).await?;
        let url = match config.store.url.clone() {
            Some(url) => url,
            None => crate::node::store_address(&config, self.dir)?.to_string(),
        };
        Ok((store, url))
    }

    /// The configured name, or for machines that nobody named one that no other has.
    fn own_name(&self) -> String {
        let named = &self.config.node.name;
        if *named != crate::config::NodeSection::default().name {
            return named.clone();
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host: String = host
            .trim()
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
            .take(40)
            .collect();
        let [first, second, ..] = self.dice.token();
        let host = if host.is_empty() { "node" } else { &host };
        format!("{host}-{first:02x}{second:02x}")
    }
}
