//! What agents have done, folded from their tasks' events.

use std::time::Duration;

use protocol::{
    entity::EntityKind,
    record::Record,
    task::{Failure, Outcome},
    time::Timestamp,
    usage::Usage,
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

/// Events that tell of attempts' ends.
const ENDED: &str = "attempt_ended";
const LATE: &str = "result_came_late";

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
    #[serde(default)]
    usage: Option<Usage>,
}

/// What the end of an attempt adds to its agent's totals.
#[derive(Debug, Default)]
pub struct Change {
    /// What became of it and how long it took, where that is not known from before.
    ended: Option<(Outcome, Duration)>,
    usage: Usage,
}

impl Projection for AgentTotalsView {
    const VIEW: &'static str = "agent_totals";
    type Row = Totals;
    type Change = Change;

    fn changes(&self, record: &Record) -> Vec<(String, Self::Change)> {
        let tells = |kind: &str| record.data.contains(kind);
        if record.stream.kind() != EntityKind::Task || !(tells(ENDED) || tells(LATE)) {
            return Vec::new();
        }
        // What cannot be read here is reported where the stream is loaded.
        let events: Vec<Ended> = serde_json::from_str(&record.data).unwrap_or_default();
        events
            .into_iter()
            .filter_map(|event| {
                let ended = match event.kind.as_str() {
                    ENDED => {
                        let took = record.at.since(event.started_at?);
                        Some((outcome(&event.outcome)?, took))
                    }
                    // It was counted when it was given up; what it took is known only now.
                    LATE if event.usage.is_some() => None,
                    _ => return None,
                };
                let key = format!("{}/{}", record.tenant, event.agent);
                let usage = event.usage.unwrap_or_default();
                Some((key, Change { ended, usage }))
            })
            .collect()
    }

    fn fold(row: &mut Totals, change: Change) {
        if let Some((outcome, took)) = change.ended {
            row.add(&outcome, took);
        }
        row.usage.add(change.usage);
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

#[cfg(test)]
mod tests {
    use protocol::{
        entity::EntityId,
        epoch::Epoch,
        id::{CommandId, NodeId},
        record::ChainHash,
    };
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn totals(events: &Value) -> Vec<(String, Totals)> {
        let record = Record {
            stream: EntityId::new(EntityKind::Task, Uuid::nil()),
            seq: 1,
            count: 1,
            epoch: Epoch::default(),
            owner: NodeId::from_uuid(Uuid::nil()),
            cmd_id: CommandId::from_uuid(Uuid::nil()),
            tenant: "acme".to_owned(),
            actor: "coder".to_owned(),
            at: Timestamp::default(),
            version: 1,
            data: events.to_string(),
            hash: ChainHash::default(),
        };
        let changes = AgentTotalsView.changes(&record).into_iter();
        changes
            .map(|(key, change)| {
                let mut row = Totals::default();
                AgentTotalsView::fold(&mut row, change);
                (key, row)
            })
            .collect()
    }

    #[test]
    fn an_attempt_that_ended_before_usage_was_recorded_counts_without_any() {
        let old = json!([{
            "type": "attempt_ended", "step": "a", "number": 1, "agent": "coder",
            "started_at": "2026-01-01T00:00:00Z", "outcome": "succeeded", "output": 1,
        }]);
        let [(key, totals)] = &totals(&old)[..] else {
            panic!("one attempt ended");
        };
        assert_eq!((key.as_str(), totals.succeeded), ("acme/coder", 1));
        assert!(totals.usage.is_unknown());
    }

    #[test]
    fn a_result_that_came_late_adds_what_it_took_and_nothing_else() {
        let late = |usage: &Value| {
            json!([{
                "type": "result_came_late", "step": "a", "number": 1, "agent": "coder",
                "outcome": "succeeded", "output": 1, "usage": usage,
            }])
        };
        let [(key, totals)] = &totals(&late(&json!({ "input_tokens": 5 })))[..] else {
            panic!("it took something");
        };
        let view = totals.view();
        assert_eq!((key.as_str(), view.tokens), ("acme/coder", 5));
        assert_eq!((view.succeeded, view.duration.count), (0, 0));
        assert!(self::totals(&late(&Value::Null)).is_empty());
    }
}
