//! What a demonstration shows: from tasks, ledger and kill to losses, double effects and times.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use protocol::{
    api::{AttemptView, StepView, TaskView},
    id::TaskId,
    plan::Effect,
    task::{AttemptStatus, StepStatus, TaskStatus},
    time::Timestamp,
};
use serde::Serialize;

/// One effect, as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) task: String,
    pub(super) step: String,
    pub(super) attempt: u32,
    pub(super) key: String,
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split(' ').collect();
        let [task, step, attempt, key] = fields[..] else {
            return Err(format!("`{text}` has not four fields"));
        };
        Ok(Self {
            task: task.to_owned(),
            step: step.to_owned(),
            attempt: attempt
                .parse()
                .map_err(|_| format!("`{attempt}` is no number"))?,
            key: key.to_owned(),
        })
    }
}

/// The node that was lost.
#[derive(Debug, Clone)]
pub(super) struct Kill {
    pub(super) node: String,
    pub(super) at: Timestamp,
    /// When another node showed that it was not to be reached.
    pub(super) noticed: Option<Timestamp>,
    /// When it served again, if it was started again.
    pub(super) back: Option<Timestamp>,
}

/// A task that was acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) id: TaskId,
    /// The node that owned it first, where that is known.
    pub(super) owner: Option<String>,
    /// As it was at the end; absent when nobody knew it.
    pub(super) seen: Option<TaskView>,
}

/// What came of it all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    pub(super) tasks: usize,
    pub(super) completed: usize,
    /// Tasks that ended because nobody can know whether a step took effect, and that say so.
    pub(super) unknown: usize,
    /// Attempts that ran on the lost node, or for tasks that it owned, when it was killed.
    pub(super) running_at_kill: usize,
    /// Of these, without a receipt.
    pub(super) attempts_lost: usize,
    /// Of these, the ones that ran on other nodes, which had their results.
    pub(super) lost_elsewhere: usize,
    /// From the kill until another node showed the loss, or the node was back.
    pub(super) detection_ms: Option<u64>,
    /// From the kill until the first of them was counted as lost: its lease was over.
    pub(super) given_up_ms: Option<u64>,
    /// From the kill until the last of them had moved on.
    pub(super) recovery_ms: Option<u64>,
    /// What was acknowledged and did not come to its end.
    pub(super) lost_tasks: Vec<String>,
    /// A completed step run again, an irreversible one run twice, a repeat under another key.
    pub(super) double_effects: Vec<String>,
    /// Steps that ran before one that they need.
    pub(super) ignored_dependencies: Vec<String>,
}

/// The ledger by task and step, each line with its place in it.
struct Effects(BTreeMap<String, Vec<(usize, Line)>>);

impl Effects {
    fn of(lines: &[Line]) -> Self {
        let mut effects: BTreeMap<String, Vec<(usize, Line)>> = BTreeMap::new();
        for (place, line) in lines.iter().enumerate() {
            let of = format!("{} {}", line.task, line.step);
            effects.entry(of).or_default().push((place, line.clone()));
        }
        Self(effects)
    }

    fn by(&self, task: &str, step: &str) -> &[(usize, Line)] {
        let found = self.0.get(&format!("{task} {step}"));
        found.map_or(&[], Vec::as_slice)
    }
}

impl Verdict {
    /// Whether everything is as promised.
    pub(super) fn is_good(&self) -> bool {
        self.lost_tasks.is_empty()
            && self.double_effects.is_empty()
            && self.ignored_dependencies.is_empty()
    }

    /// Judges tasks by what was written down of them and by what really happened.
    pub(super) fn of(tasks: &[Kept], lines: &[Line], kill: &Kill) -> Self {
        let mut verdict = Self {
            tasks: tasks.len(),
            ..Self::default()
        };
        let effects = Effects::of(lines);
        let (mut found, mut moved) = (Vec::new(), Vec::new());
        for kept in tasks {
            let id = kept.id.to_string();
            let of = |step: &str| effects.by(&id, step);
            let steps = kept.steps();
            verdict.count(kept, |step| of(step).len());
            for step in steps {
                verdict.judge(&id, step, of(&step.id));
                verdict.judge_order(&id, step, of);
                for hit in step.attempts.iter().filter(|it| kept.is_hit(it, kill)) {
                    verdict.running_at_kill += 1;
                    if hit.status == AttemptStatus::Lost {
                        verdict.attempts_lost += 1;
                        verdict.lost_elsewhere += usize::from(hit.node != kill.node);
                        found.extend(hit.ended_at);
                    }
                    moved.push(moved_on(step, hit));
                }
            }
        }
        let since = |at: Timestamp| milliseconds(at.since(kill.at));
        verdict.detection_ms = kill.back.or(kill.noticed).map(since);
        verdict.given_up_ms = found.into_iter().min().map(since);
        // One that never moved on leaves no time of recovery to tell.
        let moved: Option<Vec<Timestamp>> = moved.into_iter().collect();
        verdict.recovery_ms = moved.and_then(|moved| moved.into_iter().max()).map(since);
        verdict
    }

