//! Publishes the counts whenever something was committed.

use std::time::Duration;

use protocol::{access::DEFAULT_TENANT, entity::EntityKind, task::TaskStatus};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use runtime::{
    journal::Journal,
    supervision::{self, ChildSpec, Restart, child},
};

use crate::services::Services;

/// How far the counts may be behind.
const PERIOD: Duration = Duration::from_secs(2);

struct TaskTracker {
    services: Services,
    journal: Journal,
}

#[derive(Debug)]
enum Message {
    Look,
}
impl ractor::Message for Message {}
impl supervision::Message for Message {
    fn name(&self) -> &'static str {
        "Look"
    }
}

/// The child that counts tasks.
pub(crate) fn task_tracker(services: Services, journal: Journal) -> ChildSpec {
    child("task_tracker", "system", Restart::Permanent, move || {
        let tracker = TaskTracker {
            services: services.clone(),
            journal: journal.clone(),
        };
        (tracker, ())
    })
    .0
}

impl Actor for TaskTracker {
    type Msg = Message;
    /// Appends that had been committed at the last count.
    type State = Option<u64>;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        (): (),
    ) -> Result<Option<u64>, ActorProcessingErr> {
        myself.cast(Message::Look)?;
        Ok(None)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message::Look: Message,
        counted: &mut Option<u64>,
    ) -> Result<(), ActorProcessingErr> {
        let committed = self.journal.feed().committed();
        let active = u32::try_from(self.services.tasks.active()).unwrap_or(u32::MAX);
        metrics::gauge!(crate::metrics::ACTIVE_TASKS).set(f64::from(active));
        if *counted != Some(committed) {
            match self
                .journal
                .store()
                .count(DEFAULT_TENANT, EntityKind::Task)
                .await
            {
                Ok(counts) => {
                    publish(&counts);
                    *counted = Some(committed);
                }
                Err(error) => tracing::warn!(%error, "tasks could not be counted"),
            }
        }
        myself.send_after(PERIOD, || Message::Look);
        Ok(())
    }
}

fn publish(counts: &[(String, u64)]) {
    for status in TaskStatus::ALL {
        let count = counts
            .iter()
            .find(|(name, _)| name == status.as_str())
            .map_or(0, |(_, count)| *count);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        metrics::gauge!(crate::metrics::TASKS, "status" => status.as_str()).set(f64::from(count));
    }
}
