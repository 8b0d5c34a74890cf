//! What is known of one actor.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering},
};

use protocol::{
    api::{ActorLink, HandledMessage, Life},
    time::Timestamp,
};

use super::{
    ear::Heard,
    hand::{Hand, Handling},
    story::{Episode, Failure, Story, Work},
};
use crate::clock::Clock;

/// What an actor is doing with its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It gets its state together.
    Starting,
    /// It handles messages.
    Running,
    /// It failed and waits to be started again.
    BackingOff,
    /// It was told to stop and cleans up.
    Stopping,
    /// It ended and was not to be restarted.
    Stopped,
    /// It failed too often; a person can release it.
    Parked,
    /// A person holds it; it goes on when it is told to.
    Paused,
}

impl Status {
    pub(super) const ALL: [Self; 7] = [
        Self::Starting,
        Self::Running,
        Self::BackingOff,
        Self::Stopping,
        Self::Stopped,
        Self::Parked,
        Self::Paused,
    ];

    /// As the API shows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::BackingOff => "backing_off",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Parked => "parked",
            Self::Paused => "paused",
        }
    }
}

/// What becomes of a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// A person holds it from now on.
    Begins,
    /// It goes on.
    Ends,
}

/// Whether something said for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It was not so before.
    Fresh,
    /// It was.
    Old,
}

impl News {
    const fn unless(before: bool) -> Self {
        if before { Self::Old } else { Self::Fresh }
    }
}

/// One row of the tree.
///
/// Senders write `sent`, the actor what stands at the end: with so much between, they do not
/// fight over one cache line.
#[derive(Debug)]
#[repr(C)]
pub(in crate::supervision) struct Entry {
    sent: AtomicU64,
    path: Arc<str>,
    kind: &'static str,
    /// What happened to it beyond its start; most have none.
    story: Mutex<Option<Box<Story>>>,
    /// When this incarnation began.
    started_at: AtomicI64,
    /// When its status changed last.
    changed_at: AtomicI64,
    restarts: AtomicU32,
    /// What `handled` was at the last two marks, for the rate; the lower half of it.
    marks: [AtomicU32; 2],
    status: AtomicU8,
    has_panicked: AtomicBool,
    /// It waits in the log of changes to be looked at.
    is_noted: AtomicBool,
    /// Readers of the log have seen it.
    is_known: AtomicBool,
    /// The message in hand was reported for its age.
    is_stuck: AtomicBool,
    /// Somebody asks for the messages that it handles.
    is_heard: AtomicBool,
    taken: AtomicU64,
    /// What `sent` was when the actor looked last.
    seen: AtomicU64,
    handled: AtomicU64,
    hand: Hand,
}

impl Entry {
    pub(super) fn new(path: Arc<str>, kind: &'static str, now: Timestamp) -> Self {
        Self {
            sent: AtomicU64::new(0),
            path,
            kind,
            story: Mutex::new(None),
            started_at: AtomicI64::new(now.as_micros()),
            changed_at: AtomicI64::new(now.as_micros()),
            restarts: AtomicU32::new(0),
            marks: Default::default(),
            status: AtomicU8::new(Status::Starting as u8),
            has_panicked: AtomicBool::new(false),
            is_noted: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
            is_stuck: AtomicBool::new(false),
            is_heard: AtomicBool::new(false),
            taken: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            hand: Hand::default(),
        }
    }

    pub(in crate::supervision) fn path(&self) -> &str {
        &self.path
    }

    /// Whether an operator may kill it by its place.
    pub(in crate::supervision) fn is_killable(&self) -> bool {
        self.path.starts_with("/system")
    }

    pub(in crate::supervision) const fn shared_path(&self) -> &Arc<str> {
        &self.path
    }

