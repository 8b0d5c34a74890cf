//! Who restarts with whom, who stays down, and what callers may change meanwhile.

use super::fixture::{Order, eager, ping, root, stage, tree};
use crate::supervision::{Backoff, Intensity, Rejection, Restart, Spec, Status, Strategy};

#[tokio::test(start_paused = true)]
async fn one_for_one_restarts_only_the_failed_child() {
    let (stage, mut log) = stage();
    let (children, [a, b, c]) = stage.troupe(["a", "b", "c"]);
    let _root = root(&tree(), eager(Strategy::OneForOne), children).await;
    log.expect(&["a up", "b up", "c up"]).await;

    b.cast(Order::Fail).unwrap();
    log.expect(&["b up"]).await;
    assert_eq!([ping(&a).await, ping(&b).await, ping(&c).await], [1, 2, 1]);
    assert!(log.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn one_for_all_stops_siblings_in_reverse_and_starts_all_in_order() {
    let (stage, mut log) = stage();
    let (children, [a, b, c]) = stage.troupe(["a", "b", "c"]);
    let _root = root(&tree(), eager(Strategy::OneForAll), children).await;
    log.expect(&["a up", "b up", "c up"]).await;

    b.cast(Order::Panic).unwrap();
    log.expect(&["c down", "a down", "a up", "b up", "c up"])
        .await;
    assert_eq!([ping(&a).await, ping(&b).await, ping(&c).await], [2, 2, 2]);
    assert!(log.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_leaves_those_before_the_failed_child_alone() {
    let (stage, mut log) = stage();
    let (children, [a, b, c]) = stage.troupe(["a", "b", "c"]);
    let _root = root(&tree(), eager(Strategy::RestForOne), children).await;
    log.expect(&["a up", "b up", "c up"]).await;

    b.cast(Order::Fail).unwrap();
    log.expect(&["c down", "b up", "c up"]).await;
    assert_eq!([ping(&a).await, ping(&b).await, ping(&c).await], [1, 2, 2]);
    assert!(log.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_transient_child_restarts_after_a_failure_and_stays_down_after_a_normal_end() {
    let (stage, mut log) = stage();
    let (spec, address) = stage.puppet("a", Restart::Transient);
    let root = root(&tree(), eager(Strategy::OneForOne), vec![spec]).await;
    address.cast(Order::Fail).unwrap();
    log.expect(&["a up", "a up"]).await;

    address.cast(Order::Stop).unwrap();
    log.expect(&["a down"]).await;
    let [child] = &root.which().await.unwrap()[..] else {
        panic!("a child that is down is still a child");
    };
    assert_eq!(child.status, Status::Stopped);
    assert!(!address.is_running() && log.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_permanent_child_restarts_after_a_normal_end_too() {
    let (stage, mut log) = stage();
    let (children, [a]) = stage.troupe(["a"]);
    let _root = root(&tree(), eager(Strategy::OneForOne), children).await;
    a.cast(Order::Stop).unwrap();
    log.expect(&["a up", "a down", "a up"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_leaves_however_it_ends() {
    for order in [Order::Stop, Order::Fail, Order::Panic] {
        let (tree, (stage, _log)) = (tree(), stage());
        let (spec, address) = stage.puppet("a", Restart::Temporary);
        let root = root(&tree, eager(Strategy::OneForAll), vec![spec]).await;
        let cell = address.cell().unwrap();
        address.cast(order).unwrap();
        cell.wait(None).await.unwrap();
        assert_eq!(root.which().await, Ok(vec![]));
        assert_eq!(tree.len(), 1, "only the supervisor is left");
    }
}

#[tokio::test(start_paused = true)]
async fn children_come_and_go_while_the_supervisor_runs() {
    let (tree, (stage, mut log)) = (tree(), stage());
    let root = root(&tree, eager(Strategy::OneForOne), vec![]).await;
    let (spec, address) = stage.puppet("a", Restart::Permanent);

    root.add(spec.clone()).await.unwrap();
    assert_eq!(ping(&address).await, 1);
    let taken = root.add(spec).await;
    assert_eq!(taken, Err(Rejection::NameTaken("a".to_owned())));

    root.restart("a").await.unwrap();
    assert_eq!(ping(&address).await, 2);
    root.remove("a").await.unwrap();
    log.expect(&["a up", "a down", "a up", "a down"]).await;
    assert_eq!(tree.len(), 1);
    let unknown = root.remove("a").await;
    assert_eq!(unknown, Err(Rejection::NoSuchChild("a".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn an_earlier_sibling_that_fails_takes_over_the_later_ones_back_off() {
    let (stage, mut log) = stage();
    let (children, [a, _, c]) = stage.troupe(["a", "b", "c"]);
    let spec = Spec {
        intensity: Intensity::UNLIMITED,
        ..Spec::infrastructure(Strategy::RestForOne)
    };
    let _root = root(&tree(), spec, children).await;
    log.expect(&["a up", "b up", "c up"]).await;

    let cell = c.cell().unwrap();
    c.cast(Order::Fail).unwrap();
    cell.wait(None).await.unwrap();
    a.cast(Order::Fail).unwrap();
    log.expect(&["b down", "a up", "b up", "c up"]).await;

    // The timer that was set for `c` alone fires in this time, and means nothing any more.
    log.expect_nothing_for(Backoff::INFRASTRUCTURE.cap).await;
    assert_eq!(ping(&c).await, 2);
    assert!(log.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_child_restarted_by_hand_does_not_wait_and_is_not_started_twice() {
    let (stage, mut log) = stage();
    let (children, [a]) = stage.troupe(["a"]);
    let root = root(&tree(), Spec::root(), children).await;
    let cell = a.cell().unwrap();
    a.cast(Order::Fail).unwrap();
    cell.wait(None).await.unwrap();
    assert!(!a.is_running());

    root.restart("a").await.unwrap();
    log.expect(&["a up", "a up"]).await;
    log.expect_nothing_for(Backoff::INFRASTRUCTURE.cap).await;
    assert_eq!(ping(&a).await, 2);
    assert!(log.is_quiet());
}
