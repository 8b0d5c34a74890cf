//! Answers of commands that carried an idempotency key, so that a repeat gets the same one.
//!
//! Tasks have theirs in the store. These commands are harmless to repeat once they are done
//! (a registered name stays taken, a stopped agent stays stopped), so memory is enough: it saves
//! the client from a conflict with itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::answer::Whole;

/// SHA-256 of caller, path and key.
pub(crate) type Slot = [u8; 32];
/// SHA-256 of the body.
pub(crate) type BodyHash = [u8; 32];

const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
const MAX_ANSWERS: usize = 10_000;
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// The answers.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    slots: HashMap<Slot, Entry>,
    /// The finished ones, the oldest first.
    finished: VecDeque<(Instant, Slot)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    body: BodyHash,
    answer: Option<Whole>,
}

/// What a key means for the request that carries it.
#[derive(Debug)]
pub(crate) enum Begun<'a> {
    /// It is new: do it, then finish the ticket.
    Fresh(Ticket<'a>),
    /// It was answered before.
    Answered(Whole),
    /// It is being done right now.
    Running,
    /// It came with another body before.
    Mismatch,
}

impl Replays {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing below can panic half way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks a key up, and takes it when it is new.
    pub(crate) fn begin(&self, slot: Slot, body: BodyHash, now: Instant) -> Begun<'_> {
        let mut inner = self.lock();
        inner.forget(now);
        match inner.slots.get(&slot) {
            Some(entry) if entry.body != body => Begun::Mismatch,
            Some(Entry {
                answer: Some(answer),
                ..
            }) => Begun::Answered(answer.clone()),
            Some(Entry { answer: None, .. }) => Begun::Running,
            None => {
                inner.slots.insert(slot, Entry { body, answer: None });
                Begun::Fresh(Ticket {
                    replays: self,
                    slot,
                })
            }
        }
    }
}

impl Inner {
    fn forget(&mut self, now: Instant) {
        while let Some((finished, slot)) = self.finished.front().copied() {
            let fits = self.finished.len() <= MAX_ANSWERS && self.bytes <= MAX_BYTES;
            if fits && now.duration_since(finished) < KEPT_FOR {
                return;
            }
            self.finished.pop_front();
            if let Some(Entry {
                answer: Some(answer),
                ..
            }) = self.slots.remove(&slot)
            {
                self.bytes -= answer.size();
            }
        }
    }
}

/// The right to do a command under its key. Dropped unfinished, the key is free again.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    replays: &'a Replays,
    slot: Slot,
}

impl Ticket<'_> {
    /// Keeps the answer for repeats.
    pub(crate) fn finish(self, answer: Whole, now: Instant) {
        let mut inner = self.replays.lock();
        let size = answer.size();
        if let Some(entry) = inner.slots.get_mut(&self.slot) {
            entry.answer = Some(answer);
            inner.bytes += size;
            inner.finished.push_back((now, self.slot));
        }
        inner.forget(now);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut inner = self.replays.lock();
        if inner
            .slots
            .get(&self.slot)
            .is_some_and(|entry| entry.answer.is_none())
        {
            inner.slots.remove(&self.slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::{super::answer::Answer, *};

    fn whole(body: &'static str) -> Whole {
        match Answer::text(StatusCode::OK, "text/plain", body) {
            Answer::Whole(whole) => whole,
            Answer::Streamed(_) => unreachable!(),
        }
    }

    fn slot(number: usize) -> Slot {
        let mut slot = [0; 32];
        slot[..8].copy_from_slice(&number.to_le_bytes());
        slot
    }

    fn answer(replays: &Replays, number: usize, now: Instant) {
        let Begun::Fresh(ticket) = replays.begin(slot(number), [0; 32], now) else {
            panic!("{number} is not fresh");
        };
        ticket.finish(whole("done"), now);
    }

    #[test]
    fn a_repeat_gets_the_answer_of_the_first() {
        let (replays, now) = (Replays::default(), Instant::now());
        let Begun::Fresh(ticket) = replays.begin(slot(1), [0; 32], now) else {
            panic!()
        };
        assert!(matches!(
            replays.begin(slot(1), [0; 32], now),
            Begun::Running
        ));
        ticket.finish(whole("done"), now);
        let Begun::Answered(answer) = replays.begin(slot(1), [0; 32], now) else {
            panic!()
        };
        assert_eq!(answer, whole("done"));
        assert!(matches!(
            replays.begin(slot(1), [1; 32], now),
            Begun::Mismatch
        ));
        assert!(matches!(
            replays.begin(slot(2), [1; 32], now),
            Begun::Fresh(_)
        ));
    }

    #[test]
    fn a_command_that_failed_may_be_repeated() {
        let (replays, now) = (Replays::default(), Instant::now());
        drop(replays.begin(slot(1), [0; 32], now));
        assert!(matches!(
            replays.begin(slot(1), [1; 32], now),
            Begun::Fresh(_)
        ));
    }

    #[test]
    fn answers_are_forgotten_after_a_day_and_when_there_are_too_many() {
        let (replays, now) = (Replays::default(), Instant::now());
        for number in 0..=MAX_ANSWERS {
            answer(&replays, number, now);
        }
        assert!(matches!(
            replays.begin(slot(0), [0; 32], now),
            Begun::Fresh(_)
        ));
        assert!(matches!(
            replays.begin(slot(1), [0; 32], now),
            Begun::Answered(_)
        ));
        let later = now + KEPT_FOR;
        assert!(matches!(
            replays.begin(slot(1), [0; 32], later),
            Begun::Fresh(_)
        ));
        assert_eq!(replays.lock().bytes, 0);
    }
}
