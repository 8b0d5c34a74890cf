//! [`Directory`]: keeps the registries of all control nodes alike.
//!
//! An agent's owner announces each change to every control node. What gets lost is noticed by
//! digests: each node tells the others every few seconds, in a message of constant size, what it
//! owns; who knows something else asks for all of it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use dashmap::{DashMap, DashSet};
use futures_util::future::join_all;
use protocol::{
    id::{AgentId, NodeId},
    member::NodeRole,
    wire::Service,
};
use runtime::cluster::{Fault, Incoming};

use super::{Agent, Registry, Reported, agent::Facts};
use crate::{
    allocator::Allocator,
    cluster::Owner,
    host::{Digest, Fact, Figures, Hosts, Notice, Page, Stamp, read, write},
};

/// Bytes of a page beyond which no agent is added.
const PAGE: usize = 96 * 1024;

/// Agents of which figures are kept that nobody can place yet.
const EARLY: usize = 100_000;

/// The pause before a node that did not list its agents is asked anew.
const AGAIN: Duration = Duration::from_millis(100);

/// How long a page may take.
const LISTED_WITHIN: Duration = Duration::from_secs(5);

/// What all control nodes know of agents. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    allocator: Allocator,
    hosts: Hosts,
    /// Nodes whose agents are being listed now.
    listing: DashSet<NodeId>,
    /// Figures of hosts that came before the owner's word that they are the host.
    early: DashMap<AgentId, Vec<Early>>,
}

/// Figures of a node that nobody named the host, or not yet.
#[derive(Debug)]
struct Early {
    from: NodeId,
    figures: Figures,
    /// Whether the agent's owner heard of it.
    told: bool,
}

impl Directory {
    pub(crate) fn new(registry: Registry, allocator: Allocator, hosts: Hosts) -> Self {
        Self(Arc::new(Inner {
            registry,
            allocator,
            hosts,
            listing: DashSet::new(),
            early: DashMap::new(),
        }))
    }

    /// Answers other nodes from now on.
    pub(crate) fn serve(&self) {
        let directory = self.clone();
        self.0.hosts.around.net.serve(
            Service::AGENT,
            Arc::new(move |incoming| {
                let directory = directory.clone();
                Box::pin(async move { directory.answer(&incoming) })
            }),
        );
    }

    /// Hears of the agents of all other nodes, as far as they tell within this time.
    pub(crate) async fn meet(&self, within: Duration) {
        let others = self.0.hosts.others().into_iter().map(|node| async move {
            while self.list(node).await.is_err() {
                tokio::time::sleep(AGAIN).await;
            }
        });
        let met = tokio::time::timeout(within, join_all(others)).await;
        if met.is_err() {
            tracing::warn!("not every node told of its agents in time; digests make up for it");
        }
    }

    /// An agent that this node owns is as `fact` says: every control node hears of it.
    pub(crate) fn announce(&self, fact: Fact) {
        let others = self.0.hosts.others();
        if !others.is_empty() {
            self.tell(&others, &Notice::Changed(Box::new(fact.clone())));
        }
        self.learn(vec![fact]);
    }

    /// An agent that this node owns was removed.
    pub(crate) fn remove(&self, agent: AgentId, stamp: Stamp) {
        self.tell(&self.0.hosts.others(), &Notice::Removed { agent, stamp });
        self.0.registry.remove(agent);
        self.0.allocator.changed();
    }

    /// Tells the others what this node owns, in a few bytes.
    pub(super) fn tell_digest(&self) {
        let others = self.0.hosts.others();
        if !others.is_empty() {
            let digest = self.digest(Owner::Here);
            self.tell(&others, &Notice::Digest(digest));
        }
    }

    fn tell(&self, others: &[NodeId], notice: &Notice) {
        let notice = write(notice);
        for node in others {
            // What is lost here, the next digest shows.
            let told = self
                .0
                .hosts
                .around
                .net
                .tell(*node, Service::AGENT, notice.clone());
            if let Err(error) = told {
                tracing::debug!(%node, %error, "a word on agents was not told");
            }
        }
    }

    fn digest(&self, owner: Owner) -> Digest {
        let mut digest = Digest::default();
        for agent in self.0.registry.all() {
            if self.0.hosts.owner(agent.id) == owner {
                digest.add(agent.id, agent.facts().stamp);
            }
        }
        digest
    }

