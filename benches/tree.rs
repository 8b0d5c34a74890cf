//! The tree of 50,000 actors as clients get it: over real HTTP, through a node's edge with its gate, its
//! routes and its roles, read page by page. Edge and client run in this process, so that it can be given
//! so many actors: `cargo bench -p benches --features tree --bench tree`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actors::{Orchestrator, orchestrator::Setup};
use benches::{Goal, Result, Rounds, http::Connection, say, say_load, scratch, stopwatch};
use runtime::store::Memory;
use tokio::sync::{oneshot, watch};
use troupe::edge::{
    Edge, EdgeConfig, Parts, Readiness,
    config::{TokenEntry, TokenHash},
};

const ACTORS: usize = 50_000;
const ROUNDS: usize = 7;

const TOKEN: &str = "viewer";
const TOKEN_SHA256: &str = "d35ca5051b82ffc326a3b0b6574a9a3161dee16b9478a199ee39cd803ce5b799";

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    say("tree: 50,000 actors of one node over HTTP; JSON is read and counted by the client");
    runtime.block_on(measure())?;
    say_load();
    Ok(())
}

async fn measure() -> Result<()> {
    let folder = scratch()?;
    let orchestrator = Orchestrator::start(Setup {
        config: actors::Config::default(),
        node: "bench".to_owned(),
        store: Arc::new(Memory::new()),
        data_dir: folder.path().to_owned(),
        natives: HashMap::new(),
    })
    .await?;
    let tree = orchestrator.actors().clone();
    let path = |number: usize| format!("/tasks/task_01980000-0000-7000-8000-{number:012}");
    let _crowd: Vec<_> = (0..ACTORS)
        .map(|number| tree.enter(path(number), "task"))
        .collect();
    let viewer: TokenEntry = serde_json::from_value(serde_json::json!({
        "user": "bench", "role": "operator", "sha256": TOKEN_SHA256,
    }))?;
    let config = EdgeConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        tokens: vec![viewer],
        ..EdgeConfig::default()
    };
    let (_ready, ready) = watch::channel(Readiness::Ready);
    let admin: TokenHash = TOKEN_SHA256.chars().rev().collect::<String>().parse()?;
    let parts = Parts {
        orchestrator: orchestrator.clone(),
        admin_token_sha256: admin.0,
        metrics: Arc::new(String::new),
        node: "bench".to_owned(),
        data_dir: folder.path().to_owned(),
        ready,
    };
    let edge = Edge::bind(&config, parts).await?;
    let address = edge.local_addr().to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    let served = tokio::spawn(edge.serve(stopped, Duration::from_secs(1)));
    read(&address).await?;
    // The edge may be gone already.
    let _ = stop.send(());
    served.await?;
    orchestrator.stop(Duration::from_secs(5)).await;
    Ok(())
}

async fn read(address: &str) -> Result<()> {
    let mut connection = Connection::open(address, TOKEN).await?;
    let (mut first, mut whole) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        let watch = stopwatch();
        let page = connection.get("/api/v1/tree").await?;
        first.add(watch.elapsed().as_secs_f64() * 1e3);
        let rows = page["nodes"].as_array().map_or(0, Vec::len);
        if rows != 1_000 {
            return Err(format!("the first page has {rows} rows").into());
        }
        let watch = stopwatch();
        let (mut seen, mut after) = (0, String::new());
        loop {
            let path = format!("/api/v1/tree?limit=10000{after}");
            let page = connection.get(&path).await?;
            seen += page["nodes"].as_array().map_or(0, Vec::len);
            match page["next"].as_str() {
                // Names of nodes and paths alone stand in it, and none of those here needs more.
                Some(next) => after = format!("&after={}", next.replace('/', "%2F")),
                None => break,
            }
        }
        whole.add(watch.elapsed().as_secs_f64());
        if seen < ACTORS {
            return Err(format!("only {seen} actors were told").into());
        }
    }
    let name = "first page of 1,000 over HTTP";
    first.report(name, "ms", Goal::Under(200.0));
    let name = "the whole, in pages of 10,000, over HTTP";
    whole.report(name, "s", Goal::Under(2.0));
    Ok(())
}
