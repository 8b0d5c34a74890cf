//! [`Colleagues`]: how the code of an agent asks other agents, wherever they are hosted.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use protocol::{question::Asking, task::Failure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Adapter, Answer, Call, CallError, Probe, people::People};

/// Why an agent that was asked gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum AskError {
    /// No agent of this tenant has the name.
    #[error("there is no agent {agent}")]
    NotFound {
        /// As asked for.
        agent: String,
    },
    /// It waits for the answer of the one that asks, or of one before.
    #[error("agent {agent} waits for this answer itself: {}", path.join(" asks "))]
    Cycle {
        /// Whom nobody may ask now.
        agent: String,
        /// Who asked whom, the first first.
        path: Vec<String>,
    },
    /// Agents asked agents too many times in a row.
    #[error("{limit} agents ask each other in a row already, which is the most there may be")]
    TooDeep {
        /// The most there may be.
        limit: usize,
    },
    /// It surely was not asked: it does not run, or no node hosts it.
    #[error("agent {agent} cannot be asked now: {message}")]
    Unavailable {
        /// Who.
        agent: String,
        /// Why not.
        message: String,
    },
    /// It surely was not asked: all its slots stayed taken.
    #[error("agent {agent} had no free slot in time")]
    Busy {
        /// Who.
        agent: String,
    },
    /// Question or answer are larger than a message between nodes may be.
    #[error("{message}")]
    TooLarge {
        /// What is too large.
        message: String,
    },
    /// It answered that it failed.
    #[error("{}", .failure.message)]
    Failed {
        /// What it said.
        failure: Failure,
        /// Whether asking again can help.
        retryable: bool,
    },
    /// It was asked, and its node or its owner went away: nobody knows what became of it.
    #[error("{message}")]
    Lost {
        /// What happened.
        message: String,
    },
    /// It was asked, and there was no answer in the time that the one who asks has left.
    #[error("there was no answer in time")]
    Deadline,
    /// People were asked, and there is no answer from them; or what they were asked makes no sense.
    #[error("{}", .failure.message)]
    Unanswered {
        /// Why; the code is `no_answer` or `invalid_question`.
        failure: Failure,
    },
}

impl AskError {
    /// For programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "ask_not_found",
            Self::Cycle { .. } => "ask_cycle",
            Self::TooDeep { .. } => "ask_too_deep",
            Self::Unavailable { .. } => "ask_unavailable",
            Self::Busy { .. } => "ask_busy",
            Self::TooLarge { .. } => "ask_too_large",
            Self::Failed { .. } => "ask_failed",
            Self::Lost { .. } => "ask_lost",
            Self::Deadline => "ask_deadline",
            Self::Unanswered { .. } => "ask_unanswered",
        }
    }
}

/// What an agent whose colleague did not answer can say itself, with `?`.
impl From<AskError> for CallError {
    fn from(error: AskError) -> Self {
        let failure = Failure::new(error.code(), error.to_string());
        match error {
            AskError::NotFound { .. }
            | AskError::Cycle { .. }
            | AskError::TooDeep { .. }
            | AskError::TooLarge { .. } => Self::Failed {
                failure,
                retryable: false,
            },
            AskError::Unavailable { .. } | AskError::Busy { .. } => Self::Failed {
                failure,
                retryable: true,
            },
            AskError::Failed { retryable, .. } => Self::Failed { failure, retryable },
            // Why stands in what it says itself.
            AskError::Unanswered { failure } => Self::Failed {
                failure,
                retryable: false,
            },
            AskError::Lost { .. } | AskError::Deadline => Self::Lost {
                failure,
                may_have_happened: true,
            },
        }
    }
}

/// A question on its way: who asks is the attempt, or the question, that this names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Question {
    pub(crate) of: Asker,
    /// Whom, by name or id.
    pub(crate) agent: String,
    pub(crate) input: Value,
    pub(crate) within: Duration,
}

/// The call in whose name something is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asker {
    pub(crate) task: protocol::id::TaskId,
    pub(crate) step: String,
    pub(crate) number: u32,
}

