//! Three experts at the same question, and a judge who is shown all answers and chooses one.
//!
//! Every answer is kept beside the choice. Prints:
//!
//! ```text
//! bold     It is certainly 41
//! careful  It is 42, as 6 times 7 is
//! quick    42
//! chosen   careful
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::time::Duration;

use anyhow::{Context, ensure};
use examples::function;
use protocol::api::{ExecuteRequest, WorkflowDraft};
use serde_json::{Value, json};
use troupe::Node;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let says = |text: &'static str| function(move |_| Ok(json!(text)));
    // Prefers answers that are right, then those that say why.
    let judge = function(|call| {
        let candidates = call.input["candidates"].as_array().cloned().unwrap_or_default();
        let worth = |one: &Value| {
            let text = one["output"].as_str().unwrap_or_default();
            (text.contains("42"), text.len())
        };
        let best = candidates.iter().max_by_key(|one| worth(one));
        Ok(json!({ "choice": best.map(|one| &one["id"]) }))
    });
    let folder = tempfile::tempdir()?;
    let node = Node::builder()
        .data_dir(folder.path())
        .without_edge()
        .native("bold", says("It is certainly 41"))
        .native("careful", says("It is 42, as 6 times 7 is"))
        .native("quick", says("42"))
        .native("judge", judge)
        .start()
        .await?;
    let (troupe, me) = (node.orchestrator(), node.caller());
    let experts = ["bold", "careful", "quick"];
    for name in experts.into_iter().chain(["judge"]) {
        let agent = json!({ "name": name, "agent_type": "native" });
        troupe.register_agent(&me, serde_json::from_value(agent)?).await?;
    }
    let experts = experts.map(|name| json!({ "id": name, "agent": name }));
    let definition = json!({
        "name": "answer",
        "type": "mixture",
        "experts": experts,
        "choose": { "by": "judge", "agent": "judge" },
    });
    let draft = WorkflowDraft {
        source: Some(definition.to_string()),
        ..WorkflowDraft::default()
    };
    troupe.create_workflow(&me, draft).await?;
    let request = ExecuteRequest {
        input: json!("What is 6 times 7?"),
        ..ExecuteRequest::default()
    };
    let wait = Some(Duration::from_secs(30));
    let begun = troupe.execute_workflow(&me, "answer", request, None, wait).await?;
    let run = troupe.execution(&me, begun.run.id).await?;
    let detail = &run.nodes.first().context("no node")?.detail;
    for one in detail["candidates"].as_array().into_iter().flatten() {
        let text = |field: &str| one[field].as_str().unwrap_or_default();
        println!("{:<8} {}", text("id"), text("output"));
    }
    println!("chosen   {}", detail["choice"].as_str().unwrap_or_default());
    node.stop(Duration::from_secs(5)).await;
    ensure!(run.error.is_none(), "{:?}", run.error);
    ensure!(run.result == "It is 42, as 6 times 7 is", "chose {}", run.result);
    ensure!(detail["candidates"].as_array().map(Vec::len) == Some(3));
    Ok(())
}
