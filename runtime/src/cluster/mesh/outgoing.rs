//! [`Outgoing`]: what waits for a peer, lane by lane, and what its windows let go.

use std::collections::{BTreeMap, HashSet, VecDeque};

use protocol::wire::{Envelope, Lane, MAX_PAYLOAD, frame::Bulk};
use tokio::time::Instant;

use super::{
    parcel::Parcel,
    tuning::Limits,
    window::{Flights, Tally, Unfair},
};

/// Bytes under way on a lane while nobody knows how fast the link is: the largest message, and enough
/// beside it that the receiver has something to be [done](super::window::SAID) with.
const CAREFUL: usize = MAX_PAYLOAD + 64 * 1024;

/// Whether a parcel may be turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// When the queue is full.
    Can,
    /// Never: there are only as many as of others that could.
    Must,
}

/// How soon a heartbeat came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Before the next one was due.
    Fast,
    /// Later: it waited behind others on its way.
    Slow,
}

/// The queue of a lane is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug)]
pub(super) struct Outgoing {
    lanes: BTreeMap<Lane, Sending>,
    limits: Limits,
    granted: Tally,
    window: Tally,
    queued: usize,
    requests: u64,
    requests_sent: u64,
    withdrawn: HashSet<u64>,
    stuck: Option<Instant>,
}

#[derive(Debug, Default)]
struct Sending {
    queue: VecDeque<Parcel>,
    queued: Tally,
    flights: Flights,
}

/// A frame that may go.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) bytes: Vec<u8>,
    pub(super) envelopes: usize,
}

impl Outgoing {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            lanes: BTreeMap::new(),
            limits,
            granted: Tally::default(),
            window: Tally::default(),
            queued: 0,
            requests: 0,
            requests_sent: 0,
            withdrawn: HashSet::new(),
            stuck: None,
        }
    }

    /// The receiver's word on how much may be under way on each lane.
    pub(super) fn granted(&mut self, granted: Tally) {
        self.granted = granted;
        self.window = Tally {
            bytes: granted.bytes.min(CAREFUL),
            ..granted
        };
    }

    /// A heartbeat came back: on a fast link more may be under way, on a slow one less, so that
    /// heartbeats and answers never queue behind minutes of bulk.
    pub(super) fn paced(&mut self, pace: Pace) {
        let bytes = match pace {
            Pace::Fast => self.window.bytes.saturating_mul(2),
            Pace::Slow => (self.window.bytes / 2).max(CAREFUL),
        };
        self.window.bytes = bytes.min(self.granted.bytes);
    }

    /// The correlation of a new request; its parcel follows at once.
    pub(super) fn number(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// The last request that was sent, or passed over.
    pub(super) const fn requests_sent(&self) -> u64 {
        self.requests_sent
    }

    /// A request that waits shall not be sent.
    pub(super) fn withdraw(&mut self, id: u64) {
        self.withdrawn.insert(id);
    }

    pub(super) const fn queued(&self) -> usize {
        self.queued
    }

    /// Whether what waits fills a frame.
    pub(super) fn crowded(&self) -> bool {
        self.queued >= self.limits.batch || self.queued_bytes() >= self.limits.batch_bytes
    }

    /// Forgets all that waits.
    pub(super) fn clear(&mut self) {
        self.lanes.clear();
        self.withdrawn.clear();
        self.queued = 0;
    }

    /// Weight of all that waits.
    pub(super) fn queued_bytes(&self) -> usize {
        self.lanes.values().map(|lane| lane.queued.bytes).sum()
    }

    /// Weight of all that is under way.
    pub(super) fn flying_bytes(&self) -> usize {
        let flying = self.lanes.values().map(|lane| lane.flights.flying().bytes);
        flying.sum()
    }

    /// Answers and requests that wait.
    pub(super) fn calls(&self) -> usize {
        self.lanes
            .get(&Lane::CALLS)
            .map_or(0, |lane| lane.queue.len())
    }

    /// Since when the window for requests and answers has been closed.
    pub(super) const fn stuck(&self) -> Option<Instant> {
        self.stuck
    }

    /// Whether one more would be too many.
    pub(super) fn full(&self, lane: Lane, weight: usize) -> bool {
        let queued = self
            .lanes
            .get(&lane)
            .map_or_else(Tally::default, |lane| lane.queued);
        let bound = Tally {
            envelopes: self.limits.queue,
            bytes: self.limits.queue_bytes,
        };
        !queued.plus(Tally::of(weight)).within(bound)
    }

    pub(super) fn push(&mut self, parcel: Parcel, need: Need) -> Result<(), Full> {
        let (lane, weight) = (parcel.lane(), parcel.weight());
        if need == Need::Can && self.full(lane, weight) {
            return Err(Full);
        }
        let lane = self.lanes.entry(lane).or_default();
        lane.queued = lane.queued.plus(Tally::of(weight));
        lane.queue.push_back(parcel);
        self.queued += 1;
        Ok(())
    }

    /// The receiver is done with frames: there is room again.
    pub(super) fn done(&mut self, lane: Lane, number: u64) -> Result<(), Unfair> {
        let sending = self.lanes.get_mut(&lane);
        sending.map_or(Ok(()), |sending| sending.flights.done(number))
    }

    /// Hands `send` all frames that the windows let go, in the order of each lane.
    pub(super) fn flush(&mut self, now: Instant, mut send: impl FnMut(Ready)) {
        if self.queued == 0 {
            return;
        }
        let before = self.calls();
        for (lane, sending) in &mut self.lanes {
            let mut pass = Pass {
                limits: &self.limits,
                window: self.window,
                withdrawn: &mut self.withdrawn,
                requests_sent: &mut self.requests_sent,
                queued: &mut self.queued,
            };
            while let Some(frame) = pass.next(*lane, sending, now) {
                send(frame);
            }
        }
        let left = self.calls();
        if left == 0 {
            self.stuck = None;
        } else if left < before || self.stuck.is_none() {
            self.stuck = Some(now);
        }
    }
}

