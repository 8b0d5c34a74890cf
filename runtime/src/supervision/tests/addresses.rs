//! What a sender may rely on.

use std::{error::Error, sync::Arc, time::Duration};

use futures_util::future::join_all;
use ractor::Actor;
use tokio::time::Instant;

use super::fixture::{Mishap, Order, Puppet, SECOND, eager, hold, ping, root, solo, stage, tree};
use crate::supervision::{Address, CallError, Gone, Restart, Strategy, spawn, spawn_root};

#[tokio::test(start_paused = true)]
async fn an_address_is_valid_before_the_first_start_and_after_each_restart() {
    let (stage, mut log) = stage();
    let (spec, address) = stage.puppet("a", Restart::Permanent);
    assert_eq!(address.cast(Order::Fail), Err(Gone));
    let called = address.call(SECOND, Order::Ping).await;
    assert_eq!(called, Err(CallError::Gone));

    let root = root(&tree(), eager(Strategy::OneForOne), vec![spec]).await;
    log.expect(&["a up"]).await;
    for incarnation in 1..20 {
        assert_eq!(ping(&address).await, incarnation);
        address.cast(Order::Fail).unwrap();
        log.expect(&["a up"]).await;
    }
    root.shutdown(SECOND).await.unwrap();
    assert_eq!(address.cast(Order::Fail), Err(Gone));
    assert!(address.cell().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reply_is_known_at_once() {
    let (stage, _log) = stage();
    let actor = solo(&tree(), &stage).await;
    let before = Instant::now();
    let called = actor.call(SECOND, Order::DropReply).await;
    assert_eq!(called, Err(CallError::NoReply));
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_when_its_time_is_up_and_the_callee_can_know() {
    let (stage, _log) = stage();
    let actor = solo(&tree(), &stage).await;
    hold(&actor).await;
    let before = Instant::now();
    let called = actor.call(SECOND, Order::Ping).await;
    assert_eq!(called, Err(CallError::Timeout));
    assert_eq!(before.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_crash_empties_the_mailbox_and_who_waits_in_it_learns_so() {
    for order in [Order::Fail, Order::Panic, Order::Stop] {
        let (tree, (stage, mut log)) = (tree(), stage());
        let (children, [a]) = stage.troupe(["a"]);
        let spec = eager(Strategy::OneForOne);
        let _root = root(&tree, spec, children).await;
        let permits = hold(&a).await;

        a.cast(order).unwrap();
        let calls = tokio::spawn(join_all(calls_of(&a, 5)));
        while a.depth() < 6 {
            tokio::task::yield_now().await;
        }
        let view = tree.snapshot("/a", None).nodes.remove(0);
        assert_eq!(view.current.as_deref(), Some("Hold"));
        assert_eq!(view.mailbox, 6);

        permits.add_permits(1);
        for called in calls.await.unwrap() {
            assert_eq!(called, Err(CallError::NoReply));
        }
        log.expect(&["a up"]).await;
        while !a.is_running() {
            tokio::task::yield_now().await;
        }
        assert_eq!(ping(&a).await, 2);
        assert_eq!(a.depth(), 0);
    }
}

fn calls_of(
    address: &Address<Order>,
    count: usize,
) -> Vec<impl Future<Output = Result<u32, CallError>> + use<>> {
    let call = |_| {
        let address = address.clone();
        async move { address.call(60 * SECOND, Order::Ping).await }
    };
    (0..count).map(call).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_that_race_with_crashes_leave_the_depth_at_zero() {
    let (tree, (stage, mut log)) = (tree(), stage());
    let (children, [a]) = stage.troupe(["a"]);
    let root = root(&tree, eager(Strategy::OneForOne), children).await;
    log.expect(&["a up"]).await;

    let senders = (0..4).map(|_| {
        let address = a.clone();
        tokio::spawn(async move {
            for turn in 0..5_000 {
                let order = if turn % 50 == 0 {
                    Order::Fail
                } else {
                    Order::FailAtStop
                };
                let _ = address.cast(order);
                if turn % 10 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
    });
    join_all(senders).await;
    // The last crash may still be under way: then a call finds nobody, or its mailbox is dropped.
    while a.call(60 * SECOND, Order::Ping).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(a.depth(), 0);
    let view = tree.snapshot("/a", None).nodes.remove(0);
    assert!(view.restarts > 0 && view.mailbox == 0, "{view:?}");
    a.cell().unwrap().kill();
    root.shutdown(60 * SECOND).await.unwrap();
    assert!(tree.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_spawned_actor_is_in_the_tree_while_it_runs() {
    let (tree, (stage, _log)) = (tree(), stage());
    let parent = root(&tree, eager(Strategy::OneForOne), vec![])
        .await
        .cell()
        .unwrap();
    for order in [Order::Stop, Order::Fail, Order::Panic] {
        let strings = stage.strings("a");
        let actor = spawn(&tree, "/tasks/1", "task", Puppet, strings, &parent).await;
        let (actor, cell) = actor.map(|it| (it.clone(), it.cell().unwrap())).unwrap();
        assert_eq!(tree.snapshot("/tasks/1", None).nodes[0].kind, "task");
        actor.cast(order).unwrap();
        cell.wait(None).await.unwrap();
        assert_eq!(tree.len(), 1);
        assert_eq!(actor.cast(Order::Fail), Err(Gone));
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_does_not_start_says_why_and_leaves_no_trace() {
    let tree = tree();
    for (mishap, why) in [
        (Mishap::ErrorAtStart, "the string broke"),
        (Mishap::PanicAtStart, "panicked: no strings"),
    ] {
        let (stage, _log) = stage();
        let strings = stage.strings("a").with_mishap(mishap);
        let error = spawn_root(&tree, "/a", "puppet", Puppet, strings)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "/a did not start");
        assert_eq!(error.source().unwrap().to_string(), why);
        assert!(tree.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn children_of_a_parent_that_ended_are_gone_from_the_tree() {
    let (tree, (stage, _log)) = (tree(), stage());
    let parent = spawn_root(&tree, "/a", "puppet", Puppet, stage.strings("a"))
        .await
        .unwrap();
    let under = parent.cell().unwrap();
    let child = spawn(&tree, "/a/b", "puppet", Puppet, stage.strings("b"), &under)
        .await
        .unwrap();
    let cell = child.cell().unwrap();
    parent.stop("enough");
    cell.wait(None).await.unwrap();
    tokio::task::yield_now().await;
    assert!(tree.is_empty());

    let late = spawn(&tree, "/a/c", "puppet", Puppet, stage.strings("c"), &under).await;
    assert!(late.is_err() && tree.is_empty());
}

#[tokio::test(start_paused = true)]
async fn messages_that_bypass_the_address_do_not_spoil_the_depth() {
    let (stage, _log) = stage();
    let actor = solo(&tree(), &stage).await;
    for _ in 0..10 {
        actor
            .cell()
            .unwrap()
            .send_message(Order::FailAtStop)
            .unwrap();
    }
    ping(&actor).await;
    let _permits = hold(&actor).await;
    actor.cast(Order::FailAtStop).unwrap();
    assert_eq!(actor.depth(), 1);
}

/// A message that answers when it is dropped, as one that holds a reply does.
struct Echo(Address<Self>, Arc<tokio::sync::Semaphore>);

impl Drop for Echo {
    fn drop(&mut self) {
        assert!(self.0.cell().is_none());
        self.1.add_permits(1);
    }
}

impl ractor::Message for Echo {}

impl crate::supervision::Message for Echo {
    fn name(&self) -> &'static str {
        "Echo"
    }
}

struct Deaf;

impl Actor for Deaf {
    type Msg = Echo;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ractor::ActorRef<Echo>,
        (): (),
    ) -> Result<(), ractor::ActorProcessingErr> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_undelivered_message_may_use_the_address_when_it_is_dropped() {
    let actor = spawn_root(&tree(), "/a", "deaf", Deaf, ()).await.unwrap();
    let dropped = Arc::new(tokio::sync::Semaphore::new(0));
    actor.stop("deaf");
    actor.ended().await;
    let sent = actor.cast(Echo(actor.clone(), Arc::clone(&dropped)));
    assert_eq!(sent, Err(Gone));
    assert_eq!(dropped.available_permits(), 1);
}
