//! Looks over all rows now and then: who has one message, or other work, in hand for too long, and how
//! many messages each handles in a second.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use super::{Row, Tree, entry::News, hand::Handling};
use crate::supervision::metrics;

/// How long a handler may have a message in hand, unless its kind has a limit of its own.
const LIMIT: Duration = Duration::from_secs(5);

/// From one mark to the next; a rate is over one to two of them.
const MARK: Duration = Duration::from_secs(5);

/// A rate is never over less.
const SHORTEST: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Vigil {
    limits: RwLock<Limits>,
    marks: Mutex<Marks>,
}

/// How long handlers may take, by kind; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    of_most: Duration,
    of_kinds: Arc<HashMap<Box<str>, Duration>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            of_most: LIMIT,
            of_kinds: Arc::default(),
        }
    }
}

impl Limits {
    fn of(&self, kind: &str) -> Duration {
        let of_kind = self.of_kinds.get(kind).copied();
        of_kind.unwrap_or(self.of_most)
    }

    /// What an actor does at `elapsed`, and whether it takes too long over it.
    pub(super) fn look(&self, row: &Row, elapsed: Duration) -> Option<Doing> {
        if let Some(Handling { message, since }) = row.current() {
            let spent = elapsed.saturating_sub(since);
            return Some(Doing {
                what: message.into(),
                spent,
                is_overdue: spent > self.of(row.kind()),
            });
        }
        let work = row.works()?;
        let spent = elapsed.saturating_sub(work.since);
        Some(Doing {
            what: work.what.into_string().into(),
            spent,
            is_overdue: spent > work.expected,
        })
    }
}

/// What an actor has in hand: a message, or other work.
#[derive(Debug, Clone)]
pub(super) struct Doing {
    pub(super) what: Cow<'static, str>,
    pub(super) spent: Duration,
    pub(super) is_overdue: bool,
}

/// When all rows were marked the last two times.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marks {
    at: [Duration; 2],
    newest: usize,
}

impl Marks {
    /// Messages a second since the older mark.
    pub(super) fn rate(&self, row: &Row, elapsed: Duration) -> f64 {
        let older = 1 - self.newest;
        let span = elapsed.saturating_sub(self.at[older]).max(SHORTEST);
        let rate = f64::from(row.handled_since(older)) / span.as_secs_f64();
        (rate * 10.0).round() / 10.0
    }

    /// Which mark is to be set at `elapsed`, if it is time.
    fn turn(&mut self, elapsed: Duration) -> Option<usize> {
        if elapsed.saturating_sub(self.at[self.newest]) < MARK {
            return None;
        }
        self.newest = 1 - self.newest;
        self.at[self.newest] = elapsed;
        Some(self.newest)
    }
}

