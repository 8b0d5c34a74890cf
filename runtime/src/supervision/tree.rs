//! Everything of this node that runs under supervision, by path.
//!
//! - `entry`: one row; `hand`: its message in hand; `story`: what happened to it.
//! - `look`: rows as the API shows them; `vigil`: who has one message in hand for too long.
//! - `ear`: the messages that an actor handled lately, while somebody asks for them.
//! - `kill`: how those under `/system` are ended from outside.
//! - `changes`: what became of the tree since a reader looked last.

mod changes;
mod ear;
mod entry;
mod hand;
mod kill;
mod look;
mod story;
mod vigil;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use protocol::{api::ActorLink, time::Timestamp};

use self::{
    changes::Log,
    ear::Ears,
    entry::{Entry as Row, News},
    kill::Aim,
    story::Work,
    vigil::Vigil,
};
use super::metrics::Population;
use crate::clock::{Clock, Dice};

pub(super) use self::entry::Entry;
pub(crate) use self::look::parent;
pub use self::{
    changes::{Changes, Delta},
    ear::Deaf,
    entry::{Pause, Status},
    kill::Kill,
    look::veil,
    story::Failure,
};

/// Many, so that who walks through all rows keeps nobody out of a part for long.
const SHARDS: usize = 128;

/// The map of a node's actors: cheap to clone, one per node.
#[derive(Clone)]
pub struct Tree(Arc<Inner>);

struct Inner {
    node: String,
    clock: Clock,
    dice: Dice,
    /// Not sorted: spawns and ends are many, and who looks can wait for a sort.
    rows: DashMap<Arc<str>, Arc<Row>>,
    population: Population,
    log: Log,
    vigil: Vigil,
    ears: Ears,
    /// Its root is stopping, and all below it.
    ends: AtomicBool,
    /// How each actor under `/system` can be ended from outside.
    aims: DashMap<Arc<str>, (Arc<Row>, Aim)>,
}

impl Tree {
    /// An empty tree of the node `name`.
    #[must_use]
    pub fn new(name: impl Into<String>, clock: Clock) -> Self {
        Self::with_dice(name, clock, Dice::system())
    }

    /// The same, where back-off takes its chance from `dice`.
    #[must_use]
    pub fn with_dice(name: impl Into<String>, clock: Clock, dice: Dice) -> Self {
        Self(Arc::new(Inner {
            node: name.into(),
            clock,
            dice,
            rows: DashMap::with_shard_amount(SHARDS),
            population: Population::default(),
            log: Log::default(),
            vigil: Vigil::default(),
            ears: Ears::default(),
            ends: AtomicBool::new(false),
            aims: DashMap::new(),
        }))
    }

    /// Its root stops, and does not come back.
    pub(super) fn end(&self) {
        self.0.ends.store(true, Ordering::SeqCst);
    }

    /// Whether the whole tree is stopping, and not just a part of it that is to begin again.
    pub(crate) fn is_ending(&self) -> bool {
        self.0.ends.load(Ordering::SeqCst)
    }

    /// The clock that actors of this node go by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The chance that actors of this node go by.
    #[must_use]
    pub fn dice(&self) -> &Dice {
        &self.0.dice
    }

    /// Shows work that is no actor, such as a tool call, until the guard is dropped.
    pub fn enter(&self, path: impl Into<Arc<str>>, kind: &'static str) -> Guard {
        let entry = Arc::new(Row::new(path.into(), kind, self.now()));
        let entry = self.place(entry);
        self.set_status(&entry, Status::Running);
        Guard {
            tree: self.clone(),
            entry,
        }
    }

