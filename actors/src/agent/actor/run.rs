//! One attempt beside the proxy's mailbox, from the call to the report that its task recorded.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use protocol::{
    id::TaskId,
    plan::Effect,
    task::{Failure, Finding, Outcome},
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    Cx,
    message::{Message, ProbeRequest},
};
use crate::{
    adapter::{Adapter, Call, CallError, Probe},
    agent::{
        breaker::{CallEnd, Pass},
        token_hash,
    },
    registry::{Agent, Slot},
    services::Services,
    task::{actor as task, rules::timed_out},
};

/// How much longer than its time an adapter may take to end a call.
const GRACE: Duration = Duration::from_secs(5);

/// The longest wait between two tries to hand a result over.
const LONGEST: Duration = Duration::from_secs(10);

/// An attempt to be run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) call: Call,
    pub(crate) effect: Effect,
    pub(crate) slot: Slot,
    pub(crate) report: Report,
}

/// Tells a task what became of an attempt, exactly once: also when it is dropped unused.
#[derive(Debug)]
pub(crate) struct Report(Option<Sender>);

#[derive(Debug)]
struct Sender {
    services: Services,
    task: TaskId,
    step: String,
    number: u32,
    token: [u8; 16],
}

impl Report {
    pub(crate) fn new(
        services: Services,
        task: TaskId,
        step: &str,
        number: u32,
        token: [u8; 16],
    ) -> Self {
        Self(Some(Sender {
            services,
            task,
            step: step.to_owned(),
            number,
            token,
        }))
    }

    fn token(&self) -> String {
        self.0
            .as_ref()
            .map(|sender| token_hash(&sender.token))
            .unwrap_or_default()
    }

    /// Tells the task, again and again until it is on disk.
    async fn send(mut self, agent: &str, outcome: Outcome) {
        if let Some(sender) = self.0.take() {
            sender.send(agent, outcome).await;
        }
    }
}

impl Sender {
    async fn send(self, agent: impl AsRef<str>, outcome: Outcome) {
        let mut wait = Duration::from_millis(50);
        loop {
            let (recorded, on_disk) = oneshot::channel();
            let ended = task::Message::Ended(Box::new(task::Ended {
                step: self.step.clone(),
                number: self.number,
                token: self.token,
                agent: agent.as_ref().to_owned(),
                outcome: outcome.clone(),
                recorded,
            }));
            match self.services.tasks.tell(self.task.into(), ended).await {
                Ok(()) if on_disk.await.is_ok() => return,
                Ok(()) => {
                    tracing::warn!(task = %self.task, "a result was not recorded and is sent again");
                }
                Err(runtime::entity::TellError::NoSuchEntity(_)) => return,
                Err(error) => {
                    tracing::warn!(task = %self.task, %error, "a result could not be delivered yet");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST);
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let Some(sender) = self.0.take() else {
            return;
        };
        let error = Failure::new(
            "not_started",
            "the agent's proxy went away before it ran the step",
        );
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let outcome = Outcome::Failed {
                error,
                retryable: true,
            };
            runtime.spawn(sender.send("proxy", outcome));
        }
    }
}

/// Starts an attempt; it goes on also when the proxy fails.
pub(super) fn start(cx: &mut Cx, run: Run) {
    let Some(agent) = cx.volatile.agent.clone() else {
        return;
    };
    let Some(adapter) = agent.facts().adapter.clone() else {
        let error = Failure::new(
            "agent_config",
            "the agent's configuration makes no sense to this build",
        );
        tokio::spawn(run.report.send(
            "proxy",
            Outcome::Failed {
                error,
                retryable: false,
            },
        ));
        return;
    };
    let token = run.report.token();
    let cancel = CancellationToken::new();
    agent.running.insert(token.clone(), cancel.clone());
    let now = cx.services.clock.now();
    // A breaker that opened since the slot was taken does not turn the attempt away any more.
    let pass = cx
        .volatile
        .breaker
        .as_mut()
        .and_then(|breaker| breaker.enter(now).ok())
        .unwrap_or(Pass::Ordinary);
    let attempt = Attempt {
        agent,
        adapter,
        run,
        token,
        cancel,
        pass,
    };
    tokio::spawn(attempt.go(cx.services.clone()));
}

/// An attempt on its way.
struct Attempt {
    agent: Arc<Agent>,
    adapter: Arc<dyn Adapter>,
    run: Run,
    token: String,
    cancel: CancellationToken,
    pass: Pass,
}

impl Attempt {
    async fn go(self, services: Services) {
        let Self {
            agent,
            adapter,
            run,
            token,
            cancel,
            pass,
        } = self;
        let Run {
            call,
            effect,
            slot,
            report,
        } = run;
        let path = format!(
            "/agents/{}/{}:{}:{}",
            agent.name, call.task, call.step, call.attempt
        );
        let entry = services.tree.enter(path, "tool");
        let result = answer(&*adapter, &call, &cancel).await;
        drop(entry);
        // The slot is free as soon as nothing runs in it; the result may still be on its way.
        drop(slot);
        let (outcome, end) = outcome(effect, result);
        services
            .agents
            .tell_active(agent.id.into(), Message::Ended { pass, end });
        report.send(&agent.name, outcome).await;
        // Until here a task that comes back after a failure finds its attempt running.
        agent.running.remove(&token);
    }
}

async fn answer(
    adapter: &dyn Adapter,
    call: &Call,
    cancel: &CancellationToken,
) -> Result<serde_json::Value, CallError> {
    let calling = AssertUnwindSafe(adapter.call(call, cancel)).catch_unwind();
    match tokio::time::timeout(call.timeout + GRACE, calling).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(CallError::Lost {
            failure: Failure::new("panic", "the adapter panicked"),
            may_have_happened: true,
        }),
        Err(_) => Err(CallError::Lost {
            failure: Failure::new("timeout", format!("no answer within {:?}", call.timeout)),
            may_have_happened: true,
        }),
    }
}

