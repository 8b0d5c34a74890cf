//! A long history, decided again without doing anything.

use actors::workflow::{graph::Graph, run::replay};
use benches::{Goal, Result, figure, stopwatch};
use protocol::{
    allocation::ScoreCard,
    id::{AgentId, NodeId, TaskId, WorkflowId},
    plan::{Plan, PlanSource},
    task::{Event, Outcome, TaskSpec},
    time::Timestamp,
    workflow::{Definition, RunSpec},
};
use runtime::journal::EventSourced;
use serde_json::json;
use uuid::Uuid;

/// Events of the history.
const EVENTS: usize = 10_000;

pub(super) fn report() -> Result<()> {
    let definition: Definition = serde_json::from_value(super::line(EVENTS / 3))?;
    let graph = Graph::compile(&definition)?;
    let id = TaskId::from_uuid(Uuid::from_u128(1));
    let history = record(&graph, id);
    let watch = stopwatch();
    let replayed = replay::replay(&graph, id, &history);
    let took = watch.elapsed().as_secs_f64();
    if let Some(divergence) = replayed.divergence {
        return Err(format!("it went another way: {divergence:?}").into());
    }
    let name = format!("a history of {} events is decided again", replayed.events);
    figure(&name, took, "s", Goal::Under(1.0));
    Ok(())
}

/// A run whose agents answer at once.
fn record(graph: &Graph, id: TaskId) -> Vec<(Event, Timestamp)> {
    let at = Timestamp::from_micros(1);
    let run = RunSpec {
        id: WorkflowId::from_uuid(Uuid::from_u128(2)),
        name: "line".to_owned(),
        version: 1,
        nodes: 0,
        origin: None,
    };
    let spec = TaskSpec {
        description: "a run".to_owned(),
        workflow: Some(Box::new(run)),
        ..TaskSpec::default()
    };
    let (source, steps) = (PlanSource::Workflow, Vec::new());
    let submitted = Event::Submitted {
        spec: Box::new(spec),
        user: "bench".to_owned(),
        trace: None,
    };
    let mut history = Vec::new();
    let mut task = actors::task::Task::default();
    let mut next = vec![
        submitted,
        Event::Planned {
            plan: Plan { source, steps },
        },
    ];
    while !next.is_empty() {
        for event in next.drain(..) {
            task.apply(&event, at);
            history.push((event, at));
        }
        next = actors::workflow::run::decide(graph, id, &task, at);
        let ready = task.ready(at).next().map(|(_, step)| step.spec.id.clone());
        if let (true, Some(step)) = (next.is_empty(), ready) {
            next = answered(step, at);
        }
    }
    history
}

fn answered(step: String, at: Timestamp) -> Vec<Event> {
    let started = Event::AttemptStarted {
        step: step.clone(),
        number: 1,
        agent: AgentId::from_uuid(Uuid::from_u128(3)),
        agent_name: "echo".to_owned(),
        node: NodeId::from_uuid(Uuid::from_u128(4)),
        node_name: "one".to_owned(),
        token: "token".to_owned(),
        card: Box::new(ScoreCard::default()),
    };
    let ended = Event::AttemptEnded {
        step,
        number: 1,
        agent: "echo".to_owned(),
        started_at: at,
        outcome: Outcome::Succeeded {
            output: json!({ "n": 1 }),
        },
        usage: None,
    };
    vec![started, ended]
}
