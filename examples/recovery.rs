//! A node is killed in the middle of a task; the next one goes on where it was.
//!
//! This program starts itself as a child that runs a task of three steps and hangs in the last.
//! The child is killed with SIGKILL, and a node starts over the same directory. What was completed
//! does not run again; what was under way does. Prints which process ran what:
//!
//! ```text
//! child ran fetch
//! child ran sort
//! child ran store
//! next node ran store
//! completed
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::{env, fs, future::pending, io::Write, path::PathBuf, process::Stdio, sync::Arc};

use actors::adapter::{Adapter, Answer, Call, CallError};
use anyhow::{Context, ensure};
use protocol::{id::TaskId, task::TaskStatus};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::{process::Command, sync::Notify};
use tokio_util::sync::CancellationToken;
use troupe::Node;

/// Writes down what it runs, for whom; in the child it never comes back from `store`.
#[derive(Debug)]
struct Worker {
    name: &'static str,
    ledger: PathBuf,
    hangs: Option<Arc<Notify>>,
}

impl Adapter for Worker {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async move {
            let open = fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(&self.ledger);
            let line = format!("{} ran {}\n", self.name, call.step);
            let written = open.and_then(|mut file| file.write_all(line.as_bytes()));
            if let (Some(hangs), "store") = (&self.hangs, call.step.as_str()) {
                hangs.notify_one();
                return pending().await;
            }
            Ok(json!(written.is_ok()))
        })
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(async { Ok("ready".to_owned()) })
    }
}

async fn start(
    folder: &str,
    name: &'static str,
    hangs: Option<Arc<Notify>>,
) -> anyhow::Result<Node> {
    let ledger = PathBuf::from(folder).join("ledger");
    let worker = Worker {
        name,
        ledger,
        hangs,
    };
    let builder = Node::builder().data_dir(folder).without_edge();
    Ok(builder.native("worker", Arc::new(worker)).start().await?)
}

/// The child: tells the task's id once the last step hangs, and waits to be killed.
async fn child(folder: &str) -> anyhow::Result<()> {
    let hangs = Arc::new(Notify::new());
    let node = start(folder, "child", Some(hangs.clone())).await?;
    let (troupe, me) = (node.orchestrator(), node.caller());
    let agent = json!({"name": "worker", "agent_type": "native", "config": {"native": "worker"}});
    troupe
        .register_agent(&me, serde_json::from_value(agent)?)
        .await?;
    let spec = serde_json::from_value(json!({"description": "Sort a file", "steps": [
        {"id": "fetch", "agent": "worker"},
        {"id": "sort", "agent": "worker", "needs": ["fetch"]},
        {"id": "store", "agent": "worker", "needs": ["sort"]},
    ]}))?;
    let task = troupe.submit(&me, spec, None, None).await?.task;
    hangs.notified().await;
    println!("{}", task.id);
    pending().await
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if let Some(folder) = env::args().nth(1) {
        return child(&folder).await;
    }
    let temporary = tempfile::tempdir()?;
    let folder = temporary.path().to_str().context("not UTF-8")?;
    let mut first = Command::new(env::current_exe()?);
    let mut first = first
        .arg(folder)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let said = BufReader::new(first.stdout.take().context("no output")?)
        .lines()
        .next_line();
    let id = said.await?.context("the child ended early")?;
    first.kill().await?;

    let node = start(folder, "next node", None).await?;
    let (id, me) = (id.parse::<TaskId>()?, node.caller());
    let task = node
        .orchestrator()
        .await_task(&me, id, Duration::from_secs(20))
        .await?;
    node.stop(Duration::from_secs(5)).await;
    let ran = fs::read_to_string(temporary.path().join("ledger"))?;
    print!("{ran}");
    println!("{}", task.status.as_str());
    ensure!(task.status == TaskStatus::Completed);
    let expected = [
        "child ran fetch",
        "child ran sort",
        "child ran store",
        "next node ran store",
    ];
    ensure!(ran.lines().eq(expected), "other steps ran");
    Ok(())
}
