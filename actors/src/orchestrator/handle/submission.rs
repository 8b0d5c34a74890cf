//! Submitting a task.

use std::time::Duration;

use protocol::{access::Caller, task::TaskSpec};

use super::{Answer, Orchestrator, Submission, cases::SubmitTask};

impl Orchestrator {
    /// Makes a task durable and answers it. With `wait`, answers when it is settled or the time is up.
    /// `key` is the client's idempotency key and the SHA-256 of the body that came with it.
    ///
    /// # Errors
    ///
    /// `Invalid` when the plan does not pass review, `Overloaded` at the limit of open tasks.
    pub async fn submit(
        &self,
        caller: &Caller,
        spec: TaskSpec,
        key: Option<(String, [u8; 32])>,
        wait: Option<Duration>,
    ) -> Answer<Submission> {
        self.carry_out(caller, SubmitTask { spec, key, wait }).await
    }
}