    fn answer(&self, incoming: &Incoming) -> Result<Vec<u8>, Fault> {
        let from = incoming.from.node;
        let notice = read(&incoming.payload).map_err(|error| Fault::Refused(error.to_string()))?;
        let only_control = || match incoming.from.roles.has(NodeRole::Control) {
            true => Ok(()),
            false => {
                tracing::warn!(node = %from, "a node that is no control node spoke of agents that it does not own");
                Err(Fault::Refused("only control nodes own agents".to_owned()))
            }
        };
        match notice {
            Notice::Loads { agents, node } => {
                self.loads(from, &agents);
                if let Some(load) = node.filter(|load| load.node == from) {
                    self.0.allocator.observe_other(load);
                }
            }
            Notice::Changed(fact) => {
                only_control()?;
                self.learn(vec![*fact]);
            }
            Notice::Removed { agent, stamp } => {
                only_control()?;
                let known = self.0.registry.get(agent);
                if known.is_some_and(|agent| agent.facts().stamp <= stamp) {
                    self.0.registry.remove(agent);
                    self.0.allocator.changed();
                }
            }
            Notice::Digest(digest) => {
                only_control()?;
                if self.digest(Owner::There(from)) != digest {
                    self.catch_up(from);
                }
            }
            Notice::Natives(names) => self.0.hosts.learn_natives(from, names),
            Notice::List { after } => {
                only_control()?;
                return Ok(write(&self.page(after)?));
            }
        }
        Ok(Vec::new())
    }

    /// Takes a host's figures in.
    pub(crate) fn loads(&self, from: NodeId, agents: &[Figures]) {
        let mut any = false;
        for figures in agents {
            any |= self.take_in(Early {
                from,
                figures: figures.clone(),
                told: false,
            });
        }
        if any {
            self.0.allocator.changed();
        }
    }

    /// Answers whether they are those of an agent's host, and news.
    fn take_in(&self, mut early: Early) -> bool {
        let (id, from) = (early.figures.agent, early.from);
        loop {
            let known = self.0.registry.get(id);
            match known.map(|agent| agent.report(from, &early.figures)) {
                Some(Reported::Taken) => {
                    if self.0.hosts.owner(id) == Owner::Here {
                        self.0.hosts.tell_owner(&early.figures);
                    }
                    return true;
                }
                Some(Reported::Old) => return false,
                Some(Reported::Foreign) if self.0.hosts.around.cluster.gone(from) => return false,
                Some(Reported::Foreign) => self.complain(&mut early),
                None => {}
            }
            self.keep(early);
            // The owner's word may have come since it was looked for.
            let named = self.0.registry.get(id);
            if !named.is_some_and(|agent| agent.is_hosted_by(from)) {
                return false;
            }
            let of_host = |kept: &mut Early| kept.from == from;
            let again = (self.0.early.get_mut(&id))
                .and_then(|mut kept| kept.extract_if(.., of_host).next());
            match again {
                Some(again) => early = again,
                None => return false,
            }
        }
    }

    /// Tells an agent's owner on this node, once, that another node than it named hosts the agent.
    fn complain(&self, early: &mut Early) {
        let hosts = &self.0.hosts;
        if early.told || hosts.owner(early.figures.agent) != Owner::Here {
            return;
        }
        early.told = true;
        // One that was told to let go says so with its last figures.
        if early.figures.limit > 0 {
            hosts.tell_stray(early.figures.agent, early.from);
        }
    }

    /// A host tells each figure once: it is kept until the owner says who hosts the agent.
    fn keep(&self, early: Early) {
        if self.0.early.len() < EARLY {
            let mut kept = self.0.early.entry(early.figures.agent).or_default();
            let cluster = &self.0.hosts.around.cluster;
            kept.retain(|other| other.from != early.from && !cluster.gone(other.from));
            kept.push(early);
        }
    }

    /// Takes owners' words in, each unless a later one is known.
    fn learn(&self, facts: Vec<Fact>) {
        let known: Vec<AgentId> = facts.iter().map(|fact| fact.agent).collect();
        self.believe(facts);
        for agent in known {
            let kept = self.0.early.remove(&agent);
            for early in kept.into_iter().flat_map(|(_, kept)| kept) {
                if self.take_in(early) {
                    self.0.allocator.changed();
                }
            }
        }
    }

