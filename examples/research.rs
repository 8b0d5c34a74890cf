//! A director looks over real files: hands out one to each worker, sees what came of it, and sums up.
//!
//! Takes a folder, or this repository's documents. Workers are `wc`; the director asks once more for the
//! longest file alone, with `grep`, before it answers. Prints:
//!
//! ```text
//! 9 files, 2010 lines; the longest, operations.md, has 40 headings
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::{path::PathBuf, time::Duration};

use actors::adapter::{Call, CallError};
use anyhow::ensure;
use examples::function;
use protocol::{
    api::{ExecuteRequest, WorkflowDraft},
    task::Failure,
};
use serde_json::{Value, json};
use troupe::Node;

/// Hands out every file, then the longest one, then answers.
fn direct(call: &Call) -> Result<Value, CallError> {
    let folder = PathBuf::from(call.input["input"]["folder"].as_str().unwrap_or("."));
    let done = call.input["workers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let count = |worker: &Value| {
        worker["output"]["stdout"]
            .as_str()?
            .trim()
            .parse::<u64>()
            .ok()
    };
    match call.input["round"].as_u64() {
        Some(1) => {
            let files = std::fs::read_dir(folder).map_err(|error| CallError::Failed {
                failure: Failure::new("folder", error.to_string()),
                retryable: false,
            })?;
            let files = files.filter_map(|file| Some(file.ok()?.path()));
            let texts = files.filter(|file| file.extension().is_some_and(|kind| kind == "md"));
            let orders = texts.filter_map(|file| {
                let id = file.file_stem()?.to_str()?.to_owned();
                Some(json!({ "id": id, "agent": "lines", "input": { "file": file } }))
            });
            Ok(json!({ "workers": orders.collect::<Vec<_>>() }))
        }
        Some(2) => {
            let longest = done.iter().max_by_key(|worker| count(worker));
            let id = longest
                .and_then(|worker| worker["id"].as_str())
                .unwrap_or_default();
            let name = id.split_once('-').map_or(id, |(_, name)| name);
            let file = folder.join(format!("{name}.md"));
            Ok(
                json!({ "workers": [{ "id": name, "agent": "headings", "input": { "file": file } }] }),
            )
        }
        Some(_) | None => {
            let (last, first) = done.split_last().ok_or_else(|| CallError::Failed {
                failure: Failure::new("nothing", "there was no file"),
                retryable: false,
            })?;
            let lines: u64 = first.iter().filter_map(count).sum();
            let name = last["id"]
                .as_str()
                .and_then(|id| id.split_once('-'))
                .map(|(_, name)| name);
            Ok(json!({ "output": {
                "files": first.len(), "lines": lines, "longest": name, "headings": count(last),
            } }))
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../node/docs");
    let path = std::env::args().nth(1).unwrap_or_else(|| docs.to_owned());
    let path = std::fs::canonicalize(path)?;
    let folder = tempfile::tempdir()?;
    let builder = Node::builder().data_dir(folder.path()).without_edge();
    let node = builder.native("director", function(direct)).start().await?;
    let (troupe, me) = (node.orchestrator(), node.caller());
    let of_file = |name: &str, tool: &str| {
        let read = r#"file=$(grep -o '"file":"[^"]*"' | head -n 1 | cut -d '"' -f 4); "#;
        let config = json!({ "argv": ["sh", "-c", format!("{read}{tool}")] });
        json!({ "name": name, "agent_type": "command", "config": config })
    };
    for agent in [
        json!({ "name": "director", "agent_type": "native" }),
        of_file("lines", r#"wc -l < "$file""#),
        of_file("headings", r#"grep -c '^#' "$file""#),
    ] {
        troupe
            .register_agent(&me, serde_json::from_value(agent)?)
            .await?;
    }
    let definition = json!({
        "name": "research",
        "type": "hierarchical",
        "director": { "agent": "director", "max_workers": 100, "max_rounds": 3 },
    });
    let draft = WorkflowDraft {
        source: Some(definition.to_string()),
        ..WorkflowDraft::default()
    };
    troupe.create_workflow(&me, draft).await?;
    let request = ExecuteRequest {
        input: json!({ "folder": path }),
        ..ExecuteRequest::default()
    };
    let wait = Some(Duration::from_secs(60));
    let begun = troupe
        .execute_workflow(&me, "research", request, None, wait)
        .await?;
    let run = troupe.execution(&me, begun.run.id).await?;
    let found = &run.result;
    println!(
        "{} files, {} lines; the longest, {}.md, has {} headings",
        found["files"],
        found["lines"],
        found["longest"].as_str().unwrap_or_default(),
        found["headings"],
    );
    node.stop(Duration::from_secs(5)).await;
    ensure!(run.error.is_none(), "{:?}", run.error);
    ensure!(found["files"].as_u64() > Some(1) && found["headings"].as_u64() > Some(0));
    Ok(())
}
