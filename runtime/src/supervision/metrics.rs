//! The metrics of supervision.

use std::sync::{PoisonError, RwLock};

use metrics::{Gauge, Unit};

/// Actors and other guarded work in the tree now, by `kind`.
const ACTORS: &str = "troupe_actors";
/// Restarts by supervisors, by `kind` of the child.
const RESTARTS: &str = "troupe_actor_restarts_total";
/// Actors that ended by an error, a panic or a kill, or that did not start, by `kind`.
const FAILURES: &str = "troupe_actor_failures_total";

/// Times that a handler went on for more than ten milliseconds without giving way, by `kind`.
const BLOCKED: &str = "troupe_handler_blocked_total";

/// Messages that were in hand for longer than handlers of their actor's `kind` may take.
const STUCK: &str = "troupe_actor_stuck_total";

/// Counters by `kind` that stay absent until something happens, unless they are made before.
pub(crate) const OF_KINDS: [&str; 4] = [RESTARTS, FAILURES, BLOCKED, STUCK];

pub(crate) fn describe() {
    metrics::describe_counter!(
        STUCK,
        Unit::Count,
        "Messages that were in hand for longer than allowed, by kind"
    );
    metrics::describe_counter!(
        BLOCKED,
        Unit::Count,
        "Times that a handler kept its thread for more than 10 ms, by kind"
    );
    metrics::describe_gauge!(ACTORS, Unit::Count, "Actors in the tree now, by kind");
    metrics::describe_counter!(RESTARTS, Unit::Count, "Restarts by a supervisor, by kind");
    metrics::describe_counter!(
        FAILURES,
        Unit::Count,
        "Actors that ended by an error, a panic or a kill, or did not start, by kind"
    );
}

/// The gauges of actors, by kind; there are a few dozen kinds.
///
/// They are kept, because finding one in the recorder takes longer than the rest of a row does.
#[derive(Default)]
pub(super) struct Population(RwLock<Vec<(&'static str, Gauge)>>);

impl Population {
    pub(super) fn entered(&self, kind: &'static str) {
        self.change(kind, |actors| actors.increment(1.0));
    }

    pub(super) fn left(&self, kind: &'static str) {
        self.change(kind, |actors| actors.decrement(1.0));
    }

    fn change(&self, kind: &'static str, change: impl Fn(&Gauge)) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, actors)) = known.iter().find(|(known, _)| *known == kind) {
            change(actors);
            return;
        }
        drop(known);
        let actors = metrics::gauge!(ACTORS, "kind" => kind);
        change(&actors);
        // Who meets the kind at the same moment adds it, too: both are the recorder's one gauge.
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.push((kind, actors));
    }
}

pub(super) fn restarted(kind: &'static str) {
    metrics::counter!(RESTARTS, "kind" => kind).increment(1);
}

pub(super) fn blocked(kind: &'static str) {
    metrics::counter!(BLOCKED, "kind" => kind).increment(1);
}

pub(super) fn stuck(kind: &'static str) {
    metrics::counter!(STUCK, "kind" => kind).increment(1);
}

pub(super) fn failed(kind: &'static str) {
    metrics::counter!(FAILURES, "kind" => kind).increment(1);
}
