//! Who is listened to: the messages that an actor handled lately, by name.
//!
//! They are kept only of actors that somebody asked for within the last minute, and of a few at a time:
//! to keep them of all would cost each message, and each actor memory, for what is hardly ever read.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use protocol::{
    api::{ActorMessages, HandledMessage},
    entity::Sight,
    time::Timestamp,
};

use super::{Row, Tree};

/// Messages that are kept of an actor.
const KEPT: usize = 100;

/// So long an actor is listened to after it was asked for.
const ATTENTION: Duration = Duration::from_mins(1);

/// Actors of a node that are listened to at once.
const EARS: usize = 64;

/// Too many actors of the node are listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("messages of {EARS} actors are kept on this node already, each for a minute")]
pub struct Deaf;

/// Actors that are listened to, each until then.
#[derive(Debug, Default)]
pub(super) struct Ears(Mutex<Vec<(Arc<Row>, Duration)>>);

/// What is heard of one actor.
#[derive(Debug)]
pub(super) struct Heard {
    since: Timestamp,
    /// The newest last.
    messages: VecDeque<HandledMessage>,
}

impl Heard {
    pub(super) fn since(now: Timestamp) -> Self {
        let messages = VecDeque::with_capacity(KEPT);
        Self {
            since: now,
            messages,
        }
    }

    pub(super) fn hear(&mut self, message: HandledMessage) {
        if self.messages.len() == KEPT {
            self.messages.pop_front();
        }
        self.messages.push_back(message);
    }
}

impl Ears {
    /// Listens to an actor for a while from `elapsed` on.
    fn open(&self, row: &Arc<Row>, now: Timestamp, elapsed: Duration) -> Result<(), Deaf> {
        let mut ears = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ears.retain(|(listened, until)| {
            // It is kept under the same path for another incarnation, or dropped with its row.
            let goes_on = *until > elapsed && Arc::strong_count(listened) > 1;
            if !goes_on && !Arc::ptr_eq(listened, row) {
                listened.unheard();
            }
            goes_on || Arc::ptr_eq(listened, row)
        });
        let until = elapsed + ATTENTION;
        if let Some(known) = ears.iter_mut().find(|(known, _)| Arc::ptr_eq(known, row)) {
            if known.1 <= elapsed {
                row.unheard();
            }
            known.1 = until;
        } else if ears.len() < EARS {
            ears.push((Arc::clone(row), until));
        } else {
            return Err(Deaf);
        }
        row.listen(now);
        Ok(())
    }
}

impl Tree {
    /// The messages that the actor at `path` handled since somebody asked for them first within the last
    /// minute, as far as it may be seen; from now on they are kept for a minute more.
    ///
    /// # Errors
    ///
    /// When too many actors are listened to.
    pub fn messages(&self, path: &str, sight: Sight<'_>) -> Result<Option<ActorMessages>, Deaf> {
        let Some(row) = self.row(path).filter(|_| sight.sees(path)) else {
            return Ok(None);
        };
        let (now, elapsed) = (self.now(), self.0.clock.coarse());
        self.0.ears.open(&row, now, elapsed)?;
        let told = row.recall(|story| {
            let heard = story.heard.as_ref()?;
            Some((heard.since, heard.messages.iter().cloned().collect()))
        });
        let (since, messages) = told.flatten().unwrap_or_else(|| (now, Vec::new()));
        let seen = self.lens().node(&row, 0);
        Ok(Some(ActorMessages {
            path: seen.path,
            kind: seen.kind,
            node: seen.node,
            since,
            until: now.plus(ATTENTION),
            waiting: seen.mailbox,
            handled: seen.handled,
            current: seen.current,
            current_ms: seen.current_ms,
            messages,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TestClock;

    fn tree() -> (Tree, TestClock) {
        let hands = TestClock::at(Timestamp::from_micros(1_000_000_000));
        (Tree::new("one", hands.clock()), hands)
    }

    /// Handles `count` messages, each for a millisecond.
    fn handle(tree: &Tree, hands: &TestClock, path: &str, count: usize) {
        let row = tree.row(path).unwrap();
        for _ in 0..count {
            row.take("Go", tree.clock().micros());
            hands.advance(Duration::from_millis(1));
            row.settle(tree.clock());
        }
    }

    fn heard(tree: &Tree, path: &str) -> ActorMessages {
        tree.messages(path, Sight::All).unwrap().unwrap()
    }

    #[test]
    fn messages_are_kept_once_somebody_has_asked_and_the_last_hundred_of_them() {
        let (tree, hands) = tree();
        let _guard = tree.enter("/a", "agent");
        handle(&tree, &hands, "/a", 3);
        let first = heard(&tree, "/a");
        assert_eq!((first.handled, first.messages.len()), (3, 0));
        handle(&tree, &hands, "/a", 2);
        let told = heard(&tree, "/a");
        assert_eq!((told.since, told.handled), (first.since, 5));
        let expected = HandledMessage {
            message: "Go".to_owned(),
            at: first.since,
            took_us: 1_000,
        };
        assert_eq!((told.messages.len(), &told.messages[0]), (2, &expected));
        handle(&tree, &hands, "/a", KEPT + 7);
        let told = heard(&tree, "/a");
        assert_eq!(told.messages.len(), KEPT);
        assert_eq!(
            told.messages[0].at,
            expected.at.plus(Duration::from_millis(9))
        );
    }

    #[test]
    fn what_nobody_asks_for_within_a_minute_is_kept_no_more() {
        let (tree, hands) = tree();
        let _guards = [tree.enter("/a", "agent"), tree.enter("/b", "agent")];
        heard(&tree, "/a");
        hands.advance(ATTENTION - Duration::from_secs(1));
        assert_eq!(
            heard(&tree, "/a").since,
            Timestamp::from_micros(1_000_000_000)
        );
        hands.advance(ATTENTION);
        // Whoever asks for another one next ends it.
        heard(&tree, "/b");
        assert!(!tree.row("/a").unwrap().is_heard());
        handle(&tree, &hands, "/a", 1);
        let told = heard(&tree, "/a");
        assert_eq!((told.since, told.messages.len()), (tree.now(), 0));
        hands.advance(ATTENTION);
        assert_eq!(heard(&tree, "/a").since, tree.now());
    }

    #[test]
    fn so_many_are_listened_to_at_once_and_one_that_is_gone_makes_room() {
        let (tree, _) = tree();
        let path = |number| format!("/tasks/{number}");
        let mut guards: Vec<_> = (0..=EARS).map(|it| tree.enter(path(it), "task")).collect();
        for number in 0..EARS {
            heard(&tree, &path(number));
        }
        assert_eq!(tree.messages(&path(EARS), Sight::All), Err(Deaf));
        heard(&tree, &path(3));
        drop(guards.remove(0));
        heard(&tree, &path(EARS));
    }

    #[test]
    fn an_actor_that_may_not_be_seen_is_not_listened_to() {
        let (tree, _) = tree();
        let _guard = tree.enter("/tasks/acme~1", "task");
        assert_eq!(tree.messages("/tasks/acme~1", Sight::of("other")), Ok(None));
        assert!(!tree.row("/tasks/acme~1").unwrap().is_heard());
        assert_eq!(tree.messages("/none", Sight::All), Ok(None));
    }
}
