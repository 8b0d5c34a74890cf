//! What agents have done, folded from their tasks' events.

use std::time::Duration;

use protocol::{
    entity::EntityKind,
    record::Record,
    task::{Failure, Outcome},
    time::Timestamp,
};
use runtime::projection::Projection;
use serde::Deserialize;
use serde_json::Value;

use super::stats::Totals;

/// One row an agent: its [`Totals`].
#[derive(Debug, Clone, Copy)]
pub struct AgentTotalsView;

impl AgentTotalsView {
    /// The agent of a row, if it belongs to the tenant.
    #[must_use]
    pub fn agent<'a>(tenant: &str, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(tenant)?.strip_prefix('/')
    }
}

/// An attempt's end, without what it gave.
#[derive(Deserialize)]
struct Ended {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    agent: String,
    #[serde(default)]
    started_at: Option<Timestamp>,
    #[serde(default)]
    outcome: String,
}

impl Projection for AgentTotalsView {
    const VIEW: &'static str = "agent_totals";
    type Row = Totals;
    type Change = (Outcome, Duration);

    fn changes(&self, record: &Record) -> Vec<(String, Self::Change)> {
        if record.stream.kind() != EntityKind::Task || !record.data.contains("\"attempt_ended\"") {
            return Vec::new();
        }
        // What cannot be read here is reported where the stream is loaded.
        let events: Vec<Ended> = serde_json::from_str(&record.data).unwrap_or_default();
        events
            .into_iter()
            .filter(|event| event.kind == "attempt_ended")
            .filter_map(|event| {
                let took = record.at.since(event.started_at?);
                let key = format!("{}/{}", record.tenant, event.agent);
                Some((key, (outcome(&event.outcome)?, took)))
            })
            .collect()
    }

    fn fold(row: &mut Totals, (outcome, took): Self::Change) {
        row.add(&outcome, took);
    }
}

/// The kind of an outcome; totals do not look inside.
fn outcome(name: &str) -> Option<Outcome> {
    let error = || Failure::new("", "");
    match name {
        "succeeded" => Some(Outcome::Succeeded {
            output: Value::Null,
        }),
        "failed" => Some(Outcome::Failed {
            error: error(),
            retryable: false,
        }),
        "lost" => Some(Outcome::Lost { error: error() }),
        "cancelled" => Some(Outcome::Cancelled),
        _ => None,
    }
}
