//! What goes wrong, when, and whether it hurt anything.

use crate::{
    chance::{MS, SECOND},
    link::End,
    node::Power,
    world::{Event, World},
};

/// A kind of fault; counted when it met something that was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A node died with entities or attempts.
    Crash,
    /// A node with entities or attempts stood still for less than a lease.
    Freeze,
    /// A node with entities or attempts stood still until its lease was over.
    Zombie,
    /// A message between two sides of a partition.
    Cut,
    /// A message in the one direction that did not work.
    CutOneWay,
    Lost,
    Duplicated,
    Delayed,
    Reordered,
    /// The store could not be reached by anybody.
    StoreAway,
    /// The store could not be reached by one node.
    StoreCut,
    /// An append or another change was made and nobody told.
    AnswerLost,
    /// A question took longer than a renewal may.
    SlowStore,
    /// A change was made after the one who asked for it had given up.
    CameLate,
    /// An append of a deposed owner arrived at the store.
    DeposedAppend,
    /// An owner noticed by its own clock that it may not append any more.
    SelfFenced,
}

impl Fault {
    pub(crate) const ALL: [Self; 16] = [
        Self::Crash,
        Self::Freeze,
        Self::Zombie,
        Self::Cut,
        Self::CutOneWay,
        Self::Lost,
        Self::Duplicated,
        Self::Delayed,
        Self::Reordered,
        Self::StoreAway,
        Self::StoreCut,
        Self::AnswerLost,
        Self::SlowStore,
        Self::CameLate,
        Self::DeposedAppend,
        Self::SelfFenced,
    ];
}

/// Where the store stands.
#[derive(Debug, Default)]
pub(crate) struct StoreFaults {
    pub(crate) away: u32,
    pub(crate) cut: Vec<usize>,
    pub(crate) slow: u32,
    pub(crate) forgetful: u32,
}

/// Begins or ends a fault.
#[derive(Debug, Clone)]
pub(crate) enum Turn {
    Crash(usize, u64),
    /// A node that is busy dies or stands still, as soon as there is one.
    Provoke(u64),
    Start(usize),
    Pause(usize),
    Resume(usize),
    Cut(Vec<(End, End)>),
    Mend(Vec<(End, End)>),
    Weather,
    Calm,
    StoreAway,
    StoreBack,
    StoreCut(usize),
    StoreMended(usize),
    Slow,
    Fast,
    Forgetful,
    Mindful,
}

/// Until when a run waits for a node that is busy.
const PROVOKED: u64 = 22 * SECOND;

/// Chooses the faults of a run; all of them are over at the moment that is answered.
pub(crate) fn plan(world: &mut World) -> u64 {
    let count = world.chance.between(3, 7);
    let lasts = if world.chance.percent(60) {
        // Long enough for others to take over, and to get on with the work.
        world.chance.between(7 * SECOND, 13 * SECOND)
    } else {
        world.chance.between(500 * MS, 6 * SECOND)
    };
    let begins = world.chance.between(SECOND, 8 * SECOND);
    world.at(begins, Event::Turn(Turn::Provoke(lasts)));
    let mut over = PROVOKED + lasts;
    for _ in 0..count {
        let begins = world.chance.between(2 * SECOND, 22 * SECOND);
        let lasts = world.chance.between(200 * MS, 12 * SECOND);
        let ends = begins + lasts;
        let node = world.chance.below(world.nodes.len());
        let (begin, end) = match world.chance.below(12) {
            0 | 1 => (Turn::Crash(node, lasts), None),
            2..=4 => (Turn::Pause(node), Some(Turn::Resume(node))),
            5 | 6 => {
                let cuts = cuts(world, node);
                (Turn::Cut(cuts.clone()), Some(Turn::Mend(cuts)))
            }
            7 => (Turn::Weather, Some(Turn::Calm)),
            8 => (Turn::StoreAway, Some(Turn::StoreBack)),
            9 => (Turn::StoreCut(node), Some(Turn::StoreMended(node))),
            10 => (Turn::Slow, Some(Turn::Fast)),
            _ => (Turn::Forgetful, Some(Turn::Mindful)),
        };
        world.at(begins, Event::Turn(begin));
        if let Some(end) = end {
            world.at(ends, Event::Turn(end));
        }
        over = over.max(ends);
    }
    over
}

