//! [`Callers`]: the side of a node whose agents ask.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use protocol::{id::NodeId, wire::Service};
use serde_json::Value;
use tokio::time::Instant;

use super::{Put, Reply};
use crate::{
    adapter::{Adapter, Among, Answer, AskError, Exchange, Question},
    cluster::{Carrier, Owner, Surroundings, parcel::Limits},
    host::{read, write},
    services::{Services, WeakServices},
};

/// How much longer than the answer may take its way may.
const WAY: Duration = Duration::from_secs(2);

/// The pauses between two tries to find the owner of a task.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// Takes the questions of this node's agents. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Callers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    around: Surroundings,
    carrier: Carrier,
    own: OnceLock<WeakServices>,
}

/// Gives agents written in Rust their colleagues, on a node that has these surroundings.
#[must_use]
pub fn among(
    natives: HashMap<String, Arc<dyn Adapter>>,
    around: &Surroundings,
) -> HashMap<String, Arc<dyn Adapter>> {
    Callers::new(around).among(natives)
}

impl Callers {
    pub(crate) fn new(around: &Surroundings) -> Self {
        Self(Arc::new(Inner {
            carrier: Carrier::new(around.net.clone(), Limits::WORK),
            around: around.clone(),
            own: OnceLock::new(),
        }))
    }

    pub(crate) fn among(
        &self,
        natives: HashMap<String, Arc<dyn Adapter>>,
    ) -> HashMap<String, Arc<dyn Adapter>> {
        let exchange: Arc<dyn Exchange> = self.0.clone();
        let among = |inner| {
            let exchange = exchange.clone();
            Arc::new(Among { inner, exchange }) as Arc<dyn Adapter>
        };
        let natives = natives.into_iter();
        natives.map(|(name, inner)| (name, among(inner))).collect()
    }

    /// Hands over what a control node has beside; only the first time counts.
    pub(super) fn provide(&self, services: &Services) {
        let _ = self.0.own.set(services.downgrade());
    }
}

impl Exchange for Inner {
    fn ask(&self, question: Question) -> Answer<'_, Result<Value, AskError>> {
        Box::pin(self.find(question))
    }
}

impl Inner {
    /// Asks the task's owner, and looks for another one for as long as surely nothing happened.
    async fn find(&self, question: Question) -> Result<Value, AskError> {
        let until = Instant::now() + question.within;
        let mut pause = PAUSE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let question = Question {
                within: left,
                ..question.clone()
            };
            let agent = question.agent.clone();
            let reply = match self.around.cluster.owner(question.of.task.into()) {
                Owner::Here => self.here(question).await,
                Owner::There(node) => self.there(node, question).await?,
                Owner::Nobody => Reply::Elsewhere,
            };
            match reply {
                Reply::Answered(answer) => return Ok(answer),
                Reply::Failed(error) => return Err(error),
                Reply::Elsewhere if Instant::now() + pause >= until => {
                    let message = "the owner of the task was not found".to_owned();
                    return Err(AskError::Unavailable { agent, message });
                }
                Reply::Elsewhere => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn here(&self, question: Question) -> Reply {
        match self.own.get().and_then(WeakServices::upgrade) {
            Some(services) => services.asked(self.around.me.node, question).await,
            None => Reply::Elsewhere,
        }
    }

    async fn there(&self, node: NodeId, question: Question) -> Result<Reply, AskError> {
        use runtime::cluster::Fault;

        let until = Instant::now() + question.within + WAY;
        let put = write(&Put {
            of: question.of,
            agent: question.agent.clone(),
            input: question.input,
            within: u64::try_from(question.within.as_millis()).unwrap_or(u64::MAX),
        });
        let asking = self.carrier.ask_until(node, Service::ASK, put, until);
        match asking.await {
            Ok(reply) => read(&reply).map_err(|error| AskError::Lost {
                message: error.to_string(),
            }),
            Err(Fault::TooLarge { size, limit }) => Err(AskError::TooLarge {
                message: format!("{size} bytes are more than nodes pass to each other ({limit})"),
            }),
            Err(fault) if fault.nothing_happened() => Ok(Reply::Elsewhere),
            Err(Fault::Deadline(_)) => Err(AskError::Deadline),
            Err(fault) => Err(AskError::Lost {
                message: format!("the owner of the task did not answer: {fault}"),
            }),
        }
    }
}
