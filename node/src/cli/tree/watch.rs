//! `troupe tree --watch`: the tree, drawn anew whenever it changes.

use std::time::Duration;

use protocol::api::{TreeDelta, TreeNode, TreeQuery};
use tokio::time::{Instant, timeout_at};

use super::Known;
use crate::{
    cli::{
        exit::{Exit, Outcome},
        output::Output,
        view,
    },
    client::Client,
};

/// Changes within this time are one picture.
const PICTURE: Duration = Duration::from_millis(300);

pub(super) async fn run(client: &Client, query: TreeQuery, output: &Output) -> Outcome {
    let mut changes = client.tree_changes(query.path.as_deref());
    let mut known = Known::default();
    loop {
        let first = changes.next().await?;
        take(&mut known, first, &query, output)?;
        let due = Instant::now() + PICTURE;
        while let Ok(delta) = timeout_at(due, changes.next()).await {
            take(&mut known, delta?, &query, output)?;
        }
        if !output.is_for_programs() {
            output.picture(&view::drawing(&known, output.detail()))?;
        }
    }
}

fn take(known: &mut Known, mut delta: TreeDelta, query: &TreeQuery, output: &Output) -> Outcome {
    narrow(&mut delta, query);
    if output.is_for_programs() {
        return output.line(&delta);
    }
    known.apply(delta);
    Ok(Exit::Ok)
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
