//! What the actors of a node share.

use std::sync::{Arc, Weak};

use protocol::id::CommandId;
use runtime::{
    clock::{Clock, Dice},
    entity::Host,
    journal::Commit,
};

use crate::{
    Config,
    adapter::Doors,
    agent::actor::AgentEntity,
    allocator::Allocator,
    ask::Asks,
    hold::{HoldEntity, Holds},
    host::Hosts,
    orchestrator::admission::Admission,
    question::Questions,
    registry::{Directory, Registry},
    schedule::ScheduleEntity,
    task::actor::TaskEntity,
    template::TemplateEntity,
    trigger::{TriggerEntity, Watching},
    workflow::{actor::WorkflowEntity, library::Library},
};

/// Handles to the parts of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Services(Arc<Parts>);

/// The parts.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) node: Arc<str>,
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    pub(crate) registry: Registry,
    pub(crate) directory: Directory,
    pub(crate) allocator: Allocator,
    pub(crate) hosts: Hosts,
    pub(crate) admission: Admission,
    pub(crate) asks: Asks,
    pub(crate) doors: Doors,
    pub(crate) tasks: Host<TaskEntity>,
    pub(crate) agents: Host<AgentEntity>,
    pub(crate) holds: Holds,
    pub(crate) held: Host<HoldEntity>,
    pub(crate) library: Library,
    pub(crate) workflows: Host<WorkflowEntity>,
    pub(crate) questions: Questions,
    pub(crate) schedules: Host<ScheduleEntity>,
    pub(crate) triggers: Host<TriggerEntity>,
    pub(crate) watching: Watching,
    pub(crate) templates: Host<TemplateEntity>,
}

impl Services {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// What somebody has written now, as a command of its own.
    pub(crate) fn commit_by(&self, actor: &str) -> Commit {
        let command = CommandId::from_uuid(self.dice.uuid_v7(self.clock.now()));
        Commit::by(actor.into(), command)
    }

    /// For those whom it keeps itself.
    pub(crate) fn downgrade(&self) -> WeakServices {
        WeakServices(Arc::downgrade(&self.0))
    }
}

/// The same, as long as somebody else has them.
#[derive(Debug, Clone)]
pub(crate) struct WeakServices(Weak<Parts>);

impl WeakServices {
    pub(crate) fn upgrade(&self) -> Option<Services> {
        self.0.upgrade().map(Services)
    }
}

impl std::ops::Deref for Services {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
