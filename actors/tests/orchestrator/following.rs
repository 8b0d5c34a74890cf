//! What becomes of the tree, as every node tells it.

use std::time::Duration;

use actors::{
    Orchestrator,
    orchestrator::{Feed, LifeFrame, Told},
};
use futures_util::StreamExt;
use protocol::{
    api::{Life, LifeEvent, LifeQuery, TreeDelta},
    time::Timestamp,
};
use tokio::time::Instant;

use crate::{
    net::Trouble,
    nodes::{Nodes, within},
};

/// As much as may lie between a change and its frame.
const SOON: Duration = Duration::from_secs(1);

async fn next<T>(feed: &mut Feed<T>) -> Told<T> {
    within(feed.next()).await.unwrap()
}

/// The first frame that is as expected; others, of what nodes do beside, are passed over.
async fn find(
    feed: &mut Feed<TreeDelta>,
    is_expected: impl Fn(&TreeDelta) -> bool,
) -> Told<TreeDelta> {
    loop {
        let told = next(feed).await;
        if is_expected(&told.what) {
            return told;
        }
    }
}

fn shows(delta: &TreeDelta, node: &str, path: &str) -> bool {
    delta.node == node && delta.rows.iter().any(|row| row.path == path)
}

fn drops(delta: &TreeDelta, node: &str, path: &str) -> bool {
    delta.node == node && delta.gone.iter().any(|gone| gone == path)
}

/// The next turn of a life, with the cursor after it.
async fn turn(feed: &mut Feed<LifeFrame>) -> (String, LifeEvent) {
    loop {
        let Told { cursor, what } = feed.next().await.unwrap();
        match what {
            LifeFrame::Turn(event) => return (cursor, event),
            LifeFrame::Gap(_) | LifeFrame::Mark => {}
        }
    }
}

impl Nodes {
    async fn watch(&self, node: &Orchestrator, cursor: Option<&str>) -> Feed<TreeDelta> {
        let feed = node.follow_tree(&self.admin, Some("/x"), cursor);
        within(feed).await.unwrap()
    }

    /// A feed on this node that has told of every node, and the cursor it stands at.
    async fn caught_up(&self, node: &Orchestrator) -> (Feed<TreeDelta>, String) {
        let mut feed = self.watch(node, None).await;
        let (mut told, mut cursor) = (Vec::new(), String::new());
        while told.len() < 3 {
            let frame = next(&mut feed).await;
            assert!(frame.what.reset, "{frame:?}");
            told.push(frame.what.node);
            cursor = frame.cursor;
        }
        told.sort();
        assert_eq!(told, ["a", "b", "c"]);
        (feed, cursor)
    }
}

