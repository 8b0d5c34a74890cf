//! What became of an agent's attempts, and how long they took, in totals that can be added up.

use std::time::Duration;

use protocol::{
    api::{AgentTotals, DurationStats},
    task::Outcome,
    usage::Usage,
};
use serde::{Deserialize, Serialize};

use super::breaker::CallEnd;

/// Totals over attempts. Folding the same attempts in any order, or in parts, gives the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts whose outcome is not known.
    pub lost: u64,
    /// How long those took that succeeded or failed.
    pub durations: Histogram,
    /// What was reported to have been taken of models.
    #[serde(skip_serializing_if = "Usage::is_unknown")]
    pub usage: Usage,
}

impl Totals {
    /// Adds one attempt. A cancelled one says nothing of the agent, and how long a lost one took
    /// nobody knows.
    pub fn add(&mut self, outcome: &Outcome, took: Duration) {
        match outcome {
            Outcome::Succeeded { .. } => {
                self.succeeded += 1;
                self.durations.add(took);
            }
            Outcome::Failed { .. } => {
                self.failed += 1;
                self.durations.add(took);
            }
            Outcome::Lost { .. } => self.lost += 1,
            Outcome::Cancelled | Outcome::Waits { .. } => {}
        }
    }

    /// Adds what others counted.
    pub fn merge(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.lost += other.lost;
        self.durations.merge(&other.durations);
        self.usage.add(other.usage);
    }

    /// As clients see it.
    #[must_use]
    pub fn view(&self) -> AgentTotals {
        let (input, output) = (self.usage.input_tokens, self.usage.output_tokens);
        AgentTotals {
            succeeded: self.succeeded,
            failed: self.failed,
            lost: self.lost,
            duration: self.durations.view(),
            tokens: input.unwrap_or(0).saturating_add(output.unwrap_or(0)),
            cost_micros: self.usage.cost_micros.unwrap_or(0),
        }
    }
}

/// Bits of a duration that a bucket keeps below its highest: eight buckets to each doubling, so
/// that a bucket's bounds lie within an eighth of each other.
const KEPT: u32 = 3;

/// How long things took, counted in buckets of equal relative width.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Histogram {
    count: u64,
    /// In microseconds.
    sum: u64,
    /// Number of the bucket and its count, in rising order; as a list, because JSON objects have
    /// no numbers for keys.
    buckets: Vec<(u16, u64)>,
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.count += 1;
        self.sum = self.sum.saturating_add(micros);
        self.raise(bucket(micros), 1);
    }

    /// Counts what others counted.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        for &(bucket, count) in &other.buckets {
            self.raise(bucket, count);
        }
    }

    fn raise(&mut self, bucket: u16, by: u64) {
        match self.buckets.binary_search_by_key(&bucket, |(at, _)| *at) {
            Ok(found) => self.buckets[found].1 += by,
            Err(place) => self.buckets.insert(place, (bucket, by)),
        }
    }

    /// What this share of all took at most, in microseconds, to within an eighth.
    fn quantile(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank among counted attempts, far below 2^53"
        )]
        let rank = (self.count as f64 * share).ceil() as u64;
        let mut passed = 0;
        for &(bucket, count) in &self.buckets {
            passed += count;
            if passed >= rank {
                return middle(bucket);
            }
        }
        0.0
    }

    fn view(&self) -> DurationStats {
        if self.count == 0 {
            return DurationStats::default();
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a mean needs no more digits than a float has"
        )]
        let mean = self.sum as f64 / self.count as f64;
        DurationStats {
            count: self.count,
            mean_ms: mean / 1000.0,
            p95_ms: self.quantile(0.95) / 1000.0,
        }
    }
}

/// Small numbers have a bucket each; of others the highest bit and [`KEPT`] more bits tell.
fn bucket(micros: u64) -> u16 {
    let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(KEPT + 1);
    let kept = u16::try_from(micros >> shift).unwrap_or(u16::MAX);
    // Below 2^KEPT nothing is shifted; above, `kept` has its highest bit set and counts on.
    (u16::try_from(shift).unwrap_or(0) << KEPT) + kept
}

/// The number in the middle of a bucket.
fn middle(bucket: u16) -> f64 {
    let shift = (bucket >> KEPT).saturating_sub(1);
    let kept = bucket - (shift << KEPT);
    let width = f64::from(shift).exp2();
    f64::from(kept) * width + (width - 1.0) / 2.0
}

