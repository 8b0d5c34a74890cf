//! What the adapters of a node share.

use std::{collections::HashMap, path::Path, sync::Arc};

use runtime::membership::Fence;

use super::{Adapter, command, http::Connections};

/// What the adapters of a node share: settings, connections, agents written in Rust. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Doors(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    natives: HashMap<String, Arc<dyn Adapter>>,
    commands: Arc<command::Settings>,
    connections: Arc<Connections>,
}

impl Doors {
    /// Puts together what adapters need. What is wrong in `config` shows when an agent needs it.
    #[must_use]
    pub fn new(
        config: &crate::Config,
        data_dir: impl AsRef<Path>,
        natives: HashMap<String, Arc<dyn Adapter>>,
    ) -> Self {
        Self::fenced(config, data_dir, natives, Fence::open())
    }

    /// The same on a node among others: no program begins when `fence` holds no more.
    #[must_use]
    pub fn fenced(
        config: &crate::Config,
        data_dir: impl AsRef<Path>,
        natives: HashMap<String, Arc<dyn Adapter>>,
        fence: Fence,
    ) -> Self {
        let commands = command::Settings::new(&config.command, data_dir.as_ref(), fence);
        Self(Arc::new(Inner {
            natives,
            commands: Arc::new(commands),
            connections: Arc::new(Connections::new(&config.egress)),
        }))
    }

    /// Where artifacts lie.
    pub(crate) fn data_dir(&self) -> &Path {
        self.0.commands.data_dir()
    }

    /// How programs are run.
    pub(super) fn commands(&self) -> &Arc<command::Settings> {
        &self.0.commands
    }

    /// How services are reached.
    pub(super) fn connections(&self) -> &Arc<Connections> {
        &self.0.connections
    }

    /// The names of all agents written in Rust.
    pub(crate) fn natives(&self) -> Vec<String> {
        self.0.natives.keys().cloned().collect()
    }

    /// The agent written in Rust that was registered under `name`.
    pub(crate) fn native(&self, name: &str) -> Option<&Arc<dyn Adapter>> {
        self.0.natives.get(name)
    }
}