    pub(in crate::supervision) fn kind(&self) -> &'static str {
        self.kind
    }

    /// A status, which is news unless it was the same before.
    pub(super) fn set_status(&self, status: Status, now: Timestamp) -> News {
        let before = self.status.swap(status as u8, Ordering::SeqCst);
        if before == status as u8 {
            return News::Old;
        }
        self.turned(status, now);
        News::Fresh
    }

    /// The same, if its status is one of these.
    pub(super) fn turn_status(&self, from: &[Status], to: Status, now: Timestamp) -> News {
        let turn = |before: u8| {
            let matches = from.iter().any(|status| *status as u8 == before);
            matches.then_some(to as u8)
        };
        let turned = self
            .status
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, turn);
        if turned.is_err() {
            return News::Old;
        }
        self.turned(to, now);
        News::Fresh
    }

    fn turned(&self, status: Status, now: Timestamp) {
        self.changed_at.store(now.as_micros(), Ordering::Relaxed);
        if status == Status::Parked {
            self.tell(|story| {
                let reason = story.last_error();
                story.add(Episode::new(now, Life::Parked, reason));
            });
        }
    }

    pub(in crate::supervision) fn status(&self) -> Status {
        let status = self.status.load(Ordering::SeqCst);
        Status::ALL[usize::from(status) % Status::ALL.len()]
    }

    pub(super) fn fail(&self, at: Timestamp, error: &str) -> String {
        self.tell(|story| story.fail(at, error))
    }

    pub(super) fn failed_before(&self, failures: Vec<Failure>) {
        self.tell(|story| story.recall(failures));
    }

    /// It was on the node `from` before it began here.
    pub(super) fn moved(&self, from: &str) {
        let at = self.started_at();
        self.tell(|story| story.move_from(at, from));
    }

    /// The failure that comes is a panic.
    pub(in crate::supervision) fn panicked(&self) {
        self.has_panicked.store(true, Ordering::Release);
    }

    /// Whether the last failure was a panic; asked once.
    pub(in crate::supervision) fn take_panic(&self) -> bool {
        self.has_panicked.swap(false, Ordering::AcqRel)
    }

    /// Another incarnation begins.
    pub(super) fn restart(&self, now: Timestamp) {
        self.tell(|story| story.begin_again(now));
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.started_at.store(now.as_micros(), Ordering::Relaxed);
        self.set_status(Status::Starting, now);
    }

    /// Its row is taken away, for good.
    pub(super) fn leave(&self, now: Timestamp) {
        self.changed_at.store(now.as_micros(), Ordering::Relaxed);
    }

    /// Somebody ends it.
    pub(super) fn ends_because(&self, why: &str) {
        self.tell(|story| story.ends_because(why));
    }

    /// Looks at what happened to it, if anything beyond its start did.
    pub(super) fn recall<T>(&self, look: impl FnOnce(&mut Story) -> T) -> Option<T> {
        lock(&self.story).as_deref_mut().map(look)
    }

    fn tell<T>(&self, change: impl FnOnce(&mut Story) -> T) -> T {
        let mut story = lock(&self.story);
        change(story.get_or_insert_with(|| Box::new(Story::since(self.started_at()))))
    }

    pub(super) fn started_at(&self) -> Timestamp {
        Timestamp::from_micros(self.started_at.load(Ordering::Relaxed))
    }

    pub(super) fn changed_at(&self) -> Timestamp {
        Timestamp::from_micros(self.changed_at.load(Ordering::Relaxed))
    }

    pub(super) fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Relaxed)
    }

    pub(super) fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    /// Marks what was handled so far as the newest of two marks.
    pub(super) fn mark(&self, newest: usize) {
        let handled = self.handled_wrapped();
        self.marks[newest % 2].store(handled, Ordering::Relaxed);
    }

    /// Messages handled since the older mark; right while they are fewer than four thousand million.
    pub(super) fn handled_since(&self, mark: usize) -> u32 {
        let before = self.marks[mark % 2].load(Ordering::Relaxed);
        self.handled_wrapped().wrapping_sub(before)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "only differences of it count, which wrap alike"
    )]
    fn handled_wrapped(&self) -> u32 {
        self.handled() as u32
    }

    /// It is to be looked at; news unless it waits for that already.
    pub(super) fn note(&self) -> News {
        News::unless(self.is_noted.swap(true, Ordering::AcqRel))
    }

    /// It is looked at: what changes from here on is to be noted again.
    pub(super) fn look(&self) {
        self.is_noted.swap(false, Ordering::AcqRel);
    }

    /// Readers see it; news the first time.
    pub(super) fn introduce(&self) -> News {
        News::unless(self.is_known.swap(true, Ordering::AcqRel))
    }

    /// It is gone, and readers know.
    pub(super) fn forget(&self) {
        self.is_known.store(false, Ordering::Release);
    }

    pub(super) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Acquire)
    }

    /// The message in hand has taken too long; news the first time.
    pub(super) fn get_stuck(&self, now: Timestamp, reason: String) -> News {
        let news = News::unless(self.is_stuck.swap(true, Ordering::AcqRel));
        if news == News::Fresh {
            self.tell(|story| story.add(Episode::new(now, Life::Stuck, Some(reason))));
        }
        news
    }

    /// The message in hand is young; news when one before was not.
    pub(super) fn get_free(&self) -> News {
        let was_stuck = self.is_stuck.load(Ordering::Relaxed);
        if was_stuck {
            self.is_stuck.store(false, Ordering::Relaxed);
        }
        News::unless(!was_stuck)
    }

    /// The message in hand, by name.
    pub(in crate::supervision) fn message(&self) -> &'static str {
        self.current().map_or("no message", |it| it.message)
    }

    /// The message in hand, if any.
    pub(super) fn current(&self) -> Option<Handling> {
        self.hand.holds()
    }

    /// It has this to do, beside messages.
    pub(super) fn work(&self, work: Work) {
        self.tell(|story| story.work = Some(work));
    }

    /// Whether somebody asks for the messages that it handles.
    #[inline]
    pub(super) fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Relaxed)
    }

    /// From now on its messages are kept, if they are not already.
    pub(super) fn listen(&self, now: Timestamp) {
        self.tell(|story| {
            story.heard.get_or_insert_with(|| Heard::since(now));
        });
        self.is_heard.store(true, Ordering::Relaxed);
    }

    /// Its messages are kept no more.
    pub(super) fn unheard(&self) {
        self.is_heard.store(false, Ordering::Relaxed);
        self.recall(|story| story.heard = None);
    }

    /// Keeps the message in hand, which is done.
    #[cold]
    fn hear(&self, clock: &Clock) {
        let Some(handling) = self.current() else {
            return;
        };
        let took = clock.coarse().saturating_sub(handling.since);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let began = i64::try_from(took_us).unwrap_or(i64::MAX);
        let began = clock.now().as_micros().saturating_sub(began);
        self.recall(|story| {
            if let Some(heard) = &mut story.heard {
                heard.hear(HandledMessage {
                    message: handling.message.to_owned(),
                    at: Timestamp::from_micros(began),
                    took_us,
                });
            }
        });
    }

    /// It has to do with these; news unless it said so before.
    pub(super) fn link(&self, links: Vec<ActorLink>) -> News {
        let mut story = lock(&self.story);
        let former: &[ActorLink] = story.as_deref().map_or(&[], |story| &story.links);
        if former == links {
            return News::Old;
        }
        let story = story.get_or_insert_with(|| Box::new(Story::since(self.started_at())));
        story.links = links;
        News::Fresh
    }

    /// What it has to do beside messages, if anything.
    pub(super) fn works(&self) -> Option<Work> {
        self.recall(|story| story.work.clone()).flatten()
    }

    /// A message is about to enter the mailbox.
    pub(in crate::supervision) fn send(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// It did not enter the mailbox.
    pub(in crate::supervision) fn unsend(&self) {
        self.sent.fetch_sub(1, Ordering::Relaxed);
    }

    /// The actor takes a message out of its mailbox; only the actor calls this.
    #[inline]
    pub(in crate::supervision) fn take(&self, message: &'static str, since: u64) {
        // A timer may put messages into the mailbox that nobody counted; they must not
        // make room for others.
        let taken = self.taken.load(Ordering::Relaxed) + 1;
        if taken > self.seen.load(Ordering::Relaxed) {
            let sent = self.sent.load(Ordering::Relaxed);
            self.seen.store(sent, Ordering::Relaxed);
        }
        if taken <= self.seen.load(Ordering::Relaxed) {
            self.taken.store(taken, Ordering::Relaxed);
        }
        self.hand.take(message, since);
    }

    /// The actor is done with the message.
    pub(in crate::supervision) fn settle(&self, clock: &Clock) {
        if self.is_heard() {
            self.hear(clock);
        }
        let handled = self.handled.load(Ordering::Relaxed) + 1;
        self.handled.store(handled, Ordering::Relaxed);
        self.hand.settle();
    }

    /// The mailbox is gone with all that was in it; nobody sends at the same time.
    pub(in crate::supervision) fn discard(&self) {
        let sent = self.sent.load(Ordering::Relaxed);
        self.taken.store(sent, Ordering::Relaxed);
        self.seen.store(sent, Ordering::Relaxed);
    }

    /// Messages that wait.
    pub(in crate::supervision) fn depth(&self) -> u64 {
        let taken = self.taken.load(Ordering::Relaxed);
        self.sent.load(Ordering::Relaxed).saturating_sub(taken)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entry() -> Entry {
        Entry::new("/a".into(), "task", Timestamp::default())
    }

    #[test]
    fn depth_follows_what_is_sent_and_taken() {
        let entry = entry();
        entry.send();
        entry.send();
        entry.unsend();
        assert_eq!(entry.depth(), 1);
        entry.take("Go", 0);
        assert_eq!(entry.depth(), 0);
    }

    #[test]
    fn a_message_that_nobody_counted_makes_no_room() {
        let entry = entry();
        entry.take("Tick", 0);
        entry.settle(&Clock::system());
        entry.send();
        assert_eq!(entry.depth(), 1);
        assert_eq!(entry.handled(), 1);
    }

    #[test]
    fn the_message_in_hand_shows_with_the_moment_it_was_taken() {
        let entry = entry();
        entry.take("Go", 1_000_000);
        let current = entry.current().unwrap();
        assert_eq!(
            (current.message, current.since),
            ("Go", Duration::from_secs(1))
        );
        entry.settle(&Clock::system());
        assert!(entry.current().is_none());
    }

    #[test]
    fn a_status_reads_back_as_it_was_set() {
        let entry = entry();
        for status in Status::ALL {
            let news = entry.set_status(status, Timestamp::default());
            assert_eq!(entry.status(), status);
            let expected = News::unless(status == Status::Starting);
            assert_eq!(news, expected, "{status:?}");
        }
    }

    #[test]
    fn a_status_turns_only_from_one_of_those_named() {
        let entry = entry();
        let now = Timestamp::default();
        let from = [Status::Starting, Status::Running];
        assert_eq!(entry.turn_status(&from, Status::Paused, now), News::Fresh);
        assert_eq!(entry.turn_status(&from, Status::Running, now), News::Old);
        assert_eq!(entry.status(), Status::Paused);
        entry.set_status(Status::Parked, now);
        let paused = [Status::Paused];
        assert_eq!(entry.turn_status(&paused, Status::Running, now), News::Old);
        assert_eq!(entry.status(), Status::Parked);
    }

    #[test]
    fn the_messages_since_a_mark_are_counted_past_the_end_of_a_number() {
        let entry = entry();
        entry
            .handled
            .store(u64::from(u32::MAX) - 1, Ordering::Relaxed);
        entry.mark(0);
        for _ in 0..5 {
            entry.take("Go", 0);
            entry.settle(&Clock::system());
        }
        assert_eq!(entry.handled_since(0), 5);
    }
}
