//! How a tree comes down.

use std::time::Duration;

use tokio::time::Instant;

use super::fixture::{Order, SECOND, eager, hold, ping, root, stage, tree};
use crate::supervision::{
    ChildSpec, Overdue, Restart, Shutdown, Strategy, SupervisorRef, Tree, branch,
};

async fn start(tree: &Tree, children: Vec<ChildSpec>) -> SupervisorRef {
    root(tree, eager(Strategy::OneForOne), children).await
}

#[tokio::test(start_paused = true)]
async fn a_tree_comes_down_in_reverse_order_and_leaves_nothing() {
    let (tree, (stage, mut log)) = (tree(), stage());
    let (inner, [_, _]) = stage.troupe(["b", "c"]);
    let (first, _) = stage.puppet("a", Restart::Permanent);
    let (middle, handle) = branch("inner", eager(Strategy::OneForAll), inner);
    let (last, _) = stage.puppet("d", Restart::Temporary);
    let root = start(&tree, vec![first, middle, last]).await;
    log.expect(&["a up", "b up", "c up", "d up"]).await;
    let kinds = tree.snapshot("/", None).nodes;
    let paths: Vec<&str> = kinds.iter().map(|node| node.path.as_str()).collect();
    assert_eq!(paths, ["/", "/a", "/d", "/inner", "/inner/b", "/inner/c"]);

    root.shutdown(60 * SECOND).await.unwrap();
    log.expect(&["d down", "c down", "b down", "a down"]).await;
    assert!(tree.is_empty(), "{:?}", tree.snapshot("/", None));
    assert!(!root.is_running() && !handle.is_running());
    root.shutdown(SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_stop_in_its_time_is_killed_and_the_next_one_is_stopped() {
    let (tree, (stage, mut log)) = (tree(), stage());
    let (children, [_, b, c]) = stage.troupe(["a", "b", "c"]);
    let limited = |spec: ChildSpec| spec.shutdown(Shutdown::Within(2 * SECOND));
    let root = start(&tree, children.into_iter().map(limited).collect()).await;
    log.expect(&["a up", "b up", "c up"]).await;
    // One hangs while it cleans up, the other in the message it handles.
    b.cast(Order::HangAtStop).unwrap();
    ping(&b).await;
    hold(&c).await;

    let before = Instant::now();
    root.shutdown(60 * SECOND).await.unwrap();
    assert_eq!(before.elapsed(), 4 * SECOND);
    log.expect(&["b down", "a down"]).await;
    assert!(tree.is_empty() && log.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_to_be_killed_cleans_nothing_up() {
    let (stage, mut log) = stage();
    let (spec, _) = stage.puppet("a", Restart::Permanent);
    let root = start(&tree(), vec![spec.shutdown(Shutdown::Kill)]).await;
    root.shutdown(SECOND).await.unwrap();
    log.expect(&["a up"]).await;
    assert!(log.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_takes_too_long_kills_what_is_left() {
    let (tree, (stage, mut log)) = (tree(), stage());
    let (children, [a, b]) = stage.troupe(["a", "b"]);
    let (inner, _) = branch("inner", eager(Strategy::OneForOne), children);
    let root = start(&tree, vec![inner]).await;
    log.expect(&["a up", "b up"]).await;
    hold(&b).await;
    let cells = [a.cell().unwrap(), b.cell().unwrap()];

    let before = Instant::now();
    assert_eq!(root.shutdown(3 * SECOND).await, Err(Overdue));
    assert!(before.elapsed() < 3 * SECOND + Duration::from_millis(10));
    for cell in cells {
        cell.wait(None).await.unwrap();
    }
    tokio::task::yield_now().await;
    assert!(tree.is_empty(), "{:?}", tree.snapshot("/", None));
}

#[tokio::test(start_paused = true)]
async fn children_that_fail_while_they_are_stopped_are_not_restarted() {
    let (tree, (stage, mut log)) = (tree(), stage());
    let (children, [a, b]) = stage.troupe(["a", "b"]);
    let root = start(&tree, children).await;
    for address in [&a, &b] {
        address.cast(Order::FailAtStop).unwrap();
        ping(address).await;
    }
    root.shutdown(SECOND).await.unwrap();
    log.expect(&["a up", "b up", "b down", "a down"]).await;
    assert!(tree.is_empty() && log.is_quiet());
}
