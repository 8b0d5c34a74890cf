//! What a reader of several trees is told, from what their nodes said.

use protocol::{
    access::Caller,
    api::{LifeEvent, LifeGap, TreeDelta, TreeNode},
    entity::{Sight, is_nobodys},
};
use runtime::{
    chronicle::is_below,
    supervision::{self, Delta, Tree},
};
use serde::{Deserialize, Serialize};

use super::Position;

/// Rows of one frame, at most.
const ROWS: usize = 1_000;

/// Something that a reader is told, and where it goes on that was told so much.
#[derive(Debug, Clone, PartialEq)]
pub struct Told<T> {
    /// For the next reader: it is told what came after.
    pub cursor: String,
    /// What it is told.
    pub what: T,
}

/// What who follows lives is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifeFrame {
    /// What became of an actor.
    Turn(LifeEvent),
    /// What became of a node's actors since the last turn is not known: it is too long ago, or the
    /// node began anew.
    Gap(LifeGap),
    /// Nothing that was asked for; so far it is told.
    Mark,
}

/// What became of one node's tree since somebody looked last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct News {
    pub(in super::super) cursor: u64,
    reset: bool,
    rows: Vec<TreeNode>,
    gone: Vec<String>,
    /// Each turn with the cursor after it, in the order of these.
    life: Vec<(u64, LifeEvent)>,
}

impl News {
    /// What of `delta` happened at `path` or below it.
    pub(in super::super) fn below(delta: Delta, path: &str) -> Self {
        let Delta {
            cursor,
            reset,
            mut rows,
            mut gone,
            life,
            marks,
            ..
        } = delta;
        rows.retain(|row| is_below(&row.path, path));
        gone.retain(|gone| is_below(gone, path));
        let life = marks.into_iter().zip(life);
        let life = life.filter(|(_, event)| is_below(&event.path, path));
        let mut life: Vec<_> = life.collect();
        life.sort_by_key(|(mark, _)| *mark);
        Self {
            cursor,
            reset,
            rows,
            gone,
            life,
        }
    }

    /// Without what the caller may not see.
    pub(in super::super) fn veil(&mut self, tree: &Tree, caller: &Caller) {
        hide_links(&mut self.rows, caller);
        let sight = Sight::of(&caller.tenant);
        if sight == Sight::All {
            return;
        }
        self.rows.retain(|row| sight.sees(&row.path));
        for row in &mut self.rows {
            supervision::veil(row, sight);
            if is_nobodys(&row.path) {
                row.children = tree.count_children(&row.path, sight);
            }
        }
        self.gone.retain(|gone| sight.sees(gone));
        self.life.retain(|(_, turn)| sight.sees(&turn.path));
        for (_, turn) in &mut self.life {
            hush(turn, sight);
        }
    }

    /// Without rows.
    pub(in super::super) fn of_life(self) -> Self {
        Self {
            rows: Vec::new(),
            gone: Vec::new(),
            ..self
        }
    }

    /// Where whoever is told this was before, as far as the log goes.
    pub(in super::super) fn since(&self, after: Option<u64>) -> u64 {
        after.filter(|_| !self.reset).unwrap_or(self.cursor)
    }

    /// Whether it is worth being told before the time is up.
    pub(in super::super) const fn is_worth(&self) -> bool {
        self.reset || !self.rows.is_empty() || !self.gone.is_empty() || !self.life.is_empty()
    }
}

/// What a task has to do with others is told to those alone who may read it, and a row does not say
/// whose it is.
pub(in super::super) fn hide_links(rows: &mut [TreeNode], caller: &Caller) {
    if caller.sees_all_users() {
        return;
    }
    for row in rows.iter_mut().filter(|row| row.kind == "task") {
        row.links.clear();
        row.links_total = None;
    }
}

/// Takes out reasons that may tell of others. That a node was lost is everybody's business.
pub(in super::super) fn hush(turn: &mut LifeEvent, sight: Sight<'_>) {
    if !sight.sees_all_of(&turn.path) && turn.kind != "node" {
        turn.reason = None;
    }
}