fn outcome(effect: Effect, result: Result<serde_json::Value, CallError>) -> (Outcome, CallEnd) {
    match result {
        Ok(output) => (Outcome::Succeeded { output }, CallEnd::Succeeded),
        Err(CallError::Failed { failure, retryable }) => (
            Outcome::Failed {
                error: failure,
                retryable,
            },
            CallEnd::Failed,
        ),
        Err(CallError::Lost {
            failure,
            may_have_happened: false,
        }) => (
            Outcome::Failed {
                error: failure,
                retryable: true,
            },
            CallEnd::Failed,
        ),
        Err(CallError::Lost {
            failure,
            may_have_happened: true,
        }) => (timed_out(effect, failure), CallEnd::Failed),
        Err(CallError::Cancelled) => (Outcome::Cancelled, CallEnd::Stopped),
    }
}

/// Asks the tool about a lost attempt, beside the mailbox.
pub(super) fn probe(cx: &Cx, request: ProbeRequest) {
    let services = cx.services.clone();
    let adapter = cx
        .volatile
        .agent
        .as_ref()
        .and_then(|agent| agent.facts().adapter.clone());
    tokio::spawn(async move {
        let finding = match adapter {
            None => Finding::Unknown {
                detail: "the agent's configuration makes no sense to this build".to_owned(),
            },
            Some(adapter) => {
                match tokio::time::timeout(request.call.timeout, adapter.probe(&request.call)).await
                {
                    Ok(Probe::Done(output)) => Finding::Done { output },
                    Ok(Probe::NotDone) => Finding::NotDone,
                    Ok(Probe::Unknown(detail)) => Finding::Unknown { detail },
                    Err(_) => Finding::Unknown {
                        detail: "the probe did not answer in time".to_owned(),
                    },
                }
            }
        };
        let probed = task::Message::Probed {
            step: request.step,
            number: request.number,
            finding,
        };
        if let Err(error) = services.tasks.tell(request.task.into(), probed).await {
            tracing::warn!(task = %request.task, %error, "a probe's finding could not be delivered");
        }
    });
}