    fn believe(&self, facts: Vec<Fact>) {
        let here = self.0.hosts.me();
        for fact in facts {
            let Some(agent) = self.0.registry.get(fact.agent) else {
                let (id, tenant) = (fact.agent, fact.tenant.clone());
                let hosted = self.0.hosts.hosted(id);
                let agent = Agent::new(id, tenant, hosted, here, Facts::new(fact));
                self.0.registry.insert(&Arc::new(agent));
                continue;
            };
            let respecified = agent.change(|known| {
                if fact.stamp <= known.stamp {
                    return false;
                }
                let respecified = known.spec != fact.spec;
                let new = Facts::new(fact);
                *known = Facts {
                    health: known.health.take(),
                    circuit: known.circuit,
                    admits: known.admits,
                    ..new
                };
                respecified
            });
            if respecified {
                self.0.registry.reindex(&agent);
            }
        }
        self.0.allocator.changed();
    }

    /// What this node owns, after an agent, in order of their ids. Nothing while an agent has no owner:
    /// it may be this node, whose lease is in doubt, and what is not listed is forgotten.
    fn page(&self, after: Option<AgentId>) -> Result<Page, Fault> {
        let as_of = u64::try_from(self.0.hosts.clock.now().as_micros()).unwrap_or(0);
        let mut own = Vec::new();
        for agent in self.0.registry.all() {
            match self.0.hosts.owner(agent.id) {
                Owner::Here if after.is_none_or(|after| agent.id > after) => own.push(agent),
                Owner::Here | Owner::There(_) => {}
                Owner::Nobody => {
                    let name = agent.facts().spec.name.clone();
                    return Err(Fault::Refused(format!("nobody owns agent `{name}` now")));
                }
            }
        }
        own.sort_unstable_by_key(|agent| agent.id);
        let (mut facts, mut size) = (Vec::new(), 0);
        for agent in &own {
            let fact = fact(agent);
            size += write(&fact).len();
            facts.push(fact);
            if size > PAGE {
                break;
            }
        }
        let more = facts.len() < own.len();
        let next = facts.last().filter(|_| more).map(|fact: &Fact| fact.agent);
        Ok(Page { facts, next, as_of })
    }

    /// Asks another node for all that it owns, beside everything else, one time at a time.
    fn catch_up(&self, node: NodeId) {
        if !self.0.listing.insert(node) {
            return;
        }
        let directory = self.clone();
        tokio::spawn(async move {
            if let Err(error) = directory.list(node).await {
                tracing::debug!(%node, %error, "the agents of another node were not listed");
            }
            directory.0.listing.remove(&node);
        });
    }

    async fn list(&self, node: NodeId) -> Result<(), Fault> {
        let (mut after, mut listed, mut as_of) = (None, HashSet::new(), None);
        loop {
            let asked = write(&Notice::List { after });
            let net = &self.0.hosts.around.net;
            let answer = net.ask(node, Service::AGENT, asked, LISTED_WITHIN).await?;
            let page: Page = read(&answer).map_err(|error| Fault::Refused(error.to_string()))?;
            listed.extend(page.facts.iter().map(|fact| fact.agent));
            let as_of = *as_of.get_or_insert(page.as_of);
            self.learn(page.facts);
            after = page.next;
            if after.is_none() {
                self.forget(node, &listed, as_of);
                return Ok(());
            }
        }
    }

    /// What another node owns as far as is known here, but did not list: it was removed unheard.
    fn forget(&self, node: NodeId, listed: &HashSet<AgentId>, as_of: u64) {
        for agent in self.0.registry.all() {
            if !listed.contains(&agent.id)
                && self.0.hosts.owner(agent.id) == Owner::There(node)
                && agent.facts().stamp.moment < as_of
            {
                self.0.registry.remove(agent.id);
            }
        }
    }
}

/// What an owner says of an agent.
fn fact(agent: &Agent) -> Fact {
    let facts = agent.facts();
    Fact {
        agent: agent.id,
        tenant: agent.tenant.clone(),
        spec: facts.spec.clone(),
        mode: facts.mode,
        health: facts.known_health,
        created_at: facts.created_at,
        updated_at: facts.updated_at,
        host: facts.host.clone(),
        stamp: facts.stamp,
    }
}
