//! What is known of one actor.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use protocol::{api::TreeNode, time::Timestamp};

/// So many failures are kept.
const FAILURES: usize = 3;
/// The length in bytes from which an error text is cut.
const LONGEST_ERROR: usize = 1_000;

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
}

impl Status {
    const ALL: [Self; 6] = [
        Self::Starting,
        Self::Running,
        Self::BackingOff,
        Self::Stopping,
        Self::Stopped,
        Self::Parked,
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
        }
    }
}

/// How and when an actor failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When its supervisor heard of it.
    pub at: Timestamp,
    /// The error and what caused it, or the text of the panic.
    pub error: String,
}

#[derive(Debug, Clone, Copy)]
struct Handling {
    message: &'static str,
    since: Duration,
}

/// One row of the tree.
///
/// Senders write `sent`, the actor what stands at the end: with so much between, they do not
/// fight over one cache line.
#[repr(C)]
pub(in crate::supervision) struct Entry {
    sent: AtomicU64,
    path: Arc<str>,
    kind: &'static str,
    failures: Mutex<VecDeque<Failure>>,
    started_at: AtomicI64,
    restarts: AtomicU32,
    status: AtomicU8,
    busy: AtomicBool,
    has_panicked: AtomicBool,
    taken: AtomicU64,
    /// What `sent` was when the actor looked last.
    seen: AtomicU64,
    handled: AtomicU64,
    current: Mutex<Handling>,
    /// Ends the actor as a crash would; only what runs under `/system` has one.
    killer: Mutex<Option<Killer>>,
}

/// What ends an actor in the middle of whatever it does.
pub(in crate::supervision) type Killer = Box<dyn Fn() + Send + Sync>;

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({} {})", self.kind, self.path)
    }
}

impl Entry {
    pub(super) fn new(path: Arc<str>, kind: &'static str, now: Timestamp) -> Self {
        Self {
            sent: AtomicU64::new(0),
            path,
            kind,
            failures: Mutex::default(),
            started_at: AtomicI64::new(now.as_micros()),
            restarts: AtomicU32::new(0),
            status: AtomicU8::new(Status::Starting as u8),
            busy: AtomicBool::new(false),
            has_panicked: AtomicBool::new(false),
            taken: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            current: Mutex::new(Handling {
                message: "",
                since: Duration::ZERO,
            }),
            killer: Mutex::default(),
        }
    }

    /// From now on the actor can be killed by its place; a later one takes the place of this one.
    pub(in crate::supervision) fn set_killer(&self, killer: Killer) {
        let mut held = self.killer.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(killer);
    }

    /// Kills the actor; answers whether there was one.
    pub(super) fn kill(&self) -> bool {
        let killer = self
            .killer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        killer.inspect(|kill| kill()).is_some()
    }

    pub(in crate::supervision) fn path(&self) -> &str {
        &self.path
    }

    pub(in crate::supervision) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(in crate::supervision) fn set_status(&self, status: Status) {
        self.status.store(status as u8, Ordering::Release);
    }

    pub(in crate::supervision) fn status(&self) -> Status {
        let status = self.status.load(Ordering::Acquire);
        Status::ALL[usize::from(status) % Status::ALL.len()]
    }

    pub(in crate::supervision) fn fail(&self, at: Timestamp, mut error: String) {
        if error.len() > LONGEST_ERROR {
            error.truncate(error.floor_char_boundary(LONGEST_ERROR));
            error.push('…');
        }
        let mut failures = lock(&self.failures);
        if failures.len() == FAILURES {
            failures.pop_front();
        }
        failures.push_back(Failure { at, error });
    }

    /// The failure that comes is a panic.
    pub(in crate::supervision) fn panicked(&self) {
        self.has_panicked.store(true, Ordering::Release);
    }

    /// Whether the last failure was a panic; asked once.
    pub(in crate::supervision) fn take_panic(&self) -> bool {
        self.has_panicked.swap(false, Ordering::AcqRel)
    }

    pub(super) fn failures(&self) -> Vec<Failure> {
        lock(&self.failures).iter().cloned().collect()
    }

    /// Another incarnation begins.
    pub(in crate::supervision) fn restart(&self, now: Timestamp) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.started_at.store(now.as_micros(), Ordering::Relaxed);
        self.set_status(Status::Starting);
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
    pub(in crate::supervision) fn take(&self, message: &'static str, since: Duration) {
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
        *lock(&self.current) = Handling { message, since };
        self.busy.store(true, Ordering::Release);
    }

    /// The actor is done with the message.
    pub(in crate::supervision) fn settle(&self) {
        let handled = self.handled.load(Ordering::Relaxed) + 1;
        self.handled.store(handled, Ordering::Relaxed);
        self.busy.store(false, Ordering::Release);
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

    pub(super) fn view(&self, node: &str, children: u32, elapsed: Duration) -> TreeNode {
        let busy = self.busy.load(Ordering::Acquire);
        let current = busy.then(|| *lock(&self.current));
        let spent = |handling: Handling| elapsed.saturating_sub(handling.since).as_millis();
        TreeNode {
            path: self.path.to_string(),
            kind: self.kind.to_owned(),
            state: self.status().name().to_owned(),
            node: node.to_owned(),
            mailbox: self.depth(),
            handled: self.handled.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            last_error: lock(&self.failures).back().map(|last| last.error.clone()),
            started_at: Timestamp::from_micros(self.started_at.load(Ordering::Relaxed)),
            current: current.map(|handling| handling.message.to_owned()),
            current_ms: current.map(|handling| u64::try_from(spent(handling)).unwrap_or(u64::MAX)),
            children,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
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
        entry.take("Go", Duration::ZERO);
        assert_eq!(entry.depth(), 0);
    }

    #[test]
    fn a_message_that_nobody_counted_makes_no_room() {
        let entry = entry();
        entry.take("Tick", Duration::ZERO);
        entry.settle();
        entry.send();
        assert_eq!(entry.depth(), 1);
        assert_eq!(entry.view("one", 0, Duration::ZERO).handled, 1);
    }

    #[test]
    fn the_message_in_hand_shows_with_the_time_spent_on_it() {
        let entry = entry();
        entry.take("Go", Duration::from_secs(1));
        let view = entry.view("one", 0, Duration::from_secs(3));
        assert_eq!(view.current.as_deref(), Some("Go"));
        assert_eq!(view.current_ms, Some(2_000));
        entry.settle();
        assert_eq!(entry.view("one", 0, Duration::ZERO).current, None);
    }

    #[test]
    fn a_status_reads_back_as_it_was_set() {
        let entry = entry();
        for status in Status::ALL {
            entry.set_status(status);
            assert_eq!(entry.status(), status);
        }
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let entry = entry();
        entry.fail(Timestamp::default(), "é".repeat(LONGEST_ERROR));
        let [failure] = &entry.failures()[..] else {
            panic!("one failure must be kept");
        };
        assert!(failure.error.ends_with("é…") && failure.error.len() <= LONGEST_ERROR + 3);
    }
}
