//! Which lines are shown: what is folded, what a filter leaves, who is in trouble or has much to do.

use std::{cmp::Reverse, collections::HashSet};

use protocol::api::TreeNode;

use crate::cli::tree::{Key, Known, Place, Trouble};

/// Nodes and their roots are open from the start, all else is folded.
const OPEN_DEPTH: usize = 2;

/// Mailboxes that are listed at most.
const HOT: usize = 100;

/// A line of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) key: Key,
    pub(super) depth: usize,
    pub(super) name: String,
    pub(super) fold: Fold,
    /// How many stand below it.
    pub(super) below: usize,
    /// How many of them are in trouble.
    pub(super) troubled: usize,
}

/// Whether what stands below a line is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    /// Nothing stands below it.
    Leaf,
    Open,
    Folded,
}

/// What an operator folded or opened, against how it was from the start.
#[derive(Debug, Clone, Default)]
pub(super) struct Folds(HashSet<Key>);

impl Folds {
    pub(super) fn toggle(&mut self, key: &Key) {
        if !self.0.remove(key) {
            self.0.insert(key.clone());
        }
    }

    fn is_open(&self, place: &Place<'_>) -> bool {
        let from_the_start = place.depth < OPEN_DEPTH;
        from_the_start != self.0.contains(&place.key())
    }

    /// Opens all that stands above `key`.
    pub(super) fn show(&mut self, known: &Known, key: &Key) {
        for place in known.places() {
            let above = place.key();
            if above.is_above(key) && !self.is_open(&place) {
                self.toggle(&above);
            }
        }
    }

    /// The lines that are shown.
    pub(super) fn lines(&self, known: &Known) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        // Lines that stand above the next place, and from which depth on nothing is shown.
        let (mut above, mut hidden) = (Vec::new(), None);
        for place in known.places() {
            while above
                .last()
                .is_some_and(|last: &usize| lines[*last].depth >= place.depth)
            {
                above.pop();
            }
            let troubled = place.row.and_then(|(_, row)| Trouble::of(row)).is_some();
            for index in &above {
                lines[*index].below += 1;
                lines[*index].troubled += usize::from(troubled);
            }
            match hidden {
                Some(depth) if place.depth >= depth => continue,
                Some(_) | None => hidden = None,
            }
            let fold = if self.is_open(&place) {
                Fold::Open
            } else {
                Fold::Folded
            };
            if fold == Fold::Folded {
                hidden = Some(place.depth + 1);
            }
            above.push(lines.len());
            lines.push(line(&place, fold));
        }
        for line in &mut lines {
            if line.below == 0 {
                line.fold = Fold::Leaf;
            }
        }
        lines
    }
}

/// What matches `filter`, and what stands above it, unfolded.
pub(super) fn matching(known: &Known, filter: &str) -> Vec<Line> {
    let filter = filter.to_lowercase();
    let places = known.places();
    let mut kept = Vec::new();
    // Seen from the end, what stands above a place is the next one that is less deep.
    let mut needed = 0;
    for place in places.iter().rev() {
        if place.depth < needed || place.row.is_some_and(|(_, row)| says(row, &filter)) {
            needed = place.depth;
            kept.push(line(place, Fold::Leaf));
        }
    }
    kept.reverse();
    kept
}

/// The first line that is there because it matches, not because it stands above one that does.
pub(super) fn first_match(lines: &[Line], known: &Known, filter: &str) -> Option<Key> {
    let filter = filter.to_lowercase();
    let mut keys = lines.iter().map(|line| &line.key);
    let found = keys.find(|key| known.get(key).is_some_and(|row| says(row, &filter)));
    found.cloned()
}

/// Who is in trouble, by what it is.
pub(super) fn troubled(known: &Known) -> Vec<Key> {
    let rows = known.rows();
    let mut troubled: Vec<_> = rows
        .filter_map(|(key, row)| Some((Trouble::of(row)?, key)))
        .collect();
    troubled.sort_unstable();
    troubled.into_iter().map(|(_, key)| key.clone()).collect()
}