impl Vigil {
    pub(super) fn limits(&self) -> Limits {
        let limits = self.limits.read();
        limits.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn marks(&self) -> Marks {
        *self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tree {
    /// Sets for how long handlers may have a message in hand before they count as stuck: `most` of
    /// them five seconds unless this says otherwise, those of some kinds longer or less long.
    pub fn set_limits(
        &self,
        most: Duration,
        of_kinds: impl IntoIterator<Item = (String, Duration)>,
    ) {
        let limits = self.0.vigil.limits.write();
        let of_kinds = of_kinds.into_iter();
        let of_kinds: HashMap<_, _> = of_kinds.map(|(kind, it)| (kind.into(), it)).collect();
        *limits.unwrap_or_else(PoisonError::into_inner) = Limits {
            of_most: most,
            of_kinds: Arc::new(of_kinds),
        };
    }

    /// Looks over all rows: reports who has got stuck since the last time, and marks what rates are
    /// counted from. The sentry calls this every few seconds.
    pub fn inspect(&self) {
        let elapsed = self.0.clock.coarse();
        let limits = self.0.vigil.limits();
        let marks = self.0.vigil.marks.lock();
        let mark = marks.unwrap_or_else(PoisonError::into_inner).turn(elapsed);
        let (mut stuck, mut free) = (Vec::new(), Vec::new());
        for row in &self.0.rows {
            if let Some(mark) = mark {
                row.mark(mark);
            }
            match limits.look(&row, elapsed).filter(|it| it.is_overdue) {
                Some(doing) => stuck.push((Arc::clone(&row), doing)),
                None if row.get_free() == News::Fresh => free.push(Arc::clone(&row)),
                None => {}
            }
        }
        // Outside of the walk, which keeps a part of the rows locked.
        for (row, doing) in stuck {
            self.report(&row, &doing.what, doing.spent);
        }
        for row in free {
            self.0.log.note(&row);
        }
    }

    fn report(&self, row: &Arc<Row>, message: &str, age: Duration) {
        let reason = format!("{message} in hand for {:.1} s", age.as_secs_f64());
        if row.get_stuck(self.now(), reason) == News::Old {
            return;
        }
        metrics::stuck(row.kind());
        tracing::warn!(
            path = row.path(),
            kind = row.kind(),
            message,
            age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            "an actor is stuck"
        );
        self.0.log.note(row);
    }
}

#[cfg(test)]
mod tests {
    use protocol::{api::Life, time::Timestamp};

    use super::*;
    use crate::{
        clock::TestClock,
        supervision::{Status, actor::KILLED},
    };

    fn second(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn state(tree: &Tree) -> String {
        tree.actor("/a").unwrap().row.state
    }

    #[test]
    fn who_has_a_message_in_hand_for_too_long_is_reported_once() {
        let hands = TestClock::at(Timestamp::default());
        let tree = Tree::new("one", hands.clock());
        tree.set_limits(LIMIT, [("patient".to_owned(), second(60))]);
        let _hasty = tree.enter("/a", "hasty");
        let _patient = tree.enter("/b", "patient");
        let mut changes = tree.changes();
        changes.take();
        for path in ["/a", "/b"] {
            tree.row(path).unwrap().take("Go", tree.0.clock.micros());
        }

        hands.advance(second(5));
        tree.inspect();
        assert_eq!(state(&tree), "running");
        hands.advance(second(2));
        for _ in 0..2 {
            tree.inspect();
        }
        assert_eq!(state(&tree), "stuck");
        let view = tree.actor("/a").unwrap();
        assert_eq!(view.row.current.as_deref(), Some("Go"));
        let delta = changes.take();
        assert_eq!(delta.rows.len(), 1);
        let [told] = &delta.life[..] else {
            panic!("{:?}", delta.life)
        };
        assert_eq!((told.what, told.path.as_str()), (Life::Stuck, "/a"));
        assert_eq!(told.reason.as_deref(), Some("Go in hand for 7.0 s"));
        assert_eq!(tree.actor("/b").unwrap().row.state, "running");

        tree.row("/a").unwrap().settle(tree.clock());
        tree.inspect();
        assert_eq!(state(&tree), "running");
        assert_eq!(changes.take().rows[0].state, "running");
    }

    #[test]
    fn work_that_takes_longer_than_is_expected_of_it_is_reported_with_what_it_is() {
        let hands = TestClock::at(Timestamp::default());
        let tree = Tree::new("one", hands.clock());
        tree.set_limits(LIMIT, []);
        let guard = tree.enter("/a", "tool");
        hands.advance(second(100));
        tree.inspect();
        assert_eq!(state(&tree), "running");
        guard.works_on("step one, attempt 2", second(60));
        hands.advance(second(60));
        tree.inspect();
        let row = tree.actor("/a").unwrap().row;
        assert_eq!(
            (row.state.as_str(), row.current_ms),
            ("running", Some(60_000))
        );
        hands.advance(second(3));
        for _ in 0..2 {
            tree.inspect();
        }
        let actor = tree.actor("/a").unwrap();
        assert_eq!(actor.row.state, "stuck");
        assert_eq!(actor.row.current.as_deref(), Some("step one, attempt 2"));
        let stuck: Vec<_> = actor
            .life
            .iter()
            .filter(|it| it.what == Life::Stuck)
            .collect();
        let [told] = stuck[..] else {
            panic!("{stuck:?}")
        };
        let reason = "step one, attempt 2 in hand for 63.0 s";
        assert_eq!(told.reason.as_deref(), Some(reason));
    }

    #[test]
    fn a_rate_is_over_the_last_five_to_ten_seconds() {
        let hands = TestClock::at(Timestamp::default());
        let tree = Tree::new("one", hands.clock());
        let _guard = tree.enter("/a", "task");
        let row = tree.row("/a").unwrap();
        let mut rates = Vec::new();
        for step in 0..12 {
            hands.advance(Duration::from_millis(2_500));
            tree.inspect();
            if step < 4 {
                for _ in 0..25 {
                    row.take("Go", 0);
                    row.settle(tree.clock());
                }
            }
            rates.push(tree.actor("/a").unwrap().row.rate);
        }
        // Of the hundred, 25 came before the mark that is five seconds old.
        assert_eq!(rates[3], 15.0);
        assert!(rates.iter().all(|&rate| rate <= 20.0), "{rates:?}");
        assert_eq!(rates[11], 0.0, "{rates:?}");
    }

    #[test]
    fn three_failures_within_a_minute_while_it_backs_off_are_a_loop() {
        let hands = TestClock::at(Timestamp::default());
        let tree = Tree::new("one", hands.clock());
        let guard = tree.enter("/a", "task");
        for _ in 0..3 {
            assert_ne!(state(&tree), "crash_loop");
            hands.advance(second(20));
            guard.failed("no luck");
            guard.set_status(Status::BackingOff);
        }
        assert_eq!(state(&tree), "crash_loop");
        hands.advance(second(21));
        assert_eq!(state(&tree), "backing_off");
    }

    #[test]
    fn what_operators_kill_again_and_again_is_in_no_loop() {
        let tree = Tree::new("one", TestClock::at(Timestamp::default()).clock());
        let guard = tree.enter("/a", "task");
        for _ in 0..3 {
            guard.ends_because("killed by admin");
            guard.failed(KILLED);
            guard.set_status(Status::BackingOff);
        }
        assert_eq!(state(&tree), "backing_off");
        assert_eq!(tree.actor("/a").unwrap().failures.len(), 3);
    }
}
