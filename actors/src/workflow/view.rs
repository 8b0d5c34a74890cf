//! What clients see of a run.

use protocol::{
    api::{EdgeView, ExecutionView, WorkflowNode},
    id::{TaskId, WorkflowId},
    workflow::{Definition, Edge, Node, RunSpec},
};
use serde_json::{Map, Value};

use crate::task::Task;

/// The whole run, as its definition and its task say.
#[must_use]
pub fn execution(
    id: TaskId,
    position: u64,
    task: &Task,
    of: &RunSpec,
    definition: &Definition,
) -> ExecutionView {
    ExecutionView {
        id,
        execution_id: id,
        workflow_id: of.id,
        name: of.name.clone(),
        version: of.version,
        description: task.spec.description.clone(),
        workflow_type: definition.shape,
        status: task.status.into(),
        progress: task.progress(),
        user_id: task.user.clone(),
        input: task.spec.input.clone(),
        context: definition.context.clone(),
        context_version: 0,
        nodes: definition
            .nodes
            .iter()
            .map(|node| self::node(of.id, node))
            .collect(),
        edges: definition
            .edges
            .iter()
            .map(|edge| self::edge(of.id, edge))
            .collect(),
        result: task.result.clone(),
        error: task.error.clone(),
        origin: of.origin.clone(),
        parent_id: task.spec.parent_id,
        session_id: task.spec.session_id.clone(),
        priority: task.spec.priority,
        metadata: task.spec.metadata.clone(),
        created_at: task.created_at,
        started_at: task.started_at,
        completed_at: task.settled_at,
        position,
    }
}

fn node(workflow: WorkflowId, node: &Node) -> WorkflowNode {
    WorkflowNode {
        node_id: node.id.clone(),
        workflow_id: Some(workflow),
        name: node.name.clone(),
        node_type: kind(node),
        agent_config: config(node),
        dependencies: node.needs.clone(),
        ..WorkflowNode::default()
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

fn edge(workflow: WorkflowId, edge: &Edge) -> EdgeView {
    let id = edge.id.clone();
    EdgeView {
        edge_id: id.unwrap_or_else(|| format!("{}-{}", edge.from, edge.to)),
        workflow_id: workflow,
        from_node_id: edge.from.clone(),
        to_node_id: edge.to.clone(),
        condition: serde_json::to_value(&edge.condition).unwrap_or_default(),
        label: edge.label.clone(),
        taken: None,
        times: None,
    }
}
