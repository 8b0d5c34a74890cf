//! What only a look at everything tells: mailboxes by kind of actor, and slots of agents.

use std::collections::BTreeMap;

use metrics::{counter, gauge};

use super::Orchestrator;
use crate::metrics as names;

/// Actors of one kind together.
#[derive(Debug, Default)]
struct Kind {
    waiting: u64,
    deepest: u64,
    handled: u64,
    slowest_ms: u64,
}

impl Orchestrator {
    /// Looks at every actor of this node and sets the gauges that sum them up.
    #[expect(
        clippy::cast_precision_loss,
        reason = "gauges are floats; counts stay far below 2^52"
    )]
    pub fn measure(&self) {
        let mut kinds: BTreeMap<String, Kind> = BTreeMap::new();
        for row in self.0.tree.snapshot("/", None).nodes {
            let kind = kinds.entry(row.kind).or_default();
            kind.waiting += row.mailbox;
            kind.deepest = kind.deepest.max(row.mailbox);
            kind.handled += row.handled;
            kind.slowest_ms = kind.slowest_ms.max(row.current_ms.unwrap_or(0));
        }
        for (kind, sum) in kinds {
            let of = || kind.clone();
            gauge!(names::MAILBOX, "kind" => of()).set(sum.waiting as f64);
            gauge!(names::MAILBOX_DEEPEST, "kind" => of()).set(sum.deepest as f64);
            gauge!(names::HANDLED, "kind" => of()).set(sum.handled as f64);
            gauge!(names::SLOWEST, "kind" => of()).set(sum.slowest_ms as f64 / 1000.0);
            // There from the start, so that the first failure is an increase.
            for never in runtime::metrics::OF_ACTOR_KINDS {
                counter!(never, "kind" => of()).increment(0);
            }
        }
        let vitals = self.vitals();
        gauge!(names::RUNNING).set(vitals.running.unwrap_or(0) as f64);
        gauge!(names::HOSTED).set(vitals.agents.unwrap_or(0) as f64);
        let worker = self.0.worker.as_ref().map(crate::host::Worker::slots);
        let own = self.0.own.as_ref();
        let own = own.map(|own| own.services.hosts.slots());
        let (taken, limit) = worker.or(own).unwrap_or_default();
        gauge!(names::SLOTS, "state" => "taken").set(f64::from(taken));
        gauge!(names::SLOTS, "state" => "free").set(f64::from(limit.saturating_sub(taken)));
    }
}
