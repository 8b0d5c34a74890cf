//! What clients are told of a run: a name and a body for each recorded event that says something of the
//! run or of its nodes.

use protocol::api::EventView;
use serde_json::{Map, Value, json};

/// An event as those are told it who follow runs: by another name, and of the run's nodes.
#[must_use]
pub fn retold(view: &EventView) -> Option<EventView> {
    let news = news(view)?;
    let mut event = news.data;
    event["type"] = news.name.into();
    Some(EventView {
        event,
        ..view.clone()
    })
}

/// What clients are told.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// What happened, such as `workflow.node.started`.
    pub name: &'static str,
    /// Of which run and node, when, and with what.
    pub data: Value,
}

/// What is told of a recorded event of a run; nothing of what is of no use outside, such as attempts whose
/// step goes on.
#[must_use]
pub fn news(view: &EventView) -> Option<News> {
    let event = &view.event;
    let (name, rest) = match text(event, "type") {
        "run" => of_run(event)?,
        "submitted" => (
            "workflow.started",
            picked(&event["spec"], &["input", "workflow"]),
        ),
        "attempt_started" => of_step("workflow.node.attempt", event, &["number", "agent_name"]),
        "attempt_ended" => attempt_ended(event)?,
        "retry_scheduled" => of_step("workflow.node.retrying", event, &["due"]),
        "step_settled" => step_settled(event)?,
        "paused" => (
            "workflow.paused",
            picked(event, &["user", "reason", "hold"]),
        ),
        "resumed" => ("workflow.resumed", picked(event, &["user", "hold"])),
        "cancel_requested" => ("workflow.cancelling", picked(event, &["user", "reason"])),
        "settled" => match text(event, "status") {
            "completed" => ("workflow.completed", picked(event, &["result"])),
            "cancelled" => ("workflow.cancelled", picked(event, &["error"])),
            _ => ("workflow.failed", picked(event, &["error"])),
        },
        // Plans, probes, snapshots of metadata: nothing that a graph would show.
        _ => return None,
    };
    let mut data = json!({
        "execution_id": view.entity, "seq": view.seq, "at": view.at, "actor": view.actor,
    });
    if let Value::Object(fields) = &mut data {
        fields.extend(rest);
    }
    Some(News { name, data })
}

type Told = (&'static str, Map<String, Value>);

fn of_run(event: &Value) -> Option<Told> {
    let at = &["node", "run"];
    Some(match text(event, "what") {
        "forked" => ("workflow.forked", Map::new()),
        "started" => {
            let mut told = picked(event, at);
            let calls = event["steps"].as_array().map_or(0, Vec::len);
            told.insert("calls".to_owned(), json!(calls));
            if let Some(first) = event["steps"].get(0) {
                told.insert("input".to_owned(), first["input"].clone());
            }
            ("workflow.node.started", told)
        }
        "waits" => (
            "workflow.node.waiting",
            picked(event, &["node", "run", "until"]),
        ),
        "asked" => (
            "workflow.node.waiting",
            picked(event, &["node", "run", "entity", "about"]),
        ),
        "settled" => of_step("workflow.node.known", event, &["output", "user"]),
        "ended" => (
            ended(text(event, "status"))?,
            picked(event, &["node", "run", "output", "error", "detail"]),
        ),
        "broke" => ("workflow.breaking", picked(event, &["node", "error"])),
        "went_back" => ("workflow.looped", picked(event, &["edge", "nodes"])),
        "wrote" => (
            "workflow.context.changed",
            picked(event, &["node", "version", "values"]),
        ),
        "takes_back" => ("workflow.compensating", picked(event, &["nodes"])),
        "undoes" => ("workflow.node.compensating", picked(event, &["node"])),
        _ => return None,
    })
}

fn ended(status: &str) -> Option<&'static str> {
    Some(match status {
        "completed" => "workflow.node.completed",
        "failed" => "workflow.node.failed",
        "skipped" => "workflow.node.skipped",
        "cancelled" => "workflow.node.cancelled",
        "unknown" => "workflow.node.unknown",
        _ => return None,
    })
}

/// The receipt of a node's only call ends the node when it succeeded; of others the run says so itself.
fn attempt_ended(event: &Value) -> Option<Told> {
    match (text(event, "outcome"), &call(event)) {
        ("succeeded", Call::Only { .. }) => Some(of_step(
            "workflow.node.completed",
            event,
            &["number", "agent", "output"],
        )),
        ("succeeded", Call::Undo { .. }) => Some(of_step(
            "workflow.node.compensated",
            event,
            &["number", "agent"],
        )),
        _ => Some(of_step(
            "workflow.node.attempt_ended",
            event,
            &["number", "agent", "outcome", "error"],
        )),
    }
}

