//! P4: what the world outside saw.

use protocol::{plan::Effect, task::Finding};
use serde_json::json;

use super::{Oracle, needs_met};
use crate::link::Run;

impl Oracle {
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
        // A guarded step that failed may be tried again, whatever its tool did before.
        let failed = self.tasks.get(&run.stream).is_some_and(|shadow| {
            let at = shadow.task.position(&run.step);
            at.is_some_and(|at| shadow.task.steps[at].failures() > 0)
        });
        let lawful = match run.effect {
            Effect::Pure | Effect::Idempotent => true,
            Effect::Guarded => failed || count == 1,
            Effect::Irreversible => count == 1,
        };
        self.hold(lawful, || {
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
}
