//! One page of the actors of several nodes, sorted by the names of nodes, then by paths.

use std::collections::BTreeMap;

use protocol::{
    api::{TreeNode, TreeQuery, TreeView},
    time::Timestamp,
};
use runtime::chronicle::cursor;

/// Rows of a page when the query names no number, and at most.
const PAGE: u32 = 1_000;
const LARGEST_PAGE: u32 = 10_000;

/// Of the nodes behind the first, so much of a page is asked for ahead.
const AHEAD: u32 = 4;

/// What nodes told for one page so far.
#[derive(Debug)]
pub(in super::super) struct Pages {
    query: TreeQuery,
    limit: u32,
    /// The first node whose rows belong here, if it is known.
    first: Option<String>,
    told: BTreeMap<String, Told>,
    silent: Vec<String>,
}

#[derive(Debug)]
struct Told {
    total: u64,
    rows: Vec<TreeNode>,
    next: Option<String>,
}

/// Where a page goes on: after the row at this path on this node.
fn place(after: &str) -> (&str, &str) {
    let slash = after.find('/').unwrap_or(after.len());
    after.split_at(slash)
}

/// As paths of the tree are written.
fn trimmed(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

impl Pages {
    /// Nothing yet of the page of `query`, for which these nodes are asked.
    pub(in super::super) fn new<'a>(
        query: TreeQuery,
        nodes: impl Iterator<Item = &'a str>,
    ) -> Self {
        let limit = query.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
        let from = query.after.as_deref().map(|after| place(after).0);
        let first = nodes.filter(|node| from.is_none_or(|from| *node >= from));
        let first = first.min().map(str::to_owned);
        Self {
            query,
            limit,
            first,
            told: BTreeMap::new(),
            silent: Vec::new(),
        }
    }

    /// What a node is asked for first.
    pub(in super::super) fn ask(&self, node: &str) -> TreeQuery {
        let (from, path) = self.query.after.as_deref().map(place).unwrap_or_default();
        let limit = if node < from {
            // Its rows were on pages before; they still count.
            1
        } else if self.first.as_deref() == Some(node) {
            self.limit
        } else {
            self.limit.div_ceil(AHEAD)
        };
        let after = (node == from && !path.is_empty()).then(|| path.to_owned());
        self.question(after, limit)
    }

    fn question(&self, after: Option<String>, limit: u32) -> TreeQuery {
        TreeQuery {
            path: self.query.path.clone(),
            depth: self.query.depth,
            node: None,
            at: None,
            after,
            limit: Some(limit),
        }
    }

    /// A node told what it was asked for.
    pub(in super::super) fn take(&mut self, node: &str, view: TreeView) {
        let from = self.query.after.as_deref().map_or("", |it| place(it).0);
        let TreeView {
            total, nodes, next, ..
        } = view;
        if node < from {
            let (rows, next) = (Vec::new(), None);
            self.told
                .insert(node.to_owned(), Told { total, rows, next });
            return;
        }
        let told = self.told.entry(node.to_owned()).or_insert(Told {
            total,
            rows: Vec::new(),
            next: None,
        });
        told.rows.extend(nodes);
        told.next = next;
    }

    /// A node did not answer.
    pub(in super::super) fn miss(&mut self, node: &str) {
        if let Some(told) = self.told.get_mut(node) {
            told.next = None;
        }
        self.silent.push(node.to_owned());
    }

    /// Of which node more has to be known before the page is full, and what it is asked for.
    pub(in super::super) fn lacks(&self) -> Option<(String, TreeQuery)> {
        let mut left = self.limit;
        for (node, told) in &self.told {
            let rows = u32::try_from(told.rows.len()).unwrap_or(u32::MAX);
            left = left.saturating_sub(rows);
            if left == 0 {
                return None;
            }
            if told.next.is_some() {
                return Some((node.clone(), self.question(told.next.clone(), left)));
            }
        }
        None
    }

    /// The page, as it was at `at`.
    pub(in super::super) fn view(self, at: Timestamp) -> TreeView {
        let limit = self.limit as usize;
        let total = self.told.values().map(|told| told.total).sum();
        let mut more = false;
        let mut rows: Vec<TreeNode> = Vec::new();
        for told in self.told.into_values() {
            more |= told.next.is_some();
            rows.extend(told.rows);
        }
        more |= rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more);
        let next = last.map(|last| cursor(&last.node, &last.path));
        let mut silent = self.silent;
        silent.sort_unstable();
        silent.dedup();
        TreeView {
            path: trimmed(self.query.path.as_deref().unwrap_or("/")).to_owned(),
            at,
            total,
            nodes: rows,
            next,
            silent,
            stale: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use runtime::{clock::Clock, supervision::Tree};

    use super::*;

    /// All pages of trees of so many actors, by the names of nodes.
    fn walk(nodes: &[(String, Tree)], limit: u32) -> (Vec<(String, String)>, u64, usize) {
        let (mut seen, mut total, mut asked) = (Vec::new(), 0, 0);
        let mut after = None;
        loop {
            let query = TreeQuery {
                after: after.clone(),
                limit: Some(limit),
                ..TreeQuery::default()
            };
            let names = nodes.iter().map(|(name, _)| name.as_str());
            let mut pages = Pages::new(query, names);
            let tree = |name: &str| &nodes.iter().find(|(it, _)| it == name).unwrap().1;
            for (name, _) in nodes {
                let view = tree(name).view(&pages.ask(name));
                pages.take(name, view);
            }
            while let Some((name, query)) = pages.lacks() {
                asked += 1;
                let view = tree(&name).view(&query);
                pages.take(&name, view);
            }
            let view = pages.view(Timestamp::default());
            assert!(view.nodes.len() <= limit as usize);
            total = view.total.max(total);
            seen.extend(view.nodes.into_iter().map(|row| (row.node, row.path)));
            match view.next {
                Some(next) => after = Some(next),
                None => return (seen, total, asked),
            }
        }
    }

    proptest! {
        #[test]
        fn pages_show_each_actor_of_each_node_once_in_order(
            counts in proptest::collection::vec(0_usize..40, 1..5),
            limit in 1_u32..30,
        ) {
            let mut expected = Vec::new();
            let mut guards = Vec::new();
            let nodes: Vec<(String, Tree)> = counts.iter().enumerate().map(|(number, count)| {
                let name = format!("n{number}");
                let tree = Tree::new(name.clone(), Clock::system());
                for actor in 0..*count {
                    let path = format!("/tasks/{actor:02}");
                    expected.push((name.clone(), path.clone()));
                    guards.push(tree.enter(path, "task"));
                }
                (name, tree)
            }).collect();
            let (seen, total, _) = walk(&nodes, limit);
            prop_assert_eq!(total, expected.len() as u64);
            prop_assert_eq!(seen, expected);
        }
    }

    #[test]
    fn a_node_that_falls_silent_half_way_ends_its_rows_and_is_named() {
        let tree = Tree::new("a", Clock::system());
        let _guards = [tree.enter("/x", "task"), tree.enter("/y", "task")];
        let query = TreeQuery {
            limit: Some(5),
            ..TreeQuery::default()
        };
        let mut pages = Pages::new(query, ["a", "b"].into_iter());
        let first = TreeQuery {
            limit: Some(1),
            ..TreeQuery::default()
        };
        pages.take("a", tree.view(&first));
        pages.miss("b");
        let (node, query) = pages.lacks().unwrap();
        assert_eq!((node.as_str(), query.after.as_deref()), ("a", Some("/x")));
        pages.miss("a");
        assert_eq!(pages.lacks(), None);
        let view = pages.view(Timestamp::default());
        assert_eq!((view.nodes.len(), view.next), (1, None));
        assert_eq!(view.silent, ["a", "b"]);
    }

    #[test]
    fn nodes_before_the_cursor_only_count() {
        let tree = Tree::new("a", Clock::system());
        let _guards = [tree.enter("/x", "task"), tree.enter("/y", "task")];
        let query = TreeQuery {
            after: Some("b/x".to_owned()),
            ..TreeQuery::default()
        };
        let mut pages = Pages::new(query, ["a", "b", "c"].into_iter());
        assert_eq!(pages.ask("a").limit, Some(1));
        assert_eq!(pages.ask("b").after.as_deref(), Some("/x"));
        assert_eq!(pages.ask("b").limit, Some(PAGE));
        assert_eq!(
            (pages.ask("c").after, pages.ask("c").limit),
            (None, Some(PAGE / 4))
        );
        pages.take("a", tree.view(&pages.ask("a")));
        let view = pages.view(Timestamp::default());
        assert_eq!((view.total, view.nodes.len(), view.next), (2, 0, None));
    }
}
