//! Plays what can happen to a task, as its actor would, and looks at the promises after each move.

use std::time::Duration;

use actors::{
    config,
    task::{
        Attempt, Task,
        pause::Cause,
        rules::{Assignee, Moment, Received},
        state::Ending,
    },
};
use proptest::prelude::*;
use protocol::{
    allocation::ScoreCard,
    id::{AgentId, HoldId, NodeId, TaskId},
    plan::{Plan, PlanSource, StepSpec},
    task::{Budget, Event, Failure, Finding, Outcome, Priority, StepStatus, TaskSpec},
    time::Timestamp,
};
use runtime::journal::EventSourced;
use serde_json::json;

use crate::invariants::Watcher;

/// Attempts that may be lost in these plays.
pub(crate) const MAX_LOST: u32 = 3;

/// How an attempt ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Success,
    Transient,
    Fatal,
    NeverStarted,
    Lost,
    Stopped,
}

/// What a probe finds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found {
    Done,
    NotDone,
    Unknown,
}

/// What can happen. Numbers choose among what is there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Move {
    Start(usize),
    End(usize, End),
    /// A result for any attempt, also one that ended.
    Repeat(usize, End),
    Foreign(usize, End),
    Probe(usize, Found),
    /// A finding about an attempt that nobody asked about.
    StrayProbe(usize, Found),
    Pass(u32),
    Cancel,
    Lose(u16),
    /// Hosts say that they never took these attempts over.
    Deny(u16),
    Amend(u8),
    Assign(usize),
    /// By the client, by a hold, or with the task of this number that it is a part of.
    Pause(Option<u8>),
    Resume(Option<u8>),
    Interrupt(u16),
    /// An attempt that was told to end does.
    Yield(usize),
    Replay,
    Snapshot,
}

/// Whether what follows is decided at once, or after the next move as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    Now,
    Later,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        6 => Just(End::Success),
        3 => Just(End::Transient),
        1 => Just(End::Fatal),
        1 => Just(End::NeverStarted),
        2 => Just(End::Lost),
        1 => Just(End::Stopped),
    ]
}

fn found() -> impl Strategy<Value = Found> {
    prop_oneof![
        1 => Just(Found::Done),
        2 => Just(Found::NotDone),
        1 => Just(Found::Unknown)
    ]
}

pub(crate) fn a_move() -> impl Strategy<Value = Move> {
    let pick = 0_usize..64;
    prop_oneof![
        16 => pick.clone().prop_map(Move::Start),
        14 => (pick.clone(), end()).prop_map(|(at, end)| Move::End(at, end)),
        3 => (pick.clone(), end()).prop_map(|(at, end)| Move::Repeat(at, end)),
        1 => (pick.clone(), end()).prop_map(|(at, end)| Move::Foreign(at, end)),
        4 => (pick.clone(), found()).prop_map(|(at, found)| Move::Probe(at, found)),
        1 => (pick.clone(), found()).prop_map(|(at, found)| Move::StrayProbe(at, found)),
        8 => (0_u32..6000).prop_map(Move::Pass),
        1 => Just(Move::Cancel),
        2 => any::<u16>().prop_map(Move::Lose),
        1 => any::<u16>().prop_map(Move::Deny),
        1 => (0_u8..=9).prop_map(Move::Amend),
        1 => pick.prop_map(Move::Assign),
        2 => proptest::option::of(0_u8..2).prop_map(Move::Pause),
        3 => proptest::option::of(0_u8..2).prop_map(Move::Resume),
        2 => any::<u16>().prop_map(Move::Interrupt),
        1 => Just(Move::Replay),
        1 => Just(Move::Snapshot),
    ]
}

/// What happens to a task that goes well, but for those who pause it.
pub(crate) fn of_a_pause() -> impl Strategy<Value = Move> {
    let pick = 0_usize..64;
    prop_oneof![
        6 => pick.clone().prop_map(Move::Start),
        2 => pick.clone().prop_map(|at| Move::End(at, End::Success)),
        3 => pick.prop_map(Move::Yield),
        2 => proptest::option::of(0_u8..2).prop_map(Move::Pause),
        4 => proptest::option::of(0_u8..2).prop_map(Move::Resume),
        3 => any::<u16>().prop_map(Move::Interrupt),
        1 => Just(Move::Replay),
    ]
}

/// One task with all that was recorded of it.
pub(crate) struct Play {
    task: Task,
    log: Vec<(Event, Timestamp)>,
    now: Timestamp,
    limits: config::Tasks,
    watcher: Watcher,
}

