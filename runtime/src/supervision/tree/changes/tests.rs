//! What a reader is told, also one that looks seldom, late, or beside others.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    clock::TestClock,
    supervision::{Guard, Status},
};

fn tree() -> (Tree, TestClock) {
    let hands = TestClock::at(Timestamp::from_micros(1_000_000));
    (Tree::new("one", hands.clock()), hands)
}

fn paths(delta: &Delta) -> (Vec<&str>, Vec<&str>) {
    let rows = delta.rows.iter().map(|row| row.path.as_str()).collect();
    (rows, delta.gone.iter().map(String::as_str).collect())
}

fn life(delta: &Delta) -> Vec<(&str, Life)> {
    let events = delta.life.iter();
    events.map(|it| (it.path.as_str(), it.what)).collect()
}

#[test]
fn the_first_look_shows_all_and_the_next_what_changed() {
    let (tree, hands) = tree();
    let a = tree.enter("/a", "task");
    let b = tree.enter("/b", "task");
    let mut changes = tree.changes();
    let first = changes.take();
    assert!(first.reset && first.life.is_empty());
    assert_eq!(paths(&first), (vec!["/a", "/b"], vec![]));
    let nothing = changes.take();
    assert!(!nothing.reset);
    assert_eq!(paths(&nothing), (vec![], vec![]));

    hands.advance(Duration::from_secs(1));
    let _c = tree.enter("/c", "task");
    b.set_status(Status::Parked);
    drop(a);
    let next = changes.take();
    assert_eq!(paths(&next), (vec!["/b", "/c"], vec!["/a"]));
    assert_eq!(next.rows[0].state, "parked");
    let mut told = life(&next);
    told.sort_unstable_by_key(|(path, _)| path.to_owned());
    let expected = [
        ("/a", Life::Stopped),
        ("/b", Life::Parked),
        ("/c", Life::Started),
    ];
    assert_eq!(told, expected);
    assert!(next.life.iter().all(|it| it.at == next.at));
}

#[test]
fn an_end_that_somebody_asked_for_is_told_with_who_did() {
    let (tree, _) = tree();
    let (a, b) = (tree.enter("/a", "task"), tree.enter("/b", "task"));
    let mut changes = tree.changes();
    changes.take();
    tree.ends_because("/a", "restarted by ann: Bearer 0123456789abcdef");
    tree.ends_because("/nothing", "restarted by ann");
    drop((a, b));
    let mut told = changes.take().life;
    told.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    let told: Vec<_> = told
        .iter()
        .map(|it| (it.what, it.reason.as_deref()))
        .collect();
    let why = Some("restarted by ann: Bearer [redacted]");
    assert_eq!(told, [(Life::Stopped, why), (Life::Stopped, None)]);
}

#[test]
fn each_of_several_ends_that_somebody_asked_for_between_two_looks_is_told_in_order() {
    let (tree, hands) = tree();
    let first = tree.enter("/a", "task");
    let mut changes = tree.changes();
    let mut late = tree.changes();
    changes.take();
    late.take();
    let mut standing = Some(first);
    for why in ["killed by ann", "killed by bob", "restarted by cid"] {
        hands.advance(Duration::from_millis(100));
        tree.ends_because("/a", why);
        drop(standing.take());
        standing = Some(tree.enter("/a", "task"));
    }
    let whys = |delta: &Delta| {
        let told = delta.life.iter();
        let told = told.map(|it| (it.what, it.reason.clone().unwrap_or_default()));
        told.collect::<Vec<_>>()
    };
    let (stopped, started) = (
        |why: &str| (Life::Stopped, why.to_owned()),
        (Life::Started, String::new()),
    );
    let expected = [
        stopped("killed by ann"),
        started.clone(),
        stopped("killed by bob"),
        started.clone(),
        stopped("restarted by cid"),
        started.clone(),
    ];
    let seen = changes.take();
    assert_eq!(paths(&seen), (vec!["/a"], vec![]));
    assert_eq!(whys(&seen), expected);
    // Of one that was not there before, and is not there now, too.
    tree.enter("/b", "task");
    let brief = tree.enter("/c", "task");
    tree.ends_because("/c", "stopped by dan");
    drop(brief);
    let seen = changes.take();
    assert_eq!(paths(&seen), (vec![], vec![]));
    assert_eq!(whys(&seen), [started.clone(), stopped("stopped by dan")]);
    let all = [&expected[..], &[started, stopped("stopped by dan")]].concat();
    assert_eq!(whys(&late.take()), all);
}

#[test]
fn of_many_ends_between_two_looks_none_is_left_out() {
    let (tree, _) = tree();
    let mut standing = Some(tree.enter("/a", "task"));
    let mut changes = tree.changes();
    changes.take();
    let whys: Vec<String> = (0..40).map(|number| format!("act {number}")).collect();
    for why in &whys {
        tree.ends_because("/a", why);
        drop(standing.take());
        standing = Some(tree.enter("/a", "task"));
        // Others look at what is new meanwhile.
        tree.changes().take();
    }
    let life = changes.take().life.into_iter();
    let told: Vec<String> = life.filter_map(|turn| turn.reason).collect();
    assert_eq!(told, whys);
}

