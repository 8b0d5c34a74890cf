//! Questions that are put to the node that is to own them, whichever that is.

use std::{sync::Arc, time::Duration};

use protocol::{
    api::FieldError,
    id::{NodeId, QuestionId},
    member::NodeRole,
    question::QuestionSpec,
    wire::Service,
};
use runtime::cluster::Fault;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{NotPut, Questions};
use crate::{
    cluster::{Net, Owner},
    host::{read, write},
    services::Services,
};

/// How long an owner is looked for.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long one node may take to answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(6);

/// The pauses between two tries: the first, and the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What the owner of a question is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    Put {
        id: QuestionId,
        tenant: String,
        spec: Box<QuestionSpec>,
    },
    TakeBack {
        id: QuestionId,
        reason: String,
    },
}

impl Request {
    const fn id(&self) -> QuestionId {
        match self {
            Self::Put { id, .. } | Self::TakeBack { id, .. } => *id,
        }
    }
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    /// It is on disk.
    Done,
    /// It makes no sense.
    Refused(FieldError),
    /// Not now, or not here.
    Again(String),
}

impl From<Result<(), NotPut>> for Reply {
    fn from(put: Result<(), NotPut>) -> Self {
        match put {
            Ok(()) => Self::Done,
            Err(NotPut::Refused(error)) => Self::Refused(error),
            Err(NotPut::Later(why)) => Self::Again(why),
        }
    }
}

/// Takes questions from other control nodes from now on.
pub(crate) fn serve(services: &Services) {
    let own = services.downgrade();
    services.questions.0.carrier.serve(
        Service::QUESTION,
        Arc::new(move |incoming| {
            let services = own.upgrade();
            Box::pin(async move {
                let Some(services) = services else {
                    return Err(Fault::Refused("the node is stopping".to_owned()));
                };
                if !incoming.from.roles.has(NodeRole::Control) {
                    return Err(Fault::Refused("only control nodes ask people".to_owned()));
                }
                let request: Request =
                    read(&incoming.payload).map_err(|error| Fault::Refused(error.to_string()))?;
                let questions = &services.questions;
                let reply = match questions.0.cluster.owner(request.id().into()) {
                    Owner::Here => questions.here(request).await,
                    Owner::There(_) | Owner::Nobody => elsewhere(),
                };
                Ok(write(&reply))
            })
        }),
    );
}

fn elsewhere() -> Reply {
    Reply::Again("no node that can be reached owns it at the moment".to_owned())
}

impl Questions {
    /// Puts a question to people. The same id again is the same question: it is put once.
    ///
    /// # Errors
    ///
    /// `Refused` when it makes no sense; `Later` when its owner was not found in a while.
    pub(crate) async fn ask(
        &self,
        id: QuestionId,
        tenant: &str,
        spec: QuestionSpec,
    ) -> Result<(), NotPut> {
        let (tenant, spec) = (tenant.to_owned(), Box::new(spec));
        self.request(&Request::Put { id, tenant, spec }).await
    }

    /// Takes a question back: nobody waits for its answer any more. One that is over, or never was put,
    /// is left alone.
    ///
    /// # Errors
    ///
    /// `Later` when its owner was not found in a while.
    pub(crate) async fn withdraw(&self, id: QuestionId, reason: &str) -> Result<(), NotPut> {
        let reason = reason.to_owned();
        self.request(&Request::TakeBack { id, reason }).await
    }

    async fn request(&self, request: &Request) -> Result<(), NotPut> {
        let until = Instant::now() + PATIENCE;
        let mut pause = PAUSE;
        loop {
            let reply = match self.0.cluster.owner(request.id().into()) {
                Owner::Here => self.here(request.clone()).await,
                Owner::There(node) => self.there(node, request).await,
                Owner::Nobody => elsewhere(),
            };
            match reply {
                Reply::Done => return Ok(()),
                Reply::Refused(error) => return Err(NotPut::Refused(error)),
                Reply::Again(why) if Instant::now() + pause >= until => {
                    return Err(NotPut::Later(why));
                }
                Reply::Again(_) => sleep(pause).await,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn here(&self, request: Request) -> Reply {
        match request {
            Request::Put { id, tenant, spec } => self.make(id, &tenant, spec).await,
            Request::TakeBack { id, reason } => self.take_back(id, reason).await,
        }
        .into()
    }

    async fn there(&self, node: NodeId, request: &Request) -> Reply {
        let until = Instant::now() + ANSWERED_WITHIN;
        let asking = self
            .0
            .carrier
            .ask_until(node, Service::QUESTION, write(request), until);
        match asking.await {
            Ok(reply) => read(&reply).unwrap_or_else(|error| Reply::Again(error.to_string())),
            Err(fault) => Reply::Again(fault.to_string()),
        }
    }
}
