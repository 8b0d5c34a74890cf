//! Whatever happens to a task, in whatever order: what it promises holds, and it never gets stuck.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint does not recognise outside a test function"
)]

mod invariants;
mod plans;
mod play;

use std::time::Duration;

use actors::task::rules::{Sighting, sighting};
use play::{Flush, Move, Play};
use proptest::prelude::*;
use protocol::{
    id::NodeId,
    plan::{Effect, StepSpec},
    task::{Budget, StepStatus, TaskStatus},
    time::Span,
};

fn moves() -> impl Strategy<Value = Vec<(Move, Flush)>> {
    let flush = prop_oneof![3 => Just(Flush::Now), 1 => Just(Flush::Later)];
    proptest::collection::vec((play::a_move(), flush), 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_under_any_interleaving((steps, budget) in plans::plan(), moves in moves()) {
        let mut play = Play::new(steps, budget);
        for (what, flush) in moves {
            play.make(what, flush);
        }
    }

    #[test]
    fn a_task_that_is_left_alone_settles((steps, budget) in plans::plan(), moves in moves(), seed: u64) {
        let mut play = Play::new(steps, budget);
        for (what, flush) in moves {
            play.make(what, flush);
        }
        play.run_to_the_end(seed);
        prop_assert!(play.task().status.is_terminal());
        prop_assert_eq!(play.task().running(), 0);
    }

    #[test]
    fn however_often_it_is_paused_a_task_ends_as_one_that_never_was(
        (steps, _) in plans::plan(),
        moves in proptest::collection::vec((play::of_a_pause(), Just(Flush::Now)), 0..120),
    ) {
        let mut play = Play::new(steps, Budget::default());
        for (what, flush) in moves {
            play.make(what, flush);
        }
        play.run_well();
        prop_assert_eq!(play.task().status, TaskStatus::Completed);
        let steps = &play.task().steps;
        // What was interrupted counts nowhere; a probe may find that it was done all the same.
        prop_assert!(play.task().attempts() as usize <= steps.len());
        prop_assert!(steps.iter().all(|step| step.failures() + step.losses() == 0));
    }

    #[test]
    fn a_task_whose_attempts_all_succeed_completes((steps, _) in plans::plan()) {
        let mut play = Play::new(steps, Budget::default());
        play.run_well();
        prop_assert_eq!(play.task().status, TaskStatus::Completed);
    }
}

fn one(effect: Effect) -> Vec<StepSpec> {
    vec![plans::step("a", effect, &[])]
}

#[test]
fn a_guarded_step_that_is_lost_and_not_done_again_and_again_is_given_up() {
    let mut play = Play::new(one(Effect::Guarded), Budget::default());
    for _ in 0..play::MAX_LOST {
        play.make(Move::Start(0), Flush::Now);
        play.make(Move::Lose(u16::MAX), Flush::Now);
        play.make(Move::Probe(0, play::Found::NotDone), Flush::Now);
    }
    let step = &play.task().steps[0];
    assert_eq!(step.status, StepStatus::Failed);
    assert_eq!(step.error.as_ref().unwrap().code, "quarantined");
}

/// A host refuses the step's attempt: its disk is full, say.
fn refuse(play: &mut Play, times: u32) {
    for _ in 0..times {
        play.make(Move::Start(0), Flush::Now);
        play.make(Move::Deny(u16::MAX), Flush::Now);
        play.make(Move::Pass(60_000), Flush::Now);
    }
}

#[test]
fn what_no_host_takes_spends_no_attempt_of_its_step() {
    for effect in [Effect::Idempotent, Effect::Irreversible] {
        let mut play = Play::new(one(effect), Budget::default());
        refuse(&mut play, play::MAX_LOST - 1);
        // One in between that ran begins the count anew.
        play.make(Move::Start(0), Flush::Now);
        play.make(Move::End(0, play::End::NeverStarted), Flush::Now);
        play.make(Move::Pass(60_000), Flush::Now);
        refuse(&mut play, play::MAX_LOST - 1);
        assert_eq!(play.task().steps[0].failures(), 1);
        play.run_well();
        assert_eq!(play.task().status, TaskStatus::Completed);
    }
}

#[test]
fn what_no_host_takes_spends_nothing_of_the_budget() {
    let budget = Budget {
        max_attempts: Some(2),
        ..Budget::default()
    };
    let steps = vec![
        plans::step("a", Effect::Pure, &[]),
        plans::step("b", Effect::Pure, &["a"]),
    ];
    let mut play = Play::new(steps, budget);
    refuse(&mut play, play::MAX_LOST - 1);
    assert_eq!(play.task().attempts(), 0);
    play.run_well();
    assert_eq!(play.task().status, TaskStatus::Completed);
    assert_eq!(play.task().attempts(), 2);
}

#[test]
fn what_no_host_takes_again_and_again_is_given_up() {
    let mut play = Play::new(one(Effect::Idempotent), Budget::default());
    refuse(&mut play, play::MAX_LOST);
    let step = &play.task().steps[0];
    assert_eq!(step.status, StepStatus::Failed);
    assert_eq!(step.error.as_ref().unwrap().code, "not_started");
}

#[test]
fn a_retry_has_its_own_time_to_wait_for_an_agent() {
    let budget = Budget {
        queue_time: Some(Span(Duration::from_secs(5))),
        ..Budget::default()
    };
    let mut play = Play::new(one(Effect::Idempotent), budget);
    play.make(Move::Start(0), Flush::Now);
    play.make(Move::Pass(6000), Flush::Now);
    play.make(Move::End(0, play::End::Transient), Flush::Now);
    play.make(Move::Pass(4000), Flush::Now);
    assert_eq!(play.task().status, TaskStatus::Executing);
    play.make(Move::Pass(6000), Flush::Now);
    assert_eq!(play.task().error.as_ref().unwrap().code, "queue_timeout");
}

#[test]
fn retries_leave_enough_attempts_for_the_steps_that_have_had_none() {
    let budget = Budget {
        max_attempts: Some(3),
        ..Budget::default()
    };
    let steps = vec![
        plans::step("a", Effect::Pure, &[]),
        plans::step("b", Effect::Pure, &["a"]),
    ];
    let mut play = Play::new(steps, budget);
    for _ in 0..2 {
        play.make(Move::Start(0), Flush::Now);
        play.make(Move::End(0, play::End::Transient), Flush::Now);
        play.make(Move::Pass(60_000), Flush::Now);
    }
    // A third attempt at `a` would leave none for `b`.
    assert_eq!(play.task().status, TaskStatus::Failed);
    assert_eq!(play.task().attempts(), 2);
}

#[test]
fn a_lost_guarded_step_whose_time_is_up_is_unknown() {
    let budget = Budget {
        wall_time: Some(Span(Duration::from_secs(5))),
        ..Budget::default()
    };
    let mut play = Play::new(one(Effect::Guarded), budget);
    play.make(Move::Start(0), Flush::Now);
    play.make(Move::Pass(6000), Flush::Now);
    play.make(Move::Lose(u16::MAX), Flush::Now);
    let task = play.task();
    assert_eq!(task.status, TaskStatus::Failed);
    assert_eq!(task.steps[0].status, StepStatus::Unknown);
    assert_eq!(task.error.as_ref().unwrap().code, "timeout");
}

#[test]
fn an_attempt_is_looked_for_where_it_was_sent_unless_that_is_gone() {
    let node = |number| NodeId::from_uuid(uuid::Uuid::from_u128(number));
    let (me, alive, dead) = (node(1), node(2), node(3));
    let gone = |node| node == dead;
    assert_eq!(sighting(me, me, gone), Sighting::Here);
    assert_eq!(sighting(alive, me, gone), Sighting::Elsewhere);
    assert_eq!(sighting(dead, me, gone), Sighting::Gone);
}
