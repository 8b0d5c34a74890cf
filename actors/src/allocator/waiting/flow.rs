//! Flows of waiting steps, and whose turn it is among them.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use protocol::{task::Priority, time::Timestamp};

/// Where a step stands in its flow: since when, and its number.
pub(super) type Place = (Timestamp, u64);

/// A flow's claim to be served; the least is served first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    /// From when it dates, in microseconds, with priority counted as age.
    dated: i64,
    /// When its user had a turn last; whoever never had one comes first among equals.
    turn: u64,
    /// Its first step.
    first: u64,
    pub(super) user: Arc<str>,
    pub(super) priority: Priority,
}

/// A moment with priority counted as age.
pub(super) fn dated(moment: Timestamp, priority: Priority, ageing: Duration) -> i64 {
    let ageing = i64::try_from(ageing.as_micros()).unwrap_or(i64::MAX);
    let head_start = ageing.saturating_mul(i64::from(priority.get()));
    moment.as_micros().saturating_sub(head_start)
}

/// When users were served last; of users that have something waiting.
#[derive(Debug, Default)]
pub(super) struct Served {
    users: HashMap<Arc<str>, User>,
    turns: u64,
}

#[derive(Debug, Default)]
struct User {
    waiting: usize,
    turn: u64,
    /// For each priority.
    last: [Option<Timestamp>; Priority::MAX.get() as usize + 1],
}

impl Served {
    /// One more step of this user waits; answers the name that all its steps share.
    pub(super) fn enter(&mut self, user: &Arc<str>) -> Arc<str> {
        let name = match self.users.get_key_value(user) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::clone(user),
        };
        self.users.entry(Arc::clone(&name)).or_default().waiting += 1;
        name
    }

    /// One step of this user waits no more. A user without any starts anew later: its next step
    /// comes after its last turn anyhow.
    pub(super) fn leave(&mut self, user: &str) {
        if let Some(found) = self.users.get_mut(user) {
            found.waiting = found.waiting.saturating_sub(1);
            if found.waiting == 0 {
                self.users.remove(user);
            }
        }
    }

    /// The user had a turn through its flow of this priority.
    pub(super) fn serve(&mut self, user: &str, priority: Priority, now: Timestamp) {
        self.turns += 1;
        if let Some(found) = self.users.get_mut(user) {
            found.turn = self.turns;
            let last = &mut found.last[usize::from(priority.get())];
            *last = (*last).max(Some(now));
        }
    }

    fn claim(&self, user: &Arc<str>, priority: Priority, first: Place, ageing: Duration) -> Claim {
        let (since, first) = first;
        let known = self.users.get(user);
        let last = known.and_then(|user| user.last[usize::from(priority.get())]);
        let from = last.map_or(since, |last| last.max(since));
        Claim {
            dated: dated(from, priority, ageing),
            turn: known.map_or(0, |user| user.turn),
            first,
            user: Arc::clone(user),
            priority,
        }
    }
}

/// The flows of one line.
#[derive(Debug, Default)]
pub(super) struct Flows {
    /// By user and priority.
    flows: HashMap<(Arc<str>, u8), Flow>,
    /// One for each flow. A claim only grows when its user is served, so one that is out of date
    /// stands too far in front, never too far behind: it is corrected when it comes first.
    claims: BTreeSet<Claim>,
    len: usize,
}

#[derive(Debug)]
struct Flow {
    steps: BTreeSet<Place>,
    /// As it stands in `claims`.
    claim: Claim,
}

impl Flows {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let firsts = self.flows.values().filter_map(|flow| flow.steps.first());
        firsts.map(|(since, _)| *since).min()
    }

    pub(super) fn add(
        &mut self,
        user: &Arc<str>,
        priority: Priority,
        place: Place,
        served: &Served,
        ageing: Duration,
    ) {
        let claim = || served.claim(user, priority, place, ageing);
        self.len += 1;
        match self.flows.entry((Arc::clone(user), priority.get())) {
            Entry::Vacant(vacant) => {
                let claim = claim();
                self.claims.insert(claim.clone());
                let steps = BTreeSet::from([place]);
                vacant.insert(Flow { steps, claim });
            }
            Entry::Occupied(mut occupied) => {
                let flow = occupied.get_mut();
                flow.steps.insert(place);
                if flow.steps.first() == Some(&place) {
                    flow.renew(claim(), &mut self.claims);
                }
            }
        }
    }

    pub(super) fn remove(
        &mut self,
        user: &Arc<str>,
        priority: Priority,
        place: Place,
        served: &Served,
        ageing: Duration,
    ) {
        let Entry::Occupied(mut occupied) = self.flows.entry((Arc::clone(user), priority.get()))
        else {
            return;
        };
        let flow = occupied.get_mut();
        self.len -= usize::from(flow.steps.remove(&place));
        match flow.steps.first() {
            Some(&first) => {
                flow.renew(
                    served.claim(user, priority, first, ageing),
                    &mut self.claims,
                );
            }
            None => {
                self.claims.remove(&flow.claim);
                occupied.remove();
            }
        }
    }

    /// The claim that comes first.
    pub(super) fn first(&mut self, served: &Served, ageing: Duration) -> Option<&Claim> {
        loop {
            let posted = self.claims.first()?;
            let priority = posted.priority;
            let key = (Arc::clone(&posted.user), priority.get());
            let flow = self.flows.get_mut(&key)?;
            let first = *flow.steps.first()?;
            let claim = served.claim(&key.0, priority, first, ageing);
            if claim == flow.claim {
                return self.claims.first();
            }
            flow.renew(claim, &mut self.claims);
        }
    }

    /// The step of a user that has waited longest, with priority counted as age; and since when.
    pub(super) fn longest(&self, user: &Arc<str>, ageing: Duration) -> Option<(i64, u64)> {
        let mut key = (Arc::clone(user), 0);
        let flows = (0..=Priority::MAX.get()).filter_map(|priority| {
            key.1 = priority;
            let flow = self.flows.get(&key)?;
            let &(since, number) = flow.steps.first()?;
            Some((dated(since, flow.claim.priority, ageing), number))
        });
        flows.min()
    }
}

impl Flow {
    fn renew(&mut self, claim: Claim, claims: &mut BTreeSet<Claim>) {
        if self.claim != claim {
            claims.remove(&self.claim);
            claims.insert(claim.clone());
            self.claim = claim;
        }
    }
}