#[test]
fn what_began_and_ended_between_two_looks_leaves_nothing_unless_it_failed() {
    let (tree, _) = tree();
    let mut quick = tree.changes();
    let mut slow = tree.changes();
    quick.take();
    slow.take();
    drop(tree.enter("/unseen", "task"));
    let failing = tree.enter("/failed", "task");
    failing.failed("no luck");
    drop(failing);
    let brief = tree.enter("/brief", "task");

    let seen = quick.take();
    assert_eq!(paths(&seen), (vec!["/brief"], vec![]));
    let of_failed = [("/failed", Life::Started), ("/failed", Life::Failed)];
    assert!(
        of_failed.iter().all(|it| life(&seen).contains(it)),
        "{seen:?}"
    );
    drop(brief);
    assert_eq!(paths(&quick.take()), (vec![], vec!["/brief"]));

    let seen = slow.take();
    assert_eq!(paths(&seen), (vec![], vec![]));
    assert_eq!(life(&seen), of_failed);
}

#[test]
fn a_parent_is_told_of_again_when_its_children_are_more_or_fewer() {
    let (tree, _) = tree();
    let _root = tree.enter("/", "supervisor");
    let _tasks = tree.enter("/tasks", "supervisor");
    let mut changes = tree.changes();
    assert_eq!(changes.take().rows[0].children, 1);
    let one = tree.enter("/tasks/1", "task");
    let _two = tree.enter("/tasks/2", "task");
    let told = changes.take();
    assert_eq!(paths(&told).0, ["/tasks", "/tasks/1", "/tasks/2"]);
    assert_eq!(told.rows[0].children, 2);
    drop(one);
    assert_eq!(changes.take().rows[0].children, 1);
}

#[test]
fn a_row_that_takes_anothers_place_is_told_with_the_others_end() {
    let (tree, _) = tree();
    let former = tree.enter("/a", "task");
    let mut changes = tree.changes();
    changes.take();
    let _latter = tree.enter("/a", "tool");
    drop(former);
    let told = changes.take();
    assert_eq!(paths(&told), (vec!["/a"], vec![]));
    assert_eq!(told.rows[0].kind, "tool");
    let kinds: Vec<_> = told
        .life
        .iter()
        .map(|it| (it.kind.as_str(), it.what))
        .collect();
    assert!(kinds.contains(&("task", Life::Stopped)) && kinds.contains(&("tool", Life::Started)));
}

#[test]
fn an_actor_that_was_elsewhere_moves_rather_than_starts() {
    let (tree, _) = tree();
    let mut changes = tree.changes();
    changes.take();
    let guard = tree.enter("/tasks/1", "task");
    guard.moved_from("two");
    let told = changes.take();
    assert_eq!(life(&told), [("/tasks/1", Life::Moved)]);
    assert_eq!(told.life[0].restored_from.as_deref(), Some("two"));
    assert_eq!(told.rows[0].restored_from.as_deref(), Some("two"));
    let view = tree.actor("/tasks/1").unwrap();
    assert_eq!(view.life, told.life);
}

#[test]
fn a_reader_that_is_too_far_behind_gets_all_rows() {
    let (tree, _) = tree();
    let guard = tree.enter("/a", "task");
    let mut slow = tree.changes();
    let mut quick = tree.changes();
    slow.take();
    quick.take();
    for turn in 0..=LOGGED_AT_MOST {
        guard.set_status(Status::ALL[turn % 2]);
        if turn % 2 == 0 {
            assert!(!quick.take().reset);
        }
        quick.take();
    }
    let told = slow.take();
    assert!(told.reset);
    assert_eq!(paths(&told).0, ["/a"]);
    assert!(tree.0.log.folded().order.len() <= LOGGED_AT_MOST);
}

#[test]
fn who_follows_lives_alone_is_given_no_rows() {
    let (tree, _) = tree();
    let _first = tree.enter("/a", "task");
    let mut changes = tree.changes();
    let told = changes.take_life();
    assert_eq!((told.reset, told.rows.len()), (true, 0));
    let _second = tree.enter("/b", "task");
    let told = changes.take_life();
    assert_eq!((told.reset, told.rows.len()), (false, 0));
    assert_eq!(life(&told), [("/b", Life::Started)]);
    assert_eq!(changes.take().life, []);
}

#[test]
fn what_is_left_beyond_bounds_is_made_good_by_all_rows() {
    let (tree, _) = tree();
    let mut changes = tree.changes();
    changes.take();
    let guards: Vec<Guard> = (0..PLACES * LEFT_AT_MOST + 1)
        .map(|number| tree.enter(format!("/{number}"), "task"))
        .collect();
    let told = changes.take();
    assert!(told.reset);
    assert_eq!(told.rows.len(), guards.len());
    drop(guards);
    let _last = tree.enter("/last", "task");
    let told = changes.take();
    assert!(told.reset);
    assert_eq!(paths(&told).0, ["/last"]);
}