/// What was heard of a node.
#[derive(Debug)]
pub(in super::super) enum Heard {
    News(String, News),
    /// It does not answer.
    Silent(String),
    /// It is a member no more, and how that came.
    Left(String, LifeEvent),
    /// No node was ever called so: the cursor is not one of this cluster's.
    Nobody(String),
}

/// The frames of a tree that follow; moves `position` on.
pub(in super::super) fn deltas(heard: Heard, position: &mut Position) -> Vec<Told<TreeDelta>> {
    let (node, news) = match heard {
        Heard::News(node, news) => (node, news),
        Heard::Silent(node) | Heard::Left(node, _) => {
            position.forget(&node);
            let what = TreeDelta {
                node,
                reset: true,
                rows: Vec::new(),
                gone: Vec::new(),
            };
            let cursor = position.to_string();
            return vec![Told { cursor, what }];
        }
        Heard::Nobody(name) => {
            position.forget(&name);
            return Vec::new();
        }
    };
    let News {
        cursor,
        mut reset,
        rows,
        mut gone,
        ..
    } = news;
    if reset {
        // Who breaks off in the middle is told all of it again.
        position.forget(&node);
    }
    let mut frames = Vec::new();
    let mut rows = rows.into_iter().peekable();
    while reset || !gone.is_empty() || rows.peek().is_some() {
        let what = TreeDelta {
            node: node.clone(),
            reset: std::mem::take(&mut reset),
            rows: rows.by_ref().take(ROWS).collect(),
            gone: std::mem::take(&mut gone),
        };
        let cursor = position.to_string();
        frames.push(Told { cursor, what });
    }
    position.reached(&node, cursor);
    if let Some(last) = frames.last_mut() {
        last.cursor = position.to_string();
    }
    frames
}

