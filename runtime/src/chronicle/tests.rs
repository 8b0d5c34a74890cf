//! The past as it is told back, beside what was seen to happen.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use protocol::{
    api::{Change, Life, LifeEvent, TreeDiff, TreeQuery},
    id::NodeId,
    time::Timestamp,
};
use uuid::Uuid;

use super::{
    codec::{decode, encode},
    scribe::Pen,
    *,
};
use crate::{
    clock::TestClock,
    store::{Memory, Shared},
    supervision::{ChildSpec, Guard, Spec, Status, Strategy as Supervise, Supervisor, Tree},
};

mod reading;

const SECOND: Duration = Duration::from_secs(1);
const NODES: [&str; 2] = ["one", "two"];
const PATHS: [&str; 5] = ["/", "/tasks", "/tasks/a", "/tasks/b", "/x"];

fn ready<T>(answer: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap().block_on(answer)
}

/// Whatever it takes.
fn unbounded() -> Bounds {
    Bounds::new(u64::MAX, 60 * SECOND)
}

async fn past_at(store: &Shared, at: Timestamp) -> Result<Past, Untold> {
    past(store, at, None, "/", &mut unbounded()).await
}

async fn differ(store: &Shared, from: Timestamp, to: Timestamp) -> Result<TreeDiff, Untold> {
    changes(store, (from, to), None, "/", &mut unbounded()).await
}

fn between(from: Timestamp, to: Timestamp) -> Span {
    Span {
        from,
        to,
        nodes: None,
        limit: usize::MAX,
    }
}

async fn told(store: &Shared, span: &Span, bounds: &mut Bounds) -> Lives {
    life(store, span, Arc::new(Everything), bounds)
        .await
        .unwrap()
}

async fn life_of(store: &Shared, from: Timestamp, to: Timestamp) -> Vec<LifeEvent> {
    told(store, &between(from, to), &mut unbounded())
        .await
        .events
}

fn node(number: usize) -> NodeId {
    NodeId::from_uuid(Uuid::from_u128(number as u128 + 1))
}

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// Two nodes, what they write, and what stood whenever they wrote.
struct Stage {
    hands: TestClock,
    store: Shared,
    trees: [Tree; 2],
    pens: [Pen; 2],
    guards: BTreeMap<(usize, usize), Guard>,
    seen: Vec<(Timestamp, Rows)>,
}

/// Kind, state and beginning, by node and path.
type Rows = BTreeMap<(String, String), (String, String, Timestamp)>;

impl Stage {
    fn new(enough: u64) -> Self {
        let hands = TestClock::at(at(100));
        let trees = NODES.map(|name| Tree::new(name, hands.clock()));
        let pens = std::array::from_fn(|number| {
            let name = (node(number), NODES[number].to_owned());
            Pen::new(name, trees[number].changes(), at(100), enough)
        });
        Self {
            store: Arc::new(Memory::new()),
            hands,
            trees,
            pens,
            guards: BTreeMap::new(),
            seen: Vec::new(),
        }
    }

    /// A second goes by and all write.
    fn look(&mut self) {
        self.hands.advance(SECOND);
        let now = self.hands.clock().now();
        let mut seen = Rows::new();
        for (pen, tree) in self.pens.iter_mut().zip(&self.trees) {
            for segment in pen.note(now) {
                ready(self.store.inscribe(&segment)).unwrap();
            }
            for row in tree.snapshot("/", None).nodes {
                let about = (row.kind, row.state, row.started_at);
                seen.insert((row.node, row.path), about);
            }
        }
        self.seen.push((now, seen));
    }

    fn past(&self, at: Timestamp) -> Past {
        ready(past_at(&self.store, at)).unwrap()
    }

