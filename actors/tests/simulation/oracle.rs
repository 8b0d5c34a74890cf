//! What was promised, checked against what is on disk and what the world outside saw.

mod effects;
mod lawful;
mod reminders;
mod single_writer;

use std::collections::{BTreeMap, BTreeSet};

use actors::task::Task;
use protocol::{
    entity::EntityId, epoch::Epoch, id::NodeId, record::ChainHash, shard::Shard, task::StepStatus,
    time::Timestamp,
};

use crate::store::START;

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
