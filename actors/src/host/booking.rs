//! Slots that are kept for steps of other nodes, and attempts that must not run twice.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use protocol::{
    id::{NodeId, TaskId},
    task::TokenHash,
    time::Timestamp,
};

/// How long a slot is kept for an attempt that does not come.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(10);

/// How long an attempt is remembered that must not run, or not again. Whoever sends one gives up
/// long before.
const REMEMBERED_FOR: Duration = Duration::from_secs(15 * 60);

/// For whom a slot is kept.
pub(crate) type Place = (NodeId, TaskId, u64);

/// Slots that are kept for a while. Whoever asks twice for the same step gets the same one.
#[derive(Debug)]
pub(crate) struct Bookings<S> {
    next: u64,
    /// All before this one are void.
    floor: u64,
    kept: HashMap<u64, (Place, Timestamp, S)>,
    by_place: HashMap<Place, u64>,
}

impl<S> Default for Bookings<S> {
    fn default() -> Self {
        Self {
            next: 1,
            floor: 1,
            kept: HashMap::new(),
            by_place: HashMap::new(),
        }
    }
}

impl<S> Bookings<S> {
    /// What is kept for this step already, for as long again.
    pub(crate) fn again(&mut self, place: &Place, now: Timestamp) -> Option<u64> {
        let number = *self.by_place.get(place)?;
        let (_, until, _) = self.kept.get_mut(&number)?;
        *until = now.plus(KEPT_FOR);
        Some(number)
    }

    /// Keeps a slot.
    pub(crate) fn keep(&mut self, place: Place, slot: S, now: Timestamp) -> u64 {
        let number = self.next;
        self.next += 1;
        self.by_place.insert(place, number);
        self.kept.insert(number, (place, now.plus(KEPT_FOR), slot));
        number
    }

    /// Hands a slot out: to its attempt, or to be given back.
    pub(crate) fn take(&mut self, number: u64) -> Option<S> {
        let (place, _, slot) = self.kept.remove(&number)?;
        if let Entry::Occupied(known) = self.by_place.entry(place)
            && *known.get() == number
        {
            known.remove();
        }
        Some(slot)
    }

    /// What nobody came for in time, or whose node is `gone`: to be given back.
    pub(crate) fn lapsed(&mut self, now: Timestamp, gone: impl Fn(NodeId) -> bool) -> Vec<S> {
        let over = self.kept.iter().filter(|(_, (place, until, _))| {
            let (node, ..) = place;
            *until <= now || gone(*node)
        });
        let over: Vec<u64> = over.map(|(number, _)| *number).collect();
        over.into_iter()
            .filter_map(|number| self.take(number))
            .collect()
    }

    /// Whether it was given back with all others: whoever asked for it may have counted on that.
    pub(crate) const fn is_void(&self, number: u64) -> bool {
        number < self.floor
    }

    /// All of it: to be given back, and void for whoever comes with it later.
    pub(crate) fn drain(&mut self) -> Vec<S> {
        self.floor = self.next;
        self.by_place.clear();
        self.kept.drain().map(|(_, (.., slot))| slot).collect()
    }
}

/// What is known of an attempt's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It was taken in before.
    Before,
    /// Its owner asked for it before it came, and was told that it never will run.
    GivenUp,
}

/// Attempts that came from elsewhere, or never may.
#[derive(Debug, Default)]
pub(crate) struct Tokens(HashMap<TokenHash, (Seen, Timestamp)>);

impl Tokens {
    /// Takes an attempt in, the first time.
    pub(crate) fn enter(&mut self, token: &TokenHash, now: Timestamp) -> Result<(), Seen> {
        match self.0.entry(token.clone()) {
            Entry::Occupied(known) => Err(known.get().0),
            Entry::Vacant(free) => {
                free.insert((Seen::Before, now.plus(REMEMBERED_FOR)));
                Ok(())
            }
        }
    }

    /// It is not here: it never may be.
    pub(crate) fn give_up(&mut self, token: &TokenHash, now: Timestamp) {
        let until = now.plus(REMEMBERED_FOR);
        self.0.insert(token.clone(), (Seen::GivenUp, until));
    }

    /// Whether it was taken in.
    pub(crate) fn is_known(&self, token: &TokenHash) -> bool {
        self.0
            .get(token)
            .is_some_and(|(seen, _)| *seen == Seen::Before)
    }

    pub(crate) fn is_given_up(&self, token: &TokenHash) -> bool {
        self.0
            .get(token)
            .is_some_and(|(seen, _)| *seen == Seen::GivenUp)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets what nobody can send any more.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        self.0.retain(|_, (_, until)| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn place(node: u128, step: u64) -> Place {
        let node = NodeId::from_uuid(Uuid::from_u128(node));
        (node, TaskId::from_uuid(Uuid::from_u128(7)), step)
    }

    #[test]
    fn who_asks_twice_for_a_step_gets_one_slot_and_who_comes_takes_it() {
        let mut bookings = Bookings::default();
        let first = bookings.keep(place(1, 0), "slot", at(0));
        assert_eq!(bookings.again(&place(1, 0), at(5)), Some(first));
        assert_eq!(bookings.again(&place(2, 0), at(5)), None);
        assert!(bookings.lapsed(at(12), |_| false).is_empty());
        assert_eq!(bookings.take(first), Some("slot"));
        assert_eq!(bookings.take(first), None);
        assert_eq!(bookings.again(&place(1, 0), at(6)), None);
    }

    #[test]
    fn a_slot_is_free_again_after_ten_seconds_or_when_its_node_is_gone() {
        let mut bookings = Bookings::default();
        bookings.keep(place(1, 0), "late", at(0));
        bookings.keep(place(1, 1), "kept", at(5));
        bookings.keep(place(2, 0), "orphan", at(5));
        let two = place(2, 0).0;
        let mut lapsed = bookings.lapsed(at(10), |node| node == two);
        lapsed.sort_unstable();
        assert_eq!(lapsed, ["late", "orphan"]);
        assert!(!bookings.is_void(3));
        assert_eq!(bookings.drain(), ["kept"]);
        assert!(bookings.is_void(3));
        let later = bookings.keep(place(2, 0), "later", at(11));
        assert!(!bookings.is_void(later));
    }

    #[test]
    fn an_attempt_enters_once_and_never_after_it_was_given_up() {
        let mut tokens = Tokens::default();
        let (one, other) = ("one".to_owned(), "other".to_owned());
        assert_eq!(tokens.enter(&one, at(0)), Ok(()));
        assert_eq!(tokens.enter(&one, at(1)), Err(Seen::Before));
        tokens.give_up(&other, at(0));
        assert_eq!(tokens.enter(&other, at(600)), Err(Seen::GivenUp));
        tokens.forget(at(3600));
        assert!(tokens.is_empty());
    }
}
