//! Runs that are over, held against what the till wrote down.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{collections::BTreeSet, fmt};

use protocol::{
    api::{AttemptView, StepView, TaskView},
    plan::Effect,
    task::{AttemptStatus, StepStatus, TaskStatus},
};
use serde_json::Value;

use super::{
    orders::steps,
    till::{Book, Payment, TILL},
};

/// What comes of a run, from the receipt of each step.
pub(crate) type Outcome = fn(&dyn Fn(&str) -> Value) -> Value;

/// What a run must have done when it is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// How it ends.
    pub(crate) end: TaskStatus,
    /// The steps that call the till, each of which does so at least once.
    pub(crate) payments: &'static [(&'static str, Effect)],
    /// Pairs of steps of which the first is over before the second begins.
    pub(crate) order: &'static [(&'static str, &'static str)],
    /// What comes of it, if these are the receipts of its steps.
    pub(crate) result: Outcome,
}

/// Calls beyond the first of their step, by class.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Toll {
    pub(crate) calls: usize,
    pub(crate) pure: usize,
    pub(crate) idempotent: usize,
    pub(crate) irreversible: usize,
    /// Attempts of which no receipt came.
    pub(crate) lost: usize,
}

impl fmt::Display for Toll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls, of which repeated: {} pure, {} idempotent under their key, {} irreversible; \
             {} attempts without a receipt",
            self.calls, self.pure, self.idempotent, self.irreversible, self.lost
        )
    }
}

/// Every run did what its definition says, and no call came twice that must not.
pub(crate) fn judge(runs: &[(Expected, TaskView)], book: &Book) -> Toll {
    let mut toll = Toll::default();
    let mut keys = BTreeSet::new();
    let mut steps_there = 0;
    for (expects, task) in runs {
        assert_eq!(task.status, expects.end, "{task:#?}");
        let receipt = |step: &str| view(task, step).output.clone();
        assert_eq!(task.result, (expects.result)(&receipt), "{task:#?}");
        for (step, class) in expects.payments {
            let payments = book.get(&(task.id.to_string(), (*step).to_owned()));
            let payments = payments.unwrap_or_else(|| panic!("{step} never came: {task:#?}"));
            let is_new = keys.insert(payments[0].key.clone());
            assert!(is_new, "{} is the key of another step", payments[0].key);
            judge_step(view(task, step), *class, payments, &mut toll);
            steps_there += 1;
        }
        judge_order(expects, task, book);
        let calls = steps(task).iter();
        let calls = calls.filter(|step| step.agent.as_deref() == Some(TILL));
        assert_eq!(calls.count(), expects.payments.len(), "{task:#?}");
    }
    assert_eq!(book.len(), steps_there, "somebody paid for nobody");
    toll
}

fn view<'a>(task: &'a TaskView, step: &str) -> &'a StepView {
    let found = steps(task).iter().find(|view| view.id == step);
    found.unwrap_or_else(|| panic!("no step {step}: {task:#?}"))
}

fn judge_step(step: &StepView, class: Effect, payments: &[Payment], toll: &mut Toll) {
    let shown = || format!("{step:#?}\n{payments:#?}");
    assert_eq!(
        (step.status, step.effect),
        (StepStatus::Completed, class),
        "{}",
        shown()
    );
    let key = &payments[0].key;
    assert!(payments.iter().all(|it| it.key == *key), "{}", shown());
    assert!(payments.iter().all(|it| it.class == class), "{}", shown());
    // One call an attempt, and none of an attempt after a later one had begun.
    let rising = payments
        .windows(2)
        .all(|two| two[0].attempt < two[1].attempt);
    assert!(rising, "{}", shown());
    let last = payments[payments.len() - 1].clone();
    assert_eq!(step.output, Value::String(last.receipt), "{}", shown());

    let count = |end: fn(&AttemptView) -> bool| {
        let attempts = step.attempts.iter();
        attempts.filter(|attempt| end(attempt)).count()
    };
    // A host that lost its lease stops what runs on it, and says so if it is heard.
    let lost = count(|it| matches!(it.status, AttemptStatus::Lost | AttemptStatus::Cancelled));
    let succeeded = count(|it| it.status == AttemptStatus::Succeeded);
    let unrun = count(is_unrun);
    assert_eq!(lost + succeeded + unrun, step.attempts.len(), "{}", shown());
    let is_last = step.attempts.last().map(|it| it.number) == Some(last.attempt);
    let repeated = payments.len() - 1;
    match class {
        // A person said that it took effect, in place of a receipt.
        Effect::Irreversible => {
            assert_eq!(repeated, 0, "{}", shown());
            assert!(succeeded <= 1 && is_last, "{}", shown());
        }
        Effect::Pure | Effect::Idempotent | Effect::Guarded => {
            assert!(succeeded == 1 && is_last, "{}", shown());
        }
    }
    toll.calls += payments.len();
    toll.lost += lost;
    match class {
        Effect::Pure => toll.pure += repeated,
        Effect::Idempotent => toll.idempotent += repeated,
        Effect::Irreversible => toll.irreversible += repeated,
        Effect::Guarded => {}
    }
}

/// Refused by a host that was about to go: nothing ran, so whatever it does may be tried elsewhere.
fn is_unrun(attempt: &AttemptView) -> bool {
    let error = attempt.error.as_ref();
    attempt.status == AttemptStatus::Failed && error.is_some_and(|it| it.code == "not_started")
}

/// What one step gave was recorded before what needs it began.
fn judge_order(expects: &Expected, task: &TaskView, book: &Book) {
    let of = |step: &str| &book[&(task.id.to_string(), step.to_owned())];
    for (before, after) in expects.order {
        let last = of(before).last().map(|payment| payment.place);
        let first = of(after).first().map(|payment| payment.place);
        assert!(last < first, "{after} before {before}: {task:#?}");
    }
}
