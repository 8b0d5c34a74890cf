//! Which agents may have a step, and which of them should.

use std::{
    cmp::{Ordering, Reverse},
    time::Duration,
};

use protocol::{
    agent::{Health, Mode, Resources},
    allocation::{Candidate, Exclusion, ScoreCard, Scores, Weights},
    id::{AgentId, HoldId, NodeId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{Request, Requirement};
use crate::hold::Held;

/// Candidates that a ranking orders and a card lists.
const LISTED: usize = 20;

/// Which part of an agent's slots, rounded up, must be free beyond those of one on this node to be a
/// reason for sending a step away: that takes messages and one more commit, and how many are free there
/// was said a second ago.
const DISTANCE: u32 = 8;

/// An agent as the allocator sees it at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentSnapshot {
    /// Its id.
    pub id: AgentId,
    /// Its unique name.
    pub name: String,
    /// Whose it is.
    pub tenant: String,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// Tools that it declares and that work.
    pub tools: Vec<String>,
    /// What operators asked of it.
    pub mode: Mode,
    /// What its last health check found, and when; none was made before its first.
    pub checked: Option<(Health, Timestamp)>,
    /// Whether its breaker lets a call through now.
    pub circuit: Circuit,
    /// How many steps it runs at once; none while no node hosts it.
    pub slots: u32,
    /// How many it runs now.
    pub running: u32,
    /// How many it was ever given; the fewest comes first among equals.
    pub assigned: u64,
    /// Share of its late attempts that succeeded, from 0 to 1; 1 without history.
    pub success_rate: f64,
    /// The node that its proxy runs on.
    pub node: NodeId,
    /// What each running step takes of that node.
    pub resources: Resources,
    /// What an operator holds that keeps it from taking steps.
    pub hold: Option<HoldId>,
}

/// Whether an agent's breaker lets a call through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Circuit {
    /// Calls pass.
    #[default]
    Passable,
    /// The agent is left alone for a while.
    Open,
}

/// How much of a node is taken. Asked only for work that declares what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NodeLoad {
    /// The node.
    pub node: NodeId,
    /// Share of its processors in use, as measured, from 0 to 1.
    pub cpu_used: f64,
    /// Share of the disk under its data directory in use, as measured, from 0 to 1.
    pub disk_used: f64,
    /// Share of its memory in use, as measured, from 0 to 1.
    pub memory_used: f64,
    /// What it offers to declared work.
    pub capacity: Resources,
    /// What running declared work takes.
    pub taken: Resources,
}

/// Under which terms agents are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The present.
    pub now: Timestamp,
    /// How long a health check counts.
    pub fresh_for: Duration,
    /// Weights of the four parts of a score.
    pub weights: Weights,
    /// Share of a node's memory in use above which no declared work starts.
    pub memory_limit: f64,
    /// Share of a node's processors in use above which no declared work starts.
    pub cpu_limit: f64,
    /// Share of a node's disk in use above which no declared work starts.
    pub disk_limit: f64,
    /// This node: among equals its agents come first, for no message leaves it.
    pub here: NodeId,
    /// The other nodes of its region: among equals theirs come next.
    pub near: &'a [NodeId],
    /// The nodes that agents run on.
    pub nodes: &'a [NodeLoad],
    /// What operators hold.
    pub held: Option<&'a Held>,
}

/// Agents in the order in which they should be asked, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// Positions among the agents looked at, the best first, twenty at most; excluded ones are left
    /// out. When all of them refuse, the picture is out of date and the step waits.
    pub order: Vec<usize>,
    /// What is stored with the attempt; `chosen` is the best. Whoever goes to another candidate,
    /// because the best refused, says so with [`Ranking::choose`].
    pub card: ScoreCard,
}

impl Ranking {
    /// Writes another choice on the card.
    pub fn choose(&mut self, agent: &str) {
        self.card.chosen = Some(agent.to_owned());
    }
}

/// The first filter that an agent does not pass; none when it may have the step.
#[must_use]
pub fn eligible(
    requirement: &Requirement,
    agent: &AgentSnapshot,
    terms: &Terms<'_>,
) -> Option<Exclusion> {
    let lacks = |wanted: &String, offered: &[String]| !offered.contains(wanted);
    let capability = requirement.capability.as_ref();
    let pin = requirement.agent.as_ref();
    if agent.tenant != requirement.tenant {
        Some(Exclusion::Permission)
    } else if pin.is_some_and(|pin| !pin.is(&agent.name, agent.id)) {
        Some(Exclusion::NotNamed)
    } else if capability.is_some_and(|wanted| lacks(wanted, &agent.capabilities)) {
        Some(Exclusion::Capability)
    } else if requirement
        .tools
        .iter()
        .any(|tool| lacks(tool, &agent.tools))
    {
        Some(Exclusion::Tool)
    } else {
        state_excludes(requirement, agent, terms)
    }
}

