//! An agent that asks another one while it works, wherever that is hosted.
//!
//! The node `revenue` hosts `tax`; the node `billing` hosts `clerk`, which asks `tax` by name. When they
//! ask in a circle, the one that closes it is told so. Prints:
//!
//! ```text
//! clerk on billing: {"net":100,"gross":119}
//! in a circle: step sum: agent clerk waits for this answer itself: clerk asks tax
//! ```
//!
//! Without arguments both nodes are in this process. As processes of their own they join a cluster that
//! is there, each with a token that `troupe start` or `troupe token create` prints. `tax` then works until
//! Ctrl-C; `clerk` ends when it has shown the same. With `--data-dir DIR` a node comes back as itself,
//! and without a token.
//!
//! ```text
//! cargo run -p examples --example ask -- tax --join HOST:PORT --token TOKEN
//! cargo run -p examples --example ask -- clerk --join HOST:PORT --token TOKEN
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use actors::{
    Rejection,
    adapter::{Call, CallError, Colleagues},
};
use anyhow::{Context, bail, ensure};
use examples::asking;
use protocol::member::NodeRole;
use serde_json::{Value, json};
use troupe::{Node, node::Builder};

const GRACE: Duration = Duration::from_secs(5);

/// Asks `tax` for what it does not know itself. With `?`, why it was not told is why it failed.
async fn clerk(call: &Call, colleagues: &Colleagues) -> Result<Value, CallError> {
    let tax = colleagues.ask("tax", call.input.clone()).await?;
    Ok(json!({ "net": call.input["net"], "gross": tax["gross"] }))
}

/// Knows the rate; a careless question sends it back to the clerk.
async fn tax(call: &Call, colleagues: &Colleagues) -> Result<Value, CallError> {
    match call.input["net"].as_u64() {
        Some(net) => Ok(json!({ "gross": net + net * 19 / 100 })),
        None => Ok(colleagues.ask("clerk", Value::Null).await?),
    }
}

fn billing(folder: &Path) -> Builder {
    let clerk = asking(|call, colleagues| Box::pin(clerk(call, colleagues)));
    node("billing", folder).native("clerk", clerk)
}

fn revenue(folder: &Path) -> Builder {
    let tax = asking(|call, colleagues| Box::pin(tax(call, colleagues)));
    node("revenue", folder).native("tax", tax)
}

fn node(name: &str, folder: &Path) -> Builder {
    Node::builder()
        .data_dir(folder.join(name))
        .name(name)
        .mesh(([127, 0, 0, 1], 0).into())
        .without_edge()
}

/// Joins a cluster; as an `edge` the node may ask for tasks.
async fn join(node: Builder, address: String, token: Option<String>) -> anyhow::Result<Node> {
    let node = node.roles([NodeRole::Worker, NodeRole::Edge]);
    Ok(node.join(address, token).start().await?)
}

/// Makes an agent known, of which only this node has the code.
async fn register(node: &Node, agent: &str) -> anyhow::Result<()> {
    let spec = json!({
        "name": agent, "agent_type": "native", "capabilities": [agent],
        "placement": { "node": node.name() },
    });
    let (troupe, me) = (node.orchestrator(), node.caller());
    let registered = troupe.register_agent(&me, serde_json::from_value(spec)?);
    match registered.await {
        // It is known since an earlier start.
        Ok(_) | Err(Rejection::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Has the clerk write two invoices, and shows what came of them.
async fn invoices(node: &Node) -> anyhow::Result<()> {
    let (troupe, me) = (node.orchestrator(), node.caller());
    let wait = Some(Duration::from_secs(20));
    let mut tasks = Vec::new();
    for input in [json!({ "net": 100 }), json!({ "net": "?" })] {
        let task = json!({
            "description": "An invoice",
            "steps": [{ "id": "sum", "agent": "clerk", "input": input }],
        });
        let task = serde_json::from_value(task)?;
        tasks.push(troupe.submit(&me, task, None, wait).await?.task);
    }
    let attempts = troupe.attempts(&me, tasks[0].id).await?;
    println!("clerk on {}: {}", attempts[0].node, tasks[0].result);
    let error = tasks[1].error.clone().context("a circle was closed")?;
    println!("in a circle: {}", error.message);
    ensure!(tasks[0].result == json!({ "net": 100, "gross": 119 }));
    ensure!(attempts[0].node == "billing", "it ran elsewhere");
    ensure!(error.message.contains("waits for this answer itself"));
    Ok(())
}

/// What the command line says: which node this is, whom it joins, and where it keeps what it has.
struct Place {
    agent: String,
    address: String,
    token: Option<String>,
    data: Option<PathBuf>,
}

impl Place {
    fn read(mut words: impl Iterator<Item = String>) -> anyhow::Result<Option<Self>> {
        let Some(agent) = words.next() else {
            return Ok(None);
        };
        let (mut address, mut token, mut data) = (None, None, None);
        while let (Some(flag), value) = (words.next(), words.next()) {
            match flag.as_str() {
                "--join" => address = value,
                "--token" => token = value,
                "--data-dir" => data = value.map(PathBuf::from),
                _ => bail!("usage: ask [clerk|tax --join HOST:PORT --token TOKEN --data-dir DIR]"),
            }
        }
        Ok(Some(Self {
            agent,
            address: address.context("--join HOST:PORT says whose cluster it is")?,
            token,
            data,
        }))
    }

    async fn serve(self, folder: &Path) -> anyhow::Result<()> {
        let folder = self.data.as_deref().unwrap_or(folder);
        let node = match self.agent.as_str() {
            "clerk" => billing(folder),
            "tax" => revenue(folder),
            other => bail!("there is no {other} here, only clerk and tax"),
        };
        let node = join(node, self.address, self.token).await?;
        register(&node, &self.agent).await?;
        let shown = if self.agent == "clerk" {
            invoices(&node).await
        } else {
            println!("{} hosts {} until Ctrl-C", node.name(), self.agent);
            Ok(tokio::signal::ctrl_c().await?)
        };
        node.stop(GRACE).await;
        shown
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    if let Some(place) = Place::read(env::args().skip(1))? {
        return place.serve(folder.path()).await;
    }
    let first = revenue(folder.path()).start().await?;
    let mesh = first.member().mesh.clone().context("no mesh")?;
    let token = first.join_token().await?;
    let second = join(billing(folder.path()), mesh, Some(token)).await?;
    register(&first, "tax").await?;
    register(&second, "clerk").await?;
    let shown = invoices(&second).await;
    second.stop(GRACE).await;
    first.stop(GRACE).await;
    shown
}
