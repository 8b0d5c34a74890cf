//! Reads the clocks and the entropy of the machine, or of a test.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use protocol::time::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

/// Where the time comes from.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { origin: Instant, coarse_origin: u64 },
    Paced { wall: Timestamp, origin: Instant },
    Test(Arc<Mutex<Hands>>),
}

#[derive(Clone, Copy)]
struct Hands {
    wall: Timestamp,
    elapsed: Duration,
}

impl Clock {
    /// The clocks of the machine.
    ///
    /// [`Clock::monotonic`] follows tokio's time, so that it stands still where a test pauses that.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System {
            origin: Instant::now(),
            coarse_origin: coarse_micros(),
        })
    }

    /// Stands at `wall` now and goes on as tokio's time does: where a test pauses that, it has a day in
    /// a moment.
    #[must_use]
    pub fn paced(wall: Timestamp) -> Self {
        let origin = Instant::now();
        Self(Source::Paced { wall, origin })
    }

    /// The moment, for what is written down.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that others ask"
    )]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                Timestamp::default().plus(since.unwrap_or_default())
            }
            Source::Paced { wall, origin } => wall.plus(origin.elapsed()),
            Source::Test(hands) => lock(hands).wall,
        }
    }

    /// Time that never goes backwards, counted from an origin of its own; for measuring spans.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { origin, .. } | Source::Paced { origin, .. } => origin.elapsed(),
            Source::Test(hands) => lock(hands).elapsed,
        }
    }

    /// Time since the machine started, also while it slept; for leases, which run on elsewhere.
    #[must_use]
    pub fn boot(&self) -> Duration {
        match &self.0 {
            Source::System { .. } => since_boot(),
            Source::Paced { origin, .. } => origin.elapsed(),
            Source::Test(hands) => lock(hands).elapsed,
        }
    }

    /// Time that is right to a few milliseconds and costs a fifth, for what happens with each
    /// message; it has an origin of its own, and does not pause.
    #[must_use]
    pub fn coarse(&self) -> Duration {
        Duration::from_micros(self.micros())
    }

    /// The same in microseconds, which is all that is kept of it with each message.
    #[inline]
    #[must_use]
    pub fn micros(&self) -> u64 {
        match &self.0 {
            Source::System { coarse_origin, .. } => coarse_micros().wrapping_sub(*coarse_origin),
            Source::Paced { origin, .. } => {
                u64::try_from(origin.elapsed().as_micros()).unwrap_or(0)
            }
            Source::Test(hands) => u64::try_from(lock(hands).elapsed.as_micros()).unwrap_or(0),
        }
    }
}

#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(since_boot).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    Duration::from_micros(coarse_micros())
}

#[cfg(target_os = "linux")]
#[inline]
const fn micros_of(time: rustix::time::Timespec) -> u64 {
    time.tv_sec.cast_unsigned() * 1_000_000 + time.tv_nsec.cast_unsigned() / 1_000
}

#[cfg(target_os = "linux")]
#[inline]
fn coarse_micros() -> u64 {
    micros_of(rustix::time::clock_gettime(
        rustix::time::ClockId::MonotonicCoarse,
    ))
}

#[cfg(not(target_os = "linux"))]
fn coarse_micros() -> u64 {
    static ORIGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    u64::try_from(ORIGIN.elapsed().as_micros()).unwrap_or(0)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::System { .. } => f.write_str("Clock(system)"),
            Source::Paced { wall, .. } => write!(f, "Clock(paced from {wall})"),
            Source::Test(hands) => write!(f, "Clock({})", lock(hands).wall),
        }
    }
}

/// A clock that stands still until a test moves it.
#[derive(Clone)]
pub struct TestClock(Arc<Mutex<Hands>>);

impl TestClock {
    /// Stands at `wall`.
    #[must_use]
    pub fn at(wall: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Hands {
            wall,
            elapsed: Duration::ZERO,
        })))
    }

    /// The clock to hand out; all clones show the same time.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock(Source::Test(Arc::clone(&self.0)))
    }

    /// Lets `span` pass.
    pub fn advance(&self, span: Duration) {
        let mut hands = lock(&self.0);
        hands.wall = hands.wall.plus(span);
        hands.elapsed += span;
    }

    /// Sets the wall clock, also back, as an operator or NTP may; measured spans do not notice.
    pub fn set_wall(&self, wall: Timestamp) {
        lock(&self.0).wall = wall;
    }
}