/// Brings questions to agents.
pub(crate) trait Exchange: fmt::Debug + Send + Sync {
    fn ask(&self, question: Question) -> Answer<'_, Result<Value, AskError>>;
}

/// The other agents, as one that is being called can ask them. Cheap to clone.
///
/// A question takes a slot of the agent that is asked, as a step does, and is put to it at most once.
/// Nothing of it is written down: what must survive the end of this node is a task of its own.
#[derive(Debug, Clone)]
pub struct Colleagues {
    exchange: Arc<dyn Exchange>,
    of: Asker,
    until: Instant,
    people: People,
}

impl Colleagues {
    /// Asks an agent of the same tenant, by name or id, and waits for its answer as long as this call
    /// may still take. It is called with `input`, as for a step.
    ///
    /// # Errors
    ///
    /// Why there is no answer; each says whether the agent can have taken effect.
    pub async fn ask(&self, agent: &str, input: Value) -> Result<Value, AskError> {
        self.ask_within(agent, input, Duration::MAX).await
    }

    /// The same, and waits no longer than `limit`.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub async fn ask_within(
        &self,
        agent: &str,
        input: Value,
        limit: Duration,
    ) -> Result<Value, AskError> {
        let within = self.left().min(limit);
        if within.is_zero() {
            return Err(AskError::Deadline);
        }
        let question = Question {
            of: self.of.clone(),
            agent: agent.to_owned(),
            input,
            within,
        };
        self.exchange.ask(question).await
    }

    /// Asks people, whatever time they take, and waits without taking any of this node's: while there is no
    /// reply, the call ends here. When there is one, the step is given to an agent again, from its beginning
    /// and with the same idempotency key, and this answers at once.
    ///
    /// Questions of one call are told apart by their order: what stands before them must not depend on
    /// chance, or give them names ([`ask_people_as`](Self::ask_people_as)). Those that are asked together, as
    /// with `join!`, are put together.
    ///
    /// # Errors
    ///
    /// `Unanswered` when nobody answered in time, or what is asked makes no sense.
    pub async fn ask_people(&self, asking: Asking) -> Result<Value, AskError> {
        let replied = self.people.ask(None, asking).await;
        replied.map_err(|failure| AskError::Unanswered { failure })
    }

    /// The same under a name: asked again under it, it is the same question.
    ///
    /// # Errors
    ///
    /// As [`ask_people`](Self::ask_people).
    pub async fn ask_people_as(&self, name: &str, asking: Asking) -> Result<Value, AskError> {
        let replied = self.people.ask(Some(name), asking).await;
        replied.map_err(|failure| AskError::Unanswered { failure })
    }

    /// How long the call that asks may still take.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(now())
    }
}

/// Paused with the runtime's clock in tests.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// An agent written in Rust, given its colleagues with each call.
#[derive(Debug)]
pub(crate) struct Among {
    pub(crate) inner: Arc<dyn Adapter>,
    pub(crate) exchange: Arc<dyn Exchange>,
}

impl Adapter for Among {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        let colleagues = Colleagues {
            exchange: self.exchange.clone(),
            of: Asker {
                task: call.task,
                step: call.step.clone(),
                number: call.attempt,
            },
            until: now() + call.timeout,
            people: People::new(call.replies.clone()),
        };
        Box::pin(async move {
            tokio::select! {
                biased;
                answer = self.inner.call_among(call, &colleagues, cancel) => answer,
                // Dropped where it stands: what it does from here on it does when there is a reply.
                wanted = colleagues.people.wanted() => Err(CallError::Waits(wanted)),
            }
        })
    }

    fn probe<'a>(&'a self, call: &'a Call) -> Answer<'a, Probe> {
        self.inner.probe(call)
    }

    fn timeout(&self) -> Option<Duration> {
        self.inner.timeout()
    }

    fn check(&self, timeout: Duration) -> Answer<'_, Result<String, String>> {
        self.inner.check(timeout)
    }
}
