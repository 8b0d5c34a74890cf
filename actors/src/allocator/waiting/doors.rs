//! Which lines an agent has to look at: a freed slot never asks those that it cannot serve.

use std::{collections::HashMap, sync::Arc};

use super::flow::Flows;
use crate::allocator::{AgentSnapshot, Requirement};

pub(super) type Lines = HashMap<Arc<Requirement>, Flows>;

/// Lines by what an agent must be, or be able to do, to have a look at them.
#[derive(Debug, Default)]
pub(super) struct Doors {
    agents: HashMap<String, Lines>,
    capabilities: HashMap<String, Lines>,
    anybody: Lines,
}

impl Doors {
    /// The lines among which those of a requirement are, if anything waits there.
    pub(super) fn lines(&self, requirement: &Requirement) -> Option<&Lines> {
        match (&requirement.agent, &requirement.capability) {
            (Some(pin), _) => self.agents.get(pin.as_str()),
            (None, Some(capability)) => self.capabilities.get(capability),
            (None, None) => Some(&self.anybody),
        }
    }

    /// The same, to change them.
    fn lines_mut(&mut self, requirement: &Requirement) -> Option<&mut Lines> {
        match (&requirement.agent, &requirement.capability) {
            (Some(pin), _) => self.agents.get_mut(pin.as_str()),
            (None, Some(capability)) => self.capabilities.get_mut(capability),
            (None, None) => Some(&mut self.anybody),
        }
    }

    /// The same, made if nothing waits there.
    pub(super) fn open(&mut self, requirement: &Requirement) -> &mut Lines {
        match (&requirement.agent, &requirement.capability) {
            (Some(pin), _) => self.agents.entry(pin.as_str().to_owned()).or_default(),
            (None, Some(capability)) => self.capabilities.entry(capability.clone()).or_default(),
            (None, None) => &mut self.anybody,
        }
    }

    /// The line of a requirement.
    pub(super) fn flows(&mut self, requirement: &Requirement) -> Option<&mut Flows> {
        self.lines_mut(requirement)?.get_mut(requirement)
    }

    /// Forgets a line, and its door if it was the last there.
    pub(super) fn close(&mut self, requirement: &Requirement) {
        let Some(lines) = self.lines_mut(requirement) else {
            return;
        };
        lines.remove(requirement);
        if lines.is_empty() {
            match (&requirement.agent, &requirement.capability) {
                (Some(pin), _) => self.agents.remove(pin.as_str()),
                (None, Some(capability)) => self.capabilities.remove(capability),
                (None, None) => None,
            };
        }
    }

    /// Every line that an agent may be right for.
    pub(super) fn visit(
        &mut self,
        agent: &AgentSnapshot,
        mut look: impl FnMut(&Arc<Requirement>, &mut Flows),
    ) {
        let id = if self.agents.is_empty() {
            String::new()
        } else {
            agent.id.to_string()
        };
        let mut through = |lines: Option<&mut Lines>| {
            for (requirement, flows) in lines.into_iter().flatten() {
                look(requirement, flows);
            }
        };
        through(self.agents.get_mut(&agent.name));
        through(self.agents.get_mut(&id));
        for capability in &agent.capabilities {
            through(self.capabilities.get_mut(capability));
        }
        through(Some(&mut self.anybody));
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Arc<Requirement>, &Flows)> {
        let doors = self.agents.values().chain(self.capabilities.values());
        doors.chain([&self.anybody]).flatten()
    }
}