impl fmt::Debug for TestClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestClock({})", lock(&self.0).wall)
    }
}

/// Where chance comes from.
#[derive(Clone)]
pub struct Dice(Option<Arc<Mutex<fastrand::Rng>>>);

impl Dice {
    /// Real chance: tokens and ids come from the entropy of the operating system.
    #[must_use]
    pub const fn system() -> Self {
        Self(None)
    }

    /// The same sequence for the same seed; clones draw from one sequence.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self(Some(Arc::new(Mutex::new(rng))))
    }

    /// A number from 0 up to, but not including, 1.
    #[must_use]
    pub fn unit(&self) -> f64 {
        match &self.0 {
            None => fastrand::f64(),
            Some(rng) => lock(rng).f64(),
        }
    }

    /// An id that sorts by `now`, to the microsecond: ids made within a millisecond are
    /// in the order in which they were made.
    #[must_use]
    pub fn uuid_v7(&self, now: Timestamp) -> Uuid {
        let micros = u64::try_from(now.as_micros()).unwrap_or(0);
        let millis = micros / 1_000;
        let [mut random @ .., _, _, _, _, _, _] = self.token();
        // The twelve bits behind the milliseconds, as RFC 9562 allows; 62 bits of chance are left.
        let [.., high, low] = (micros % 1_000 * 4_096 / 1_000).to_be_bytes();
        (random[0], random[1]) = (high, low);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// Sixteen bytes that nobody can guess.
    #[must_use]
    pub fn token(&self) -> [u8; 16] {
        let Some(rng) = &self.0 else {
            // A version 4 id has six fixed bits, in its bytes 6 and 8; a second one fills them.
            let mut bytes = Uuid::new_v4().into_bytes();
            let [sixth, eighth, ..] = Uuid::new_v4().into_bytes();
            (bytes[6], bytes[8]) = (sixth, eighth);
            return bytes;
        };
        let mut bytes = [0; 16];
        lock(rng).fill(&mut bytes);
        bytes
    }
}

impl fmt::Debug for Dice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            None => "Dice(system)",
            Some(_) => "Dice(seeded)",
        })
    }
}

/// Nothing in here panics half-way through a change, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_clock_moves_only_when_it_is_moved() {
        let hands = TestClock::at(Timestamp::from_micros(5_000_000));
        let clock = hands.clock();
        assert_eq!(clock.now(), clock.now());
        hands.advance(Duration::from_secs(2));
        assert_eq!(clock.now(), Timestamp::from_micros(7_000_000));
        assert_eq!(clock.monotonic(), Duration::from_secs(2));
    }

    #[test]
    fn a_wall_clock_that_is_set_back_leaves_measured_spans_alone() {
        let hands = TestClock::at(Timestamp::from_micros(5_000_000));
        hands.advance(Duration::from_secs(1));
        hands.set_wall(Timestamp::from_micros(0));
        assert_eq!(hands.clock().monotonic(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_system_clock_measures_spans_in_paused_time() {
        let clock = Clock::system();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(clock.monotonic(), Duration::from_secs(3));
    }

    #[test]
    fn the_system_clock_knows_which_century_it_is() {
        assert!(Clock::system().now() > Timestamp::from_micros(1_700_000_000_000_000));
    }

    #[test]
    fn seeded_dice_fall_the_same_way() {
        let (one, other) = (Dice::seeded(7), Dice::seeded(7));
        assert_eq!(one.token(), other.token());
        assert_eq!(one.unit().to_bits(), other.unit().to_bits());
        assert_ne!(one.token(), Dice::seeded(8).token());
    }

    #[test]
    fn ids_sort_by_their_moment_and_tokens_differ() {
        for dice in [Dice::system(), Dice::seeded(1)] {
            let early = dice.uuid_v7(Timestamp::from_micros(1_000_000));
            let late = dice.uuid_v7(Timestamp::from_micros(2_000_000));
            assert!(early < late);
            let a_moment_later = dice.uuid_v7(Timestamp::from_micros(1_000_001));
            assert!(early < a_moment_later);
            assert_eq!(early.get_version_num(), 7);
            assert_ne!(dice.token(), dice.token());
            assert!((0.0..1.0).contains(&dice.unit()));
        }
    }
}
