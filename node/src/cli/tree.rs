//! `troupe tree`: every actor of the cluster, as it is, as it was, and what changed.

use clap::Args;
use protocol::api::{DiffQuery, TreeNode, TreeQuery, TreeView};
use runtime::clock::Clock;

use super::{
    exit::{Failure, Outcome},
    output::Output,
    view::{moment, or_dash},
};
use crate::client::Client;

mod known;
mod live;
mod moment;
mod watch;

#[cfg(test)]
pub(super) use known::tests;
pub(super) use known::{Key, Known, Place};
pub(super) use live::{Link, Live, News};
pub(super) use moment::{Between, Moment, Took};

/// Rows asked for at once: the most that a node gives.
const PAGE: u32 = 10_000;

/// What a person should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    Stuck,
    CrashLoop,
    Parked,
}

impl Trouble {
    pub(super) fn of(row: &TreeNode) -> Option<Self> {
        match row.state.as_str() {
            "stuck" => Some(Self::Stuck),
            "crash_loop" => Some(Self::CrashLoop),
            "parked" => Some(Self::Parked),
            _ => None,
        }
    }
}

/// Why an actor is in the state that it is in.
pub(super) fn reason(row: &TreeNode) -> String {
    let busy = || {
        Some(format!(
            "at {} for {}",
            row.current.as_ref()?,
            Took(row.current_ms?)
        ))
    };
    match row.state.as_str() {
        "stuck" => or_dash(busy()),
        _ => or_dash(row.last_error.as_ref()),
    }
}

/// Messages in a second.
pub(super) fn per_second(rate: f64) -> String {
    match rate {
        _ if rate < 0.05 => "-".to_owned(),
        _ if rate < 10.0 => format!("{rate:.1}"),
        _ => format!("{rate:.0}"),
    }
}

#[derive(Debug, Args)]
pub(super) struct Tree {
    /// Where to start, such as /agents
    #[arg(value_name = "PATH")]
    below: Option<String>,
    /// The same
    #[arg(long, conflicts_with = "below")]
    path: Option<String>,
    /// How many levels below it
    #[arg(long, value_name = "N")]
    depth: Option<u32>,
    /// Only actors of this node
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// As it was then: 2027-01-15T08:00:00Z, or so long ago: 30s, 10m
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,
    /// What began, ended, moved or restarted since FROM, or between two moments: 10m, 10m..2m
    #[arg(long, value_name = "FROM[..TO]", conflicts_with_all = ["at", "depth"])]
    diff: Option<Between>,
    /// Draw it anew whenever it changes; with -o json, print each change on a line
    #[arg(short, long, conflicts_with_all = ["at", "diff"])]
    watch: bool,
}

impl Tree {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        let now = Clock::system().now();
        let path = self.below.or(self.path);
        if let Some(between) = self.diff {
            let query = DiffQuery {
                path,
                node: self.node,
                from: Some(between.from.seen_from(now)),
                to: between.to.map(|to| to.seen_from(now)),
            };
            return output.show(&client.tree_diff(&query).await?);
        }
        let query = TreeQuery {
            path,
            depth: self.depth,
            node: self.node,
            at: self.at.map(|at| at.seen_from(now)),
            ..TreeQuery::default()
        };
        if self.watch {
            return watch::run(client, query, output).await;
        }
        let view = whole(client, query).await?;
        if self.at.is_some() {
            output.note(&format!("as it was at {}", moment(view.at)));
        }
        output.show(&view)
    }
}

/// Fails as the command will if the node does not answer, or does not permit it.
pub(super) async fn probe(client: &Client, path: Option<String>) -> Result<(), Failure> {
    let query = TreeQuery {
        path,
        depth: Some(0),
        limit: Some(1),
        ..TreeQuery::default()
    };
    match client.tree(&query).await {
        // It may have stood there, and come again.
        Err(error) if error.status() == Some(404) => {
            let mut changes = client.tree_changes(query.path.as_deref());
            Ok(changes.next().await.map(drop)?)
        }
        told => Ok(told.map(drop)?),
    }
}

/// All pages of an answer.
async fn whole(client: &Client, mut query: TreeQuery) -> Result<TreeView, Failure> {
    query.limit = Some(PAGE);
    let mut all = client.tree(&query).await?;
    while let Some(next) = all.next.take() {
        query.after = Some(next);
        let page = client.tree(&query).await?;
        all.nodes.extend(page.nodes);
        all.next = page.next;
    }
    Ok(all)
}