fn outcome(end: End, token: &str) -> Outcome {
    let error = |code: &str| Failure::new(code, "as played");
    match end {
        End::Success => Outcome::Succeeded {
            output: json!({ "by": token }),
        },
        End::Transient => Outcome::Failed {
            error: error("exit_status"),
            retryable: true,
        },
        End::Fatal => Outcome::Failed {
            error: error("input"),
            retryable: false,
        },
        End::NeverStarted => Outcome::Failed {
            error: error("connect"),
            retryable: true,
        },
        End::Lost => Outcome::Lost {
            error: error("timeout"),
        },
        End::Stopped => Outcome::Cancelled,
    }
}

fn finding(found: Found) -> Finding {
    match found {
        Found::Done => Finding::Done {
            output: json!("probed"),
        },
        Found::NotDone => Finding::NotDone,
        Found::Unknown => Finding::Unknown {
            detail: "as played".to_owned(),
        },
    }
}

impl Play {
    pub(crate) fn new(steps: Vec<StepSpec>, budget: Budget) -> Self {
        let mut play = Self {
            task: Task::default(),
            log: Vec::new(),
            now: Timestamp::from_micros(1_000_000_000),
            limits: config::Tasks {
                max_lost: MAX_LOST,
                ..config::Tasks::default()
            },
            watcher: Watcher::default(),
        };
        let spec = TaskSpec {
            description: "play".to_owned(),
            budget,
            ..TaskSpec::default()
        };
        play.record(Event::Submitted {
            spec: Box::new(spec),
            user: "u".to_owned(),
            trace: None,
        });
        let source = PlanSource::Explicit;
        play.record(Event::Planned {
            plan: Plan { source, steps },
        });
        play.flush();
        play
    }

    pub(crate) const fn task(&self) -> &Task {
        &self.task
    }

    fn record(&mut self, event: Event) {
        let text = serde_json::to_string(&event).unwrap();
        let read: Event = serde_json::from_str(&text).unwrap();
        assert_eq!(event, read, "an event is read as it was written");
        self.watcher.before(&self.task, &event, self.now);
        self.task.apply(&event, self.now);
        self.log.push((event, self.now));
        self.watcher.after(&self.task);
    }

    fn record_all(&mut self, events: Vec<Event>) {
        for event in events {
            self.record(event);
        }
    }

    /// As the actor does after a message.
    fn flush(&mut self) {
        let expired = self.task.expire(self.now);
        self.record_all(expired);
        let mut rounds = 0;
        loop {
            let events = self.task.conclude();
            if events.is_empty() {
                break;
            }
            self.record_all(events);
            rounds += 1;
            assert!(rounds <= 3, "conclusions come to an end");
        }
        self.watcher
            .at_rest(&self.task, self.now, self.limits.max_lost);
    }

    pub(crate) fn make(&mut self, what: Move, flush: Flush) {
        match what {
            Move::Start(pick) => self.start(pick),
            Move::End(pick, end) => self.end(pick, end),
            Move::Repeat(pick, end) => self.repeat(pick, end),
            Move::Foreign(pick, end) => self.foreign(pick, end),
            Move::Probe(pick, found) => self.probe(pick, found),
            Move::StrayProbe(pick, found) => self.stray_probe(pick, found),
            Move::Pass(millis) => {
                self.now = self.now.plus(Duration::from_millis(millis.into()));
            }
            Move::Cancel => {
                let event = self.task.cancel("u", "enough");
                self.record_all(event.into_iter().collect());
            }
            Move::Lose(mask) => self.lose(mask),
            Move::Deny(mask) => self.deny(mask),
            Move::Amend(priority) => {
                if !self.task.status.is_terminal() {
                    let priority = Priority::try_from(priority).ok();
                    self.record(Event::Amended {
                        description: None,
                        priority,
                        metadata: None,
                    });
                }
            }
            Move::Assign(pick) => self.assign(pick),
            Move::Pause(by) => {
                let event = self.task.pause(cause(by), "u", "for now");
                self.record_all(event.into_iter().collect());
            }
            Move::Resume(by) => {
                let event = self.task.resume(cause(by), "u");
                self.record_all(event.into_iter().collect());
            }
            Move::Interrupt(mask) => {
                let events = self.task.interrupt("now", |attempt| masked(attempt, mask));
                self.record_all(events);
            }
            Move::Yield(pick) => self.yields(pick),
            Move::Replay => self.replay(),
            Move::Snapshot => {
                let text = serde_json::to_string(&self.task).unwrap();
                let read: Task = serde_json::from_str(&text).unwrap();
                assert_eq!(read, self.task, "a snapshot is the state");
                self.task = read;
            }
        }
        if flush == Flush::Now {
            self.flush();
        }
    }

