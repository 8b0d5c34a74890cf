//! Takes shards and gives them back, as a placer does.

use std::{collections::BTreeMap, rc::Rc};

use protocol::{epoch::Epoch, shard::Shard};
use runtime::{
    placement::plan::{Takeover, plan},
    store::Scope,
};

use super::{Notice, PAUSE, POLITE, Power, SHARDS, Standing};
use crate::{
    bug::Bug,
    store::{Answer, Ask, Told},
    world::World,
};

impl World {
    /// As a placer looks.
    pub(crate) fn place(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let stood = std::mem::replace(&mut node.stood, node.standing);
        if node.standing != Standing::Member {
            if stood != node.standing && self.bug != Some(Bug::NoFence) {
                self.evict_at_once(n, &Scope::All);
            }
            return;
        }
        let held = node.holdings.held();
        if stood == Standing::Fenced && !held.is_empty() {
            let scope = node.holdings.scope();
            self.ask(n, Ask::Open(scope));
        }
        let node = &self.nodes[n];
        let takeover = if node.is_steady(self.timing.ttl) {
            Takeover::Allowed
        } else {
            Takeover::FreeOnly
        };
        let plan = plan(&node.roster, node.id(), &held, takeover);
        if !plan.lost.is_empty() {
            self.trace(format_args!("node {n} lost {:?}", plan.lost));
            for shard in &plan.lost {
                self.nodes[n].holdings.drop(*shard);
            }
            let scope = self.nodes[n].scope(&plan.lost);
            self.evict_at_once(n, &scope);
        }
        let node = &mut self.nodes[n];
        let mut back = plan.give_back;
        if !node.taking && self.bug != Some(Bug::StrayShards) {
            back.extend(plan.stray);
        }
        let back: Vec<Shard> = back.into_iter().map(|(shard, _)| shard).collect();
        let mut take = plan.take;
        take.retain(|shard| !node.leaving.contains(shard));
        if !take.is_empty() && !std::mem::replace(&mut node.taking, true) {
            self.ask(n, Ask::Take(take));
        }
        let node = &mut self.nodes[n];
        if node.leaving.is_empty() && !back.is_empty() {
            node.leaving.extend(&back);
            self.leave(n, back);
        }
    }

    pub(crate) fn taken(&mut self, n: usize, taken: Option<&(Epoch, Vec<Shard>)>) {
        let node = &mut self.nodes[n];
        node.taking = false;
        if let Some((epoch, shards)) = taken {
            for shard in shards {
                node.holdings.hold(*shard, *epoch);
            }
            let scope = node.scope(shards);
            self.trace(format_args!("node {n} holds {epoch} {shards:?}"));
            self.ask(n, Ask::Open(scope));
            self.one_believes();
        }
        self.survey(n);
    }

    /// Streams with unfinished work come to life.
    pub(crate) fn opened(&mut self, n: usize, scope: &Scope, answer: &Told) {
        let Ok(Answer::Open(streams)) = answer.as_deref() else {
            let again = Rc::new(Ask::Open(scope.clone()));
            self.after(n, PAUSE, Notice::Again(again));
            return;
        };
        for stream in streams {
            self.activate(n, *stream);
        }
    }

    pub(crate) fn leave(&mut self, n: usize, shards: Vec<Shard>) {
        let wait = self.number();
        for shard in &shards {
            self.nodes[n].holdings.leave(*shard);
        }
        let scope = self.nodes[n].scope(&shards);
        self.trace(format_args!("node {n} leaves {shards:?}"));
        self.nodes[n].departing = Some((shards, wait));
        self.dismiss(n, &scope);
        self.after(n, POLITE, Notice::Hurry(wait));
        self.departed(n);
    }

    pub(crate) fn hurry(&mut self, n: usize, wait: u64) {
        if let Some((shards, of)) = &self.nodes[n].departing
            && *of == wait
        {
            let scope = self.nodes[n].scope(shards);
            self.evict_at_once(n, &scope);
        }
    }

    /// Gives shards back once their entities are gone.
    pub(crate) fn departed(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let Some((shards, _)) = &node.departing else {
            return;
        };
        let scope = node.scope(shards);
        if node.entities.keys().any(|stream| scope.holds(*stream)) {
            return;
        }
        if let Some((shards, _)) = node.departing.take() {
            let held = node.holdings.held();
            let epoch = |shard: &Shard| {
                let row = node.roster.shards().get(usize::from(shard.0));
                let strays = || row.map(|row| row.epoch).unwrap_or_default();
                held.get(shard).copied().unwrap_or_else(strays)
            };
            let back: Vec<_> = shards.iter().map(|shard| (*shard, epoch(shard))).collect();
            for shard in &shards {
                node.holdings.drop(*shard);
            }
            self.ask(n, Ask::GiveBack(back));
        }
    }

    /// At most one node believes that it may act for a shard.
    pub(crate) fn one_believes(&mut self) {
        let mut owners: BTreeMap<Shard, usize> = BTreeMap::new();
        for n in 0..self.nodes.len() {
            if self.nodes[n].power != Power::Up {
                continue;
            }
            self.nodes[n].pass(self.now);
            for shard in (0..SHARDS).map(Shard) {
                if self.nodes[n].holdings.owns(shard)
                    && let Some(other) = owners.insert(shard, n)
                {
                    let why = format!("P8: nodes {other} and {n} both believe to own {shard}");
                    self.oracle.object(why);
                }
            }
        }
    }
}
