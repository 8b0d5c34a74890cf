//! Links within one process: several nodes for tests and simulation, with every fault of a network.
//!
//! Chance comes from one seed, and time from tokio, so that a run under paused time can be repeated.

mod faults;
mod wire;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use protocol::id::NodeId;
use tokio::sync::watch;

use self::wire::Wire;
use super::{Link as _, Mesh, Peer};

pub use faults::{Faults, Injected};

/// What several meshes are plugged into. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Network(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seed: u64,
    state: Mutex<State>,
    /// Counts cuts and repairs: frames that wait for one look again.
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    faults: Faults,
    injected: Injected,
    cut: HashSet<(NodeId, NodeId)>,
    isolated: HashSet<NodeId>,
    links: Vec<(NodeId, NodeId, Weak<Wire>)>,
    directions: u64,
}

impl Network {
    /// One without faults; those to come are drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Shared {
            seed,
            state: Mutex::default(),
            changed: watch::Sender::new(0),
        }))
    }

    /// Links two meshes; `first` is who `a` is, as `b` shall see it, and `second` who `b` is. Called
    /// within a tokio runtime.
    pub fn connect(&self, a: &Mesh, first: Peer, b: &Mesh, second: Peer) {
        let (from, to) = (first.node, second.node);
        let (there, back) = (self.direction(from, to), self.direction(to, from));
        let (here, beyond) = wire::pair(Arc::new(first), Arc::new(second), there, back);
        self.lock()
            .links
            .retain(|(_, _, link)| link.strong_count() > 0);
        let links = [(from, to, &here), (to, from, &beyond)];
        let links = links.map(|(from, to, end)| (from, to, Arc::downgrade(&end.wire)));
        self.lock().links.extend(links);
        here.open(a);
        beyond.open(b);
    }

    /// Faults of all frames from now on.
    pub fn inject(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// What was done to frames so far: a run in which nothing was done proves nothing.
    #[must_use]
    pub fn injected(&self) -> Injected {
        self.lock().injected
    }

    /// Holds up what `from` sends to `to`, and nothing else, until it is healed.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.change(|state| {
            state.cut.insert((from, to));
        });
    }

    /// Cuts every node of one side off from every node of the other, both ways.
    pub fn part(&self, one: &[NodeId], other: &[NodeId]) {
        self.change(|state| {
            let pairs = one.iter().flat_map(|a| other.iter().map(|b| (*a, *b)));
            state.cut.extend(pairs.flat_map(|(a, b)| [(a, b), (b, a)]));
        });
    }

    /// Cuts one node off from all others, both ways, as when its process stands still.
    pub fn isolate(&self, node: NodeId) {
        self.change(|state| {
            state.isolated.insert(node);
        });
    }

    /// Undoes all cuts: what was held up arrives.
    pub fn heal(&self) {
        self.change(|state| {
            state.cut.clear();
            state.isolated.clear();
        });
    }

    /// Breaks the links between two nodes, as a reset does; what is on its way is lost.
    pub fn sever(&self, a: NodeId, b: NodeId) {
        let between = [(a, b), (b, a)];
        let links: Vec<_> = {
            let mut state = self.lock();
            state.injected.severed += 1;
            let links = state.links.iter();
            let links = links.filter(|(from, to, _)| between.contains(&(*from, *to)));
            links.filter_map(|(_, _, link)| link.upgrade()).collect()
        };
        for link in links {
            link.close("the link broke");
        }
    }

    fn direction(&self, from: NodeId, to: NodeId) -> faults::Direction {
        let mut state = self.lock();
        state.directions += 1;
        let seed = self.0.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ state.directions;
        drop(state);
        faults::Direction::new(self.clone(), from, to, seed)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.0.changed.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        let state = self.lock();
        let isolated = &state.isolated;
        state.cut.contains(&(from, to)) || isolated.contains(&from) || isolated.contains(&to)
    }
}

#[cfg(test)]
mod tests;
