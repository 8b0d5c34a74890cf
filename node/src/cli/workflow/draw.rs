//! The graph of a run in lines: each node below those before it, with state, time and attempts.

use std::{collections::HashMap, time::Duration};

use protocol::{
    api::{ExecutionView, WorkflowNode},
    time::Timestamp,
    workflow::NodeStatus,
};

use crate::cli::{output::visible, view::moment};

/// Columns that an error takes at most.
const WHY: usize = 60;

/// The picture, as many lines as a terminal of this size has room for.
pub(super) fn lines(
    run: &ExecutionView,
    now: Timestamp,
    (width, height): (usize, usize),
    coloured: bool,
) -> Vec<String> {
    let took = span(
        run.started_at.or(Some(run.created_at)),
        run.completed_at,
        now,
    );
    let mut lines = vec![format!(
        "{} v{}  {}  {}%  {took}",
        run.name,
        run.version,
        run.status.as_str(),
        run.progress
    )];
    let depths = depths(run);
    let name = |node: &WorkflowNode| {
        let depth = depths
            .get(node.node_id.as_str())
            .copied()
            .unwrap_or_default();
        format!("{}{}", "  ".repeat(depth.min(12)), node.node_id)
    };
    let column = run.nodes.iter().map(|node| name(node).chars().count());
    let column = column.max().unwrap_or_default();
    let room = height.saturating_sub(3).max(1);
    let shown = shown(&run.nodes, room);
    let left = run.nodes.len() - shown.len();
    for node in shown {
        lines.push(node_line(node, &name(node), column, now));
    }
    if left > 0 {
        lines.push(format!("… {left} more nodes"));
    }
    let why = run.error.as_ref();
    lines.extend(why.map(|why| format!("{}: {}", why.code, why.message)));
    let fit = |line: String| {
        let cut: String = visible(&line).chars().take(width).collect();
        if coloured { painted(&cut) } else { cut }
    };
    lines.into_iter().map(fit).collect()
}

/// The nodes that matter when there is no room for all: those under way first, in their order.
fn shown(nodes: &[WorkflowNode], room: usize) -> Vec<&WorkflowNode> {
    if nodes.len() <= room {
        return nodes.iter().collect();
    }
    let mut ranked: Vec<(usize, &WorkflowNode)> = nodes.iter().enumerate().collect();
    ranked.sort_by_key(|(at, node)| (rank(node.status), *at));
    ranked.truncate(room.saturating_sub(1));
    ranked.sort_by_key(|(at, _)| *at);
    ranked.into_iter().map(|(_, node)| node).collect()
}

const fn rank(status: NodeStatus) -> u8 {
    match status {
        NodeStatus::Failed | NodeStatus::Unknown => 0,
        NodeStatus::Running | NodeStatus::Waiting => 1,
        NodeStatus::Pending => 2,
        NodeStatus::Completed | NodeStatus::Cancelled | NodeStatus::Skipped => 3,
    }
}

fn node_line(node: &WorkflowNode, name: &str, column: usize, now: Timestamp) -> String {
    let state = node.status.as_str();
    let mut line = format!("{} {name:column$}  {state:<9}", mark(node.status));
    let took = span(node.started_at, node.completed_at, now);
    line.push_str(&format!("  {took:>8}"));
    if node.run > 1 {
        line.push_str(&format!("  run {}", node.run));
    }
    if node.retry_count > 0 {
        line.push_str(&format!("  {} retries", node.retry_count));
    }
    if node.calls > 1 {
        line.push_str(&format!("  {}/{} calls", node.calls_settled, node.calls));
    }
    if !node.agents.is_empty() {
        line.push_str(&format!("  {}", node.agents.join(", ")));
    }
    if let Some(wait) = &node.waits_for {
        let until = wait
            .until
            .map(|until| format!("  until {}", brief(until, now)));
        let entity = wait.entity.map(|entity| format!("  for {entity}"));
        line.push_str(&until.or(entity).unwrap_or_default());
    }
    if let Some(error) = &node.error {
        let why: String = error.message.chars().take(WHY).collect();
        line.push_str(&format!("  {why}"));
    }
    if node.inherited {
        line.push_str("  from the run before");
    }
    if node.compensated {
        line.push_str("  taken back");
    }
    line
}

const fn mark(status: NodeStatus) -> &'static str {
    match status {
        NodeStatus::Completed => "✓",
        NodeStatus::Failed => "✗",
        NodeStatus::Unknown => "?",
        NodeStatus::Skipped | NodeStatus::Cancelled => "–",
        NodeStatus::Running => "▶",
        NodeStatus::Waiting => "…",
        NodeStatus::Pending => "·",
    }
}

/// How long something took, or takes so far.
fn span(from: Option<Timestamp>, to: Option<Timestamp>, now: Timestamp) -> String {
    let Some(from) = from else {
        return String::new();
    };
    let took = to.unwrap_or(now).since(from);
    match took {
        took if took < Duration::from_secs(60) => format!("{:.1} s", took.as_secs_f64()),
        took => format!("{}:{:02}", took.as_secs() / 60, took.as_secs() % 60),
    }
}

/// A moment as short as it is clear: without its date when it is today.
fn brief(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (moment(at), moment(now));
    match (at.split_once('T'), now.split_once('T')) {
        (Some((day, time)), Some((today, _))) if day == today => time.to_owned(),
        _ => at,
    }
}