/// Filters that may pass at another moment.
fn state_excludes(
    requirement: &Requirement,
    agent: &AgentSnapshot,
    terms: &Terms<'_>,
) -> Option<Exclusion> {
    match agent.mode {
        Mode::Stopped => return Some(Exclusion::Stopped),
        Mode::Paused => return Some(Exclusion::Paused),
        Mode::Started => {}
    }
    let needs_held = || {
        let held = terms.held?;
        held.on_tools(&requirement.tenant, &requirement.tools)
    };
    if agent.hold.is_some() || needs_held().is_some() {
        return Some(Exclusion::Held);
    }
    if agent.slots == 0 {
        return Some(Exclusion::Unhosted);
    }
    let healthy = agent.checked.is_some_and(|(health, at)| {
        health == Health::Healthy && terms.now.since(at) <= terms.fresh_for
    });
    if !healthy {
        Some(Exclusion::Unhealthy)
    } else if agent.circuit == Circuit::Open {
        Some(Exclusion::CircuitOpen)
    } else if is_short(requirement, agent, terms) {
        Some(Exclusion::Resources)
    } else {
        (agent.running >= agent.slots).then_some(Exclusion::Full)
    }
}

/// Whether the agent's node cannot carry what the work takes. Agent and task both say what that
/// is; the greater counts. A node that nothing is known of carries nothing.
fn is_short(requirement: &Requirement, agent: &AgentSnapshot, terms: &Terms<'_>) -> bool {
    let (asked, declared) = (&requirement.resources, &agent.resources);
    if asked.is_none() && declared.is_none() {
        return false;
    }
    let cpu = asked.cpu.max(declared.cpu);
    let memory = asked.memory.max(declared.memory);
    let Some(load) = terms.nodes.iter().find(|load| load.node == agent.node) else {
        return true;
    };
    load.cpu_used > terms.cpu_limit
        || load.disk_used > terms.disk_limit
        || load.memory_used > terms.memory_limit
        || load.taken.cpu + cpu > load.capacity.cpu
        || load.taken.memory.saturating_add(memory) > load.capacity.memory
}

/// Filters and scores agents for a step.
pub fn evaluate<'a>(
    request: &Request<'_>,
    agents: impl IntoIterator<Item = &'a AgentSnapshot>,
    terms: &Terms<'_>,
) -> Ranking {
    let mut fitting: Vec<Fitting<'a>> = Vec::new();
    let mut excluded: Vec<(Reverse<Exclusion>, &'a AgentSnapshot)> = Vec::new();
    let mut peers = Peers::default();
    for (position, agent) in agents.into_iter().enumerate() {
        match eligible(request.requirement, agent, terms) {
            None => {
                peers.meet(agent);
                fitting.push(Fitting {
                    position,
                    agent,
                    scores: NOT_SCORED,
                    nearness: Nearness::Here,
                    preferred: false,
                });
            }
            Some(reason) => excluded.push((Reverse(reason), agent)),
        }
    }
    for candidate in &mut fitting {
        candidate.nearness = terms.nearness(candidate.agent.node);
        candidate.scores = score(request, candidate, &peers, &terms.weights);
    }
    if request.requirement.prefer_local
        && fitting
            .iter()
            .any(|candidate| candidate.nearness != Nearness::Away)
    {
        // Those near by are asked first; the others stand behind them with what they score.
        for candidate in &mut fitting {
            candidate.preferred = candidate.nearness != Nearness::Away;
        }
    }
    let considered = fitting.len() + excluded.len();
    best(&mut fitting, LISTED, Fitting::compare);
    // Those that nearly passed tell what would help.
    best(&mut excluded, LISTED - fitting.len(), |one, other| {
        (one.0, &one.1.name).cmp(&(other.0, &other.1.name))
    });
    let fits = fitting.iter().map(Fitting::candidate);
    let candidates: Vec<_> = fits.chain(excluded.into_iter().map(outside)).collect();
    let omitted = considered - candidates.len();
    Ranking {
        order: fitting.iter().map(|candidate| candidate.position).collect(),
        card: ScoreCard {
            chosen: fitting.first().map(|best| best.agent.name.clone()),
            weights: Some(terms.weights),
            candidates,
            omitted: u32::try_from(omitted).unwrap_or(u32::MAX),
        },
    }
}

/// Leaves the first `most` in their order.
fn best<T>(all: &mut Vec<T>, most: usize, compare: impl Fn(&T, &T) -> Ordering) {
    if all.len() > most {
        all.select_nth_unstable_by(most, &compare);
        all.truncate(most);
    }
    all.sort_unstable_by(compare);
}

/// How a card shows an agent that did not pass.
fn outside((Reverse(reason), agent): (Reverse<Exclusion>, &AgentSnapshot)) -> Candidate {
    Candidate {
        agent: agent.name.clone(),
        excluded: Some(reason),
        scores: None,
    }
}

const NOT_SCORED: Scores = Scores {
    fit: 0.0,
    availability: 0.0,
    balance: 0.0,
    affinity: 0.0,
    total: 0.0,
};

/// An agent that passed all filters.
struct Fitting<'a> {
    position: usize,
    agent: &'a AgentSnapshot,
    scores: Scores,
    nearness: Nearness,
    preferred: bool,
}

