//! `troupe tree --watch`: the tree, drawn anew whenever it changes.

use std::time::Duration;

use protocol::api::{TreeDelta, TreeNode, TreeQuery};
use tokio::time::{Instant, timeout_at};

use super::{Known, Link, Live, News, probe};
use crate::{
    cli::{
        exit::{Failure, Outcome},
        output::Output,
        top::terminal_size,
        view,
    },
    client::Client,
};

/// Changes within this time are one picture.
const PICTURE: Duration = Duration::from_millis(300);

pub(super) async fn run(client: &Client, query: TreeQuery, output: &Output) -> Outcome {
    probe(client, query.path.clone()).await?;
    let mut live = Live::of(client, &query);
    let mut known = Known::default();
    loop {
        let mut has_changed = take(&mut known, live.next().await, &query, output)?;
        let due = Instant::now() + PICTURE;
        while let Ok(news) = timeout_at(due, live.next()).await {
            has_changed = has_changed.max(take(&mut known, news, &query, output)?);
        }
        if has_changed == Changed::Yes && !output.is_for_programs() {
            output.picture(&view::drawing(&known, output.detail()))?;
        }
    }
}

/// Whether there is something to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Changed {
    No,
    Yes,
}

fn take(
    known: &mut Known,
    news: News,
    query: &TreeQuery,
    output: &Output,
) -> Result<Changed, Failure> {
    match news {
        News::Delta(mut delta) => {
            narrow(&mut delta, query);
            if output.is_for_programs() {
                output.line(&delta)?;
            }
            known.apply(delta);
            Ok(Changed::Yes)
        }
        News::Counters(rows) => {
            known.count(rows);
            // A picture a change is enough where each stands below the one before.
            Ok(match terminal_size() {
                Some(_) => Changed::Yes,
                None => Changed::No,
            })
        }
        News::Link(Link::Lost(why)) => {
            output.note(&format!("{why}; trying again"));
            Ok(Changed::No)
        }
        News::Link(Link::Live | Link::Opening) => Ok(Changed::No),
    }
}

/// Leaves what was asked for.
fn narrow(delta: &mut TreeDelta, query: &TreeQuery) {
    let is_wanted = |node: &str| query.node.as_ref().is_none_or(|wanted| wanted == node);
    if !is_wanted(&delta.node) {
        delta.rows.clear();
        delta.gone.clear();
    }
    let base = levels(query.path.as_deref().unwrap_or("/"));
    let is_near = |row: &TreeNode| {
        let depth = levels(&row.path).saturating_sub(base);
        query.depth.is_none_or(|deepest| depth <= deepest as usize)
    };
    delta.rows.retain(is_near);
}

/// How deep a path is.
fn levels(path: &str) -> usize {
    path.split('/').filter(|name| !name.is_empty()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tree::tests::whole;

    #[test]
    fn a_node_and_a_depth_narrow_what_is_drawn() {
        let query = TreeQuery {
            path: Some("/agents".to_owned()),
            depth: Some(1),
            node: Some("one".to_owned()),
            ..TreeQuery::default()
        };
        let mut delta = whole("one", &["/agents", "/agents/x", "/agents/x/tool"]);
        narrow(&mut delta, &query);
        assert_eq!(delta.rows.len(), 2);
        let mut other = whole("two", &["/agents"]);
        narrow(&mut other, &query);
        assert_eq!(other.rows, []);
    }
}