#[tokio::test(start_paused = true)]
async fn each_node_tells_all_its_rows_first_and_then_what_changes_within_a_second() {
    let nodes = Nodes::start().await;
    let standing = nodes.b.actors().enter("/x/stands", "tool");
    for node in [&nodes.a, &nodes.c] {
        let mut feed = nodes.watch(node, None).await;
        find(&mut feed, |it| it.reset && shows(it, "b", "/x/stands")).await;
        for (name, changed) in [("a", &nodes.a), ("b", &nodes.b), ("c", &nodes.c)] {
            let began = Instant::now();
            let guard = changed.actors().enter("/x/new", "tool");
            find(&mut feed, |it| shows(it, name, "/x/new")).await;
            assert!(began.elapsed() <= SOON, "{:?}", began.elapsed());
            drop(guard);
            find(&mut feed, |it| drops(it, name, "/x/new")).await;
        }
    }
    drop(standing);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_is_told_what_was_missed_whichever_node_is_asked() {
    let nodes = Nodes::start().await;
    let _stands = nodes.c.actors().enter("/x/stands", "tool");
    let (feed, cursor) = nodes.caught_up(&nodes.a).await;
    drop(feed);
    let _missed = nodes.b.actors().enter("/x/missed", "tool");
    let mut again = nodes.watch(&nodes.c, Some(&cursor)).await;
    let frame = next(&mut again).await;
    assert!(!frame.what.reset, "{frame:?}");
    assert!(shows(&frame.what, "b", "/x/missed"), "{frame:?}");
    let mut feed = nodes.watch(&nodes.c, Some("a=1,b=2,c=3")).await;
    find(&mut feed, |it| it.reset && shows(it, "b", "/x/missed")).await;
    let nonsense = nodes
        .c
        .follow_tree(&nodes.admin, Some("/x"), Some("nonsense"));
    assert!(
        within(nonsense).await.is_err(),
        "it is no place to go on at"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_not_heard_of_loses_its_rows_and_tells_them_anew_when_it_is_back() {
    let nodes = Nodes::start().await;
    let _stands = nodes.b.actors().enter("/x/stands", "tool");
    let (mut feed, cursor) = nodes.caught_up(&nodes.a).await;
    let lost = Instant::now();
    nodes.net.trouble(nodes.id(&nodes.b), Trouble::Cut);
    let void = find(&mut feed, |it| it.node == "b").await;
    assert!(void.what.reset && void.what.rows.is_empty(), "{void:?}");
    assert!(lost.elapsed() <= 2 * SOON, "{:?}", lost.elapsed());
    assert!(cursor.contains("b=") && !void.cursor.contains("b="));
    nodes.net.heal(nodes.id(&nodes.b));
    find(&mut feed, |it| it.reset && shows(it, "b", "/x/stands")).await;
    // Who knew rows of a node that is no member any more hears that they are gone.
    nodes.outlives("gone").await;
    let mut other = nodes.watch(&nodes.a, Some("gone=7")).await;
    let void = find(&mut other, |it| it.node == "gone").await;
    assert!(void.what.reset && void.what.rows.is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_a_node_that_never_was_a_cursor_brings_nothing() {
    let nodes = Nodes::start().await;
    nodes.outlives("gone").await;
    for node in [&nodes.a, &nodes.c] {
        let mut feed = nodes.watch(node, Some("gone=7,zz=1")).await;
        let void = find(&mut feed, |it| it.node == "gone").await;
        assert!(void.what.reset && void.what.rows.is_empty());
        let forgets = async {
            loop {
                let _noise = nodes.b.actors().enter("/x/noise", "tool");
                let frame = next(&mut feed).await;
                assert_ne!(frame.what.node, "zz");
                if !frame.cursor.contains("zz=") {
                    return;
                }
            }
        };
        within(forgets).await;

        let life = LifeQuery::default();
        let feed = node.follow_life(&nodes.admin, &life, Some("gone=7,zz=1"));
        let mut feed = within(feed).await.unwrap();
        let (_, lost) = within(turn(&mut feed)).await;
        assert_eq!((lost.node.as_str(), lost.what), ("gone", Life::NodeLost));
        let ends = async {
            loop {
                let _noise = nodes.b.actors().enter("/x/noise", "tool");
                let (_, event) = turn(&mut feed).await;
                assert_ne!(event.node, "zz");
                if event.path == "/x/noise" {
                    return;
                }
            }
        };
        within(ends).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_loss_of_a_node_is_told_to_who_follows_as_its_past_tells_it() {
    let nodes = Nodes::start().await;
    nodes.loses("gone").await;
    let query = LifeQuery {
        kind: Some("node_lost".to_owned()),
        ..LifeQuery::default()
    };
    for node in [&nodes.a, &nodes.c] {
        let of_it = LifeQuery {
            node: Some("gone".to_owned()),
            ..query.clone()
        };
        let kept = within(node.life(&nodes.admin, &of_it)).await.unwrap();
        let feed = node.follow_life(&nodes.admin, &query, Some("gone=7"));
        let mut feed = within(feed).await.unwrap();
        let (_, lost) = within(turn(&mut feed)).await;
        assert_eq!(kept.items, [lost]);
    }
}

#[tokio::test(start_paused = true)]
async fn turns_of_lives_are_told_as_they_are_asked_for() {
    let nodes = Nodes::start().await;
    let query = LifeQuery {
        path: Some("/x/**".to_owned()),
        kind: Some("failed".to_owned()),
        ..LifeQuery::default()
    };
    let feed = within(nodes.c.follow_life(&nodes.admin, &query, None)).await;
    let mut feed: Feed<LifeFrame> = feed.unwrap();
    let other = nodes.a.actors().enter("/y", "tool");
    let guard = nodes.b.actors().enter("/x/1", "tool");
    // It is told from now on, and when that is shows at the first turn that comes.
    let heard = async {
        loop {
            other.failed("nobody asked");
            guard.failed("boom");
            tokio::select! {
                told = turn(&mut feed) => break told,
                () = tokio::time::advance(SOON) => {}
            }
        }
    };
    let (cursor, what) = within(heard).await;
    assert_eq!((what.what, what.path.as_str()), (Life::Failed, "/x/1"));
    assert_eq!(
        (what.node.as_str(), what.reason.as_deref()),
        ("b", Some("boom"))
    );
    assert!(cursor.contains("b="));
    for (path, kind) in [("x", "task"), ("/x", ""), ("/x", ",")] {
        let wrong = LifeQuery {
            path: Some(path.to_owned()),
            kind: Some(kind.to_owned()),
            ..LifeQuery::default()
        };
        let refused = within(nodes.c.follow_life(&nodes.admin, &wrong, None)).await;
        assert!(refused.is_err(), "{path} {kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_of_lives_is_listed_and_comes_first_for_who_follows_from_then_on() {
    let nodes = Nodes::start().await;
    let guard = nodes.b.actors().enter("/x/1", "tool");
    // The past begins with what stands, and not with how that came.
    let node = nodes.id(&nodes.b);
    let begun = async {
        while nodes.store.last_chapter(node).await.unwrap().is_none() {
            tokio::time::advance(SOON / 4).await;
        }
    };
    within(begun).await;
    let began = nodes.b.actors().clock().now();
    let began = Timestamp::from_micros(began.as_micros() - 1);
    guard.failed("first");
    let query = LifeQuery {
        path: Some("/x/*".to_owned()),
        kind: Some("failed,tool".to_owned()),
        from: Some(began),
        ..LifeQuery::default()
    };
    let kept = async {
        loop {
            let page = nodes.c.life(&nodes.admin, &query).await.unwrap();
            if let Some(event) = page.items.first() {
                assert_eq!(page.total, Some(1));
                return event.clone();
            }
            tokio::time::advance(SOON / 4).await;
        }
    };
    let event = within(kept).await;
    assert_eq!(
        (event.node.as_str(), event.reason.as_deref()),
        ("b", Some("first"))
    );
    guard.failed("second");
    let feed = nodes.c.follow_life(&nodes.admin, &query, None);
    let mut feed = within(feed).await.unwrap();
    let (cursor, first) = within(turn(&mut feed)).await;
    assert_eq!((cursor.as_str(), &first), ("", &event));
    let (_, second) = within(turn(&mut feed)).await;
    assert_eq!(second.reason.as_deref(), Some("second"));
    guard.failed("third");
    let (cursor, third) = within(turn(&mut feed)).await;
    assert_eq!(third.reason.as_deref(), Some("third"));
    assert!(cursor.contains("b="), "{cursor}");
    let last = LifeQuery {
        limit: Some(1),
        to: Some(nodes.b.actors().clock().now()),
        ..query
    };
    let page = within(nodes.c.life(&nodes.admin, &last)).await.unwrap();
    assert_eq!(page.items.len(), 1);
    let node = LifeQuery {
        node: Some("a".to_owned()),
        ..last
    };
    let page = within(nodes.c.life(&nodes.admin, &node)).await.unwrap();
    assert_eq!(page.items, []);
}

impl Nodes {
    /// A feed on what fails below `/x`, and the cursor of a first turn there.
    async fn failing(&self, guard: &runtime::supervision::Guard) -> (Feed<LifeFrame>, String) {
        let mut feed = self.failures(None).await;
        let heard = async {
            loop {
                guard.failed("begin");
                tokio::select! {
                    (cursor, _) = turn(&mut feed) => break cursor,
                    () = tokio::time::advance(SOON) => {}
                }
            }
        };
        let cursor = within(heard).await;
        // What was told meanwhile is not of interest.
        tokio::time::advance(2 * SOON).await;
        (feed, cursor)
    }

    async fn failures(&self, cursor: Option<&str>) -> Feed<LifeFrame> {
        let query = LifeQuery {
            path: Some("/x/**".to_owned()),
            kind: Some("failed".to_owned()),
            ..LifeQuery::default()
        };
        let feed = self.c.follow_life(&self.admin, &query, cursor);
        within(feed).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_among_the_turns_of_one_look_is_told_the_rest_once() {
    let nodes = Nodes::start().await;
    let guard = nodes.b.actors().enter("/x/0", "tool");
    let (feed, _) = nodes.failing(&guard).await;
    drop(feed);
    let (mut feed, mut cursor) = nodes.failing(&guard).await;
    let guards: Vec<_> = (1..6)
        .map(|number| nodes.b.actors().enter(format!("/x/{number}"), "tool"))
        .collect();
    guards.iter().for_each(|guard| guard.failed("all at once"));
    let mut paths = Vec::new();
    while paths.len() < 5 {
        let (after, event) = within(turn(&mut feed)).await;
        if event.reason.as_deref() == Some("all at once") {
            paths.push(event.path);
            // Each connection ends after one of them.
            cursor = after;
            drop(feed);
            feed = nodes.failures(Some(&cursor)).await;
        }
    }
    paths.sort();
    assert_eq!(paths, ["/x/1", "/x/2", "/x/3", "/x/4", "/x/5"]);
    guard.failed("the last");
    let (_, last) = within(turn(&mut feed)).await;
    assert_eq!(last.reason.as_deref(), Some("the last"), "{cursor}");
}

#[tokio::test(start_paused = true)]
async fn what_is_missed_for_too_long_is_told_as_a_gap_and_a_short_silence_is_made_good() {
    let nodes = Nodes::start().await;
    let guard = nodes.b.actors().enter("/x/0", "tool");
    let (mut feed, _) = nodes.failing(&guard).await;
    nodes.net.trouble(nodes.id(&nodes.b), Trouble::Cut);
    tokio::time::advance(4 * SOON).await;
    guard.failed("unheard");
    nodes.net.heal(nodes.id(&nodes.b));
    let unheard = async {
        loop {
            match feed.next().await.unwrap().what {
                LifeFrame::Turn(event) if event.reason.as_deref() == Some("unheard") => break,
                LifeFrame::Turn(_) | LifeFrame::Mark => {}
                LifeFrame::Gap(gap) => panic!("{gap:?}"),
            }
        }
    };
    within(unheard).await;
    let mut stale = nodes.failures(Some("b=7")).await;
    let gap = async {
        loop {
            if let LifeFrame::Gap(gap) = stale.next().await.unwrap().what {
                break gap.node;
            }
        }
    };
    assert_eq!(within(gap).await, "b");
}

#[tokio::test(start_paused = true)]
async fn who_is_told_nothing_for_long_still_learns_how_far_it_is() {
    let nodes = Nodes::start().await;
    let mut feed = nodes.failures(None).await;
    let _noise = nodes.b.actors().enter("/y", "tool");
    let told = within(feed.next()).await.unwrap();
    assert_eq!(told.what, LifeFrame::Mark);
    assert!(!told.cursor.is_empty());
}