/// Who has messages that wait, the most first.
pub(super) fn hot(known: &Known) -> Vec<Key> {
    let rows = known.rows().filter(|(_, row)| row.mailbox > 0);
    let mut hot: Vec<_> = rows.map(|(key, row)| (Reverse(row.mailbox), key)).collect();
    hot.sort_unstable();
    let hot = hot.into_iter().take(HOT);
    hot.map(|(_, key)| key.clone()).collect()
}

fn says(row: &TreeNode, filter: &str) -> bool {
    [&row.path, &row.kind, &row.state, &row.node]
        .into_iter()
        .any(|text| text.to_lowercase().contains(filter))
}

fn line(place: &Place<'_>, fold: Fold) -> Line {
    Line {
        key: place.key(),
        depth: place.depth,
        name: place.name.to_owned(),
        fold,
        below: 0,
        troubled: 0,
    }
}

#[cfg(test)]
mod tests {
    use protocol::api::TreeDelta;

    use super::*;
    use crate::cli::tree::tests::{row, whole};

    fn known() -> Known {
        let mut known = Known::default();
        known.apply(whole(
            "one",
            &["/", "/agents", "/agents/x", "/agents/x/tool", "/tasks"],
        ));
        known.apply(whole("two", &["/", "/agents", "/agents/y"]));
        known
    }

    fn shown(lines: &[Line]) -> Vec<String> {
        let lines = lines.iter().map(|line| {
            let mark = match line.fold {
                Fold::Leaf => ' ',
                Fold::Open => '-',
                Fold::Folded => '+',
            };
            format!(
                "{}{mark}{} {}",
                " ".repeat(line.depth),
                line.name,
                line.below
            )
        });
        lines.collect()
    }

    #[test]
    fn nodes_are_open_and_what_stands_below_their_parts_is_folded() {
        assert_eq!(
            shown(&Folds::default().lines(&known())),
            [
                "-one 5",
                " -/ 4",
                "  +agents 2",
                "   tasks 0",
                "-two 3",
                " -/ 2",
                "  +agents 1"
            ]
        );
    }

    #[test]
    fn what_is_opened_shows_its_children_and_what_is_folded_hides_all_below() {
        let mut folds = Folds::default();
        folds.toggle(&Key::actor("one", "/agents"));
        folds.toggle(&Key::node_itself("two"));
        assert_eq!(
            shown(&folds.lines(&known())),
            [
                "-one 5",
                " -/ 4",
                "  -agents 2",
                "   +x 1",
                "   tasks 0",
                "+two 3"
            ]
        );
    }

    #[test]
    fn an_actor_that_is_looked_for_is_unfolded() {
        let (mut folds, known) = (Folds::default(), known());
        let tool = Key::actor("one", "/agents/x/tool");
        folds.show(&known, &tool);
        assert!(folds.lines(&known).iter().any(|line| line.key == tool));
    }

    #[test]
    fn a_filter_leaves_what_matches_and_what_stands_above_it() {
        assert_eq!(
            shown(&matching(&known(), "TOOL")),
            [" one 0", "  / 0", "   agents 0", "    x 0", "     tool 0"]
        );
        assert_eq!(shown(&matching(&known(), "/agents/y")).len(), 4);
        assert_eq!(shown(&matching(&known(), "nothing")).len(), 0);
        let lines = matching(&known(), "TOOL");
        let tool = Key::actor("one", "/agents/x/tool");
        assert_eq!(first_match(&lines, &known(), "TOOL"), Some(tool));
    }

    #[test]
    fn trouble_is_counted_where_it_is_folded_away() {
        let mut known = known();
        let parked = TreeNode {
            state: "parked".to_owned(),
            ..row("one", "/agents/x")
        };
        known.apply(TreeDelta {
            node: "one".to_owned(),
            reset: false,
            rows: vec![parked],
            gone: Vec::new(),
        });
        let lines = Folds::default().lines(&known);
        let troubled: Vec<_> = lines.iter().map(|line| line.troubled).collect();
        assert_eq!(troubled, [1, 1, 1, 0, 0, 0, 0]);
    }
}
