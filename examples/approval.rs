//! A run that waits for a person: it leaves memory, survives a restart, and goes on with the answer.
//!
//! An answer that does not fit is refused and the question stays open; the second answer is told of the
//! first. Prints:
//!
//! ```text
//! asked    Ship version 7?
//! refused  an answer that is no yes or no
//! shipped  7, approved by admin
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::{path::Path, time::Duration};

use anyhow::{Context, bail, ensure};
use protocol::api::{
    ExecuteRequest, ExecutionStatus, QuestionQuery, QuestionSummary, WorkflowDraft,
};
use serde_json::json;
use tokio::time::{Instant, sleep};
use troupe::Node;

async fn start(folder: &Path) -> anyhow::Result<Node> {
    let builder = Node::builder().data_dir(folder).without_edge();
    Ok(builder.start().await?)
}

/// The question, once it is in the inbox.
async fn question(node: &Node) -> anyhow::Result<QuestionSummary> {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        let (me, all) = (node.caller(), QuestionQuery::default());
        let inbox = node.orchestrator().questions(&me, &all).await?;
        if let Some(question) = inbox.items.into_iter().next() {
            return Ok(question);
        }
        sleep(Duration::from_millis(20)).await;
    }
    bail!("nobody was asked")
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let node = start(folder.path()).await?;
    let me = node.caller();
    let definition = json!({
        "name": "release",
        "nodes": [
            { "id": "ask", "type": "human", "question": "Ship version ${input.version}?",
              "schema": { "type": "object", "properties": { "yes": { "type": "boolean" } }, "required": ["yes"] } },
            { "id": "ship", "type": "transform", "output": "${input.version}" },
        ],
        "edges": [{ "from": "ask", "to": "ship", "condition": "output.yes" }],
    });
    let draft = WorkflowDraft {
        source: Some(definition.to_string()),
        ..WorkflowDraft::default()
    };
    node.orchestrator().create_workflow(&me, draft).await?;
    let request = ExecuteRequest {
        input: json!({ "version": 7 }),
        ..ExecuteRequest::default()
    };
    let begun = node
        .orchestrator()
        .execute_workflow(&me, "release", request, None, None)
        .await?;
    let asked = question(&node).await?;
    println!("asked    {}", asked.question);

    node.stop(Duration::from_secs(5)).await;
    let node = start(folder.path()).await?;
    let troupe = node.orchestrator();
    let wrong = troupe
        .answer_question(&me, asked.id, json!("perhaps"))
        .await;
    ensure!(wrong.is_err(), "an answer that does not fit was taken");
    println!("refused  an answer that is no yes or no");
    troupe
        .answer_question(&me, asked.id, json!({ "yes": true }))
        .await?;
    let late = troupe
        .answer_question(&me, asked.id, json!({ "yes": false }))
        .await;
    ensure!(late.is_err(), "a second answer was taken");

    let wait = Duration::from_secs(20);
    let until = Instant::now() + wait;
    let run = loop {
        let run = troupe.execution(&me, begun.run.id).await?;
        if run.status.is_terminal() {
            break run;
        }
        ensure!(Instant::now() < until, "the run does not go on: {run:?}");
        sleep(Duration::from_millis(20)).await;
    };
    let by = troupe.question(&me, asked.id).await?;
    let by = by.summary.answered_by.context("nobody answered")?;
    println!("shipped  {}, approved by {by}", run.result);
    node.stop(Duration::from_secs(5)).await;
    ensure!(
        run.status == ExecutionStatus::Completed && run.result == 7,
        "{run:?}"
    );
    Ok(())
}
