//! How a node is put together, and what starts in which order.

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use actors::adapter::Adapter;
use protocol::member::NodeRole;
use runtime::clock::{Clock, Dice};

#[cfg(feature = "edge")]
use super::served::{self, Served};
use super::{DataDir, Node, StartError, engine::Engine};
use crate::{
    config::Config,
    mesh::{Company, Footing, Join, enrol, stand},
};
/// How long the other nodes may take to tell a new one of their agents.
const MEET: Duration = Duration::from_secs(3);

/// How a node is put together; [`Builder::start`] starts it.
#[derive(Debug, Default)]
pub struct Builder {
    config: Config,
    natives: HashMap<String, Arc<dyn Adapter>>,
    company: Company,
    #[cfg(feature = "edge")]
    edge: EdgeMode,
}

#[cfg(feature = "edge")]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum EdgeMode {
    #[default]
    Served,
    Left,
}

impl Builder {
    /// All that the node can be told, in place of the defaults.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Where everything is kept; made when it is not there.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.node.data_dir = path.into();
        self
    }

    /// The node's name, the same after a restart.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.node.name = name.into();
        self
    }

    /// What the node does in its cluster; all of it when nothing is said.
    #[must_use]
    pub fn roles(mut self, roles: impl IntoIterator<Item = NodeRole>) -> Self {
        self.config.cluster.roles = roles.into_iter().collect();
        self
    }

    /// Lets other nodes join this one, by mutual TLS at `listen`; port 0 picks one.
    #[must_use]
    pub fn mesh(mut self, listen: SocketAddr) -> Self {
        self.config.cluster.listen = listen;
        if matches!(self.company, Company::None) {
            self.company = Company::Welcome;
        }
        self
    }

    /// Joins the cluster of the control node whose mesh is at `address`, as `HOST:PORT`, with a token
    /// that [`Node::join_token`] or `troupe token create` made. A node that joined before needs no
    /// token: its certificate lies in the data directory.
    #[must_use]
    pub fn join(mut self, address: impl Into<String>, token: Option<String>) -> Self {
        self.company = Company::Sought(Join {
            address: address.into(),
            token,
        });
        self
    }

    /// An agent written in Rust. It serves the agent of type `native` that has this name, and those
    /// that say `{"name": "NAME"}` in their configuration.
    #[must_use]
    pub fn native(mut self, name: impl Into<String>, adapter: Arc<dyn Adapter>) -> Self {
        self.natives.insert(name.into(), adapter);
        self
    }

    /// Where HTTP is served; port 0 picks one.
    #[cfg(feature = "edge")]
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.config.edge.listen = address;
        self
    }

    /// Serves no HTTP: the program calls [`Node::orchestrator`] only.
    #[cfg(feature = "edge")]
    #[must_use]
    pub fn without_edge(mut self) -> Self {
        self.edge = EdgeMode::Left;
        self
    }

    /// Starts the node on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// When the configuration does not hold, the data directory is in use, the store cannot be read
    /// or the address cannot be bound. Nothing is left running then.
    pub async fn start(self) -> Result<Node, StartError> {
        let findings = self.config.check();
        if !findings.is_empty() {
            return Err(StartError::Config(findings));
        }
        #[cfg(feature = "edge")]
        served::prepare_process();
        let (config, company) = (self.config, self.company);
        // Before anybody hears of this node.
        #[cfg(feature = "edge")]
        let metered = served::Metered::start(&config.telemetry).await?;
        let dir = DataDir::lock(&config.node.data_dir)?;
        let (clock, dice) = (Clock::system(), Dice::system());
        let enrolled = enrol(&config, dir.path(), &company, &clock, &dice).await?;
        #[cfg(feature = "edge")]
        let serves = self.edge == EdgeMode::Served && enrolled.roles.has(NodeRole::Edge);
        #[cfg(feature = "edge")]
        let admin = serves.then(|| served::admin_hash(&dir)).transpose()?;
        #[cfg(not(feature = "edge"))]
        let admin = None;
        let Footing {
            part,
            mut links,
            place,
        } = stand(&config, &enrolled, admin, &clock, &dice).await?;
        // Before anything runs that may belong to a trace.
        #[cfg(feature = "otlp")]
        let traces = crate::telemetry::Traces::start(
            &config.telemetry,
            place.membership.me().node,
            &enrolled.name,
        );
        let engine = Engine::start(&config, &enrolled, &dir, self.natives, part).await?;
        if let Some(links) = &mut links {
            links.open();
        }
        let mut node = Node {
            engine,
            place,
            links,
            store: enrolled.store,
            store_url: enrolled.store_url,
            dir,
            name: enrolled.name,
            watching: Vec::new(),
            #[cfg(feature = "otlp")]
            traces,
            #[cfg(feature = "edge")]
            served: None,
            #[cfg(feature = "edge")]
            metered,
        };
        if let Err(error) = node.place.settle(|| node.links.as_ref()?.failure()).await {
            node.stop(Duration::ZERO).await;
            return Err(error.into());
        }
        #[cfg(feature = "cli")]
        if let Some(dial) = crate::telemetry::dial() {
            node.engine.orchestrator.provide_log(dial);
        }
        node.engine.orchestrator.meet_agents(MEET).await;
        #[cfg(feature = "edge")]
        if serves {
            match Served::start_near(&config.edge, &node, &company).await {
                Ok(served) => node.served = Some(served),
                Err(error) => {
                    node.stop(Duration::ZERO).await;
                    return Err(error);
                }
            }
        }
        node.watch();
        tracing::info!(node = node.name, dir = %node.dir.path().display(), "started");
        Ok(node)
    }
}
