//! The actors of a cluster as a caller knows them: one answer, kept up to date by what changed since.

use std::collections::BTreeMap;

use protocol::api::{TreeDelta, TreeNode, TreeView};

/// Which actor, or which node where `path` is absent; in order, parents stand before their children and
/// nobody stands between an actor and its descendants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::cli) struct Key {
    node: String,
    /// The path with a separator that sorts before all that a name can hold.
    sorted: Option<String>,
}

impl Key {
    pub(in crate::cli) fn actor(node: &str, path: &str) -> Self {
        Self {
            node: node.to_owned(),
            sorted: Some(path.replace('/', "\0")),
        }
    }

    pub(in crate::cli) fn node_itself(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            sorted: None,
        }
    }

    pub(in crate::cli) fn of(row: &TreeNode) -> Self {
        Self::actor(&row.node, &row.path)
    }

    pub(in crate::cli) fn node(&self) -> &str {
        &self.node
    }

    /// The actor's path; absent where the key is a node's.
    pub(in crate::cli) fn path(&self) -> Option<String> {
        Some(self.sorted.as_ref()?.replace('\0', "/"))
    }

    /// Whether `other` stands below this one.
    pub(in crate::cli) fn is_above(&self, other: &Self) -> bool {
        let below = |above: &String| {
            let rest = other.sorted.as_ref()?.strip_prefix(above.as_str())?;
            Some(!rest.is_empty() && (above == "\0" || rest.starts_with('\0')))
        };
        self.node == other.node
            && match &self.sorted {
                None => other.sorted.is_some(),
                Some(above) => below(above) == Some(true),
            }
    }
}

/// What is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::cli) struct Known {
    rows: BTreeMap<Key, TreeNode>,
}

impl Known {
    /// What one answer tells.
    pub(in crate::cli) fn of(view: &TreeView) -> Self {
        let rows = view.nodes.iter().map(|row| (Key::of(row), row.clone()));
        Self {
            rows: rows.collect(),
        }
    }

    /// Takes in what changed on one node.
    pub(in crate::cli) fn apply(&mut self, delta: TreeDelta) {
        if delta.reset {
            self.rows.retain(|key, _| key.node != delta.node);
        }
        for path in &delta.gone {
            self.rows.remove(&Key::actor(&delta.node, path));
        }
        for row in delta.rows {
            self.rows.insert(Key::of(&row), row);
        }
    }

    /// Takes in what actors handled and what waits for them. Who began or ended is told otherwise, and
    /// may be newer than this.
    pub(in crate::cli) fn count(&mut self, rows: Vec<TreeNode>) {
        for row in rows {
            if let Some(known) = self.rows.get_mut(&Key::of(&row))
                && known.started_at == row.started_at
            {
                *known = TreeNode {
                    state: known.state.clone(),
                    ..row
                };
            }
        }
    }

    pub(in crate::cli) fn get(&self, key: &Key) -> Option<&TreeNode> {
        self.rows.get(key)
    }

    pub(in crate::cli) fn rows(&self) -> impl Iterator<Item = (&Key, &TreeNode)> {
        self.rows.iter()
    }

    /// Every actor in its place, and the nodes above them.
    pub(in crate::cli) fn places(&self) -> Vec<Place<'_>> {
        let mut places = Vec::with_capacity(self.rows.len() + 1);
        let mut above: Vec<(&Key, &str)> = Vec::new();
        let mut node = None;
        for (key, row) in &self.rows {
            if node != Some(key.node()) {
                node = Some(key.node());
                above.clear();
                places.push(Place {
                    depth: 0,
                    name: key.node(),
                    row: None,
                });
            }
            while above.last().is_some_and(|(last, _)| !last.is_above(key)) {
                above.pop();
            }
            let parent = above.last().map_or("", |(_, path)| path);
            let rest = row.path.strip_prefix(parent).unwrap_or(&row.path);
            let name = match parent {
                "" => rest,
                _ => rest.trim_start_matches('/'),
            };
            places.push(Place {
                depth: above.len() + 1,
                name,
                row: Some((key, row)),
            });
            above.push((key, &row.path));
        }
        places
    }
}

