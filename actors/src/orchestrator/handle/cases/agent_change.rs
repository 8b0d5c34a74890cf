//! What can be done to agents.

use std::time::Duration;

use protocol::{
    access::{Caller, Role},
    agent::{AgentSpec, StopMode},
    api::{AgentUpdate, AgentView, FieldError},
    id::AgentId,
};
use runtime::entity::Seed;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Answer, Effect, Orchestrator, Place, UseCase, at_least, unanswered, unreachable};
use crate::{
    Rejection,
    adapter::{Stage, verify},
    agent::{
        actor::{Change, Message, name_taken},
        state,
    },
    registry::Agent,
};

/// Names under which no agent could be asked for; `.` and `..` are taken out of paths on their way.
const RESERVED: [&str; 4] = ["stats", "register", ".", ".."];
/// Slots that one agent may have.
const MAX_SLOTS: u32 = 10_000;
/// How long a trial may take before its own limits end it.
const TRIAL: Duration = Duration::from_secs(45);

/// A new agent.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct RegisterAgent {
    pub(in super::super) spec: AgentSpec,
    /// Beside the specification, which never carries it on.
    pub(in super::super) verify: bool,
}

impl UseCase for RegisterAgent {
    type Answer = AgentView;
    const NAME: &'static str = "agent.register";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::New
    }

    fn wait(&self) -> Duration {
        if self.verify { TRIAL } else { Duration::ZERO }
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<AgentView> {
        let spec = self.spec;
        at_least(caller, Role::Operator)?;
        let services = &at.own()?.services;
        check(&spec, |spec| services.hosts.check_spec(spec))?;
        // The store refuses a name twice as well; an actor of that name would take the place of the
        // first one in the tree before it is refused.
        let tenant = services.registry.tenant(&caller.tenant);
        if let Some(other) = tenant.agents.get(&spec.name) {
            return Err(name_taken(&spec.name, other.id.into()));
        }
        if self.verify {
            verify(&spec, &services.doors).await.map_err(unverified)?;
        }
        let id = AgentId::from_uuid(at.fresh_id()?);
        let seed = Seed {
            tenant: caller.tenant.as_str().into(),
            name: Some(spec.name.as_str().into()),
        };
        let (reply, registered) = oneshot::channel();
        let message = Message::Register {
            spec: Box::new(spec),
            user: caller.user.clone(),
            reply,
        };
        services
            .agents
            .create(id.into(), seed, message)
            .await
            .map_err(unreachable)?;
        registered.await.unwrap_or_else(|_| Err(unanswered()))?;
        let agent = services.registry.get(id).ok_or_else(unanswered)?;
        Ok(at.show_agent(&agent))
    }
}

/// Another specification of an agent.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct UpdateAgent {
    pub(in super::super) agent: String,
    pub(in super::super) update: AgentUpdate,
}

impl UseCase for UpdateAgent {
    type Answer = AgentView;
    const NAME: &'static str = "agent.update";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Agent(&self.agent)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<AgentView> {
        let found = at.find_agent(caller, &self.agent).await?;
        let spec = state::updated(&found.facts().spec, self.update.clone());
        let hosts = &at.own()?.services.hosts;
        check(&spec, |spec| hosts.check_spec(spec))?;
        let change = Change::Update(Box::new(self.update));
        at.change_agent(caller, &found, change).await?;
        let changed = at.find_agent(caller, &self.agent).await?;
        Ok(at.show_agent(&changed))
    }
}

/// Another mode of an agent, or its end.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ChangeAgent {
    pub(in super::super) agent: String,
    pub(in super::super) action: Action,
}

/// What operators do to agents.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Action {
    Start,
    Stop(StopMode),
    Pause,
    Resume,
    Delete,
}

impl UseCase for ChangeAgent {
    /// The agent, and whether that changed it.
    type Answer = (AgentView, bool);
    const NAME: &'static str = "agent.change";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Agent(&self.agent)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<(AgentView, bool)> {
        let found = at.find_agent(caller, &self.agent).await?;
        let change = match self.action {
            Action::Start => Change::Start,
            Action::Stop(mode) => Change::Stop(mode),
            Action::Pause => Change::Pause,
            Action::Resume => Change::Resume,
            Action::Delete => Change::Delete,
        };
        let changed = at.change_agent(caller, &found, change).await?;
        Ok((at.show_agent(&found), changed))
    }
}

impl Orchestrator {
    async fn change_agent(&self, caller: &Caller, agent: &Agent, change: Change) -> Answer<bool> {
        at_least(caller, Role::Operator)?;
        let (user, change) = (caller.user.clone(), Box::new(change));
        let answer = self
            .own()?
            .services
            .agents
            .ask(agent.id.into(), |reply| Message::Change {
                user,
                change,
                reply,
            })
            .await
            .map_err(unreachable)?;
        answer.unwrap_or_else(|| Err(unanswered()))
    }
}

/// The stages of a registration with `verify`: nothing is stored unless all pass.
fn unverified((stage, cause): (Stage, String)) -> Rejection {
    let field = match stage {
        Stage::Endpoint => "endpoint",
        Stage::Connection | Stage::Response => "verify",
    };
    Rejection::Invalid {
        code: "verification_failed",
        message: format!("verification failed at stage `{stage}`: {cause}; nothing was stored"),
        errors: vec![FieldError::new(field, format!("{stage}: {cause}"))],
    }
}

/// What any agent must look like, whatever stands behind it.
fn check(
    spec: &AgentSpec,
    config: impl Fn(&AgentSpec) -> Result<(), Vec<FieldError>>,
) -> Answer<()> {
    let mut errors = Vec::new();
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if spec.name.is_empty() || spec.name.len() > 64 || !spec.name.chars().all(named) {
        errors.push(FieldError::new(
            "name",
            "must have 1 to 64 letters, digits, `.`, `_` or `-`",
        ));
    }
    if spec.name.parse::<AgentId>().is_ok() {
        errors.push(FieldError::new("name", "must not look like an agent's id"));
    }
    if RESERVED.contains(&spec.name.as_str()) {
        errors.push(FieldError::new(
            "name",
            "is the address of something else below `/agents`",
        ));
    }
    if !(1..=MAX_SLOTS).contains(&spec.max_tasks) {
        errors.push(FieldError::new(
            "max_tasks",
            format!("must be between 1 and {MAX_SLOTS}"),
        ));
    }
    if !(spec.resources.cpu.is_finite() && spec.resources.cpu >= 0.0) {
        errors.push(FieldError::new(
            "resources.cpu",
            "must be a number of cores, 0 or more",
        ));
    }
    for (index, capability) in spec.capabilities.iter().enumerate() {
        if capability.is_empty()
            || capability.len() > 64
            || capability.chars().any(char::is_control)
        {
            errors.push(FieldError::new(
                format!("capabilities[{index}]"),
                "must have 1 to 64 characters",
            ));
        }
    }
    errors.extend(config(spec).err().into_iter().flatten());
    match errors.first() {
        None => Ok(()),
        Some(first) => Err(Rejection::Invalid {
            code: "invalid",
            message: format!("{}: {}", first.field, first.message),
            errors,
        }),
    }
}