/// One go over the lanes.
struct Pass<'a> {
    limits: &'a Limits,
    window: Tally,
    withdrawn: &'a mut HashSet<u64>,
    requests_sent: &'a mut u64,
    queued: &'a mut usize,
}

impl Pass<'_> {
    /// The next frame of a lane, if any may go.
    fn next(&mut self, lane: Lane, sending: &mut Sending, now: Instant) -> Option<Ready> {
        let mut frame = None;
        let mut tally = Tally::default();
        while let Some(parcel) = sending.queue.front() {
            let envelope = parcel.envelope(now);
            let weight = Tally::of(envelope.weight());
            let request = request(&envelope);
            if !self.wanted(&envelope) {
                self.took(sending, weight, request);
                continue;
            }
            let with = tally.plus(weight);
            let crowded = frame.is_some()
                && (with.envelopes > self.limits.batch || with.bytes > self.limits.batch_bytes);
            if crowded || !sending.flights.flying().plus(with).within(self.window) {
                break;
            }
            let bulk = frame.get_or_insert_with(|| {
                let expected = sending.queued.bytes.min(self.limits.batch_bytes);
                let capacity = expected.max(weight.bytes) + 16;
                Bulk::new(lane, sending.flights.next(), capacity)
            });
            bulk.push(&envelope);
            tally = with;
            self.took(sending, weight, request);
        }
        let frame = frame?;
        sending.flights.sent(tally);
        Some(Ready {
            envelopes: tally.envelopes,
            bytes: frame.into_bytes(),
        })
    }

    /// Whether anybody still waits for it.
    fn wanted(&mut self, envelope: &Envelope<'_>) -> bool {
        match envelope {
            Envelope::Request { id, left_ms, .. } => {
                let withdrawn = !self.withdrawn.is_empty() && self.withdrawn.remove(id);
                !withdrawn && *left_ms > 0
            }
            Envelope::Reply { .. }
            | Envelope::Fault { .. }
            | Envelope::Tell { .. }
            | Envelope::Cancel { .. } => true,
        }
    }

    fn took(&mut self, sending: &mut Sending, weight: Tally, request: Option<u64>) {
        if let Some(id) = request {
            *self.requests_sent = id;
        }
        sending.queue.pop_front();
        sending.queued = sending.queued.minus(weight);
        *self.queued -= 1;
    }
}

const fn request(envelope: &Envelope<'_>) -> Option<u64> {
    match envelope {
        Envelope::Request { id, .. } => Some(*id),
        Envelope::Reply { .. }
        | Envelope::Fault { .. }
        | Envelope::Tell { .. }
        | Envelope::Cancel { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use protocol::wire::Service;

    use super::*;

    fn bytes_out(paces: &[Pace]) -> usize {
        let mut out = Outgoing::new(Limits::default());
        out.granted(Tally {
            envelopes: 10_000,
            bytes: 4 * CAREFUL,
        });
        for pace in paces {
            out.paced(*pace);
        }
        let tell = || Parcel::Tell {
            service: Service::FEED,
            trace: None,
            payload: vec![0; 10_000],
        };
        while out.push(tell(), Need::Can).is_ok() {}
        out.flush(Instant::now(), drop);
        out.flying_bytes()
    }

    #[test]
    fn the_window_follows_the_pace_of_the_link_within_its_bounds() {
        let careful = bytes_out(&[]);
        assert!(careful <= CAREFUL && careful > CAREFUL - 11_000);
        assert!(bytes_out(&[Pace::Fast]) > CAREFUL);
        let most = bytes_out(&[Pace::Fast; 9]);
        assert!(most > 3 * CAREFUL && most <= 4 * CAREFUL);
        assert_eq!(bytes_out(&[Pace::Fast, Pace::Slow, Pace::Slow]), careful);
    }
}