    fn moment(&self, chance: f64) -> Moment<'_> {
        Moment {
            now: self.now,
            chance,
            limits: &self.limits,
        }
    }

    fn start(&mut self, pick: usize) {
        let ready: Vec<usize> = self.task.ready(self.now).map(|(at, _)| at).collect();
        let Some(&at) = ready.get(pick % ready.len().max(1)) else {
            // Also one that is not ready is asked for, as by a grant that comes too late.
            let late = pick % self.task.steps.len();
            assert!(
                self.task
                    .intend(late, assignee(), "t".into(), self.now)
                    .is_err()
            );
            return;
        };
        let token = format!("{at}-{}", self.log.len());
        let event = self.task.intend(at, assignee(), token, self.now).unwrap();
        self.record(event);
    }

    /// Every attempt: its step, number, token, and whether it runs.
    fn attempts(&self) -> Vec<(String, u32, String, bool)> {
        let steps = self.task.steps.iter();
        steps
            .flat_map(|step| {
                step.attempts.iter().map(|attempt| {
                    let runs = attempt.ended.is_none();
                    (
                        step.spec.id.clone(),
                        attempt.number,
                        attempt.token.clone(),
                        runs,
                    )
                })
            })
            .collect()
    }

    fn end(&mut self, pick: usize, end: End) {
        let mut running = self.attempts();
        running.retain(|(.., runs)| *runs);
        let Some((step, number, token, _)) = running.get(pick % running.len().max(1)).cloned()
        else {
            return;
        };
        let outcome = outcome(end, &token);
        let received = self
            .task
            .receive(&step, number, &token, &outcome, self.moment(0.7));
        let Received::Counts(events) = received else {
            panic!("the result of a running attempt counts, not {received:?}");
        };
        self.record_all(events);
    }

    fn yields(&mut self, pick: usize) {
        let told: Vec<_> = self.task.interrupted().cloned().collect();
        let Some(attempt) = told.get(pick % told.len().max(1)) else {
            return;
        };
        let mut steps = self.task.steps.iter();
        let step = steps.find(|step| {
            let running = step.running();
            running.is_some_and(|running| running.token == attempt.token)
        });
        let step = step.unwrap().spec.id.clone();
        let outcome = outcome(End::Stopped, &attempt.token);
        let moment = self.moment(0.4);
        let received = self
            .task
            .receive(&step, attempt.number, &attempt.token, &outcome, moment);
        let Received::Counts(events) = received else {
            panic!("the end of a running attempt counts, not {received:?}");
        };
        self.record_all(events);
    }

    fn repeat(&mut self, pick: usize, end: End) {
        let mut ended = self.attempts();
        ended.retain(|(.., runs)| !*runs);
        let Some((step, number, token, _)) = ended.get(pick % ended.len().max(1)).cloned() else {
            return;
        };
        let outcome = outcome(end, &token);
        let at = self.task.position(&step).unwrap();
        let attempt = &self.task.steps[at].attempts[number as usize - 1];
        let given_up = matches!(
            attempt.ended,
            Some((_, Ending::Lost(_) | Ending::Cancelled | Ending::Interrupted))
        );
        let news = given_up && !attempt.late;
        match self
            .task
            .receive(&step, number, &token, &outcome, self.moment(0.1))
        {
            Received::Counts(events) => {
                assert!(news, "a result is recorded once");
                assert!(matches!(events.as_slice(), [Event::ResultCameLate { .. }]));
                let before = self.task.steps.clone();
                self.record_all(events);
                let stands = |steps: &[actors::task::Step]| -> Vec<StepStatus> {
                    steps.iter().map(|step| step.status).collect()
                };
                assert_eq!(stands(&before), stands(&self.task.steps));
            }
            Received::Repeated => assert!(!news, "a late result is recorded"),
            Received::Foreign => panic!("its own token is not foreign"),
        }
    }

    fn foreign(&self, pick: usize, end: End) {
        let all = self.attempts();
        if let Some((step, number, token, _)) = all.get(pick % all.len().max(1)) {
            let outcome = outcome(end, token);
            let moment = self.moment(0.2);
            let received = self.task.receive(step, *number, "guess", &outcome, moment);
            assert_eq!(received, Received::Foreign);
            let received = self.task.receive(step, number + 7, token, &outcome, moment);
            assert_eq!(received, Received::Foreign);
        }
    }

    fn probe(&mut self, pick: usize, found: Found) {
        let open: Vec<_> = self
            .task
            .to_probe()
            .map(|(step, attempt)| (step.spec.id.clone(), attempt.number))
            .collect();
        if let Some((step, number)) = open.get(pick % open.len().max(1)) {
            let events = self
                .task
                .probed(step, *number, finding(found), self.moment(0.3));
            assert!(!events.is_empty());
            self.record_all(events);
        }
    }

    fn stray_probe(&mut self, pick: usize, found: Found) {
        let all = self.attempts();
        if let Some((step, number, ..)) = all.get(pick % all.len().max(1)) {
            let asked = self
                .task
                .to_probe()
                .any(|(open, attempt)| open.spec.id == *step && attempt.number == *number);
            let events = self
                .task
                .probed(step, *number, finding(found), self.moment(0.3));
            assert!(asked || events.is_empty(), "an unasked finding is dropped");
        }
    }

    fn lose(&mut self, mask: u16) {
        let why = Failure::new("node_lost", "as played");
        let events = self
            .task
            .lose(&why, self.moment(0.5), |attempt| masked(attempt, mask));
        self.record_all(events);
    }

    fn deny(&mut self, mask: u16) {
        let why = Failure::new("not_started", "as played");
        let events = self
            .task
            .never_ran(&why, self.moment(0.5), |attempt| masked(attempt, mask));
        self.record_all(events);
    }

    fn assign(&mut self, pick: usize) {
        let at = pick % self.task.steps.len();
        let step = &self.task.steps[at];
        if !step.status.is_settled() && step.running().is_none() {
            self.record(Event::Assigned {
                step: step.spec.id.clone(),
                agent: "other".to_owned(),
            });
        }
    }

    /// The activation ended; the next one replays what was recorded.
    fn replay(&mut self) {
        let mut again = Task::default();
        for (event, at) in &self.log {
            again.apply(event, *at);
        }
        assert_eq!(again, self.task, "a replay leads to the same state");
        self.task = again;
    }

    /// Lets whatever can happen happen, some of it bad, until there is nothing left to do.
    pub(crate) fn run_to_the_end(&mut self, seed: u64) {
        let ends = [End::Success, End::Transient, End::Lost, End::Stopped];
        let finds = [Found::Done, Found::NotDone, Found::Unknown];
        self.run(|round| {
            let draw = usize::try_from((seed >> (round % 61)) & 3).unwrap();
            (ends[draw], finds[draw % 3])
        });
    }

    pub(crate) fn run_well(&mut self) {
        self.run(|_| (End::Success, Found::Done));
    }

    fn run(&mut self, draw: impl Fn(u32) -> (End, Found)) {
        self.flush();
        for round in 0..2000 {
            let (end, found) = draw(round);
            if let Some(pause) = self.task.pauses().first() {
                let event = self.task.resume(pause.cause(), "u");
                if let Some(event) = event {
                    self.record(event);
                    self.flush();
                    continue;
                }
            }
            if self.task.ready(self.now).next().is_some() {
                self.make(Move::Start(0), Flush::Now);
            } else if self.task.running() > 0 {
                self.make(Move::End(0, end), Flush::Now);
            } else if self.task.to_probe().next().is_some() {
                self.make(Move::Probe(0, found), Flush::Now);
            } else if let Some(due) = self.task.wake_at(self.now) {
                self.now = self.now.max(due);
                self.flush();
            } else {
                return;
            }
        }
        panic!("the task goes on for ever: {:?}", self.task);
    }
}

fn cause(number: Option<u8>) -> Cause {
    match number {
        None => Cause::Own,
        Some(0) => Cause::Hold(HoldId::from_uuid(uuid::Uuid::from_u128(0))),
        Some(number) => Cause::Above(TaskId::from_uuid(uuid::Uuid::from_u128(number.into()))),
    }
}

fn assignee() -> Assignee {
    Assignee {
        agent: AgentId::from_uuid(uuid::Uuid::from_u128(7)),
        agent_name: "one".to_owned(),
        node: NodeId::from_uuid(uuid::Uuid::from_u128(9)),
        node_name: "here".to_owned(),
        card: ScoreCard::default(),
    }
}

/// Whether an attempt's place among the steps is set in `mask`.
fn masked(attempt: &Attempt, mask: u16) -> bool {
    let at = attempt.token.split('-').next().unwrap().parse::<u32>();
    mask >> at.unwrap() & 1 == 1
}
