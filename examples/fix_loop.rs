//! Generate, review and test side by side, a gate, and a loop that fixes until it passes.
//!
//! A program is written with a fault in it. Reviewing and testing are programs of this machine; what they
//! find decides whether the run goes back or ships. Prints what they said before the last round, and what
//! was shipped:
//!
//! ```text
//! review    completed {"pass":true}
//! test      completed {"pass":false}
//! fix       completed {"program":"echo $((2 + 3))"}
//! ...
//! shipped after 3 rounds: echo $((2 + 2))
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::time::Duration;

use anyhow::{Context, ensure};
use protocol::api::{ExecuteRequest, ExecutionStatus, WorkflowDraft};
use serde_json::{Value, json};
use troupe::Node;

/// Puts the program of the call into `$program`.
const READ: &str = r#"program=$(grep -o '"program":"[^"]*"' | head -n 1 | cut -d '"' -f 4); "#;

/// An agent that is a few words of shell.
fn shell(name: &str, script: &str) -> Value {
    let script = format!("{READ}{script}");
    let config = json!({ "argv": ["sh", "-c", script], "output": "json" });
    json!({ "name": name, "agent_type": "command", "config": config })
}

fn definition() -> Value {
    let checked = json!({ "program": "$.context.program" });
    let program = json!({ "program": "${output.json.program}" });
    json!({
        "name": "fix-loop",
        "description": "Write a program that prints 4",
        "nodes": [
            { "id": "generate", "type": "agent", "agent": "writer", "set": program },
            { "id": "round", "type": "parallel", "needs": ["generate"] },
            { "id": "review", "type": "agent", "agent": "reviewer", "needs": ["round"], "input": checked },
            { "id": "test", "type": "agent", "agent": "tester", "needs": ["round"], "input": checked },
            { "id": "gate", "type": "condition", "needs": ["review", "test"],
              "condition": "nodes.review.output.json.pass && nodes.test.output.json.pass" },
            { "id": "fix", "type": "agent", "agent": "fixer", "input": checked, "set": program },
            { "id": "ship", "type": "transform", "output": "$.context.program" },
        ],
        "edges": [
            { "from": "gate", "to": "ship", "label": "true" },
            { "from": "gate", "to": "fix", "label": "false" },
            { "from": "fix", "to": "round", "loop": { "max_iterations": 5 } },
        ],
        "output": "$.nodes.ship.output",
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let builder = Node::builder().data_dir(folder.path()).without_edge();
    let node = builder.start().await?;
    let (troupe, me) = (node.orchestrator(), node.caller());
    for agent in [
        // Two faults: a bracket is missing, and the sum is wrong.
        shell("writer", r#"printf '{"program": "echo $((2 + 3)"}'"#),
        shell(
            "reviewer",
            r#"printf '{"pass": %s}' "$(case $program in echo*) echo true;; *) echo false;; esac)""#,
        ),
        shell(
            "tester",
            r#"said=$(sh -c "$program" 2>/dev/null || true); test "$said" = 4 && pass=true || pass=false; printf '{"pass": %s}' "$pass""#,
        ),
        shell(
            "fixer",
            r#"if sh -n -c "$program" 2>/dev/null; then fixed=$(printf '%s' "$program" | sed 's/3/2/'); else fixed="$program)"; fi; printf '{"program": "%s"}' "$fixed""#,
        ),
    ] {
        troupe
            .register_agent(&me, serde_json::from_value(agent)?)
            .await?;
    }
    let draft = WorkflowDraft {
        source: Some(definition().to_string()),
        ..WorkflowDraft::default()
    };
    troupe.create_workflow(&me, draft).await?;

    let wait = Some(Duration::from_secs(60));
    let begun = troupe
        .execute_workflow(&me, "fix-loop", ExecuteRequest::default(), None, wait)
        .await?;
    let run = troupe.execution(&me, begun.run.id).await?;
    for node in &run.nodes {
        for turn in &node.runs {
            // Of the rounds before the last, what programs said.
            if let Some(said) = turn.output.get("json") {
                println!("{:<9} {} {said}", node.node_id, turn.status.as_str());
            }
        }
    }
    let rounds = run.nodes.iter().find(|node| node.node_id == "test");
    let rounds = rounds.context("no test")?.run;
    println!(
        "shipped after {rounds} rounds: {}",
        run.result.as_str().unwrap_or_default()
    );
    node.stop(Duration::from_secs(5)).await;
    ensure!(run.status == ExecutionStatus::Completed, "{:?}", run.error);
    ensure!(run.result == "echo $((2 + 2))", "shipped {}", run.result);
    ensure!(rounds == 3, "it took {rounds} rounds");
    Ok(())
}
