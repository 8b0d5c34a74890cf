//! What nodes say to each other about agents and attempts, as JSON.
//!
//! Fields that a later build adds have defaults, so that nodes of two builds understand each other.

use std::{sync::Arc, time::Duration};

use protocol::{
    agent::{AgentSpec, Health, Mode},
    api::HealthReport,
    epoch::Epoch,
    id::{AgentId, NodeId, TaskId},
    plan::Effect,
    task::{Finding, Outcome, TokenHash},
    time::Timestamp,
    usage::Usage,
    wire::Trace,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    adapter::{Call, Replies, Spent},
    agent::breaker::Position,
    allocator::{Circuit, NodeLoad},
};

/// What a message of another node could not be read as.
#[derive(Debug, thiserror::Error)]
#[error("it is no message that this build knows: {0}")]
pub(crate) struct Unreadable(#[from] serde_json::Error);

/// A message as it crosses the mesh.
pub(crate) fn write(message: &impl Serialize) -> Vec<u8> {
    // Our messages have text keys and no failing parts; what cannot be written is refused as unread.
    serde_json::to_vec(message).unwrap_or_default()
}

/// A message as it came in.
pub(crate) fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Unreadable> {
    Ok(serde_json::from_slice(payload)?)
}

/// An agent that a node is to host, as its owner says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) agent: AgentId,
    pub(crate) tenant: Arc<str>,
    pub(crate) spec: Arc<AgentSpec>,
    pub(crate) mode: Mode,
    /// An order, to host or to retire, counts unless a later one came before it.
    pub(crate) stamp: Stamp,
    #[serde(default)]
    pub(crate) running: Running,
    /// Slots that attempts on nodes which hosted it before still take.
    #[serde(default)]
    pub(crate) held: u32,
}

impl Order {
    /// Slots that are open at this host.
    pub(crate) fn slots(&self) -> u32 {
        self.spec.max_tasks.saturating_sub(self.held)
    }
}

/// What becomes of attempts that run when an agent is stopped or moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Running {
    /// They go on to their end.
    #[default]
    GoesOn,
    /// They end now.
    Ends,
}

/// An agent that a node is not to host any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Retire {
    pub(crate) agent: AgentId,
    /// As that of an order to host.
    pub(crate) stamp: Stamp,
    #[serde(default)]
    pub(crate) running: Running,
    /// Whether the node was not to be seen when the agent was to leave it, or the agent had left it before
    /// the node could be told.
    #[serde(default)]
    pub(crate) unseen: bool,
}

/// An attempt that a node is to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dispatch {
    pub(crate) agent: AgentId,
    pub(crate) reservation: u64,
    #[serde(with = "hex")]
    pub(crate) token: [u8; 16],
    pub(crate) effect: Effect,
    pub(crate) call: WireCall,
}

/// A call without what its host knows better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireCall {
    pub(crate) task: TaskId,
    pub(crate) step: String,
    pub(crate) number: u32,
    pub(crate) idempotency_key: String,
    pub(crate) description: Arc<str>,
    pub(crate) task_input: Arc<Value>,
    pub(crate) input: Value,
    pub(crate) needs: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Replies::is_empty")]
    pub(crate) replies: Replies,
    /// In milliseconds.
    pub(crate) timeout: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<Trace>,
}

impl From<&Call> for WireCall {
    fn from(call: &Call) -> Self {
        Self {
            task: call.task,
            step: call.step.clone(),
            number: call.attempt,
            idempotency_key: call.idempotency_key.clone(),
            description: call.description.clone(),
            task_input: call.task_input.clone(),
            input: call.input.clone(),
            needs: call.needs.clone(),
            replies: call.replies.clone(),
            timeout: u64::try_from(call.timeout.as_millis()).unwrap_or(u64::MAX),
            trace: call.trace,
        }
    }
}

impl From<WireCall> for Call {
    fn from(call: WireCall) -> Self {
        Self {
            task: call.task,
            step: call.step,
            attempt: call.number,
            idempotency_key: call.idempotency_key,
            description: call.description,
            task_input: call.task_input,
            input: call.input,
            needs: call.needs,
            replies: call.replies,
            timeout: Duration::from_millis(call.timeout),
            trace: call.trace,
            spent: Spent::default(),
        }
    }
}

/// What a host is asked, by control nodes alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Host an agent.
    Host(Order),
    /// Host it no more.
    Retire(Retire),
    /// Keep a slot for a step.
    Reserve {
        agent: AgentId,
        task: TaskId,
        step: u64,
    },
    /// The slot is not needed; told, not asked.
    Release { agent: AgentId, reservation: u64 },
    /// Run an attempt.
    Run(Box<Dispatch>),
    /// Stop an attempt, for a reason that its past tells.
    Stop {
        agent: AgentId,
        token: TokenHash,
        #[serde(default)]
        why: String,
    },
    /// Ask the tool about a lost attempt.
    Probe { agent: AgentId, call: Box<WireCall> },
    /// Check an agent's health now.
    Check { agent: AgentId },
    /// Which of these attempts are here; those that are not will not be run any more.
    Query { attempts: Vec<(AgentId, TokenHash)> },
}

