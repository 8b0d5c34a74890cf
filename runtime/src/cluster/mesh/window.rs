//! What is on its way on a lane, and what has come in and is not done with.

use std::collections::VecDeque;

/// Bytes after which the sender is told that they are done with, if a quarter of its window's envelopes
/// is not reached before. What is left is said with the next heartbeat.
pub(super) const SAID: usize = 32 * 1024;

/// Envelopes and their weight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) envelopes: usize,
    pub(super) bytes: usize,
}

impl Tally {
    pub(super) const fn of(weight: usize) -> Self {
        Self {
            envelopes: 1,
            bytes: weight,
        }
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            envelopes: self.envelopes + other.envelopes,
            bytes: self.bytes + other.bytes,
        }
    }

    pub(super) const fn minus(self, other: Self) -> Self {
        Self {
            envelopes: self.envelopes.saturating_sub(other.envelopes),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// Whether both counts are within `bound`.
    pub(super) const fn within(self, bound: Self) -> bool {
        self.envelopes <= bound.envelopes && self.bytes <= bound.bytes
    }
}

/// The peer broke the rules of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unfair(&'static str);

/// Frames that were sent, until the receiver is done with them.
#[derive(Debug, Default)]
pub(super) struct Flights {
    flights: VecDeque<(u64, Tally)>,
    number: u64,
    flying: Tally,
}

impl Flights {
    /// The number of the next frame.
    pub(super) const fn next(&self) -> u64 {
        self.number + 1
    }

    pub(super) const fn flying(&self) -> Tally {
        self.flying
    }

    /// The frame [`Flights::next`] was sent.
    pub(super) fn sent(&mut self, tally: Tally) {
        self.number += 1;
        self.flying = self.flying.plus(tally);
        self.flights.push_back((self.number, tally));
    }

    /// The receiver is done with all frames up to `number`, whether they reached it or not.
    pub(super) fn done(&mut self, number: u64) -> Result<(), Unfair> {
        if number > self.number {
            return Err(Unfair("it is done with a frame that was never sent"));
        }
        while let Some((_, tally)) = self.flights.pop_front_if(|(sent, _)| *sent <= number) {
            self.flying = self.flying.minus(tally);
        }
        Ok(())
    }
}

/// What of one lane has come in.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    last: u64,
    held: Tally,
    done: u64,
    unsaid: Tally,
    said: u64,
}

/// Whether a frame is the first with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    New,
    /// A copy, or one that others have overtaken; it counts as lost.
    Stale,
}

impl Arrivals {
    pub(super) fn take(
        &mut self,
        number: u64,
        tally: Tally,
        window: Tally,
    ) -> Result<Arrival, Unfair> {
        if number <= self.last {
            return Ok(Arrival::Stale);
        }
        self.last = number;
        self.held = self.held.plus(tally);
        if self.held.within(window) {
            Ok(Arrival::New)
        } else {
            Err(Unfair("it sends more than its window holds"))
        }
    }

    /// A frame that was taken is done with; gives what to tell the sender once enough has gathered.
    pub(super) fn done(&mut self, number: u64, tally: Tally, window: Tally) -> Option<u64> {
        self.held = self.held.minus(tally);
        self.done = self.done.max(number);
        self.unsaid = self.unsaid.plus(tally);
        let enough = Tally {
            envelopes: window.envelopes / 4,
            bytes: SAID,
        };
        if self.unsaid.within(enough) {
            None
        } else {
            self.say()
        }
    }

    /// What the sender was not told yet.
    pub(super) fn say(&mut self) -> Option<u64> {
        self.unsaid = Tally::default();
        let news = self.done > self.said;
        self.said = self.done;
        news.then_some(self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Tally = Tally {
        envelopes: 8,
        bytes: 800,
    };

    #[test]
    fn what_is_done_leaves_room_even_when_frames_between_were_lost() {
        let mut flights = Flights::default();
        for _ in 0..3 {
            flights.sent(Tally::of(100));
        }
        flights.done(2).unwrap();
        assert_eq!(flights.flying(), Tally::of(100));
        assert!(flights.done(4).is_err());
    }

    #[test]
    fn a_copy_is_taken_once() {
        let mut arrivals = Arrivals::default();
        let taken = [1, 1, 3, 2].map(|number| arrivals.take(number, Tally::of(1), WINDOW).unwrap());
        let (new, stale) = (Arrival::New, Arrival::Stale);
        assert_eq!(taken, [new, stale, new, stale]);
    }

    #[test]
    fn the_sender_is_told_once_a_quarter_is_done() {
        let mut arrivals = Arrivals::default();
        let said: Vec<_> = (1..=4)
            .map(|number| {
                arrivals.take(number, Tally::of(1), WINDOW).unwrap();
                arrivals.done(number, Tally::of(1), WINDOW)
            })
            .collect();
        assert_eq!(said, [None, None, Some(3), None]);
        assert_eq!((arrivals.say(), arrivals.say()), (Some(4), None));
    }

    #[test]
    fn more_than_the_window_is_unfair() {
        let mut arrivals = Arrivals::default();
        arrivals.take(1, Tally::of(700), WINDOW).unwrap();
        assert!(arrivals.take(2, Tally::of(101), WINDOW).is_err());
    }
}
