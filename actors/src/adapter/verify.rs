//! A trial of an agent before it is registered.

use std::{fmt, time::Duration};

use protocol::{
    agent::{AgentSpec, AgentType},
    id::TaskId,
};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Call, CallError, Doors, Spent, for_agent};

const LIMIT: Duration = Duration::from_secs(10);

/// How far a trial came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its endpoint and configuration are looked at.
    Endpoint,
    /// It is reached.
    Connection,
    /// Its answer to a first call is looked at.
    Response,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Endpoint => "validate endpoint",
            Self::Connection => "test connection",
            Self::Response => "verify response format",
        })
    }
}

/// Tries an agent: its endpoint and configuration, a connection, and for services one call with an
/// empty input, whose answer must have the declared form.
///
/// # Errors
///
/// The stage at which it failed, and why.
pub async fn verify(spec: &AgentSpec, doors: &Doors) -> Result<(), (Stage, String)> {
    let adapter = for_agent(spec, doors).map_err(|errors| {
        let texts = errors.iter();
        let texts: Vec<String> = texts
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect();
        (Stage::Endpoint, texts.join("; "))
    })?;
    let reached = adapter.check(LIMIT).await;
    reached.map_err(|reason| (Stage::Connection, reason))?;
    match spec.agent_type {
        AgentType::Http | AgentType::Api | AgentType::Custom => {}
        // A program may do anything at a call, and what is built in answers as it should.
        AgentType::Command
        | AgentType::Echo
        | AgentType::Sleep
        | AgentType::Fail
        | AgentType::Native => return Ok(()),
    }
    let answer = adapter.call(&trial(), &CancellationToken::new()).await;
    answer.map(drop).map_err(|error| match error {
        CallError::Failed { failure, .. } | CallError::Lost { failure, .. } => {
            let stage = match failure.code.as_str() {
                "connect" | "egress" | "connection_lost" | "timeout" => Stage::Connection,
                _ => Stage::Response,
            };
            (stage, format!("{}: {}", failure.code, failure.message))
        }
        CallError::Cancelled => (Stage::Response, "cancelled".to_owned()),
        CallError::Waits(_) => (Stage::Response, "it asks people".to_owned()),
    })
}

fn trial() -> Call {
    Call {
        task: TaskId::from_uuid(Uuid::nil()),
        step: "verify".to_owned(),
        attempt: 1,
        idempotency_key: format!("verify-{}", Uuid::new_v4().simple()),
        description: "A trial call before this agent is registered".into(),
        task_input: Value::Object(Map::new()).into(),
        replies: super::Replies::new(),
        input: Value::Object(Map::new()),
        needs: Map::new(),
        timeout: LIMIT,
        trace: None,
        spent: Spent::default(),
    }
}
