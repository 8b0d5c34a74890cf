//! What this crate can be told; each section stands in `cluster.toml` under the same name.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use protocol::{allocation::Weights, time::Span};
use runtime::{chronicle::Retention, supervision::Tree};
use serde::{Deserialize, Serialize};

const fn seconds(number: u64) -> Span {
    Span(Duration::from_secs(number))
}

/// All sections.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[tasks]`
    pub tasks: Tasks,
    /// `[health]`
    pub health: Health,
    /// `[breaker]`
    pub breaker: Breaker,
    /// `[allocator]`
    pub allocator: Allocator,
    /// `[command]`
    pub command: Command,
    /// `[egress]`
    pub egress: Egress,
    /// `[history]`
    pub history: History,
    /// `[supervision]`
    pub supervision: Supervision,
}

/// `[supervision]`: when an actor counts as stuck.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Supervision {
    /// How long an actor may have one message in hand.
    pub limit: Span,
    /// The same for kinds of actors that may take longer, or less long; what is not named here keeps
    /// its default.
    pub limits: BTreeMap<String, Span>,
    /// The share of its timeout after which an attempt counts as stuck.
    pub attempt_share: f64,
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            limit: seconds(5),
            limits: PATIENT.map(|(kind, limit)| (kind.to_owned(), limit)).into(),
            attempt_share: 0.8,
        }
    }
}

/// The kind of attempts, as the tree shows them.
pub(crate) const ATTEMPT: &str = "tool";

/// A supervisor waits for its children's ends, and the chronicle for a store that has much to do.
const PATIENT: [(&str, Span); 2] = [("chronicle", seconds(60)), ("supervisor", seconds(60))];

impl Supervision {
    /// Has `tree` report by these limits.
    pub(crate) fn apply(&self, tree: &Tree) {
        let mut limits = Self::default().limits;
        limits.extend(self.limits.clone());
        let limits = limits.into_iter().map(|(kind, limit)| (kind, limit.0));
        tree.set_limits(self.limit.0, limits);
    }

    /// How long an attempt that is ended after `timeout` may run before it counts as stuck: not quite as
    /// long, so that somebody can look at what hangs before it is ended; never less than any actor may
    /// take; and never longer than is said for its kind.
    #[must_use]
    pub fn patience(&self, timeout: Duration) -> Duration {
        let share = Duration::try_from_secs_f64(timeout.as_secs_f64() * self.attempt_share);
        let own = share.unwrap_or(timeout).max(self.limit.0).min(timeout);
        let of_kind = self.limits.get(ATTEMPT);
        of_kind.map_or(own, |limit| own.min(limit.0))
    }
}

/// `[history]`: how much of the past of the supervision trees is kept, of all nodes together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// Bytes in the store; the oldest go first.
    pub max_bytes: u64,
    /// What is older is dropped.
    pub max_age: Span,
}

impl Default for History {
    fn default() -> Self {
        let Retention { max_bytes, max_age } = Retention::default();
        Self {
            max_bytes,
            max_age: Span(max_age),
        }
    }
}

impl From<&History> for Retention {
    fn from(history: &History) -> Self {
        Self {
            max_bytes: history.max_bytes,
            max_age: history.max_age.0,
        }
    }
}

/// `[tasks]`: limits of tasks and their steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tasks {
    /// Steps a plan may have.
    pub max_steps: u32,
    /// Unsettled tasks beyond which new ones are answered 429.
    pub max_open: u32,
    /// How long an attempt may take when neither step nor agent says.
    pub step_timeout: Span,
    /// Attempts that may be lost to crashes before a step is given up.
    pub max_lost: u32,
    /// Upper bound of the wait between two attempts.
    pub max_backoff: Span,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            max_steps: 1000,
            max_open: 100_000,
            step_timeout: seconds(300),
            max_lost: 10,
            max_backoff: seconds(60),
        }
    }
}