    /// How many actors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.rows.len()
    }

    /// Whether nothing runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.rows.is_empty()
    }

    /// What stands at `path` is about to be ended, which is told with its end.
    pub fn ends_because(&self, path: &str, why: &str) {
        if let Some(row) = self.row(path) {
            row.ends_because(why);
        }
    }

    /// A new row of an actor.
    pub(super) fn insert(&self, path: Arc<str>, kind: &'static str) -> Arc<Row> {
        let entry = Arc::new(Row::new(path, kind, self.now()));
        // Before anybody sees it: it is one of those that can be killed, just not yet.
        if entry.is_killable() {
            self.aim(&entry, Aim::Nothing);
        }
        self.place(entry)
    }

    /// A row takes the place of one that stands at the same path, such as of an actor that has ended
    /// but not yet left.
    fn place(&self, entry: Arc<Row>) -> Arc<Row> {
        let (path, kind) = (Arc::clone(entry.shared_path()), entry.kind());
        let former = self.0.rows.insert(path, Arc::clone(&entry));
        self.0.population.entered(kind);
        if let Some(former) = former {
            self.0.population.left(former.kind());
            self.left(&former);
        }
        self.0.log.note(&entry);
        entry
    }

    /// Takes the row away, unless another has taken its place.
    pub(super) fn remove(&self, entry: &Arc<Row>) {
        let stands = |_: &Arc<str>, stands: &Arc<Row>| Arc::ptr_eq(stands, entry);
        if self.0.rows.remove_if(entry.path(), stands).is_some() {
            self.0.population.left(entry.kind());
            self.left(entry);
        }
        let aims = |_: &Arc<str>, (of, _): &(Arc<Row>, Aim)| Arc::ptr_eq(of, entry);
        self.0.aims.remove_if(entry.path(), aims);
    }

    fn left(&self, entry: &Arc<Row>) {
        if self.0.log.is_read() {
            entry.leave(self.now());
            self.0.log.note(entry);
        }
    }

    pub(super) fn set_status(&self, entry: &Arc<Row>, status: Status) {
        if entry.set_status(status, self.now()) == News::Fresh {
            self.0.log.note(entry);
        }
    }

    /// A status, if it was one of these before.
    pub(super) fn turn_status(&self, entry: &Arc<Row>, from: &[Status], to: Status) {
        if entry.turn_status(from, to, self.now()) == News::Fresh {
            self.0.log.note(entry);
        }
    }

    /// Another incarnation of the actor begins.
    pub(super) fn restart(&self, entry: &Arc<Row>) {
        entry.restart(self.now());
        self.0.log.note(entry);
    }

    /// The actor failed; answers with what is told of that.
    pub(super) fn fail(&self, entry: &Arc<Row>, error: &str) -> String {
        let told = entry.fail(self.now(), error);
        self.0.log.note(entry);
        told
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tree({}, {} actors)", self.0.node, self.len())
    }
}

/// A place in the tree, held by work that is no actor; gone when it is dropped.
#[derive(Debug)]
pub struct Guard {
    tree: Tree,
    entry: Arc<Row>,
}

impl Guard {
    /// Where it stands.
    #[must_use]
    pub fn path(&self) -> &str {
        self.entry.path()
    }

    /// Shows that it does `what` from now on, and for how long that is expected to take: then it counts
    /// as stuck.
    pub fn works_on(&self, what: impl Into<Box<str>>, expected: Duration) {
        let since = self.tree.0.clock.coarse();
        let what = what.into();
        self.entry.work(Work {
            what,
            since,
            expected,
        });
        self.tree.0.log.note(&self.entry);
    }

    /// Shows what stands here as having to do with these others.
    pub fn show_links(&self, links: Vec<ActorLink>) {
        if self.entry.link(links) == News::Fresh {
            self.tree.0.log.note(&self.entry);
        }
    }

    /// Shows a status other than running, such as parked.
    pub fn set_status(&self, status: Status) {
        self.tree.set_status(&self.entry, status);
    }

    /// Shows that a person holds what runs here, or does so no more. What failed, ends or is out of
    /// service says that instead.
    pub fn show_pause(&self, pause: Pause) {
        let (from, to): (&[Status], _) = match pause {
            Pause::Begins => (&[Status::Starting, Status::Running], Status::Paused),
            Pause::Ends => (&[Status::Paused], Status::Running),
        };
        self.tree.turn_status(&self.entry, from, to);
    }

