//! [`Report`]: what became of an attempt reaches whoever owns its task then, until it is on disk.

use std::time::Duration;

use protocol::{
    id::TaskId,
    task::{Failure, Outcome},
    usage::Usage,
    wire::Service,
};
use runtime::{cluster::Fault, entity::TellError};
use tokio::sync::oneshot;

use super::{Hosts, LONGEST};
use crate::{
    agent::token_hash,
    cluster::Owner,
    host::message::{Ended, Figures, Receipt, read, write},
    task::actor as task,
};

/// How long an owner may take to record a result before it is sent again.
const RECORDED_WITHIN: Duration = Duration::from_secs(10);

/// Tells a task what became of an attempt, exactly once: also when it is dropped unused.
#[derive(Debug)]
pub(crate) struct Report(Option<Sender>);

/// What became of an attempt, and what it took.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) usage: Option<Usage>,
}

impl From<Outcome> for End {
    /// One whose agent reported nothing.
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            usage: None,
        }
    }
}

#[derive(Debug)]
struct Sender {
    hosts: Hosts,
    task: TaskId,
    step: String,
    number: u32,
    token: [u8; 16],
}

impl Report {
    pub(crate) fn new(
        hosts: Hosts,
        task: TaskId,
        step: &str,
        number: u32,
        token: [u8; 16],
    ) -> Self {
        Self(Some(Sender {
            hosts,
            task,
            step: step.to_owned(),
            number,
            token,
        }))
    }

    /// The attempt's secret; absent once the report is on its way.
    pub(crate) fn token(&self) -> Option<&[u8; 16]> {
        self.0.as_ref().map(|sender| &sender.token)
    }

    /// Tells the task, again and again until it is on disk.
    pub(crate) async fn send(mut self, agent: &str, end: End, figures: Option<Figures>) {
        if let Some(sender) = self.0.take() {
            sender.send(agent, end, figures).await;
        }
    }

    /// Another node runs the attempt now, and reports.
    pub(crate) fn handed_over(mut self) {
        self.0 = None;
    }
}

impl Sender {
    async fn send(self, agent: impl AsRef<str>, end: End, load: Option<Figures>) {
        let ended = Ended {
            task: self.task,
            step: self.step,
            number: self.number,
            token: self.token,
            agent: agent.as_ref().to_owned(),
            outcome: end.outcome,
            usage: end.usage,
            load,
        };
        if let Some(ledger) = &self.hosts.ledger {
            ledger.ended(&ended).await;
        }
        self.hosts.deliver(ended).await;
    }
}

impl Hosts {
    /// Hands a result to whoever owns the task, again and again until it is on disk there.
    pub(crate) async fn deliver(&self, mut ended: Ended) {
        let mut wait = Duration::from_millis(50);
        loop {
            let recorded = match (self.owner(ended.task), self.local()) {
                (Owner::Here, Some(local)) => record(&local.tasks, &ended).await,
                (Owner::There(node), _) => match self.send_to(node, &ended).await {
                    Ok(receipt) => receipt,
                    Err(Fault::TooLarge { size, limit }) => {
                        ended.outcome = too_large(size, limit);
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!(task = %ended.task, %error, "a result could not be delivered yet");
                        Receipt::Again
                    }
                },
                (Owner::Here | Owner::Nobody, _) => Receipt::Again,
            };
            if recorded == Receipt::Recorded {
                break;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST);
        }
        if let Some(ledger) = &self.ledger {
            ledger.sent(&token_hash(&ended.token)).await;
        }
    }

    async fn send_to(&self, node: protocol::id::NodeId, ended: &Ended) -> Result<Receipt, Fault> {
        let asking = self
            .around
            .net
            .ask(node, Service::TASK, write(ended), RECORDED_WITHIN);
        let answer = asking.await?;
        read(&answer).map_err(|error| Fault::Refused(error.to_string()))
    }
}

/// Tells a task of this node, and waits until it is on disk.
pub(crate) async fn record(
    tasks: &runtime::entity::Host<crate::task::actor::TaskEntity>,
    ended: &Ended,
) -> Receipt {
    let (recorded, on_disk) = oneshot::channel();
    let message = task::Message::Ended(Box::new(task::Ended {
        step: ended.step.clone(),
        number: ended.number,
        token: ended.token,
        agent: ended.agent.clone(),
        outcome: ended.outcome.clone(),
        usage: ended.usage,
        recorded,
    }));
    match tasks.tell(ended.task.into(), message).await {
        Ok(()) if on_disk.await.is_ok() => Receipt::Recorded,
        Ok(()) => {
            tracing::warn!(task = %ended.task, "a result was not recorded and is sent again");
            Receipt::Again
        }
        // The commit that would have made it was refused, so what it was to start was given back.
        Err(TellError::NoSuchEntity(_)) if task::has_not_begun(&ended.outcome) => Receipt::Recorded,
        Err(TellError::NoSuchEntity(_)) => {
            // A failover of the database lost the task, or somebody made it up.
            tracing::warn!(
                target: "audit",
                task = %ended.task,
                step = ended.step,
                number = ended.number,
                "a result was refused: there is no such task"
            );
            Receipt::Recorded
        }
        Err(error) => {
            tracing::warn!(task = %ended.task, %error, "a result could not be delivered yet");
            Receipt::Again
        }
    }
}

/// What a message between nodes cannot hold.
pub(super) fn too_large(size: usize, limit: usize) -> Outcome {
    let message = format!(
        "{size} bytes are more than nodes pass to each other ({limit}); let the tool leave a file \
         among its artifacts and answer with its name"
    );
    Outcome::Failed {
        error: Failure::new("too_large", message),
        retryable: false,
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let Some(sender) = self.0.take() else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let why = "the agent's proxy went away before it ran the step";
            runtime.spawn(sender.send("proxy", not_started(why).into(), None));
        }
    }
}

/// The tool was surely not called.
pub(crate) fn not_started(why: &str) -> Outcome {
    Outcome::Failed {
        error: Failure::new("not_started", why),
        retryable: true,
    }
}
