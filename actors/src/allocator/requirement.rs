//! What a step asks of the agent that is to do it.

use std::hash::{Hash, Hasher};

use protocol::{agent::Resources, id::AgentId, plan::StepSpec, task::Requirements};

/// What an agent must offer to be given a step. Steps that ask for the same wait in one group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Requirement {
    /// Whose agents come into question.
    pub tenant: String,
    /// The only agent that does.
    pub agent: Option<Pin>,
    /// What it must be able to do.
    pub capability: Option<String>,
    /// Tools that it must have, in working order.
    pub tools: Vec<String>,
    /// What the work takes of its node.
    pub resources: Resources,
    /// Whether an agent near by comes before a better one that is not.
    pub prefer_local: bool,
}

impl Requirement {
    /// What a step asks for, within its task.
    #[must_use]
    pub fn new(tenant: &str, step: &StepSpec, task: &Requirements) -> Self {
        Self {
            tenant: tenant.to_owned(),
            agent: step.agent.as_deref().map(Pin::new),
            capability: step.capability.clone(),
            tools: task.tools.clone(),
            resources: task.resources,
            prefer_local: task.prefer_local,
        }
    }
}

/// An agent by name or id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pin {
    text: String,
    id: Option<AgentId>,
}

impl Pin {
    /// Takes what a client wrote.
    #[must_use]
    pub fn new(name_or_id: &str) -> Self {
        Self {
            text: name_or_id.to_owned(),
            id: name_or_id.parse().ok(),
        }
    }

    /// What the client wrote.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this agent is meant.
    #[must_use]
    pub fn is(&self, name: &str, id: AgentId) -> bool {
        self.text == name || self.id == Some(id)
    }
}

// Cores come from JSON, which has no number that is unequal to itself.
impl Eq for Requirement {}

impl Hash for Requirement {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tenant.hash(state);
        self.agent.hash(state);
        self.capability.hash(state);
        self.tools.hash(state);
        self.resources.memory.hash(state);
        self.prefer_local.hash(state);
    }
}

/// A step that looks for an agent.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What it asks for.
    pub requirement: &'a Requirement,
    /// What else its task is about: who can do it fits better, nobody is refused for it.
    pub wanted: &'a [String],
    /// The agent that served its session last and holds the context.
    pub last_agent: Option<AgentId>,
}
