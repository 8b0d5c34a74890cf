//! What was promised, checked against what is on disk and what the world outside saw.

use std::collections::{BTreeMap, BTreeSet};

use actors::task::{Task, state::Ending};
use protocol::{
    entity::EntityId,
    epoch::Epoch,
    id::NodeId,
    plan::Effect,
    record::ChainHash,
    shard::Shard,
    task::{Event, Finding, Outcome, StepStatus, TaskStatus},
    time::Timestamp,
};
use runtime::{
    journal::{EventSourced as _, decode},
    store::{Append, ReminderChange},
};
use serde_json::json;

use crate::{link::Run, node::WALL_ERROR, store::START};

/// Everything that the promises compare with.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// The first promise that was broken.
    pub(crate) violation: Option<String>,
    pub(crate) tasks: BTreeMap<EntityId, Shadow>,
    keys: BTreeMap<String, EntityId>,
    /// Who took shards under an epoch.
    epochs: BTreeMap<Epoch, NodeId>,
    shards: BTreeMap<Shard, Epoch>,
    /// Attempts that began, and effects by step, as a witness outside counts them.
    begun: BTreeSet<String>,
    ledger: BTreeMap<(EntityId, String), Vec<String>>,
    reminders: BTreeMap<(EntityId, String), (Timestamp, u32)>,
    now: u64,
}

/// A task as its committed records say.
#[derive(Debug, Default)]
pub(crate) struct Shadow {
    task: Task,
    head: u64,
    hash: ChainHash,
    epoch: Epoch,
    /// The latest epoch under which it was loaded.
    floor: Epoch,
    successes: BTreeMap<String, u32>,
}

impl Oracle {
    pub(crate) fn object(&mut self, why: String) {
        self.violation.get_or_insert(why);
    }

    fn hold(&mut self, holds: bool, why: impl FnOnce() -> String) {
        if !holds {
            self.object(why());
        }
    }

    pub(crate) fn taken(&mut self, by: NodeId, epoch: Epoch, shards: &[Shard]) {
        let before = self.epochs.insert(epoch, by);
        self.hold(before.is_none(), || {
            format!("P8: {epoch} was handed out twice")
        });
        for shard in shards {
            let last = self.shards.insert(*shard, epoch);
            self.hold(last.is_none_or(|last| last < epoch), || {
                format!("P8: {shard} went from {last:?} to {epoch}")
            });
        }
    }

    /// A stream was read by its owner: no earlier one may append any more.
    pub(crate) fn loaded(&mut self, stream: EntityId, epoch: Epoch) {
        if let Some(shadow) = self.tasks.get_mut(&stream) {
            shadow.floor = shadow.floor.max(epoch);
        }
    }

    pub(crate) fn committed(&mut self, append: &Append, now: u64) {
        self.now = now;
        let record = &append.record;
        let stream = record.stream;
        let mut shadow = self.tasks.remove(&stream).unwrap_or_default();
        self.hold(record.seq == shadow.head + 1, || {
            format!("P8: {stream} goes from {} to {}", shadow.head, record.seq)
        });
        self.hold(record.chain(shadow.hash) == record.hash, || {
            format!("P8: the chain of {stream} breaks at {}", record.seq)
        });
        self.hold(record.epoch >= shadow.epoch, || {
            format!("P8: epochs of {stream} fall at {}", record.seq)
        });
        self.hold(record.epoch >= shadow.floor, || {
            format!(
                "P8: {stream} was loaded under {} and appended to under {}",
                shadow.floor, record.epoch
            )
        });
        let owner = self.epochs.get(&record.epoch).copied();
        self.hold(owner == Some(record.owner), || {
            format!("P8: {} appends under the epoch of {owner:?}", record.owner)
        });
        (shadow.head, shadow.hash, shadow.epoch) = (record.head(), record.hash, record.epoch);
        for event in decode::<Event>(record).unwrap() {
            self.follows(stream, &mut shadow, &event);
            shadow.task.apply(&event, record.at);
        }
        self.tasks.insert(stream, shadow);
        for change in &append.reminders {
            match change {
                ReminderChange::Set { name, due } => {
                    self.reminders.insert((stream, name.clone()), (*due, 0));
                }
                ReminderChange::Clear { name } => {
                    self.reminders.remove(&(stream, name.clone()));
                }
            }
        }
    }