    fn count(&mut self, kept: &Kept, effects: impl Fn(&str) -> usize) {
        let Some(task) = &kept.seen else {
            self.lost_tasks
                .push(format!("{}: nobody knows it", kept.id));
            return;
        };
        let unknown = |step: &StepView| step.status == StepStatus::Unknown;
        match task.status {
            TaskStatus::Completed => self.completed += 1,
            TaskStatus::Failed if kept.steps().iter().any(unknown) => self.unknown += 1,
            TaskStatus::Pending
            | TaskStatus::Planning
            | TaskStatus::Executing
            | TaskStatus::Paused
            | TaskStatus::Failed
            | TaskStatus::Cancelled => {
                self.lost_tasks
                    .push(format!("{} is {}", kept.id, task.status.as_str()));
            }
        }
        for step in kept.steps() {
            if step.status == StepStatus::Completed && effects(&step.id) == 0 {
                let step = &step.id;
                self.lost_tasks
                    .push(format!("{}: {step} completed without effect", kept.id));
            }
        }
    }

    fn judge(&mut self, id: &str, step: &StepView, effects: &[(usize, Line)]) {
        let name = format!("{id} {}", step.id);
        let mut add = |what: String| self.double_effects.push(format!("{name}: {what}"));
        match step.effect {
            Effect::Irreversible | Effect::Guarded if effects.len() > 1 => {
                add(format!("must not repeat, and ran {} times", effects.len()));
            }
            Effect::Pure | Effect::Idempotent | Effect::Irreversible | Effect::Guarded => {}
        }
        let keys = effects.iter().map(|(_, line)| &line.key);
        if keys.clone().any(|key| Some(key) != keys.clone().next()) {
            add("ran again under another key".to_owned());
        }
        for (place, line) in effects {
            let twin = |(other, it): &&(usize, Line)| other < place && it.attempt == line.attempt;
            if effects.iter().any(|it| twin(&it)) {
                add(format!("attempt {} ran twice", line.attempt));
            }
        }
        let completed = step
            .attempts
            .iter()
            .find(|attempt| attempt.status == AttemptStatus::Succeeded);
        if let Some(completed) = completed {
            for (_, line) in effects {
                if line.attempt > completed.number {
                    add(format!("ran again after attempt {}", completed.number));
                }
            }
        }
    }

    fn judge_order<'a>(
        &mut self,
        id: &str,
        step: &StepView,
        effects: impl Fn(&str) -> &'a [(usize, Line)],
    ) {
        let Some((first, _)) = effects(&step.id).first() else {
            return;
        };
        for needed in &step.needs {
            let before = effects(needed).iter().any(|(place, _)| place < first);
            if !before {
                let what = format!("{id}: {} ran before {needed}", step.id);
                self.ignored_dependencies.push(what);
            }
        }
    }
}

impl Kept {
    fn steps(&self) -> &[StepView] {
        let plan = self.seen.as_ref().and_then(|task| task.plan.as_ref());
        plan.map_or(&[], |plan| &plan.steps)
    }

    /// Whether the kill met an attempt: it ran on that node, or for a task of that node's.
    fn is_hit(&self, attempt: &AttemptView, kill: &Kill) -> bool {
        let concerns = attempt.node == kill.node || self.owner.as_ref() == Some(&kill.node);
        let ran = attempt.started_at <= kill.at && attempt.ended_at.is_none_or(|end| end > kill.at);
        concerns && ran
    }
}

/// When a step went on after the kill of what ran of it: with its result, another attempt or an end.
fn moved_on(step: &StepView, hit: &AttemptView) -> Option<Timestamp> {
    if hit.status != AttemptStatus::Lost {
        return hit.ended_at;
    }
    let next = step.attempts.iter().find(|next| next.number > hit.number);
    match next {
        Some(next) => Some(next.started_at),
        None => hit.ended_at.filter(|_| step.status.is_settled()),
    }
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