/// What a host answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// It is so.
    Done,
    /// A later owner said otherwise.
    Outranked,
    /// It is hosted there no more; so many of its attempts go on to their end.
    Retired { running: u32 },
    /// A slot is kept.
    Reserved {
        reservation: u64,
        load: Figures,
        /// In milliseconds: how long a call may take when its step does not say.
        #[serde(default)]
        timeout: Option<u64>,
    },
    /// No, and how the agent stands there, if it is there.
    Refused {
        why: Refusal,
        #[serde(default)]
        load: Option<Figures>,
    },
    /// What the tool said.
    Found(Finding),
    /// What the check found.
    Checked(HealthReport),
    /// Whether each attempt is here.
    Known(Vec<bool>),
}

/// Why a host does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refusal {
    /// The agent is not hosted there.
    NotHere,
    /// No slot is free, or the agent takes nothing.
    Full,
    /// The attempt was given up by who asked for it.
    GivenUp,
    /// The node's lease is gone.
    Fenced,
}

/// How busy and how well an agent is, as its host says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) agent: AgentId,
    /// Counts up with each figure that the host gives of it.
    pub(crate) serial: u64,
    pub(crate) limit: u32,
    pub(crate) taken: u32,
    pub(crate) assigned: u64,
    pub(crate) success_rate: f64,
    pub(crate) circuit: Position,
    pub(crate) admits: Circuit,
    #[serde(default)]
    pub(crate) health: Option<HealthReport>,
    /// Checks in a row that failed.
    #[serde(default)]
    pub(crate) failures: u32,
}

impl Figures {
    /// Whether another says the same, the serial number aside.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        Self {
            serial: other.serial,
            ..self.clone()
        } == *other
    }
}

/// What an agent's owner says of it to every control node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fact {
    pub(crate) agent: AgentId,
    pub(crate) tenant: String,
    pub(crate) spec: Arc<AgentSpec>,
    pub(crate) mode: Mode,
    #[serde(default)]
    pub(crate) health: Option<Health>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// Who hosts it, by node and name.
    #[serde(default)]
    pub(crate) host: Option<(NodeId, Arc<str>)>,
    pub(crate) stamp: Stamp,
}

/// Which word of an owner is the later one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) epoch: Epoch,
    /// Microseconds of the owner's clock, made to grow.
    pub(crate) moment: u64,
}

/// What control nodes are told or asked about agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Notice {
    /// An owner's word on one agent.
    Changed(Box<Fact>),
    /// An agent was removed.
    Removed { agent: AgentId, stamp: Stamp },
    /// What the sender owns, in a few bytes.
    Digest(Digest),
    /// A host's figures.
    Loads {
        agents: Vec<Figures>,
        #[serde(default)]
        node: Option<NodeLoad>,
    },
    /// Agents written in Rust that the sender has.
    Natives(Vec<String>),
    /// Asked: a page of what the receiver owns, after this agent.
    List { after: Option<AgentId> },
}

/// A set of facts, in a few bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    pub(crate) count: u64,
    pub(crate) sum: u64,
}

impl Digest {
    /// Takes one more fact in; the order does not matter.
    pub(crate) fn add(&mut self, agent: AgentId, stamp: Stamp) {
        let (high, low) = agent.uuid().as_u64_pair();
        let parts = [
            high,
            low,
            stamp.epoch.to_i64().cast_unsigned(),
            stamp.moment,
        ];
        let mixed = parts.iter().fold(0_u64, |sum, part| {
            let sum = (sum ^ part).wrapping_mul(0xff51_afd7_ed55_8ccd);
            sum ^ (sum >> 32)
        });
        self.count += 1;
        self.sum = self.sum.wrapping_add(mixed);
    }
}

/// A page of what a control node owns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) facts: Vec<Fact>,
    /// Where the next page starts; absent after the last.
    #[serde(default)]
    pub(crate) next: Option<AgentId>,
    /// The owner's clock when it looked.
    pub(crate) as_of: u64,
}

/// What a task's owner is told of an attempt, under its token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) task: TaskId,
    pub(crate) step: String,
    pub(crate) number: u32,
    #[serde(with = "hex")]
    pub(crate) token: [u8; 16],
    pub(crate) agent: String,
    pub(crate) outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Usage>,
    #[serde(default)]
    pub(crate) load: Option<Figures>,
}

/// What a task's owner answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Receipt {
    /// It is on disk, or was before, or never will be: it may be forgotten.
    Recorded,
    /// Not now, or not here: it is to be sent again.
    Again,
}

/// Sixteen bytes as text.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(token: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&Uuid::from_bytes(*token).simple())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
        let text = String::deserialize(from)?;
        let read = Uuid::try_parse(&text).map_err(D::Error::custom)?;
        Ok(read.into_bytes())
    }
}
