//! Who is next when a slot comes free: steps that wait for an agent, fairly among users.
//!
//! The order follows from one rule. Each user has a *flow* per priority; a flow's claim dates from
//! when its first step came or when it was last served, whichever is later, and each step of
//! priority dates it back by one `ageing`. The oldest claim wins for its user, who then gets the
//! step that has waited longest, counting priority the same way. So:
//!
//! - among steps of equal age the higher priority starts first;
//! - a lower priority waits at most one `ageing` longer for each step of difference, plus one turn
//!   of every other flow;
//! - users of one priority take turns, however many steps each has waiting.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use protocol::{task::Priority, time::Timestamp};

use super::{AgentSnapshot, Requirement, Terms, eligible};
use doors::Doors;
use flow::{Claim, Served};

mod doors;
mod flow;
#[cfg(test)]
mod tests;

/// A step that waits for an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting<K> {
    /// Which step; it waits once at most.
    pub key: K,
    /// For whom.
    pub user: Arc<str>,
    /// What it asks for.
    pub requirement: Arc<Requirement>,
    /// How urgent it is.
    pub priority: Priority,
    /// Since when it waits; put back after a refusal, it keeps its age.
    pub since: Timestamp,
    /// When it is given up.
    pub until: Option<Timestamp>,
}

/// Steps that ask for the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What they ask for.
    pub requirement: Arc<Requirement>,
    /// How many there are.
    pub len: usize,
    /// Since when the first of them waits.
    pub oldest: Timestamp,
}

/// Every step that waits. A step that could start at once goes through here too, or it would
/// overtake those that came before it.
#[derive(Debug)]
pub struct WaitingRoom<K> {
    ageing: Duration,
    /// By number, in the order in which they came.
    waiting: HashMap<u64, Waiting<K>>,
    numbers: HashMap<K, u64>,
    doors: Doors,
    served: Served,
    deadlines: BTreeSet<(Timestamp, u64)>,
    next: u64,
}

impl<K: Clone + Eq + Hash> WaitingRoom<K> {
    /// An empty one, where waiting for `ageing` counts as much as one step of priority.
    #[must_use]
    pub fn new(ageing: Duration) -> Self {
        Self {
            ageing,
            waiting: HashMap::new(),
            numbers: HashMap::new(),
            doors: Doors::default(),
            served: Served::default(),
            deadlines: BTreeSet::new(),
            next: 0,
        }
    }

    /// Lets a step wait. If it waits already, the new particulars replace and answer the old.
    pub fn push(&mut self, step: Waiting<K>) -> Option<Waiting<K>> {
        // Entered first: a user whose only step is replaced does not forget its last turn.
        let user = self.served.enter(&step.user);
        let before = self.remove(&step.key);
        let number = self.next;
        self.next += 1;
        let place = (step.since, number);
        let lines = self.doors.open(&step.requirement);
        let requirement = match lines.get_key_value(&step.requirement) {
            Some((requirement, _)) => Arc::clone(requirement),
            None => Arc::clone(&step.requirement),
        };
        lines.entry(Arc::clone(&requirement)).or_default().add(
            &user,
            step.priority,
            place,
            &self.served,
            self.ageing,
        );
        if let Some(until) = step.until {
            self.deadlines.insert((until, number));
        }
        self.numbers.insert(step.key.clone(), number);
        let step = Waiting {
            user,
            requirement,
            ..step
        };
        self.waiting.insert(number, step);
        before
    }

    /// A step that waits.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&Waiting<K>> {
        self.waiting.get(self.numbers.get(key)?)
    }

    /// Lets a step wait no more: it was cancelled, or bound to another agent.
    pub fn remove(&mut self, key: &K) -> Option<Waiting<K>> {
        self.take(*self.numbers.get(key)?)
    }

    /// Gives a step another priority; it keeps its age. Answers the priority before.
    pub fn reprioritise(&mut self, key: &K, priority: Priority) -> Option<Priority> {
        let step = self.get(key)?.clone();
        let before = self.push(Waiting { priority, ..step })?;
        Some(before.priority)
    }

    /// The step whose turn it is among those that this agent may have now. Put it back with
    /// [`Self::push`] if the agent refuses it after all.
    pub fn pop_for(&mut self, agent: &AgentSnapshot, terms: &Terms<'_>) -> Option<Waiting<K>> {
        let (served, ageing) = (&self.served, self.ageing);
        let mut best: Option<Claim> = None;
        let mut open: Vec<Arc<Requirement>> = Vec::new();
        self.doors.visit(agent, |requirement, flows| {
            if eligible(requirement, agent, terms).is_some() {
                return;
            }
            open.push(Arc::clone(requirement));
            if let Some(claim) = flows.first(served, ageing)
                && best.as_ref().is_none_or(|best| claim < best)
            {
                best = Some(claim.clone());
            }
        });
        let best = best?;
        let longest = open.iter().filter_map(|requirement| {
            let flows = self.doors.lines(requirement)?.get(requirement)?;
            flows.longest(&best.user, ageing)
        });
        let (_, number) = longest.min()?;
        self.served.serve(&best.user, best.priority, terms.now);
        self.take(number)
    }

    /// Steps whose time to wait is up; they wait no more.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Waiting<K>> {
        let mut expired = Vec::new();
        while let Some(&(until, number)) = self.deadlines.first()
            && until <= now
        {
            self.deadlines.pop_first();
            expired.extend(self.take(number));
        }
        expired
    }

    /// When [`Self::expire`] has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// How many steps wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Everything that waits, in groups that ask for the same.
    pub fn lines(&self) -> impl Iterator<Item = Line> {
        self.doors.all().filter_map(|(requirement, flows)| {
            Some(Line {
                requirement: Arc::clone(requirement),
                len: flows.len(),
                oldest: flows.oldest()?,
            })
        })
    }

    /// Since when the first of all steps waits.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        self.lines().map(|line| line.oldest).min()
    }

    fn take(&mut self, number: u64) -> Option<Waiting<K>> {
        let step = self.waiting.remove(&number)?;
        self.numbers.remove(&step.key);
        if let Some(until) = step.until {
            self.deadlines.remove(&(until, number));
        }
        if let Some(flows) = self.doors.flows(&step.requirement) {
            let place = (step.since, number);
            flows.remove(&step.user, step.priority, place, &self.served, self.ageing);
            if flows.len() == 0 {
                self.doors.close(&step.requirement);
            }
        }
        self.served.leave(&step.user);
        Some(step)
    }
}