/// An actor, or a node, where it stands in the tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::cli) struct Place<'a> {
    /// How many stand above it.
    pub(in crate::cli) depth: usize,
    /// Its path without that of what stands above it; a node's name.
    pub(in crate::cli) name: &'a str,
    /// The actor; absent for a node.
    pub(in crate::cli) row: Option<(&'a Key, &'a TreeNode)>,
}

impl Place<'_> {
    pub(in crate::cli) fn key(&self) -> Key {
        match self.row {
            Some((key, _)) => key.clone(),
            None => Key::node_itself(self.name),
        }
    }
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use protocol::time::Timestamp;

    use super::*;

    /// An actor that runs.
    pub(in crate::cli) fn row(node: &str, path: &str) -> TreeNode {
        TreeNode {
            path: path.to_owned(),
            kind: "agent".to_owned(),
            state: "running".to_owned(),
            node: node.to_owned(),
            mailbox: 0,
            handled: 7,
            rate: 0.5,
            restarts: 0,
            last_error: None,
            restored_from: None,
            started_at: Timestamp::from_micros(1_800_000_000_000_000),
            current: None,
            current_ms: None,
            children: 0,
            links: Vec::new(),
            links_total: None,
        }
    }

    /// All there is of a node.
    pub(in crate::cli) fn whole(node: &str, paths: &[&str]) -> TreeDelta {
        TreeDelta {
            node: node.to_owned(),
            reset: true,
            rows: paths.iter().map(|path| row(node, path)).collect(),
            gone: Vec::new(),
        }
    }

    fn drawn(known: &Known) -> Vec<String> {
        let places = known.places().into_iter();
        places
            .map(|place| format!("{}{}", "  ".repeat(place.depth), place.name))
            .collect()
    }

    #[test]
    fn children_stand_right_below_their_parents_on_each_node() {
        let mut known = Known::default();
        known.apply(whole("two", &["/", "/a", "/a-b", "/a/c"]));
        known.apply(whole("one", &["/agents/x/tool", "/agents/x"]));
        assert_eq!(
            drawn(&known),
            [
                "one",
                "  /agents/x",
                "    tool",
                "two",
                "  /",
                "    a",
                "      c",
                "    a-b"
            ]
        );
    }

    #[test]
    fn a_name_that_begins_like_another_is_not_below_it() {
        let key = |path| Key::actor("one", path);
        assert!(key("/").is_above(&key("/a")));
        assert!(key("/a").is_above(&key("/a/b")));
        assert!(!key("/a").is_above(&key("/ab")));
        assert!(!key("/a").is_above(&key("/a")));
        assert!(!key("/a").is_above(&Key::actor("two", "/a/b")));
        assert!(Key::node_itself("one").is_above(&key("/")));
        assert!(!key("/").is_above(&Key::node_itself("one")));
        assert_eq!(key("/a/b").path().as_deref(), Some("/a/b"));
    }

    #[test]
    fn what_changed_is_taken_in_and_a_reset_voids_what_was_known_of_its_node_alone() {
        let mut known = Known::default();
        known.apply(whole("one", &["/", "/a", "/b"]));
        known.apply(whole("two", &["/"]));
        let busy = TreeNode {
            mailbox: 9,
            ..row("one", "/b")
        };
        known.apply(TreeDelta {
            node: "one".to_owned(),
            reset: false,
            rows: vec![busy.clone(), row("one", "/c")],
            gone: vec!["/a".to_owned()],
        });
        assert_eq!(
            drawn(&known),
            ["one", "  /", "    b", "    c", "two", "  /"]
        );
        assert_eq!(known.get(&Key::of(&busy)), Some(&busy));
        known.apply(whole("one", &[]));
        assert_eq!(drawn(&known), ["two", "  /"]);
    }

    #[test]
    fn counters_change_what_is_known_but_not_who_is_there_or_how() {
        let mut known = Known::default();
        known.apply(whole("one", &["/a", "/b"]));
        let counted = |path: &str| TreeNode {
            mailbox: 5,
            state: "stuck".to_owned(),
            ..row("one", path)
        };
        let began_since = TreeNode {
            started_at: Timestamp::default(),
            ..counted("/b")
        };
        known.count(vec![counted("/a"), began_since, counted("/gone")]);
        let rows: Vec<_> = known
            .rows()
            .map(|(_, row)| (row.mailbox, row.state.as_str()))
            .collect();
        assert_eq!(rows, [(5, "running"), (0, "running")]);
    }
}