/// One node is cut off from the others, or from one of them, in both directions or in one.
fn cuts(world: &mut World, node: usize) -> Vec<(End, End)> {
    let other = world.chance.below(world.nodes.len());
    let one_way = world.chance.percent(50);
    let all = world.chance.percent(50);
    let clients = (0..world.clients.len()).map(End::Client);
    let peers = (0..world.nodes.len()).filter(|peer| *peer != node);
    let ends: Vec<_> = peers
        .filter(|peer| all || *peer == other)
        .map(End::Node)
        .chain(clients.filter(|_| all))
        .collect();
    let own = End::Node(node);
    let out = ends.iter().map(|end| (own, *end));
    let back = ends.iter().map(|end| (*end, own));
    if one_way {
        if world.chance.percent(50) {
            out.collect()
        } else {
            back.collect()
        }
    } else {
        out.chain(back).collect()
    }
}

impl World {
    pub(crate) fn met(&mut self, fault: Fault) {
        *self.met.entry(fault).or_default() += 1;
    }

    pub(crate) fn turn(&mut self, turn: Turn) {
        if !matches!(turn, Turn::Provoke(_)) {
            self.trace(format_args!("-- {turn:?}"));
        }
        match turn {
            Turn::Crash(node, lasts) => self.crash(node, lasts),
            Turn::Provoke(lasts) => self.provoke(lasts),
            Turn::Start(node) => self.start(node),
            Turn::Pause(node) => self.pause(node),
            Turn::Resume(node) => self.resume(node),
            Turn::Cut(cuts) => {
                for cut in cuts {
                    *self.link.cuts.entry(cut).or_default() += 1;
                }
            }
            Turn::Mend(cuts) => {
                for cut in cuts {
                    if let Some(times) = self.link.cuts.get_mut(&cut) {
                        *times -= 1;
                        if *times == 0 {
                            self.link.cuts.remove(&cut);
                        }
                    }
                }
            }
            Turn::Weather => self.link.lossy += 1,
            Turn::Calm => self.link.lossy -= 1,
            Turn::StoreAway => self.troubles.away += 1,
            Turn::StoreBack => self.troubles.away -= 1,
            Turn::StoreCut(node) => self.troubles.cut.push(node),
            Turn::StoreMended(node) => {
                let at = self.troubles.cut.iter().position(|cut| *cut == node);
                self.troubles.cut.swap_remove(at.unwrap());
            }
            Turn::Slow => self.troubles.slow += 1,
            Turn::Fast => self.troubles.slow -= 1,
            Turn::Forgetful => self.troubles.forgetful += 1,
            Turn::Mindful => self.troubles.forgetful -= 1,
        }
    }

    fn provoke(&mut self, lasts: u64) {
        let up = self.nodes.iter().filter(|node| node.power == Power::Up);
        let busy: Vec<_> = up
            .filter(|node| node.is_busy())
            .map(|node| node.index)
            .collect();
        let busy = self.chance.pick(&busy).copied();
        match busy {
            Some(node) if self.chance.percent(30) => self.crash(node, lasts),
            Some(node) => {
                self.pause(node);
                let over = self.now + lasts;
                self.at(over, Event::Turn(Turn::Resume(node)));
            }
            None if self.now < PROVOKED => {
                let again = self.now + 20 * MS;
                self.at(again, Event::Turn(Turn::Provoke(lasts)));
            }
            None => {}
        }
    }

    fn crash(&mut self, node: usize, lasts: u64) {
        if self.nodes[node].power == Power::Down {
            return;
        }
        if self.nodes[node].is_busy() {
            self.met(Fault::Crash);
        }
        self.nodes[node].die();
        let back = self.now + lasts;
        self.at(back, Event::Turn(Turn::Start(node)));
    }

    fn pause(&mut self, node: usize) {
        if self.nodes[node].power == Power::Up {
            self.nodes[node].power = Power::Paused(self.now);
        }
    }

    fn resume(&mut self, node: usize) {
        let Power::Paused(since) = self.nodes[node].power else {
            return;
        };
        let ttl = u64::try_from(self.timing.ttl.as_micros()).unwrap();
        if self.nodes[node].is_busy() {
            self.met(if self.now - since > ttl {
                Fault::Zombie
            } else {
                Fault::Freeze
            });
        }
        self.nodes[node].power = Power::Up;
        // Timers, sockets and mailboxes are different queues: at times what waited is handled in any
        // order.
        let in_order = if self.chance.percent(60) { 90 } else { 0 };
        let mut held = std::mem::take(&mut self.nodes[node].held);
        let mut later = self.now;
        while !held.is_empty() {
            let next = if self.chance.percent(in_order) {
                0
            } else {
                self.chance.below(held.len())
            };
            later += 1;
            let event = held.remove(next);
            self.at(later, event);
        }
    }
}