/// The turns of lives that follow, each with its own cursor; moves `position` on.
pub(in super::super) fn lives(heard: Heard, position: &mut Position) -> Vec<Told<LifeFrame>> {
    let mut told = Vec::new();
    let mut tell = |position: &Position, what| {
        let cursor = position.to_string();
        told.push(Told { cursor, what });
    };
    match heard {
        Heard::News(node, news) => {
            if news.reset && position.forget(&node).is_some() {
                position.reached(&node, news.cursor);
                let node = node.clone();
                tell(position, LifeFrame::Gap(LifeGap { node }));
            }
            let count = news.life.len();
            for (number, (mark, event)) in news.life.into_iter().enumerate() {
                let is_last = number + 1 == count;
                position.reached(&node, if is_last { news.cursor } else { mark });
                tell(position, LifeFrame::Turn(event));
            }
            position.reached(&node, news.cursor);
        }
        // Its log may still have what comes next.
        Heard::Silent(_) => {}
        Heard::Nobody(name) => drop(position.forget(&name)),
        Heard::Left(node, end) => {
            position.lost(&node);
            tell(position, LifeFrame::Turn(end));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use protocol::api::Life;
    use runtime::{clock::Clock, supervision::Tree};

    use super::*;

    fn news(tree: &Tree, path: &str) -> News {
        News::below(tree.changes().take(), path)
    }

    #[test]
    fn a_long_list_comes_in_frames_and_who_breaks_off_begins_anew() {
        let tree = Tree::new("n", Clock::system());
        let guards: Vec<_> = (0..2_500)
            .map(|number| tree.enter(format!("/tasks/{number:04}"), "task"))
            .collect();
        let mut position = Position::read("n=1,o=5").unwrap();
        let news = news(&tree, "/");
        let cursor = news.cursor;
        let frames = deltas(Heard::News("n".to_owned(), news), &mut position);
        let frame = |it: &Told<TreeDelta>| (it.what.reset, it.what.rows.len());
        let seen: Vec<_> = frames.iter().map(frame).collect();
        assert_eq!(seen, [(true, 1_000), (false, 1_000), (false, 500)]);
        assert_eq!(frames[0].cursor, "o=5");
        assert_eq!(frames[1].cursor, "o=5");
        assert_eq!(frames[2].cursor, format!("n={cursor},o=5"));
        drop(guards);
    }

    #[test]
    fn a_node_that_fell_silent_has_no_rows_any_more() {
        let mut position = Position::read("n=1,o=5").unwrap();
        let frames = deltas(Heard::Silent("n".to_owned()), &mut position);
        assert_eq!(frames.len(), 1);
        let Told { cursor, what } = &frames[0];
        assert_eq!(cursor, "o=5");
        assert!(what.reset && what.node == "n" && what.rows.is_empty());
    }

    #[test]
    fn only_what_is_below_the_path_is_told() {
        let tree = Tree::new("n", Clock::system());
        let mut changes = tree.changes();
        changes.take();
        let (_a, b) = (tree.enter("/a/x", "task"), tree.enter("/b", "task"));
        drop(b);
        let delta = changes.take();
        let below = News::below(delta.clone(), "/a");
        assert_eq!((below.rows.len(), below.life.len()), (1, 1));
        assert!(!News::below(delta, "/c").is_worth());
        let mut position = Position::default();
        let cursor = below.cursor;
        let told = lives(Heard::News("n".to_owned(), below), &mut position);
        let LifeFrame::Turn(event) = &told[0].what else {
            panic!("{told:?}");
        };
        assert_eq!((event.path.as_str(), event.what), ("/a/x", Life::Started));
        assert_eq!(told[0].cursor, format!("n={cursor}"));
    }

    #[test]
    fn who_breaks_off_between_two_turns_is_told_the_others_once() {
        let tree = Tree::new("n", Clock::system());
        let mut changes = tree.changes();
        changes.take();
        let guards: Vec<_> = (0..4)
            .map(|number| tree.enter(format!("/x/{number}"), "task"))
            .collect();
        guards.iter().for_each(|guard| guard.failed("no luck"));
        let news = |delta| Heard::News("n".to_owned(), News::below(delta, "/"));
        let all = lives(news(changes.take()), &mut Position::read("n=1").unwrap());
        assert_eq!(all.len(), 8);
        for (count, told) in all.iter().enumerate() {
            let cursor = Position::read(&told.cursor).unwrap().forget("n").unwrap();
            let rest = tree.changes_since(cursor).take();
            let rest = lives(news(rest), &mut Position::read(&told.cursor).unwrap());
            let rest: Vec<_> = rest.into_iter().map(|told| told.what).collect();
            let expected: Vec<_> = all[count + 1..].iter().map(|it| it.what.clone()).collect();
            assert_eq!(rest, expected, "after {count}");
        }
    }

    #[test]
    fn what_is_not_known_any_more_is_told_as_a_gap_and_a_silence_is_none() {
        let tree = Tree::new("n", Clock::system());
        let news = || Heard::News("n".to_owned(), News::below(tree.changes().take(), "/"));
        let mut position = Position::read("n=1").unwrap();
        assert_eq!(lives(Heard::Silent("n".to_owned()), &mut position), []);
        assert_eq!(position, Position::read("n=1").unwrap());
        let told = lives(news(), &mut position);
        let gap = LifeGap {
            node: "n".to_owned(),
        };
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].what, LifeFrame::Gap(gap));
        assert_eq!(told[0].cursor, position.to_string());
        let mut fresh = Position::default();
        assert_eq!(lives(news(), &mut fresh), [], "nothing was missed");
    }

    #[test]
    fn what_became_of_a_lost_node_before_it_is_heard_of_again_is_a_gap_also_to_who_reads_on() {
        let tree = Tree::new("n", Clock::system());
        let event = LifeEvent {
            at: tree.clock().now(),
            node: "n".to_owned(),
            path: "/".to_owned(),
            kind: "node".to_owned(),
            what: Life::NodeLost,
            reason: None,
            restored_from: None,
        };
        let mut position = Position::read("n=7").unwrap();
        let told = lives(Heard::Left("n".to_owned(), event.clone()), &mut position);
        assert_eq!(told[0].what, LifeFrame::Turn(event));
        let again = Position::read(&told[0].cursor).unwrap();
        assert_eq!(again, position);
        assert_eq!(again.heard_of().count(), 0, "its loss is told once");
        for mut position in [again, position] {
            let back = Heard::News("n".to_owned(), News::below(tree.changes().take(), "/"));
            let told = lives(back, &mut position);
            assert!(matches!(told[0].what, LifeFrame::Gap(_)), "{told:?}");
        }
    }
}