/// How many nodes stand above each on the longest way to it; edges that go back aside.
fn depths(run: &ExecutionView) -> HashMap<&str, usize> {
    let mut depths: HashMap<&str, usize> = run
        .nodes
        .iter()
        .map(|node| (node.node_id.as_str(), 0))
        .collect();
    let forward = || run.edges.iter().filter(|edge| edge.times.is_none());
    // At most as many rounds as nodes in a row; a picture need not be deeper than this.
    for _ in 0..run.nodes.len().min(12) {
        let mut changed = false;
        for edge in forward() {
            let above = depths.get(edge.from_node_id.as_str()).copied();
            let here = depths.get_mut(edge.to_node_id.as_str());
            if let (Some(above), Some(here)) = (above, here)
                && *here < above + 1
            {
                *here = above + 1;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    depths
}

/// With the colour of its state.
fn painted(line: &str) -> String {
    let colour = match line.chars().next() {
        Some('✓') => 32,
        Some('✗' | '?') => 31,
        Some('▶' | '…') => 33,
        Some('–' | '·') => 90,
        Some(_) | None => return line.to_owned(),
    };
    format!("\u{1b}[{colour}m{line}\u{1b}[0m")
}

#[cfg(test)]
mod tests {
    use protocol::api::EdgeView;
    use serde_json::json;

    use super::*;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "JSON is put together where it is used"
    )]
    fn run(nodes: serde_json::Value, edges: &[(&str, &str)]) -> ExecutionView {
        let id = "task_01980000000070008000000000000001";
        let workflow = "workflow_01980000000070008000000000000001";
        let edges: Vec<_> = edges
            .iter()
            .map(|(from, to)| {
                json!({
                    "edge_id": format!("{from}-{to}"), "workflow_id": workflow, "from_node_id": from,
                    "to_node_id": to, "condition": null, "label": "", "taken": null,
                })
            })
            .collect();
        serde_json::from_value(json!({
            "id": id, "execution_id": id, "workflow_id": workflow, "name": "n", "version": 2,
            "description": "d", "workflow_type": "graph", "status": "running", "progress": 50,
            "user_id": "ann", "input": null, "context": {}, "context_version": 0,
            "nodes": nodes, "edges": edges, "result": null, "error": null, "parent_id": null,
            "session_id": null, "priority": 5, "metadata": {}, "position": 9,
            "created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:00Z",
            "completed_at": null,
        }))
        .unwrap()
    }

    fn node(id: &str, status: &str) -> serde_json::Value {
        json!({
            "node_id": id, "workflow_id": null, "name": "", "node_type": "task", "status": status,
            "run": 1, "agent_config": {}, "dependencies": [], "input_data": null, "output": null,
            "error": null, "retry_count": 2, "calls": 1, "calls_settled": 0,
            "started_at": "2026-01-01T00:00:00Z", "completed_at": null,
        })
    }

    fn moment() -> Timestamp {
        "2026-01-01T00:01:05Z".parse().unwrap()
    }

    #[test]
    fn the_moment_that_is_waited_for_is_no_longer_than_it_must_be() {
        let waits = |until: &str| {
            let mut node = node("a", "waiting");
            node["waits_for"] = json!({ "until": until });
            let run = run(json!([node]), &[]);
            lines(&run, moment(), (100, 40), false)[1].clone()
        };
        let today = waits("2026-01-01T08:30:00.123456Z");
        assert!(today.contains("until 08:30:00Z"), "{today}");
        let later = waits("2026-02-03T08:30:00.123456Z");
        assert!(later.contains("until 2026-02-03T08:30:00Z"), "{later}");
    }

    #[test]
    fn a_node_stands_below_what_comes_before_it_with_its_state_time_and_attempts() {
        let run = run(
            json!([
                node("a", "completed"),
                node("b", "running"),
                node("c", "pending")
            ]),
            &[("a", "b"), ("b", "c")],
        );
        let lines = lines(&run, moment(), (100, 40), false);
        assert_eq!(lines[0], "n v2  running  50%  1:05");
        assert!(lines[1].starts_with("✓ a "), "{lines:?}");
        assert!(lines[2].starts_with("▶   b "), "{lines:?}");
        assert!(
            lines[2].contains("1:05") && lines[2].contains("2 retries"),
            "{lines:?}"
        );
        assert!(lines[3].starts_with("·     c "), "{lines:?}");
    }

    #[test]
    fn without_room_for_all_what_is_under_way_is_shown_and_the_rest_counted() {
        let nodes: Vec<_> = (0..30)
            .map(|at| {
                node(
                    &format!("n{at}"),
                    if at == 20 { "running" } else { "completed" },
                )
            })
            .collect();
        let run = run(json!(nodes), &[]);
        let lines = lines(&run, moment(), (40, 10), false);
        assert!(lines.len() <= 9, "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("n20 ")), "{lines:?}");
        assert!(
            lines.iter().any(|line| line.contains("more nodes")),
            "{lines:?}"
        );
        assert!(
            lines.iter().all(|line| line.chars().count() <= 40),
            "{lines:?}"
        );
    }

    #[test]
    fn a_cycle_of_edges_ends() {
        let mut run = run(
            json!([node("a", "pending"), node("b", "pending")]),
            &[("a", "b"), ("b", "a")],
        );
        assert_eq!(lines(&run, moment(), (80, 20), true).len(), 3);
        let back: &mut EdgeView = &mut run.edges[1];
        back.times = Some(1);
        assert_eq!(depths(&run)["a"], 0);
    }
}