/// The share of late attempts that succeeded: each new one counts for a sixteenth, so about the
/// last thirty tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuccessRate(f64);

impl Default for SuccessRate {
    fn default() -> Self {
        Self(1.0)
    }
}

impl SuccessRate {
    /// Takes one more attempt into account; a cancelled one says nothing.
    pub fn add(&mut self, end: CallEnd) {
        let now = match end {
            CallEnd::Succeeded => 1.0,
            CallEnd::Failed => 0.0,
            CallEnd::Stopped => return,
        };
        self.0 += (now - self.0) / 16.0;
    }

    /// From 0 to 1; 1 without history.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::task::Failure;

    use super::*;

    fn succeeded() -> Outcome {
        Outcome::Succeeded {
            output: serde_json::Value::Null,
        }
    }

    fn failed() -> Outcome {
        Outcome::Failed {
            error: Failure::new("timeout", "no answer"),
            retryable: true,
        }
    }

    fn lost() -> Outcome {
        Outcome::Lost {
            error: Failure::new("node", "gone"),
        }
    }

    #[test]
    fn each_outcome_is_counted_where_it_belongs() {
        let mut totals = Totals::default();
        assert_eq!(totals.view(), AgentTotals::default());
        for (outcome, millis) in [
            (succeeded(), 10),
            (succeeded(), 20),
            (failed(), 30),
            (lost(), 1_000_000),
            (Outcome::Cancelled, 1_000_000),
        ] {
            totals.add(&outcome, Duration::from_millis(millis));
        }
        let view = totals.view();
        assert_eq!((view.succeeded, view.failed, view.lost), (2, 1, 1));
        assert_eq!((view.duration.count, view.duration.mean_ms), (3, 20.0));
        assert!((view.duration.p95_ms - 30.0).abs() <= 30.0 / 8.0);
    }

    #[test]
    fn buckets_follow_one_another_without_gap_up_to_the_longest_duration() {
        let mut before = bucket(0);
        for micros in 1..100_000 {
            let at = bucket(micros);
            assert!(at == before || at == before + 1, "{micros}");
            before = at;
        }
        assert_eq!(bucket(u64::MAX), 495);
    }

    #[test]
    fn totals_survive_being_stored() {
        let mut totals = Totals::default();
        totals.add(&failed(), Duration::from_secs(3));
        let stored = serde_json::to_string(&totals).unwrap();
        assert_eq!(serde_json::from_str::<Totals>(&stored).unwrap(), totals);
        assert_eq!(
            serde_json::from_str::<Totals>("{}").unwrap(),
            Totals::default()
        );
    }

    #[test]
    fn the_success_rate_follows_what_happened_lately() {
        let mut rate = SuccessRate::default();
        for _ in 0..40 {
            rate.add(CallEnd::Failed);
            rate.add(CallEnd::Stopped);
        }
        assert!(rate.get() < 0.1);
        for _ in 0..40 {
            rate.add(CallEnd::Succeeded);
        }
        assert!(rate.get() > 0.9);
    }

    proptest! {
        #[test]
        fn p95_is_within_an_eighth_of_the_true_one(
            mut times in proptest::collection::vec(0..10_000_000_000_u64, 1..300),
        ) {
            let mut histogram = Histogram::default();
            for &micros in &times {
                histogram.add(Duration::from_micros(micros));
            }
            times.sort_unstable();
            let exact = times[(times.len() * 95).div_ceil(100) - 1] as f64;
            let found = histogram.view().p95_ms * 1000.0;
            prop_assert!((found - exact).abs() <= exact / 8.0, "{} for {}", found, exact);
        }

        #[test]
        fn totals_in_parts_add_up_to_the_whole(
            times in proptest::collection::vec((0..3_u8, 0..1_000_000_u64), 0..60),
            cut in 0..60_usize,
        ) {
            let fold = |times: &[(u8, u64)]| {
                let mut totals = Totals::default();
                for (kind, micros) in times {
                    let outcome = [succeeded(), failed(), lost()][usize::from(*kind)].clone();
                    totals.add(&outcome, Duration::from_micros(*micros));
                }
                totals
            };
            let (first, second) = times.split_at(cut.min(times.len()));
            let mut parts = fold(second);
            parts.merge(&fold(first));
            prop_assert_eq!(parts, fold(&times));
        }
    }
}
