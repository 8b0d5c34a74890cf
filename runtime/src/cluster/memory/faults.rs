//! What happens to frames on their way.

use std::{ops::RangeInclusive, time::Duration};

use protocol::id::NodeId;
use tokio::time::Instant;

use super::Network;

/// Which share of frames meets which fault. Frames of one direction of a link keep their order, however
/// long each takes, unless they are reordered.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// How many of a frame are lost, from 0 to 1. A real link never loses one and goes on.
    pub drop: f64,
    /// How many arrive twice.
    pub duplicate: f64,
    /// How many arrive after the one behind them.
    pub reorder: f64,
    /// How long one takes.
    pub delay: RangeInclusive<Duration>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            drop: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            delay: Duration::ZERO..=Duration::ZERO,
        }
    }
}

/// How many frames met which fault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Injected {
    /// Lost.
    pub dropped: u64,
    /// Arrived twice.
    pub duplicated: u64,
    /// Arrived after the one behind them.
    pub reordered: u64,
    /// Took longer than no time.
    pub delayed: u64,
    /// Were held up by a cut.
    pub held: u64,
    /// Links that were broken.
    pub severed: u64,
}

impl Injected {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.dropped + self.duplicated + self.reordered + self.delayed + self.held + self.severed
    }
}

/// One direction of a link: what the next frame meets.
#[derive(Debug)]
pub(super) struct Direction {
    network: Network,
    from: NodeId,
    to: NodeId,
    chance: fastrand::Rng,
    overtaken: Option<Vec<u8>>,
    last: Option<Instant>,
}

impl Direction {
    pub(super) fn new(network: Network, from: NodeId, to: NodeId, seed: u64) -> Self {
        Self {
            network,
            from,
            to,
            chance: fastrand::Rng::with_seed(seed),
            overtaken: None,
            last: None,
        }
    }

    /// Gives `arrive` what comes of a frame, and when it is due if that is not at once.
    pub(super) fn pass(
        &mut self,
        frame: Vec<u8>,
        mut arrive: impl FnMut(Vec<u8>, Option<Instant>),
    ) {
        let network = self.network.clone();
        let mut state = network.lock();
        let faults = &state.faults;
        if *faults == Faults::default() && self.overtaken.is_none() {
            drop(state);
            return arrive(frame, self.last.filter(|last| *last > Instant::now()));
        }
        let mut meets = |share: f64| self.chance.f64() < share;
        let (dropped, twice, late) = (
            meets(faults.drop),
            meets(faults.duplicate),
            meets(faults.reorder),
        );
        let (least, most) = (*faults.delay.start(), *faults.delay.end());
        let delay = least + most.saturating_sub(least).mul_f64(self.chance.f64());
        state.injected.dropped += u64::from(dropped);
        state.injected.delayed += u64::from(!dropped && !delay.is_zero());
        state.injected.duplicated += u64::from(!dropped && twice);
        let late = !dropped && late && self.overtaken.is_none();
        state.injected.reordered += u64::from(late);
        drop(state);
        if dropped {
            return;
        }
        if late {
            self.overtaken = Some(frame);
            return;
        }
        let due = Some(Instant::now() + delay).max(self.last);
        self.last = due;
        if twice {
            arrive(frame.clone(), due);
        }
        arrive(frame, due);
        if let Some(overtaken) = self.overtaken.take() {
            arrive(overtaken, due);
        }
    }

    /// Where cuts are looked up.
    pub(super) fn route(&self) -> Route {
        Route {
            network: self.network.clone(),
            from: self.from,
            to: self.to,
        }
    }
}

/// From where to where, on which network.
#[derive(Debug)]
pub(super) struct Route {
    network: Network,
    from: NodeId,
    to: NodeId,
}

impl Route {
    /// Waits until frames get through.
    pub(super) async fn clear(&self) {
        if !self.network.is_cut(self.from, self.to) {
            return;
        }
        self.network.lock().injected.held += 1;
        let mut changed = self.network.0.changed.subscribe();
        while self.network.is_cut(self.from, self.to) && changed.changed().await.is_ok() {}
    }
}
