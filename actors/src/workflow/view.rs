//! What clients see of a run.

use protocol::{
    api::{EdgeView, ExecutionStatus, ExecutionView, NodeRunView, WaitView, WorkflowNode},
    entity::EntityKind,
    id::{QuestionId, TaskId, WorkflowId},
    task::{StepStatus, TaskStatus},
    workflow::{Definition, Node, NodeStatus, RunSpec},
};
use serde_json::{Map, Value};

use super::{
    graph::{Graph, Link, Place},
    large::Large,
    run::{Past, Run, Sight, Turn, Wait, is_taken},
};
use crate::task::{Step, Task};

/// Agents of a node that are named at most.
const AGENTS: usize = 5;

/// The whole run: as its task says, of this workflow with this definition and its compiled form.
#[must_use]
pub fn execution(
    id: TaskId,
    position: u64,
    task: &Task,
    (of, definition, graph): (&RunSpec, &Definition, &Graph),
) -> ExecutionView {
    let nothing = Run::default();
    let run = task.run.as_deref().unwrap_or(&nothing);
    let sight = Sight { id, task, run };
    let nodes = graph.nodes.iter();
    let edges = graph.edges.iter().enumerate();
    let written = |at: usize| {
        definition
            .edges
            .get(at)
            .and_then(|edge| edge.condition.as_ref())
    };
    ExecutionView {
        id,
        execution_id: id,
        workflow_id: of.id,
        name: of.name.clone(),
        version: of.version,
        description: task.spec.description.clone(),
        workflow_type: definition.shape,
        status: status(task, run),
        progress: task.progress(),
        user_id: task.user.clone(),
        input: task.large.loaded(&task.spec.input),
        context: shared(task, run, Large::shown),
        context_version: run.context_version,
        nodes: nodes
            .map(|place| node(sight, graph, of.id, place))
            .collect(),
        edges: edges
            .map(|(at, link)| EdgeView {
                // Those written down come first.
                condition: serde_json::to_value(written(at)).unwrap_or_default(),
                ..edge(sight, graph, of.id, (at, link))
            })
            .collect(),
        result: task.large.loaded(&task.result),
        error: task.error.clone(),
        origin: of.origin.clone(),
        parent_id: task.spec.parent_id,
        session_id: task.spec.session_id.clone(),
        priority: task.spec.priority,
        metadata: task.spec.metadata.clone(),
        created_at: task.created_at,
        start_at: task.spec.start_at,
        started_at: run.turns().filter_map(|turn| turn.started_at).min(),
        completed_at: task.settled_at,
        position,
    }
}

/// What its nodes share.
pub(crate) fn shared(
    task: &Task,
    run: &Run,
    show: impl Fn(&Large, &Value) -> Value,
) -> Map<String, Value> {
    let all = run.context.iter();
    all.map(|(key, value)| (key.clone(), show(&task.large, value)))
        .collect()
}

fn status(task: &Task, run: &Run) -> ExecutionStatus {
    match waits(task, run) {
        true => ExecutionStatus::Waiting,
        false => task.status.into(),
    }
}

/// Whether all that it could go on with waits for a person, a moment or another run.
pub(crate) fn waits(task: &Task, run: &Run) -> bool {
    let rests = task.running() == 0 && task.frontier().next().is_none();
    let for_something = || {
        let for_its_start = task.spec.start_at.is_some() && !run.has_begun();
        for_its_start || run.waits().next().is_some()
    };
    task.status == TaskStatus::Executing && rests && for_something()
}

/// What the first node that waits for something waits for, in words.
pub(crate) fn waits_for(run: &Run) -> Option<String> {
    let (turn, wait) = run.waits().next()?;
    let others = run.waits().count() - 1;
    let more = match others {
        0 => String::new(),
        others => format!(", and {others} more wait"),
    };
    let what = match wait {
        Wait::Until(until) => format!("until {until}"),
        Wait::For { entity, .. } if entity.kind() == EntityKind::Question => {
            let question = QuestionId::from_uuid(entity.key());
            format!("for somebody to answer {question}; `troupe inbox answer {question}` does")
        }
        Wait::For { entity, .. } => format!("for {entity} to end"),
    };
    Some(format!("node {} waits {what}{more}", turn.id))
}

fn node(sight: Sight<'_>, graph: &Graph, workflow: WorkflowId, place: &Place) -> WorkflowNode {
    let before = place.incoming.iter();
    let dependencies = before.map(|edge| graph.nodes[graph.edges[*edge].from].id().to_owned());
    let shown = WorkflowNode {
        node_id: place.id().to_owned(),
        workflow_id: Some(workflow),
        name: place.node.name.clone(),
        node_type: kind(&place.node),
        agent_config: config(&place.node),
        dependencies: dependencies.collect(),
        ..WorkflowNode::default()
    };
    match sight.run.turn(place.id()) {
        Some(turn) => with_turn(sight, turn, shown),
        None => shown,
    }
}

