//! What an actor has in hand: a message's name and the moment it was taken, in one word.
//!
//! One word, because it is written with each message and read by others meanwhile: a lock would
//! cost more than all else that is kept of a message.

use std::{
    cell::Cell,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The low bits hold microseconds, enough for eight years; the high ones the name's number.
const MOMENT_BITS: u32 = 48;

/// Names by number, from 1: there are as many as our messages have variants.
static NAMES: RwLock<Vec<&'static str>> = RwLock::new(Vec::new());

/// Names that a thread knows by where their text stands: more than there are, so that few meet.
const RECENT: usize = 512;

/// Places in a row at which a name may stand.
const REACH: usize = 8;

thread_local! {
    static NUMBERS: [Cell<(usize, usize, u16)>; RECENT] =
        const { [const { Cell::new((0, 0, 0)) }; RECENT] };
}

#[derive(Debug, Default)]
pub(super) struct Hand(AtomicU64);

/// A message in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handling {
    pub(super) message: &'static str,
    pub(super) since: Duration,
}

impl Hand {
    /// Holds `message` since so many microseconds.
    #[inline]
    pub(super) fn take(&self, message: &'static str, since: u64) {
        let moment = since & ((1 << MOMENT_BITS) - 1);
        let word = (u64::from(number(message)) << MOMENT_BITS) | moment;
        self.0.store(word, Ordering::Release);
    }

    #[inline]
    pub(super) fn settle(&self) {
        self.0.store(0, Ordering::Release);
    }

    pub(super) fn holds(&self) -> Option<Handling> {
        let word = self.0.load(Ordering::Acquire);
        let number = usize::try_from(word >> MOMENT_BITS).unwrap_or(0);
        let names = NAMES.read().unwrap_or_else(PoisonError::into_inner);
        let message = names.get(number.checked_sub(1)?).copied()?;
        let micros = word & ((1 << MOMENT_BITS) - 1);
        let since = Duration::from_micros(micros);
        Some(Handling { message, since })
    }
}

#[inline]
fn number(name: &'static str) -> u16 {
    let (place, length) = (name.as_ptr().addr(), name.len());
    let known = NUMBERS.try_with(|numbers| {
        let first = place / 4 % RECENT;
        for step in 0..REACH {
            let recent = &numbers[(first + step) % RECENT];
            let (known_place, known_length, known) = recent.get();
            if (known_place, known_length) == (place, length) {
                return known;
            }
            if known == 0 {
                let number = look_up(name);
                recent.set((place, length, number));
                return number;
            }
        }
        // Too many want this place; the last one has it.
        let number = look_up(name);
        numbers[first].set((place, length, number));
        number
    });
    known.unwrap_or_else(|_| look_up(name))
}

/// The number of a name. Who knows it keeps nobody waiting: only the first of each name writes.
#[cold]
fn look_up(name: &'static str) -> u16 {
    let known = {
        let names = NAMES.read().unwrap_or_else(PoisonError::into_inner);
        names.iter().position(|known| *known == name)
    };
    number_at(known.unwrap_or_else(|| enrol(name)))
}

fn enrol(name: &'static str) -> usize {
    let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
    let place = names.iter().position(|known| *known == name);
    place.unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    })
}

/// Nobody writes sixty thousand variants; the last would share a number.
fn number_at(place: usize) -> u16 {
    u16::try_from(place + 1).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_holds_what_it_took_until_it_is_done() {
        let hand = Hand::default();
        assert_eq!(hand.holds(), None);
        for (message, since) in [("Go", 0), ("Stop", 7), ("Go", 86_400_000)] {
            hand.take(message, since * 1_000);
            let since = Duration::from_millis(since);
            assert_eq!(hand.holds(), Some(Handling { message, since }));
        }
        hand.settle();
        assert_eq!(hand.holds(), None);
    }

    #[test]
    fn a_known_name_is_found_while_somebody_else_reads() {
        let hand = Hand::default();
        hand.take("Known", 1);
        let reading = NAMES.read().unwrap();
        // A thread that has not met it yet, while no one can write.
        let found = std::thread::spawn(|| number("Known")).join().unwrap();
        drop(reading);
        assert_eq!(found, number("Known"));
    }

    #[test]
    fn names_that_meet_in_one_place_are_told_apart() {
        let text = "AbcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let hand = Hand::default();
        for _ in 0..2 {
            for length in 1..text.len() {
                for message in [&text[..length], &text[length..]] {
                    hand.take(message, 0);
                    assert_eq!(hand.holds().unwrap().message, message);
                }
            }
        }
    }
}
