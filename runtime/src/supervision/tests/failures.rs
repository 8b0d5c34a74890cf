//! What a failure does to the child, to its supervisor, and further up.

use std::time::Duration;

use protocol::api::Life;
use tokio::time::{Instant, timeout};

use super::fixture::{Mishap, Order, SECOND, eager, hold, ping, root, stage, tree};
use crate::{
    clock::{Clock, Dice},
    supervision::{
        Backoff, Intensity, Kill, Rejection, Restart, Spec, Strategy, Streak, Supervisor, Tree,
        actor::sentry_every, branch,
    },
};

const STRATEGIES: [Strategy; 3] = [
    Strategy::OneForOne,
    Strategy::OneForAll,
    Strategy::RestForOne,
];

/// How a running child fails, and what the tree says of it.
const WAYS: [(&str, &str); 5] = [
    (
        "error",
        "the string broke: an error occurred when formatting an argument",
    ),
    ("panic", "panicked: no strings"),
    ("kill", "killed"),
    ("kill while busy", "killed"),
    (
        "error at stop",
        "the string broke: an error occurred when formatting an argument",
    ),
];

async fn harm(address: &crate::supervision::Address<Order>, way: &str) {
    let cell = address.cell().unwrap();
    match way {
        "error" => address.cast(Order::Fail).unwrap(),
        "panic" => address.cast(Order::Panic).unwrap(),
        "kill" => cell.kill(),
        "kill while busy" => {
            hold(address).await;
            cell.kill();
        }
        "error at stop" => {
            address.cast(Order::FailAtStop).unwrap();
            address.cast(Order::Stop).unwrap();
        }
        way => panic!("nobody fails by {way}"),
    }
    cell.wait(None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_survives_its_failing_child_in_every_combination() {
    for strategy in STRATEGIES {
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            for (way, _) in WAYS {
                let (stage, mut log) = stage();
                let (spec, address) = stage.puppet("a", restart);
                let (other, sibling) = stage.puppet("b", Restart::Permanent);
                let root = root(&tree(), eager(strategy), vec![spec, other]).await;
                log.expect(&["a up", "b up"]).await;

                harm(&address, way).await;
                let left = root.which().await.unwrap().len();
                let case = (strategy, restart, way);
                if restart == Restart::Temporary {
                    assert_eq!(left, 1, "{case:?}");
                } else {
                    assert_eq!(left, 2, "{case:?}");
                    // One of two restarts at once or both: then the first of them is up, too.
                    while !address.is_running() || !sibling.is_running() {
                        tokio::task::yield_now().await;
                    }
                    assert_eq!(ping(&address).await, 2, "{case:?}");
                }
                ping(&sibling).await;
                assert!(root.is_running(), "{case:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_tree_says_how_a_child_failed_and_how_often_it_restarted() {
    for (way, error) in WAYS {
        let (tree, (stage, mut log)) = (tree(), stage());
        let (children, [a]) = stage.troupe(["a"]);
        let _root = root(&tree, eager(Strategy::OneForOne), children).await;
        harm(&a, way).await;
        log.expect(&["a up"]).await;
        if way == "error at stop" {
            log.expect(&["a down"]).await;
        }
        log.expect(&["a up"]).await;
        assert_eq!(ping(&a).await, 2);

        let view = tree.snapshot("/a", None).nodes.remove(0);
        assert_eq!(view.last_error.as_deref(), Some(error), "{way}");
        assert_eq!(
            (view.restarts, view.state.as_str()),
            (1, "running"),
            "{way}"
        );
        assert_eq!(view.mailbox, 0, "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_start_is_a_failed_child_that_is_tried_again() {
    for mishap in [
        Mishap::ErrorAtStart,
        Mishap::PanicAtStart,
        Mishap::PanicAfterStart,
        Mishap::PanicWhenMade,
    ] {
        for strategy in STRATEGIES {
            let (stage, _log) = stage();
            let (first, _) = stage.puppet("first", Restart::Permanent);
            let (spec, address) = stage.cursed("a", Restart::Permanent, Some((mishap, 1, 4)));
            let (last, _) = stage.puppet("last", Restart::Permanent);
            let children = vec![first, spec, last];
            let root = root(&tree(), eager(strategy), children).await;
            while root
                .which()
                .await
                .unwrap()
                .iter()
                .any(|child| child.status.name() != "running")
            {
                tokio::task::yield_now().await;
            }
            assert_eq!(ping(&address).await, 4, "{mishap:?} {strategy:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_that_does_not_start_is_refused_and_leaves_no_trace() {
    let (tree, (stage, _log)) = (tree(), stage());
    let root = root(&tree, eager(Strategy::OneForOne), vec![]).await;
    let mishap = Some((Mishap::ErrorAtStart, 1, 9));
    let (spec, address) = stage.cursed("a", Restart::Temporary, mishap);
    let refused = root.add(spec).await;
    assert_eq!(refused, Err(Rejection::DidNotStart("a".to_owned())));
    assert!(address.cast(Order::Fail).is_err());
    assert_eq!(tree.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn too_many_restarts_climb_from_level_to_level_until_the_root_gives_up() {
    let limit = |restarts| Spec {
        intensity: Intensity {
            restarts,
            within: 60 * SECOND,
        },
        ..eager(Strategy::OneForOne)
    };
    let (tree, (stage, mut log)) = (tree(), stage());
    let (children, [a, b]) = stage.troupe(["a", "b"]);
    let (inner, handle) = branch("inner", limit(1), children);
    let root = root(&tree, limit(1), vec![inner]).await;
    log.expect(&["a up", "b up"]).await;

    a.cast(Order::Fail).unwrap();
    log.expect(&["a up"]).await;
    a.cast(Order::Fail).unwrap();
    // The inner one gave up, and the root started it again with both children.
    log.expect(&["b down", "a up", "b up"]).await;
    assert_eq!([ping(&a).await, ping(&b).await], [3, 2]);
    let view = tree.snapshot("/inner", Some(0)).nodes.remove(0);
    let error = "gave up after too many restarts, the last of `a`: the string broke: \
                 an error occurred when formatting an argument";
    assert_eq!(
        (view.restarts, view.last_error.as_deref()),
        (1, Some(error))
    );
    assert_eq!(handle.escalated().await, error);
    assert!(handle.is_running());

    a.cast(Order::Fail).unwrap();
    log.expect(&["a up"]).await;
    a.cast(Order::Fail).unwrap();
    log.expect(&["b down"]).await;
    let reason = root.escalated().await;
    assert_eq!(
        reason,
        format!("gave up after too many restarts, the last of `inner`: {error}")
    );
    root.ended().await;
    assert!(tree.is_empty() && log.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn restarts_that_are_far_apart_do_not_climb() {
    let (stage, mut log) = stage();
    let (children, [a]) = stage.troupe(["a"]);
    let root = root(&tree(), Spec::root(), children).await;
    log.expect(&["a up"]).await;
    for _ in 0..10 {
        a.cast(Order::Fail).unwrap();
        log.expect(&["a up"]).await;
        tokio::time::advance(21 * SECOND).await;
    }
    assert!(root.is_running());
}

#[tokio::test]
async fn an_actor_with_a_message_in_hand_for_too_long_is_named_and_so_is_one_that_goes_on() {
    let (tree, (stage, _log)) = (tree(), stage());
    tree.set_limits(Duration::from_millis(20), []);
    let (spec, address) = stage.puppet("a", Restart::Permanent);
    let children = vec![spec, sentry_every(Duration::from_millis(5), &tree)];
    let _root = root(&tree, eager(Strategy::OneForOne), children).await;
    let mut changes = tree.changes();
    changes.take();
    let permits = hold(&address).await;
    let stuck = async {
        loop {
            let told = changes.take();
            let stuck = told.life.into_iter().find(|it| it.what == Life::Stuck);
            if let Some(stuck) = stuck {
                return stuck;
            }
            tokio::task::yield_now().await;
        }
    };
    let stuck = timeout(5 * SECOND, stuck).await.unwrap();
    assert_eq!(stuck.path, "/a");
    assert!(stuck.reason.unwrap().starts_with("Hold in hand for 0."));
    assert_eq!(tree.snapshot("/a", None).nodes[0].state, "stuck");

    permits.add_permits(1);
    ping(&address).await;
    let free = async {
        while !changes
            .take()
            .rows
            .iter()
            .any(|row| row.state == "running" && row.path == "/a")
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(5 * SECOND, free).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_killed_root_is_known_to_have_given_up() {
    let root = root(&tree(), Spec::root(), vec![]).await;
    root.cell().unwrap().kill();
    assert_eq!(root.escalated().await, "the supervisor was killed");
}

#[tokio::test(start_paused = true)]
async fn a_failing_child_waits_as_the_back_off_says_and_its_supervisor_does_not() {
    let tree = Tree::with_dice("one", Clock::system(), Dice::seeded(5));
    let (dice, mut streak) = (Dice::seeded(5), Streak::default());
    let (stage, mut log) = stage();
    let (children, [a, b]) = stage.troupe(["a", "b"]);
    let spec = Spec {
        intensity: Intensity::UNLIMITED,
        ..Spec::infrastructure(Strategy::OneForOne)
    };
    let root = root(&tree, spec, children).await;
    log.expect(&["a up", "b up"]).await;

    for failures in 1..=8 {
        let before = Instant::now();
        harm(&a, "error").await;
        assert_eq!(root.which().await.unwrap().len(), 2);
        assert_eq!(ping(&b).await, 1);
        assert_eq!(before.elapsed(), Duration::ZERO);
        let state = tree.snapshot("/a", None).nodes.remove(0).state;
        let expected = if failures < 3 {
            "backing_off"
        } else {
            "crash_loop"
        };
        assert_eq!(state, expected);

        log.expect(&["a up"]).await;
        let wait = streak.fail(&Backoff::INFRASTRUCTURE, Duration::ZERO, dice.unit());
        // Tokio's timers are as fine as a millisecond, and round up.
        let late = before
            .elapsed()
            .checked_sub(wait)
            .expect("not before its time");
        assert!(late <= Duration::from_millis(1), "{late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_ends_an_actor_leaves_with_it() {
    let (stage, mut log) = stage();
    let tree = tree();
    let (spec, address) = stage.puppet("a", Restart::Temporary);
    let spec = vec![spec];
    let root = Supervisor::start(&tree, "/system", eager(Strategy::OneForOne), spec, None);
    let root = root.await.unwrap();
    log.expect(&["a up"]).await;
    let before = tree.killers();
    let cell = address.cell().unwrap();
    address.cast(Order::Stop).unwrap();
    cell.wait(None).await.unwrap();
    while !root.which().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(tree.killers(), before - 1);
}

#[tokio::test(start_paused = true)]
async fn who_ends_an_actor_or_its_wait_for_the_next_try_is_told_with_it() {
    const LONG: Duration = Duration::from_hours(1);
    let (stage, mut log) = stage();
    let tree = tree();
    let (spec, address) = stage.puppet("a", Restart::Permanent);
    let slow = Spec {
        backoff: Backoff {
            first: LONG,
            cap: LONG,
            quiet: LONG,
        },
        ..eager(Strategy::OneForOne)
    };
    let root = Supervisor::start(&tree, "/system", slow, vec![spec], None);
    let _root = root.await.unwrap();
    log.expect(&["a up"]).await;
    let state = || tree.snapshot("/system/a", None).nodes.remove(0).state;
    let waits = async || {
        while !matches!(state().as_str(), "backing_off" | "crash_loop") {
            tokio::task::yield_now().await;
        }
    };
    let life = || {
        let life = tree.actor("/system/a").unwrap().life.into_iter();
        life.map(|it| (it.what, it.reason.unwrap_or_default()))
            .skip(1)
            .collect::<Vec<_>>()
    };
    let before = Instant::now();
    address.cast(Order::Fail).unwrap();
    waits().await;
    let act = |why| tree.kill("/system/a", why);
    assert_eq!(act("restarted by ann: a test"), Kill::Hastened);
    // Until it stands again nobody else has it ended, whose reason would be told of nothing.
    assert_eq!(act("killed by dan"), Kill::NotNow);
    log.expect(&["a up"]).await;
    ping(&address).await;
    assert_eq!(act("killed by bob"), Kill::Ended);
    assert_eq!(act("killed by dan"), Kill::NotNow);
    log.expect(&["a up"]).await;
    ping(&address).await;
    address.cast(Order::Fail).unwrap();
    waits().await;
    assert_eq!(act("restarted by cid"), Kill::Hastened);
    log.expect(&["a up"]).await;
    assert_eq!(ping(&address).await, 4);
    assert!(before.elapsed() < LONG / 1_000, "its wait was over at once");
    let told = |what, why: &str| (what, why.to_owned());
    let broke = "the string broke: an error occurred when formatting an argument";
    let expected = [
        told(Life::Failed, broke),
        told(Life::Restarted, "restarted by ann: a test"),
        told(Life::Failed, "killed by bob"),
        told(Life::Restarted, ""),
        told(Life::Failed, broke),
        told(Life::Restarted, "restarted by cid"),
    ];
    assert_eq!(life(), expected);
    // What was said of one end is not said of the next.
    address.cast(Order::Fail).unwrap();
    waits().await;
    log.expect(&["a up"]).await;
    let last = life().split_off(6);
    assert_eq!(last, [told(Life::Failed, broke), told(Life::Restarted, "")]);
    // Work that is no actor cannot be killed at all.
    let _work = tree.enter("/system/work", "tool");
    for (path, kill) in [("/system/work", Kill::Never), ("/system/b", Kill::Absent)] {
        assert_eq!(tree.kill(path, "killed by eve"), kill);
    }
}

#[tokio::test(start_paused = true)]
async fn ends_that_operators_asked_for_are_no_crashes_and_nothing_waits_because_of_them() {
    let limit = Intensity {
        restarts: 1,
        within: 60 * SECOND,
    };
    for strategy in STRATEGIES {
        let (stage, mut log) = stage();
        let tree = tree();
        let (children, [a, _b]) = stage.troupe(["a", "b"]);
        let spec = Spec {
            intensity: limit,
            ..Spec::infrastructure(strategy)
        };
        let root = Supervisor::start(&tree, "/system", spec, children, None);
        let root = root.await.unwrap();
        log.expect(&["a up", "b up"]).await;
        let last = match strategy {
            Strategy::OneForOne => "a up",
            Strategy::OneForAll | Strategy::RestForOne => "b up",
        };
        let row = || tree.snapshot("/system/a", None).nodes.remove(0);
        let before = Instant::now();
        for number in 1..=20 {
            let (cell, why) = (a.cell().unwrap(), format!("killed by ann: act {number}"));
            assert_eq!(tree.kill("/system/a", &why), Kill::Ended);
            cell.wait(None).await.unwrap();
            log.until(last).await;
            ping(&a).await;
            assert_eq!(row().last_error, Some(why), "{strategy:?}");
        }
        assert_eq!(before.elapsed(), Duration::ZERO, "{strategy:?}");
        assert_eq!(row().restarts, 20, "{strategy:?}");

        // A crash counts as ever: the first is fine, the second is one too many.
        harm(&a, "error").await;
        log.until(last).await;
        harm(&a, "kill").await;
        let reason = root.escalated().await;
        assert!(reason.ends_with("the last of `a`: killed"), "{reason}");
    }
}