/// `[health]`: how agents are checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// Time between two checks of an agent; a result older than twice this counts as none.
    pub interval: Span,
    /// How long a check may take.
    pub timeout: Span,
    /// Checks, with doubling pauses, before an agent that fails them is reported.
    pub rechecks: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            interval: seconds(60),
            timeout: seconds(5),
            rechecks: 3,
        }
    }
}

/// `[breaker]`: when an agent whose calls fail is left alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    /// Failures in a row that open the circuit.
    pub failures: u32,
    /// How long it stays open before one call is let through.
    pub pause: Span,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures: 20,
            pause: seconds(10),
        }
    }
}

/// `[allocator]`: which agent gets a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allocator {
    /// Weights of the four parts of a score.
    pub weights: Weights,
    /// Waiting this long counts as much as one step of priority.
    pub ageing: Span,
    /// Share of the node's memory in use above which no work with declared resources starts.
    pub memory_limit: f64,
    /// Share of the node's processors in use above which no work with declared resources starts.
    pub cpu_limit: f64,
    /// Share of the disk under the data directory in use above which no work with declared
    /// resources starts.
    pub disk_limit: f64,
}

impl Default for Allocator {
    fn default() -> Self {
        Self {
            weights: Weights::default(),
            ageing: seconds(10),
            memory_limit: 0.95,
            cpu_limit: 0.98,
            disk_limit: 0.97,
        }
    }
}

/// `[command]`: how programs of the machine are run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Command {
    /// Programs that command agents may name, as file names or absolute paths; `*` allows all.
    pub allow: Vec<String>,
    /// Variables of the node's environment that programs see.
    pub env: Vec<String>,
    /// Bytes of standard output, and of standard error, that are kept.
    pub max_output: u64,
    /// The `troupe` program, which stands between the node and each command; found by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner: Option<PathBuf>,
    /// Processes that the node's user may have while a program of an agent starts more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_processes: Option<u64>,
    /// Bytes of memory that each process of a program may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_memory: Option<u64>,
    /// Bytes that a file may grow to under the hands of a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_file: Option<u64>,
}

impl Default for Command {
    fn default() -> Self {
        Self {
            allow: vec!["*".to_owned()],
            env: ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"]
                .map(str::to_owned)
                .to_vec(),
            max_output: 1024 * 1024,
            runner: None,
            max_processes: None,
            max_memory: None,
            max_file: None,
        }
    }
}

/// `[egress]`: where HTTP agents may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Egress {
    /// `host:port` or `host:from-to` of services that may be called although their address is
    /// private, loopback or on another port.
    pub allow: Vec<String>,
    /// Ports that may be called at public addresses.
    pub ports: Vec<u16>,
    /// Bytes of an answer that are read.
    pub max_response: u64,
    /// Variables of the node's environment that agents may name as their credentials; `*` allows
    /// all but those that start with `TROUPE_`.
    pub credentials: Vec<String>,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            ports: vec![80, 443],
            max_response: 10 * 1024 * 1024,
            credentials: vec!["*".to_owned()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_counts_as_stuck_shortly_before_its_time_is_up_or_when_its_kind_says() {
        let patience = |supervision: &Supervision, timeout| {
            supervision.patience(Duration::from_secs(timeout)).as_secs()
        };
        let mut supervision = Supervision::default();
        for (timeout, expected) in [(300, 240), (6, 5), (5, 5), (2, 2)] {
            assert_eq!(patience(&supervision, timeout), expected, "{timeout}");
        }
        supervision.limits.insert(ATTEMPT.to_owned(), seconds(30));
        for (timeout, expected) in [(300, 30), (30, 24), (2, 2)] {
            assert_eq!(patience(&supervision, timeout), expected, "{timeout}");
        }
        supervision.limits.remove(ATTEMPT);
        supervision.attempt_share = 1.0;
        assert_eq!(supervision.patience(Duration::MAX), Duration::MAX);
    }
}