fn step_settled(event: &Value) -> Option<Told> {
    match call(event) {
        Call::Only { .. } => {
            let name = ended(text(event, "status"))?;
            Some(of_step(name, event, &["error"]))
        }
        Call::OneOfMany { .. } | Call::Undo { .. } => Some(of_step(
            "workflow.node.call_settled",
            event,
            &["status", "error"],
        )),
    }
}

/// Which call of which node a step is.
enum Call<'a> {
    /// `node`, `node.2`
    Only(&'a str),
    /// `node[17]`, `node:expert`, `node~judge`
    OneOfMany(&'a str),
    /// `node~undo`
    Undo(&'a str),
}

fn call(event: &Value) -> Call<'_> {
    let step = text(event, "step");
    match step.find(['[', ':', '~']) {
        None => Call::Only(step),
        Some(end) if &step[end..] == "~undo" => Call::Undo(&step[..end]),
        Some(end) => Call::OneOfMany(&step[..end]),
    }
}

/// What is told of a step: the node and the run of it that it belongs to, and itself.
fn of_step(name: &'static str, event: &Value, keys: &[&str]) -> Told {
    let (Call::Only(turn) | Call::OneOfMany(turn) | Call::Undo(turn)) = call(event);
    let (node, run) = match turn.split_once('.') {
        Some((node, run)) => (node, run.parse().unwrap_or(1)),
        None => (turn, 1_u32),
    };
    let mut told = picked(event, keys);
    told.insert("node".to_owned(), json!(node));
    told.insert("run".to_owned(), json!(run));
    told.insert("step".to_owned(), event["step"].clone());
    (name, told)
}

fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// What of an event is told, as far as it is there.
fn picked(event: &Value, keys: &[&str]) -> Map<String, Value> {
    let found = keys.iter().filter_map(|key| {
        let value = event.get(key).filter(|value| !value.is_null())?;
        Some(((*key).to_owned(), value.clone()))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "JSON is put together where it is used"
    )]
    fn told(event: Value) -> Option<(&'static str, Value)> {
        let view = serde_json::from_value(json!({
            "entity": "task_01980000000070008000000000000001", "seq": 3,
            "at": "2026-01-01T00:00:00Z", "actor": "ann", "event": event,
        }));
        news(&view.unwrap()).map(|news| (news.name, news.data))
    }

    #[test]
    fn each_turn_of_a_node_has_a_name() {
        for (event, name) in [
            (
                json!({"type": "run", "what": "started", "node": "a", "run": 1}),
                "workflow.node.started",
            ),
            (
                json!({"type": "run", "what": "waits", "node": "a", "run": 1}),
                "workflow.node.waiting",
            ),
            (
                json!({"type": "run", "what": "asked", "node": "a", "run": 1}),
                "workflow.node.waiting",
            ),
            (
                json!({"type": "run", "what": "ended", "node": "a", "run": 1, "status": "skipped"}),
                "workflow.node.skipped",
            ),
            (
                json!({"type": "attempt_ended", "step": "a.2", "outcome": "succeeded", "output": 1}),
                "workflow.node.completed",
            ),
            (
                json!({"type": "step_settled", "step": "a", "status": "failed"}),
                "workflow.node.failed",
            ),
            (
                json!({"type": "settled", "status": "completed"}),
                "workflow.completed",
            ),
            (json!({"type": "paused", "user": "ann"}), "workflow.paused"),
        ] {
            assert_eq!(
                told(event.clone()).map(|told| told.0),
                Some(name),
                "{event}"
            );
        }
        assert_eq!(told(json!({"type": "planned"})), None);
    }

    #[test]
    fn one_call_of_many_does_not_end_its_node() {
        for step in ["a[3]", "a.2[3]", "a:judge"] {
            let ended = json!({"type": "attempt_ended", "step": step, "outcome": "succeeded"});
            let (name, data) = told(ended).unwrap();
            assert_eq!(
                (name, &data["node"]),
                ("workflow.node.attempt_ended", &json!("a"))
            );
        }
    }

    #[test]
    fn a_judge_takes_nothing_back() {
        let ended = |step: &str| {
            let event = json!({ "type": "attempt_ended", "step": step, "number": 1, "outcome": "succeeded" });
            told(event).map(|(name, _)| name)
        };
        assert_eq!(ended("charge~undo"), Some("workflow.node.compensated"));
        assert_eq!(ended("main~judge"), ended("main:expert"));
        assert_ne!(ended("main~judge"), ended("charge~undo"));
    }

    #[test]
    fn the_run_of_a_node_and_the_position_are_told() {
        let ended =
            json!({"type": "attempt_ended", "step": "a.2", "outcome": "succeeded", "output": 7});
        let (_, data) = told(ended).unwrap();
        assert_eq!(
            (&data["node"], &data["run"], &data["output"], &data["seq"]),
            (&json!("a"), &json!(2), &json!(7), &json!(3))
        );
    }
}