    fn act(&mut self, step: Step) {
        self.hands.advance(Duration::from_millis(20));
        match step {
            // What has moved has one owner.
            Step::Begin(node, path)
                if self.trees[1 - node]
                    .actor(PATHS[path])
                    .is_some_and(|it| it.row.restored_from.is_some()) => {}
            Step::Begin(node, path) => {
                let guard = self.trees[node].enter(PATHS[path], "task");
                self.guards.insert((node, path), guard);
            }
            Step::End(node, path) => drop(self.guards.remove(&(node, path))),
            Step::Move(node, path) => {
                drop(self.guards.remove(&(node, path)));
                let guard = self.trees[1 - node].enter(PATHS[path], "task");
                guard.moved_from(NODES[node]);
                self.guards.insert((1 - node, path), guard);
            }
            Step::Fail(node, path) => {
                if let Some(guard) = self.guards.get(&(node, path)) {
                    guard.failed("no luck");
                    guard.restart();
                }
            }
            Step::Turn(node, path) => {
                if let Some(guard) = self.guards.get(&(node, path)) {
                    guard.set_status(Status::Parked);
                }
            }
            Step::Look => self.look(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Begin(usize, usize),
    End(usize, usize),
    Move(usize, usize),
    Fail(usize, usize),
    Turn(usize, usize),
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    let place = (0_usize..2, 0_usize..5);
    prop_oneof![
        3 => place.clone().prop_map(|(node, path)| Step::Begin(node, path)),
        1 => place.clone().prop_map(|(node, path)| Step::End(node, path)),
        1 => place.clone().prop_map(|(node, path)| Step::Move(node, path)),
        1 => place.clone().prop_map(|(node, path)| Step::Fail(node, path)),
        1 => place.prop_map(|(node, path)| Step::Turn(node, path)),
        2 => Just(Step::Look),
    ]
}

fn rows(past: &Past) -> Rows {
    let mut rows = Rows::new();
    for (node, actors) in &past.nodes {
        for (path, actor) in actors {
            let about = (actor.kind.clone(), actor.state.clone(), actor.started_at);
            rows.insert((node.clone(), path.clone()), about);
        }
    }
    rows
}

/// Carries a diff out.
fn apply(rows: &mut Rows, diff: &TreeDiff) {
    for change in &diff.changes {
        let place = |node: &Option<String>| (node.clone().unwrap(), change.path.clone());
        if matches!(change.change, Change::Ended | Change::Moved) {
            assert!(rows.remove(&place(&change.from)).is_some(), "{change:?}");
        }
        let began = match change.change {
            Change::Ended => continue,
            Change::State => rows[&place(&change.to)].2,
            Change::Began | Change::Moved | Change::Restarted => change.at,
        };
        let about = (change.kind.clone(), change.state.clone().unwrap(), began);
        rows.insert(place(&change.to), about);
    }
}

fn changed(diff: &TreeDiff) -> Vec<(&str, Change)> {
    let changes = diff.changes.iter();
    changes.map(|it| (it.path.as_str(), it.change)).collect()
}

proptest! {
    #[test]
    fn the_past_is_what_was_seen_at_the_last_look(
        steps in proptest::collection::vec(step(), 1..80),
        asked in proptest::collection::vec(0_i64..60_000_000, 1..6),
    ) {
        let mut stage = Stage::new(400);
        stage.look();
        for step in steps.into_iter().chain([Step::Look]) {
            stage.act(step);
        }
        let last = stage.hands.clock().now();
        for asked in asked {
            let moment = at(100).plus(Duration::from_micros(asked.unsigned_abs())).min(last);
            let seen = stage.seen.iter().rev().find(|(at, _)| *at <= moment);
            let told = ready(past_at(&stage.store, moment));
            match (seen, told) {
                (Some((_, expected)), Ok(told)) => prop_assert_eq!(&rows(&told), expected),
                (None, Err(Untold::Forgotten { from })) => {
                    prop_assert_eq!(from, Some(stage.seen[0].0));
                }
                (seen, told) => prop_assert!(false, "{seen:?} {told:?}"),
            }
        }
    }

    #[test]
    fn a_diff_carried_out_on_one_past_gives_the_other(
        steps in proptest::collection::vec(step(), 1..80),
        moments in (0_usize..20, 0_usize..20),
    ) {
        let mut stage = Stage::new(400);
        stage.look();
        for step in steps.into_iter().chain([Step::Look]) {
            stage.act(step);
        }
        let moment = |number: usize| stage.seen[number % stage.seen.len()].0;
        let (one, other) = (moment(moments.0), moment(moments.1));
        let (from, to) = (one.min(other), one.max(other));
        let diff = ready(differ(&stage.store, from, to)).unwrap();
        let mut carried_out = rows(&stage.past(from));
        apply(&mut carried_out, &diff);
        prop_assert_eq!(carried_out, rows(&stage.past(to)));
    }

    #[test]
    fn a_tale_reads_back_as_it_was_written(
        steps in proptest::collection::vec(step(), 0..30),
    ) {
        let mut stage = Stage::new(400);
        let mut changes = stage.trees[0].changes();
        changes.take();
        for step in steps {
            stage.act(step);
        }
        let tale = Tale::new(at(100), changes.take());
        let mut sorted = tale.clone();
        let key = |it: &LifeEvent| (it.at, it.path.clone(), it.what as u8);
        sorted.life.sort_by_key(key);
        let mut read = decode("one", &encode(&tale), &Everything).unwrap();
        read.life.sort_by_key(key);
        prop_assert_eq!(read, sorted);
    }

    #[test]
    fn foreign_bytes_are_refused_and_nothing_worse(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = decode("one", &bytes, &Everything);
        bytes.insert(0, 1);
        let _ = decode("one", &bytes, &Everything);
    }
}

#[test]
fn a_segment_of_a_newer_build_is_refused_by_its_version() {
    let error = decode("one", &[9, 1, 2], &Everything).unwrap_err();
    assert_eq!(error, Unreadable::Version(9));
}

#[test]
fn a_moved_actor_is_told_with_where_it_was_and_why_it_left() {
    let mut stage = Stage::new(400);
    stage.act(Step::Begin(0, 2));
    stage.act(Step::Begin(0, 4));
    stage.look();
    let before = stage.hands.clock().now();
    stage.hands.advance(SECOND);
    let lost_at = stage.hands.clock().now();
    ready(node_lost(
        &stage.store,
        node(0),
        lost_at,
        "its lease ran out",
    ))
    .unwrap();
    ready(node_lost(
        &stage.store,
        node(0),
        lost_at.plus(SECOND),
        "again",
    ))
    .unwrap();
    let guard = stage.trees[1].enter(PATHS[2], "task");
    guard.moved_from("one");
    stage.hands.advance(SECOND);
    let now = stage.hands.clock().now();
    for segment in stage.pens[1].note(now) {
        ready(stage.store.inscribe(&segment)).unwrap();
    }

    let shown = |at| {
        let view = stage.past(at).view(&TreeQuery::default()).nodes.into_iter();
        view.map(|it| (it.node, it.path, it.restored_from))
            .collect::<Vec<_>>()
    };
    let on_one = |path: &str| ("one".to_owned(), path.to_owned(), None);
    assert_eq!(shown(before), [on_one("/tasks/a"), on_one("/x")]);
    let moved = (
        "two".to_owned(),
        "/tasks/a".to_owned(),
        Some("one".to_owned()),
    );
    assert_eq!(shown(now), [moved]);

    let diff = ready(differ(&stage.store, before, now)).unwrap();
    assert_eq!(
        changed(&diff),
        [("/tasks/a", Change::Moved), ("/x", Change::Ended)]
    );
    for change in &diff.changes {
        assert_eq!(change.reason.as_deref(), Some("its lease ran out"));
        assert_eq!(change.from.as_deref(), Some("one"));
    }
    assert_eq!(diff.changes[1].at, lost_at);
    let span = Span {
        nodes: Some(["one".to_owned()].into()),
        ..between(before, now)
    };
    let told = ready(told(&stage.store, &span, &mut unbounded())).events;
    let told: Vec<Life> = told.iter().map(|event| event.what).collect();
    assert_eq!(told, [Life::NodeLost]);
}

#[test]
fn a_restart_is_told_with_its_error_and_a_state_with_its_reason() {
    let mut stage = Stage::new(400);
    stage.act(Step::Begin(0, 2));
    stage.act(Step::Begin(0, 3));
    stage.look();
    let before = stage.hands.clock().now();
    stage.act(Step::Fail(0, 2));
    stage.guards[&(0, 3)].failed("poison");
    stage.act(Step::Turn(0, 3));
    stage.look();
    let diff = ready(differ(&stage.store, before, at(999))).unwrap();
    assert_eq!(
        changed(&diff),
        [("/tasks/a", Change::Restarted), ("/tasks/b", Change::State)]
    );
    let told: Vec<_> = diff.changes.iter().map(|it| it.reason.as_deref()).collect();
    assert_eq!(told, [Some("no luck"), Some("poison")]);
    assert_eq!(diff.changes[1].state.as_deref(), Some("parked"));
}

#[test]
fn an_end_that_was_not_written_yet_at_the_first_moment_is_told_with_its_own_and_why() {
    let mut stage = Stage::new(400);
    stage.act(Step::Begin(0, 2));
    stage.look();
    stage.trees[0].ends_because("/tasks/a", "stopped by ann");
    stage.act(Step::End(0, 2));
    let end = stage.hands.clock().now();
    stage.hands.advance(SECOND / 10);
    let before = stage.hands.clock().now();
    stage.look();
    let diff = ready(differ(&stage.store, before, at(999))).unwrap();
    assert_eq!(changed(&diff), [("/tasks/a", Change::Ended)]);
    let told = (diff.changes[0].at, diff.changes[0].reason.as_deref());
    assert_eq!(told, (end, Some("stopped by ann")));
}

#[test]
fn a_restart_that_somebody_asked_for_is_told_with_who_did() {
    let mut stage = Stage::new(400);
    stage.act(Step::Begin(0, 2));
    stage.look();
    let before = stage.hands.clock().now();
    stage.trees[0].ends_because("/tasks/a", "restarted by ann");
    stage.act(Step::End(0, 2));
    stage.act(Step::Begin(0, 2));
    stage.look();
    let diff = ready(differ(&stage.store, before, at(999))).unwrap();
    assert_eq!(changed(&diff), [("/tasks/a", Change::Restarted)]);
    let told = diff.changes[0].reason.as_deref();
    assert_eq!(told, Some("restarted by ann"));
}

#[test]
fn what_began_again_with_its_node_is_told_with_that_and_with_why_the_node_ended() {
    for stopped in [true, false] {
        let mut stage = Stage::new(400);
        stage.act(Step::Begin(0, 2));
        stage.act(Step::Begin(0, 3));
        stage.act(Step::Fail(0, 2));
        stage.look();
        let before = stage.hands.clock().now();
        stage.act(Step::Fail(0, 2));
        stage.look();
        if stopped {
            let now = stage.hands.clock().now();
            let end = stage.pens[0].end(now);
            ready(stage.store.inscribe(&end)).unwrap();
        }
        stage.hands.advance(SECOND);
        let tree = Tree::new("one", stage.hands.clock());
        let guards = [2, 3].map(|path| tree.enter(PATHS[path], "task"));
        let now = stage.hands.clock().now();
        let mut pen = Pen::new((node(9), "one".to_owned()), tree.changes(), now, 1_000);
        ready(stage.store.inscribe(&pen.note(now)[0])).unwrap();
        let told = || {
            ready(differ(&stage.store, before, at(999)))
                .unwrap()
                .changes
        };
        let whys = || -> Vec<_> {
            let told = told().into_iter();
            told.map(|it| (it.change, it.reason.unwrap_or_default()))
                .collect()
        };
        let why = match stopped {
            true => "its node was restarted: the node stopped",
            false => "its node was restarted",
        };
        let restarted = |why: &str| (Change::Restarted, why.to_owned());
        assert_eq!(whys(), [restarted(why), restarted(why)]);
        // One that fails after that began again because of it.
        stage.hands.advance(SECOND);
        guards[1].failed("poison");
        guards[1].restart();
        let now = stage.hands.clock().now();
        ready(stage.store.inscribe(&pen.note(now)[0])).unwrap();
        assert_eq!(whys(), [restarted(why), restarted("poison")]);
    }
}

#[test]
fn what_stands_below_one_that_moved_moved_with_it() {
    let mut stage = Stage::new(400);
    let was = [
        stage.trees[0].enter("/agents/a", "agent"),
        stage.trees[0].enter("/agents/a/proxy", "agent-proxy"),
        stage.trees[0].enter("/system/proxy", "proxy"),
    ];
    stage.look();
    let before = stage.hands.clock().now();
    drop(was);
    let agent = stage.trees[1].enter("/agents/a", "agent");
    agent.moved_from("one");
    let _rest = [
        stage.trees[1].enter("/agents/a/proxy", "agent-proxy"),
        stage.trees[1].enter("/agents/a/tool", "tool"),
        stage.trees[1].enter("/system/proxy", "proxy"),
    ];
    stage.look();
    let diff = ready(differ(&stage.store, before, at(999))).unwrap();
    let expected = [
        ("/agents/a", Change::Moved),
        ("/agents/a/proxy", Change::Moved),
        ("/agents/a/tool", Change::Began),
        ("/system/proxy", Change::Began),
        ("/system/proxy", Change::Ended),
    ];
    assert_eq!(changed(&diff), expected);
    let proxy = &diff.changes[1];
    let between = (proxy.from.as_deref(), proxy.to.as_deref());
    assert_eq!(between, (Some("one"), Some("two")));
}

#[test]
fn a_node_that_comes_back_under_its_name_stands_once() {
    let mut stage = Stage::new(400);
    stage.act(Step::Begin(0, 4));
    stage.look();
    let tree = Tree::new("one", stage.hands.clock());
    let _guard = tree.enter("/y", "task");
    let now = stage.hands.clock().now().plus(SECOND);
    stage.hands.advance(SECOND);
    let mut pen = Pen::new((node(9), "one".to_owned()), tree.changes(), now, 1_000);
    ready(stage.store.inscribe(&pen.note(now)[0])).unwrap();
    let paths = |at| {
        rows(&stage.past(at))
            .into_keys()
            .map(|(_, path)| path)
            .collect::<Vec<_>>()
    };
    assert_eq!(paths(now), ["/y"]);
    let end = pen.end(now.plus(SECOND));
    ready(stage.store.inscribe(&end)).unwrap();
    assert_eq!(paths(now), ["/y"]);
    assert_eq!(paths(now.plus(SECOND)), [""; 0]);
}

#[test]
fn pages_of_the_past_follow_each_other_over_nodes() {
    let mut stage = Stage::new(400);
    for node in 0..2 {
        for path in 0..5 {
            stage.act(Step::Begin(node, path));
        }
    }
    stage.look();
    let past = stage.past(at(999));
    let mut query = TreeQuery {
        limit: Some(4),
        ..TreeQuery::default()
    };
    let mut shown = Vec::new();
    loop {
        let page = past.view(&query);
        assert_eq!(page.total, 10);
        shown.extend(page.nodes);
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    let whole = past.view(&TreeQuery::default()).nodes;
    assert_eq!(shown, whole);
    let children: Vec<u32> = whole.iter().map(|row| row.children).collect();
    assert_eq!(children, [2, 2, 0, 0, 0, 2, 2, 0, 0, 0]);
    let below = past.view(&TreeQuery {
        path: Some("/tasks".to_owned()),
        node: Some("two".to_owned()),
        depth: Some(0),
        ..TreeQuery::default()
    });
    assert_eq!((below.total, below.nodes.len()), (3, 1));
}

/// What writes the past of a tree into a store.
fn writer(tree: &Tree, store: &Shared) -> ChildSpec {
    let retention = Retention::default();
    chronicle(Setup {
        tree: tree.clone(),
        node: node(0),
        name: "one".to_owned(),
        archive: Arc::new(StoreArchive::new(store.clone(), retention)),
        retention,
    })
}

#[tokio::test(start_paused = true)]
async fn a_chronicle_writes_each_second_and_says_when_its_node_stops() {
    let hands = TestClock::at(at(100));
    let tree = Tree::new("one", hands.clock());
    let store: Shared = Arc::new(Memory::new());
    let spec = Spec::infrastructure(Supervise::OneForOne);
    let root = Supervisor::start(&tree, "/", spec, vec![writer(&tree, &store)], None);
    let root = root.await.unwrap();
    let _guard = tree.enter("/x", "task");
    hands.advance(SECOND);
    while store.last_chapter(node(0)).await.unwrap().is_none() {
        tokio::time::advance(SECOND / 10).await;
        tokio::task::yield_now().await;
    }
    let seen = past_at(&store, at(101)).await.unwrap();
    let paths: Vec<&String> = seen.nodes["one"].keys().collect();
    assert_eq!(paths, ["/", "/chronicle", "/x"]);

    hands.advance(SECOND);
    root.shutdown(SECOND).await.unwrap();
    assert!(past_at(&store, at(102)).await.unwrap().is_empty());
    let told = life_of(&store, at(101), at(102)).await;
    let last = told.last().map(|it| (it.what, it.reason.clone()));
    assert_eq!(
        last,
        Some((Life::Stopped, Some("the node stopped".to_owned())))
    );
}