    /// Whether an event may follow what was committed before it.
    fn follows(&mut self, stream: EntityId, shadow: &mut Shadow, event: &Event) {
        let task = &shadow.task;
        let name = |step: &str| format!("{stream} {step}");
        self.hold(
            !task.status.is_terminal() || matches!(event, Event::ResultCameLate { .. }),
            || format!("P3: {event:?} after the end of {stream}"),
        );
        match event {
            Event::Submitted { spec, .. } => {
                let before = self.keys.insert(spec.description.clone(), stream);
                self.hold(before.is_none(), || {
                    format!("P2: key {} made {before:?} and {stream}", spec.description)
                });
            }
            Event::AttemptStarted { step, number, .. } => {
                self.hold(!task.cancelling, || {
                    format!("P7: {} starts after a cancel", name(step))
                });
                let Some(at) = task.position(step) else {
                    return self.object(format!("{} is not planned", name(step)));
                };
                let step = &task.steps[at];
                let id = name(&step.spec.id);
                self.hold(needs_met(task, &step.spec.needs), || {
                    format!("P6: {id} starts before what it needs")
                });
                self.hold(step.status == StepStatus::Queued, || {
                    format!("P4: {id} starts while it is {}", step.status.as_str())
                });
                let next = step.attempts.len() + 1;
                self.hold(*number as usize == next, || {
                    format!("P4: {id} starts as {number}, not {next}")
                });
                let never_ran = step.attempts.iter().all(|attempt| {
                    matches!(&attempt.ended, Some((_, Ending::Failed(why)))
                        if why.code == "connect" || why.code == "not_started")
                });
                self.hold(
                    step.spec.effect != Effect::Irreversible || never_ran,
                    || format!("P4: {id} may have run and is irreversible"),
                );
            }
            Event::AttemptEnded {
                step,
                number,
                outcome,
                ..
            } => {
                let at = task.position(step);
                let running = at.and_then(|at| task.steps[at].running());
                self.hold(running.is_some_and(|run| run.number == *number), || {
                    format!("P5: {} {number} ends and did not run", name(step))
                });
                if let Outcome::Succeeded { output } = outcome {
                    let own = running.is_some_and(|run| *output == json!(run.token));
                    self.hold(own, || {
                        format!("P5: {} succeeds by another's result", name(step))
                    });
                    *shadow.successes.entry(step.clone()).or_default() += 1;
                }
            }
            Event::Probed { step, finding, .. } => {
                if matches!(finding, Finding::Done { .. }) {
                    *shadow.successes.entry(step.clone()).or_default() += 1;
                }
            }
            Event::Settled { status, .. } => {
                let mut steps = task.steps.iter();
                let all = steps.all(|step| step.status == StepStatus::Completed);
                // One that was cancelled may have completed its last step before it stopped.
                let lawful =
                    *status == TaskStatus::Cancelled || (*status == TaskStatus::Completed) == all;
                self.hold(lawful, || {
                    format!("P5: {stream} is {} and should not", status.as_str())
                });
                self.hold(task.running() == 0, || {
                    format!("P3: {stream} ends while it runs")
                });
            }
            Event::Planned { .. }
            | Event::RetryScheduled { .. }
            | Event::StepSettled { .. }
            | Event::ResultCameLate { .. }
            | Event::Amended { .. }
            | Event::Assigned { .. }
            | Event::CancelRequested { .. }
            | Event::Deleted { .. } => {}
        }
        let twice = shadow.successes.iter().find(|(_, times)| **times > 1);
        if let Some((step, _)) = twice {
            self.object(format!("P5: {stream} {step} succeeded twice"));
        }
    }

    /// An attempt begins on its host.
    pub(crate) fn begins(&mut self, run: &Run) {
        let id = format!("{} {} {}", run.stream, run.step, run.number);
        let first = self.begun.insert(run.token.clone());
        self.hold(first, || format!("P4: {id} begins twice"));
        let shadow = self.tasks.get(&run.stream);
        let step = shadow.and_then(|shadow| {
            let at = shadow.task.position(&run.step)?;
            Some((&shadow.task, &shadow.task.steps[at]))
        });
        let attempt = step.and_then(|(_, step)| {
            let mut attempts = step.attempts.iter();
            attempts.find(|attempt| attempt.token == run.token)
        });
        let why = match (step, attempt) {
            (None, _) | (_, None) => format!("P4: {id} begins before its intent is on disk"),
            (Some(_), Some(attempt)) if attempt.ended.is_some() => {
                format!("P4: {id} begins after it was given up")
            }
            (Some((task, step)), Some(_)) if !needs_met(task, &step.spec.needs) => {
                format!("P6: {id} begins before what it needs")
            }
            (Some(_), Some(_)) => return,
        };
        self.object(why);
    }

