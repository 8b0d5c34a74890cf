//! Clusters of real processes on PostgreSQL: how fast they form, what they take when idle, and how fast
//! they notice that a node is lost and go on with its tasks.
//!
//! Arguments choose parts: `form`, `idle`, `killed`, `frozen`, `thousand` (killed with 1,000 agents).

#[path = "cluster/database.rs"]
mod database;
#[path = "cluster/form.rs"]
mod form;
#[path = "cluster/idle.rs"]
mod idle;
#[path = "cluster/loss.rs"]
mod loss;

use std::path::Path;

use benches::{
    Goal, Result, figure,
    node::{Node, build},
    say, say_load, scratch, stopwatch,
};
use runtime::testkit::postgres::PrivatePostgres;

use self::loss::{Load, Loss};

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(report())
}

async fn report() -> Result<()> {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let parts = ["form", "idle", "killed", "frozen", "thousand"];
    let all = !parts.iter().any(|part| chosen.iter().any(|it| it == part));
    let program = build().await?;
    for part in parts {
        if !all && !chosen.iter().any(|it| it == part) {
            continue;
        }
        let server = PrivatePostgres::start()?;
        let folder = scratch()?;
        let site = Site {
            program: &program,
            folder: folder.path(),
            server: &server,
        };
        match part {
            "form" => form::report(site).await?,
            "idle" => idle::report(site).await?,
            "killed" => loss::report(site, Loss::Killed, Load::FEW).await?,
            "frozen" => loss::report(site, Loss::Frozen, Load::FEW).await?,
            _ => loss::report(site, Loss::Killed, Load::THOUSAND).await?,
        }
        say_load();
        say("");
    }
    Ok(())
}

/// Where a cluster comes to be.
#[derive(Debug, Clone, Copy)]
struct Site<'a> {
    program: &'a Path,
    folder: &'a Path,
    server: &'a PrivatePostgres,
}

impl Site<'_> {
    /// The first node.
    async fn found(self) -> Result<Node> {
        let url = self.server.url();
        let variables = [("TROUPE_STORE__URL", &*url), ("TROUPE_NODE__NAME", "n1")];
        Ok(Node::start_with(self.program, &self.folder.join("n1"), &variables).await?)
    }

    /// Another node, by a token that is not used yet; and how long it took, in seconds.
    async fn join(self, at: &(String, String), name: &str) -> Result<(Node, f64)> {
        let (address, token) = at;
        let watch = stopwatch();
        let arguments = ["--join", address, "--token", token];
        let named = [("TROUPE_NODE__NAME", name)];
        let folder = self.folder.join(name);
        let node = Node::start_so(self.program, &folder, &named, &arguments).await?;
        Ok((node, watch.elapsed().as_secs_f64()))
    }

    async fn three(self) -> Result<[Node; 3]> {
        let first = self.found().await?;
        let (second, _) = self.join(&first.new_token().await?, "n2").await?;
        let (third, took) = self.join(&first.new_token().await?, "n3").await?;
        let name = "the third node joins and serves";
        figure(name, took, "s", Goal::Under(2.0));
        Ok([first, second, third])
    }
}
