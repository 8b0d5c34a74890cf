//! How fast nodes join, one after another and all at once, until each has a link to each.

use std::time::Duration;

use benches::{Goal, Result, Rounds, figure, node::Node, say, stopwatch};
use futures_util::future::try_join_all;
use tokio::time::{sleep, timeout};

use super::Site;

const NODES: usize = 10;
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn report(site: Site<'_>) -> Result<()> {
    say("cluster: control nodes join, each a process of its own");
    let mut nodes = vec![site.found().await?];
    let mut joins = Rounds::default();
    for number in 2..=4 {
        let token = nodes[0].new_token().await?;
        let (node, took) = site.join(&token, &format!("n{number}")).await?;
        joins.add(took);
        nodes.push(node);
    }
    let name = "a node joins and serves, from the start of its process";
    joins.report(name, "s", Goal::Under(2.0));
    figure("  longest", joins.most(), "s", Goal::Under(2.0));
    meshed(&nodes).await?;
    for node in nodes.drain(1..) {
        node.stop().await?;
    }
    let founder = nodes.remove(0);
    let mut tokens = Vec::new();
    for _ in 1..NODES {
        tokens.push(founder.new_token().await?);
    }
    let watch = stopwatch();
    let joining = tokens.iter().enumerate().map(|(number, token)| async move {
        let name = format!("m{number}");
        Result::Ok(site.join(token, &name).await?.0)
    });
    let mut nodes = try_join_all(joining).await?;
    nodes.push(founder);
    let served = watch.elapsed().as_secs_f64();
    meshed(&nodes).await?;
    let took = watch.elapsed().as_secs_f64();
    let name = format!("{NODES} nodes: {} join at once and all serve", NODES - 1);
    figure(&name, served, "s", Goal::None);
    let name = format!(
        "{NODES} nodes form a full mesh of {} links",
        NODES * (NODES - 1) / 2
    );
    figure(&name, took, "s", Goal::Under(5.0));
    Ok(())
}

/// Waits until each node has a link to each.
async fn meshed(nodes: &[Node]) -> Result<()> {
    let whole = async {
        for node in nodes {
            while node.metric("troupe_mesh_links", "").await? < (nodes.len() - 1) as f64 {
                sleep(Duration::from_millis(10)).await;
            }
        }
        Result::Ok(())
    };
    timeout(PATIENCE, whole).await?
}