    /// The world outside changes; the witness never forgets and never de-duplicates.
    pub(crate) fn effect(&mut self, run: &Run) {
        let place = (run.stream, run.step.clone());
        let effects = self.ledger.entry(place).or_default();
        effects.push(run.token.clone());
        let count = effects.len();
        let once = matches!(run.effect, Effect::Guarded | Effect::Irreversible);
        // A guarded step that failed may be tried again, whatever its tool did before.
        let failed = self.tasks.get(&run.stream).is_some_and(|shadow| {
            let at = shadow.task.position(&run.step);
            at.is_some_and(|at| shadow.task.steps[at].failures() > 0)
        });
        self.hold(!once || failed || count == 1, || {
            format!("P4: {} {} took effect {count} times", run.stream, run.step)
        });
    }

    /// What a probe finds.
    pub(crate) fn find(&self, run: &Run) -> Finding {
        match self.ledger.get(&(run.stream, run.step.clone())) {
            Some(effects) => Finding::Done {
                output: json!(effects.last()),
            },
            None => Finding::NotDone,
        }
    }

    pub(crate) fn reminded(
        &mut self,
        stream: EntityId,
        name: &str,
        due: Timestamp,
        wall: Timestamp,
        now: u64,
    ) {
        let true_now = START + i64::try_from(now + WALL_ERROR).unwrap();
        let early = due > wall || due.as_micros() > true_now;
        self.hold(!early, || {
            format!("P10: {name} of {stream} came before {due}")
        });
        if let Some((set, times)) = self.reminders.get_mut(&(stream, name.to_owned()))
            && *set == due
        {
            *times += 1;
        }
    }

    /// A reminder leaves the store.
    pub(crate) fn forgotten(&mut self, stream: EntityId, name: &str, due: Timestamp) {
        let kept = self.reminders.get(&(stream, name.to_owned()));
        let told = kept.is_none_or(|(set, times)| *set != due || *times > 0);
        self.hold(told, || {
            format!("P10: {name} of {stream}, due {due}, was forgotten before it came")
        });
    }

    /// A client was told that its order made a task.
    pub(crate) fn exists(&mut self, key: &str, stream: EntityId) {
        let made = self.keys.get(key).copied();
        self.hold(made == Some(stream), || {
            format!("P1: {stream} was acknowledged for {key}, on disk is {made:?}")
        });
    }

    /// Tasks that are not settled.
    pub(crate) fn open(&self) -> Vec<String> {
        let tasks = self.tasks.iter();
        let open = tasks.filter(|(_, shadow)| !shadow.task.status.is_terminal());
        open.map(|(stream, shadow)| {
            let steps = shadow.task.steps.iter();
            let steps: Vec<_> = steps.map(|step| step.status.as_str()).collect();
            format!("P1: {stream} {steps:?}")
        })
        .collect()
    }

    pub(crate) fn effects_at_end(&mut self) {
        let mut wrong = Vec::new();
        for (stream, shadow) in &self.tasks {
            for step in &shadow.task.steps {
                let place = (*stream, step.spec.id.clone());
                if step.status == StepStatus::Completed && !self.ledger.contains_key(&place) {
                    wrong.push(format!("P5: {stream} {} did not happen", step.spec.id));
                }
            }
        }
        let now = START + i64::try_from(self.now).unwrap();
        for ((stream, name), (due, times)) in &self.reminders {
            if *times == 0 && due.as_micros() + 5_000_000 < now {
                wrong.push(format!("P10: {name} of {stream}, due {due}, never came"));
            }
        }
        for why in wrong {
            self.object(why);
        }
    }
}

fn needs_met(task: &Task, needs: &[String]) -> bool {
    needs.iter().all(|need| {
        let at = task.position(need);
        at.is_some_and(|at| task.steps[at].status == StepStatus::Completed)
    })
}