    /// Shows that another incarnation of what stands here begins.
    pub fn restart(&self) {
        self.tree.restart(&self.entry);
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(super) fn entry(&self) -> &Arc<Row> {
        &self.entry
    }

    /// What stands here is about to be ended, which is told with its end.
    pub fn ends_because(&self, why: &str) {
        self.entry.ends_because(why);
    }

    /// Shows a failure; the last three are kept.
    pub fn failed(&self, error: impl AsRef<str>) {
        self.tree.fail(&self.entry, error.as_ref());
    }

    /// Shows failures of an earlier life, which are not told again as events.
    pub fn failed_before(&self, failures: Vec<Failure>) {
        self.entry.failed_before(failures);
        self.tree.0.log.note(&self.entry);
    }

    /// Shows that what stands here was on the node `from` before, which was lost or gave it away.
    pub fn moved_from(&self, from: &str) {
        self.entry.moved(from);
        self.tree.0.log.note(&self.entry);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.tree.remove(&self.entry);
    }
}

/// The path of `name` below `parent`.
#[must_use]
pub fn join(parent: &str, name: &str) -> Arc<str> {
    format!("{}/{name}", parent.trim_end_matches('/')).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::{
        api::{Life, Relation, TreeQuery, TreeView},
        time::Timestamp,
    };

    use super::{
        look::{level, parent},
        *,
    };
    use crate::clock::TestClock;

    fn tree() -> (Tree, TestClock) {
        let hands = TestClock::at(Timestamp::from_micros(1_000_000));
        (Tree::new("one", hands.clock()), hands)
    }

    fn paths(view: &TreeView) -> Vec<&str> {
        view.nodes.iter().map(|node| node.path.as_str()).collect()
    }

    #[test]
    fn a_guard_is_in_the_tree_while_it_lives() {
        let (tree, _) = tree();
        let guard = tree.enter("/agents/a/tool", "tool");
        let view = tree.snapshot("/", None);
        assert_eq!(paths(&view), ["/agents/a/tool"]);
        assert_eq!(view.nodes[0].state, "running");
        assert_eq!(view.nodes[0].node, "one");
        drop(guard);
        assert!(tree.is_empty());
    }

    #[test]
    fn a_snapshot_is_sorted_counts_children_and_stops_at_its_depth() {
        let (tree, _) = tree();
        let _guards: Vec<Guard> = ["/b", "/a/x/1", "/a/x", "/", "/a/x/2", "/a", "/a-b", "/ab/x"]
            .map(|path| tree.enter(path, "task"))
            .into();

        let all = tree.snapshot("/", None);
        assert_eq!(
            paths(&all),
            ["/", "/a", "/a-b", "/a/x", "/a/x/1", "/a/x/2", "/ab/x", "/b"]
        );
        let children: Vec<u32> = all.nodes.iter().map(|node| node.children).collect();
        assert_eq!(children, [3, 1, 0, 2, 0, 0, 0, 0]);

        let some = tree.snapshot("/a/", Some(1));
        assert_eq!(paths(&some), ["/a", "/a/x"]);
        assert_eq!(some.nodes[1].children, 2);
        assert_eq!((some.path.as_str(), some.total), ("/a", 4));

        assert_eq!(paths(&tree.snapshot("/", Some(0))), ["/"]);
        assert_eq!(tree.snapshot("/none", None).total, 0);
    }

    #[test]
    fn pages_follow_each_other_until_all_was_shown() {
        let (tree, _) = tree();
        let _guards: Vec<Guard> = (0..25)
            .map(|number| tree.enter(format!("/tasks/{number:02}"), "task"))
            .collect();
        let mut query = TreeQuery {
            limit: Some(10),
            ..TreeQuery::default()
        };
        let (mut shown, mut sizes) = (Vec::new(), Vec::new());
        loop {
            let page = tree.view(&query);
            assert_eq!(page.total, 25);
            sizes.push(page.nodes.len());
            shown.extend(page.nodes);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(sizes, [10, 10, 5]);
        assert_eq!(shown, tree.snapshot("/", None).nodes);
    }

    #[test]
    fn an_actor_is_shown_with_its_surroundings_and_its_past() {
        let (tree, hands) = tree();
        let _root = tree.enter("/", "supervisor");
        let guard = tree.enter("/a", "agent");
        let _children: Vec<Guard> = (0..105)
            .map(|number| tree.enter(format!("/a/{number:03}"), "tool"))
            .collect();
        hands.advance(Duration::from_secs(1));
        guard.failed("no luck");
        guard.restart();
        let view = tree.actor("/a").unwrap();
        assert_eq!(view.parent.as_deref(), Some("/"));
        assert_eq!((view.row.children, view.child_paths.len()), (105, 100));
        assert_eq!(view.child_paths[1], "/a/001");
        assert_eq!(view.failures[0].error, "no luck");
        let life: Vec<Life> = view.life.iter().map(|event| event.what).collect();
        assert_eq!(life, [Life::Started, Life::Failed, Life::Restarted]);
        assert_eq!(view.life[0].at, Timestamp::from_micros(1_000_000));
        assert_eq!(tree.actor("/").unwrap().parent, None);
        assert!(tree.actor("/b").is_none());
    }

    #[test]
    fn a_row_tells_the_first_five_of_its_links_and_how_many_there_are() {
        let (tree, _) = tree();
        let guard = tree.enter("/tasks/1", "task");
        let links = |count: u32| {
            let link = |number| ActorLink {
                relation: Relation::Attempt,
                path: format!("/agents/a/{number}"),
                node: None,
                step: None,
                attempt: Some(number),
            };
            (0..count).map(link).collect::<Vec<_>>()
        };
        let shown = || {
            let row = tree.snapshot("/", None).nodes.remove(0);
            (row.links, row.links_total)
        };
        assert_eq!(shown(), (links(0), None));
        guard.show_links(links(5));
        assert_eq!(shown(), (links(5), None));
        guard.show_links(links(7));
        assert_eq!(shown(), (links(5), Some(7)));
        guard.show_links(Vec::new());
        assert_eq!(shown(), (links(0), None));
    }

    #[test]
    fn links_that_change_are_told_to_those_who_follow_and_others_are_not() {
        let (tree, _) = tree();
        let guard = tree.enter("/tasks/1", "task");
        let mut changes = tree.changes();
        changes.take();
        let link = ActorLink {
            relation: Relation::PartOf,
            path: "/tasks/0".to_owned(),
            node: None,
            step: None,
            attempt: None,
        };
        guard.show_links(vec![link.clone()]);
        assert_eq!(changes.take().rows[0].links, std::slice::from_ref(&link));
        guard.show_links(vec![link]);
        assert_eq!(changes.take().rows, []);
    }

    #[test]
    fn a_row_that_leaves_late_does_not_take_its_successor_along() {
        let (tree, _) = tree();
        let former = tree.enter("/tasks/1", "task");
        let _latter = tree.enter("/tasks/1", "task");
        drop(former);
        assert_eq!(tree.len(), 1);
    }

    #[test]
    fn the_last_three_failures_are_kept_with_their_moments() {
        let (tree, hands) = tree();
        let guard = tree.enter("/tasks/1", "task");
        guard.set_status(Status::Parked);
        for error in ["one", "two", "three", "four"] {
            hands.advance(Duration::from_secs(1));
            guard.failed(error);
        }
        let failures = tree.failures("/tasks/1");
        let errors: Vec<&str> = failures.iter().map(|it| it.error.as_str()).collect();
        assert_eq!(errors, ["two", "three", "four"]);
        assert_eq!(failures[2].at, Timestamp::from_micros(5_000_000));

        let view = tree.snapshot("/tasks/1", None);
        assert_eq!(view.nodes[0].last_error.as_deref(), Some("four"));
        assert_eq!(view.nodes[0].state, "parked");
    }

    #[test]
    fn paths_join_below_the_root_as_below_others() {
        assert_eq!(&*join("/", "system"), "/system");
        assert_eq!(&*join("/system", "store"), "/system/store");
    }

    proptest! {
        #[test]
        fn a_snapshot_agrees_with_filtering_all_paths(
            steps in proptest::collection::btree_set("(/[ab-]{1,2}){1,3}", 0..30),
            root in "(/[ab-]{1,2}){1,2}",
            depth in proptest::option::of(0_u32..3),
        ) {
            let (tree, _) = tree();
            let _guards: Vec<Guard> = steps.iter().map(|path| tree.enter(path.as_str(), "task")).collect();
            let below = |path: &str, root: &str| {
                path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
            };
            let view = tree.snapshot(&root, depth);
            let expected: Vec<&String> = steps.iter().filter(|path| below(path, &root)).collect();
            prop_assert_eq!(view.total, expected.len() as u64);
            let shown: Vec<&str> = expected
                .iter()
                .filter(|path| depth.is_none_or(|depth| level(path) <= level(&root) + depth as usize))
                .map(|path| path.as_str())
                .collect();
            prop_assert_eq!(paths(&view), shown);
            for node in &view.nodes {
                let children = steps.iter().filter(|path| parent(path) == Some(&node.path)).count();
                prop_assert_eq!(node.children as usize, children);
            }
        }
    }
}