/// How far the node of an agent is from this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    Here,
    /// In the same region.
    Near,
    Away,
}

impl Terms<'_> {
    fn nearness(&self, node: NodeId) -> Nearness {
        if node == self.here {
            Nearness::Here
        } else if self.near.contains(&node) {
            Nearness::Near
        } else {
            Nearness::Away
        }
    }
}

impl Fitting<'_> {
    /// Those near by first, if that is preferred, then the higher score; among equals those of this
    /// node, then of its region, then the one given the fewest steps so far, then by name.
    fn compare(&self, other: &Self) -> Ordering {
        let by_preference = other.preferred.cmp(&self.preferred);
        by_preference
            .then_with(|| other.scores.total.total_cmp(&self.scores.total))
            .then_with(|| self.nearness.cmp(&other.nearness))
            .then_with(|| self.agent.assigned.cmp(&other.agent.assigned))
            .then_with(|| self.agent.name.cmp(&other.agent.name))
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            agent: self.agent.name.clone(),
            excluded: None,
            scores: Some(self.scores),
        }
    }
}

/// What the agents that passed all filters carry among them.
#[derive(Default)]
struct Peers {
    /// Steps that the least busy runs.
    least: Option<u32>,
    /// Greatest share of slots taken.
    busiest: f64,
}

impl Peers {
    fn meet(&mut self, agent: &AgentSnapshot) {
        let least = self.least.unwrap_or(u32::MAX);
        self.least = Some(least.min(agent.running));
        self.busiest = self.busiest.max(share(agent.running, agent.slots));
    }
}

/// The four parts of an agent's score, and their weighted sum.
///
/// - *match*: 1 for the agent that the step names. Else half for being able at all, and half for
///   how little it is beside the point: what it can do of what step and task are about, over all
///   that either names. So a specialist comes before a generalist.
/// - *availability*: its free slots, as a share, times its success rate.
/// - *balance*: how far below the busiest peer it is; 1 when it, or everyone, is idle.
/// - *affinity*: 1 if it holds the session's context and runs less than two steps more than the
///   least busy peer. It is then scored as if it ran one step less, because a lead of one step is
///   no reason to carry the context elsewhere.
///
/// An agent of another node is scored as if it ran a [little](DISTANCE) more than was last heard of it.
fn score(
    request: &Request<'_>,
    candidate: &Fitting<'_>,
    peers: &Peers,
    weights: &Weights,
) -> Scores {
    let agent = candidate.agent;
    let least = peers.least.unwrap_or(0);
    let familiar = request.last_agent == Some(agent.id) && agent.running < least.saturating_add(2);
    let distance = match candidate.nearness {
        Nearness::Here => 0,
        Nearness::Near | Nearness::Away => agent.slots.div_ceil(DISTANCE),
    };
    let running = agent.running.saturating_sub(u32::from(familiar));
    let taken = share(
        running.saturating_add(distance).min(agent.slots),
        agent.slots,
    );
    let balance = if peers.busiest > 0.0 {
        unit(1.0 - taken / peers.busiest)
    } else {
        1.0
    };
    let fit = fit(request, agent);
    let availability = (1.0 - taken) * unit(agent.success_rate);
    let affinity = if familiar { 1.0 } else { 0.0 };
    Scores {
        fit,
        availability,
        balance,
        affinity,
        total: weights.fit * fit
            + weights.availability * availability
            + weights.balance * balance
            + weights.affinity * affinity,
    }
}

fn fit(request: &Request<'_>, agent: &AgentSnapshot) -> f64 {
    let requirement = request.requirement;
    if requirement.agent.is_some() {
        return 1.0;
    }
    let required = requirement.capability.iter();
    let beside = |wanted: &&String| requirement.capability.as_ref() != Some(*wanted);
    let about = required.chain(request.wanted.iter().filter(beside));
    let (mut able, mut unable) = (0_u32, 0_u32);
    for wanted in about {
        if agent.capabilities.contains(wanted) {
            able += 1;
        } else {
            unable += 1;
        }
    }
    let offered = u32::try_from(agent.capabilities.len()).unwrap_or(u32::MAX);
    let either = offered.max(able).saturating_add(unable);
    0.5 + 0.5 * share(able, either)
}

/// One number as a share of another; nothing of nothing is nothing.
fn share(part: u32, whole: u32) -> f64 {
    if whole == 0 {
        0.0
    } else {
        f64::from(part) / f64::from(whole)
    }
}

/// A measured number, made to lie between 0 and 1.
fn unit(number: f64) -> f64 {
    if number >= 0.0 { number.min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests;