/// A node that had its turn.
fn with_turn(sight: Sight<'_>, turn: &Turn, shown: WorkflowNode) -> WorkflowNode {
    let large = &sight.task.large;
    let steps = steps(sight.task, &turn.steps);
    let settled = steps.iter().filter(|step| step.status.is_settled());
    let undone = turn.undo.and_then(|undo| sight.task.steps.get(undo));
    let waits_for = turn.waits.as_ref().map(|wait| match wait {
        Wait::Until(until) => WaitView {
            until: Some(*until),
            entity: None,
        },
        Wait::For { entity, .. } => WaitView {
            until: None,
            entity: Some(*entity),
        },
    });
    WorkflowNode {
        status: turn.status,
        run: turn.run,
        input_data: large.shown(&handed(turn, &steps)),
        output: large.shown(&sight.output(turn)),
        error: turn.error.clone(),
        retry_count: retries(&steps),
        calls: count(steps.len()),
        calls_settled: count(settled.count()),
        agents: agents(&steps),
        waits_for,
        detail: large.shown(&turn.detail),
        inherited: turn.inherited,
        compensated: undone.is_some_and(|step| step.status == StepStatus::Completed),
        runs: turn
            .past
            .iter()
            .map(|past| earlier(sight.task, past))
            .collect(),
        started_at: turn.started_at,
        completed_at: turn.settled_at,
        ..shown
    }
}

fn steps<'a>(task: &'a Task, at: &[usize]) -> Vec<&'a Step> {
    at.iter().filter_map(|at| task.steps.get(*at)).collect()
}

/// What a node was handed: what its first call was, or what it waits for.
fn handed(turn: &Turn, steps: &[&Step]) -> Value {
    match (&turn.waits, steps.first()) {
        (Some(Wait::For { input, .. }), None) => input.clone(),
        (_, Some(step)) => step.spec.input.clone(),
        (Some(Wait::Until(_)) | None, None) => Value::Null,
    }
}

/// Attempts beyond the first.
fn retries(steps: &[&Step]) -> u32 {
    let beyond = steps
        .iter()
        .map(|step| step.attempts.len().saturating_sub(1));
    count(beyond.sum())
}

/// Who does it, or did.
fn agents(steps: &[&Step]) -> Vec<String> {
    let running = steps.iter().filter(|step| step.running().is_some());
    let mut names: Vec<String> = match steps {
        [only] => last_agent(only).into_iter().collect(),
        [] | [_, _, ..] => running.filter_map(|step| last_agent(step)).collect(),
    };
    names.sort_unstable();
    names.dedup();
    names.truncate(AGENTS);
    names
}

fn last_agent(step: &Step) -> Option<String> {
    let last = step.attempts.last()?;
    Some(last.agent_name.clone())
}

fn earlier(task: &Task, past: &Past) -> NodeRunView {
    let steps = steps(task, &past.steps);
    let output = match (&*steps, past.status) {
        ([only], NodeStatus::Completed) => task.large.shown(&only.output),
        _ => Value::Null,
    };
    NodeRunView {
        run: past.run,
        status: past.status,
        output,
        retry_count: retries(&steps),
        started_at: past.started_at,
        completed_at: past.settled_at,
    }
}

fn kind(node: &Node) -> String {
    let written = serde_json::to_value(&node.work).unwrap_or_default();
    written["type"].as_str().unwrap_or_default().to_owned()
}

/// What a node does, and how, without what stands beside it.
fn config(node: &Node) -> Map<String, Value> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(node) else {
        return Map::new();
    };
    for beside in ["id", "name", "needs", "type"] {
        fields.remove(beside);
    }
    fields
}

fn edge(
    sight: Sight<'_>,
    graph: &Graph,
    workflow: WorkflowId,
    (at, link): (usize, &Link),
) -> EdgeView {
    let times = link.back.as_ref().map(|_| sight.run.taken(&link.key));
    EdgeView {
        edge_id: link.key.clone(),
        workflow_id: workflow,
        from_node_id: graph.nodes[link.from].id().to_owned(),
        to_node_id: graph.nodes[link.to].id().to_owned(),
        condition: Value::Null,
        label: link.label.clone(),
        taken: match times {
            Some(times) => (times > 0).then_some(true),
            None => is_taken(graph, sight, at),
        },
        times,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