#[test]
fn a_reader_goes_on_where_it_was_and_a_stale_cursor_does_not() {
    let (tree, hands) = tree();
    let mut changes = tree.changes();
    let cursor = changes.take().cursor;
    let _a = tree.enter("/a", "task");
    let told = tree.changes_since(cursor).take();
    assert!(!told.reset);
    assert_eq!(paths(&told).0, ["/a"]);
    drop(changes);
    assert!(!tree.0.log.is_read());
    hands.advance(Duration::from_secs(1));
    assert!(tree.changes_since(cursor).take().reset);
}

/// What may happen to the actor of one of a few paths.
#[derive(Debug, Clone, Copy)]
enum Step {
    Begin(usize),
    End(usize),
    Turn(usize, usize),
    Fail(usize),
    Look(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let path = 0_usize..5;
    prop_oneof![
        path.clone().prop_map(Step::Begin),
        path.clone().prop_map(Step::End),
        (path.clone(), 0_usize..7).prop_map(|(path, status)| Step::Turn(path, status)),
        path.prop_map(Step::Fail),
        (0_usize..2).prop_map(Step::Look),
    ]
}

const PATHS: [&str; 5] = ["/", "/a", "/a/x", "/a/y", "/b"];

proptest! {
    #[test]
    fn rows_kept_by_deltas_are_the_rows_of_a_snapshot(
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let (tree, _) = tree();
        let mut guards: [Option<Guard>; 5] = Default::default();
        let mut readers = [tree.changes(), tree.changes()];
        let mut kept: [BTreeMap<String, TreeNode>; 2] = Default::default();
        let looks = [Step::Look(0), Step::Look(1)];
        for step in steps.into_iter().chain(looks) {
            match step {
                Step::Begin(at) => guards[at] = Some(tree.enter(PATHS[at], "task")),
                Step::End(at) => guards[at] = None,
                Step::Turn(at, status) => {
                    if let Some(guard) = &guards[at] {
                        guard.set_status(Status::ALL[status]);
                    }
                }
                Step::Fail(at) => {
                    if let Some(guard) = &guards[at] {
                        guard.failed("no luck");
                        guard.restart();
                    }
                }
                Step::Look(who) => {
                    let delta = readers[who].take();
                    if delta.reset {
                        kept[who].clear();
                    }
                    for path in &delta.gone {
                        prop_assert!(!delta.rows.iter().any(|row| row.path == *path));
                        kept[who].remove(path);
                    }
                    for row in delta.rows {
                        kept[who].insert(row.path.clone(), row);
                    }
                    let view = tree.snapshot("/", None);
                    let rows: Vec<TreeNode> = kept[who].values().cloned().collect();
                    prop_assert_eq!(rows, view.nodes);
                }
            }
        }
    }
}

#[test]
fn who_was_told_some_turns_of_a_look_is_told_the_others_and_no_more() {
    let (tree, hands) = tree();
    let standing = tree.enter("/stands", "task");
    let mut changes = tree.changes();
    changes.take();
    hands.advance(Duration::from_secs(1));
    let guards: Vec<_> = (0..5)
        .map(|number| tree.enter(format!("/x/{number}"), "task"))
        .collect();
    guards[3].failed("no luck");
    guards[3].restart();
    standing.failed("none either");
    let delta = changes.take();
    let mut told: Vec<_> = delta.marks.iter().zip(&delta.life).collect();
    told.sort_by_key(|(mark, _)| **mark);
    assert!(told.len() >= 8, "{told:?}");
    assert!(told.iter().all(|(mark, _)| **mark <= delta.cursor));
    // One that ends before anybody asks again takes none of it back.
    drop(guards);
    for (count, (mark, _)) in told.iter().enumerate() {
        let rest = tree.changes_since(**mark).take();
        assert!(!rest.reset);
        let of_look = rest.marks.iter().filter(|mark| **mark <= delta.cursor);
        let is_left = |mark: &u64| told[count + 1..].iter().any(|(other, _)| *other == mark);
        let left: Vec<_> = of_look.collect();
        assert!(left.iter().all(|mark| is_left(mark)), "{mark}: {rest:?}");
    }
}

#[test]
fn who_takes_a_place_is_told_after_who_left_it() {
    let (tree, hands) = tree();
    let enter = |number: u32| tree.enter(format!("/{number}"), "task");
    let former: Vec<Guard> = (0..64).map(enter).collect();
    let mut changes = tree.changes();
    changes.take();
    hands.advance(Duration::from_secs(1));
    drop(former);
    let _latter: Vec<Guard> = (0..64).map(enter).collect();
    let delta = changes.take_life();
    let mut told: Vec<_> = delta.marks.iter().zip(&delta.life).collect();
    told.sort_unstable_by_key(|(mark, _)| **mark);
    for number in 0..64 {
        let path = format!("/{number}");
        let of = told.iter().filter(|(_, event)| event.path == path);
        let what: Vec<Life> = of.map(|(_, event)| event.what).collect();
        assert_eq!(what, [Life::Stopped, Life::Started], "{path}");
    }
}
