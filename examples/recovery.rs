//! A node is killed in the middle of a task; the next one goes on where it was.
//!
//! This program starts itself as a child, which runs a task until its third step is under way. The
//! child is killed with SIGKILL, and a node starts over the same directory. What was completed does
//! not run again; what was under way does. Prints who ran what, and the attempts of the third step:
//!
//! ```text
//! child ran fetch
//! child ran sort
//! next node ran store
//! nap: [Lost, Succeeded]
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::{env, fs, future::pending, io::Write, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use examples::function;
use futures_util::TryStreamExt;
use protocol::{id::TaskId, task::AttemptStatus};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use troupe::Node;

/// A node whose agent `worker` writes down what it runs.
async fn start(folder: &Path, name: &'static str) -> anyhow::Result<Node> {
    let path = folder.join("ledger");
    let ledger = fs::File::options().append(true).create(true).open(path)?;
    let worker = function(move |call| {
        let written = writeln!(&ledger, "{name} ran {}", call.step);
        Ok(json!(written.is_ok()))
    });
    let builder = Node::builder().data_dir(folder).without_edge();
    Ok(builder.native("worker", worker).start().await?)
}

/// The child: tells the task's id once the nap has begun, and waits to be killed.
async fn child(folder: &Path) -> anyhow::Result<()> {
    let node = start(folder, "child").await?;
    let (troupe, me) = (node.orchestrator(), node.caller());
    let worker = json!({"name": "worker", "agent_type": "native"});
    let slow = json!({"name": "slow", "agent_type": "sleep", "config": {"for": "2s"}});
    for agent in [worker, slow] {
        let agent = serde_json::from_value(agent)?;
        troupe.register_agent(&me, agent).await?;
    }
    let spec = serde_json::from_value(json!({"description": "Sort a file", "steps": [
        {"id": "fetch", "agent": "worker"},
        {"id": "sort", "agent": "worker", "needs": ["fetch"]},
        {"id": "nap", "agent": "slow", "needs": ["sort"]},
        {"id": "store", "agent": "worker", "needs": ["nap"]},
    ]}))?;
    let task = troupe.submit(&me, spec, None, None).await?.task;
    let mut events = troupe.task_events(&me, task.id, 0).await?;
    while let Some(event) = events.try_next().await? {
        if event.event["type"] == "attempt_started" && event.event["step"] == "nap" {
            println!("{}", task.id);
            return pending().await;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if let Some(folder) = env::args().nth(1) {
        return child(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir()?;
    let mut first = Command::new(env::current_exe()?);
    let first = first.arg(folder.path()).stdout(Stdio::piped());
    let mut first = first.kill_on_drop(true).spawn()?;
    let mut said = BufReader::new(first.stdout.take().context("no output")?).lines();
    let id = said.next_line().await?.context("the child ended early")?;
    let id: TaskId = id.parse()?;
    first.kill().await?;

    let node = start(folder.path(), "next node").await?;
    let (troupe, me, wait) = (node.orchestrator(), node.caller(), Duration::from_secs(20));
    troupe.await_task(&me, id, wait).await?;
    let naps = troupe.attempts(&me, id).await?;
    let naps = naps.iter().filter(|attempt| attempt.step == "nap");
    let naps: Vec<_> = naps.map(|attempt| attempt.status).collect();
    node.stop(Duration::from_secs(5)).await;

    let ran = fs::read_to_string(folder.path().join("ledger"))?;
    println!("{ran}nap: {naps:?}");
    let expected = ["child ran fetch", "child ran sort", "next node ran store"];
    ensure!(ran.lines().eq(expected), "other steps ran");
    ensure!(naps == [AttemptStatus::Lost, AttemptStatus::Succeeded]);
    Ok(())
}
