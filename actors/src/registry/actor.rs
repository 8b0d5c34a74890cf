//! Watches over the agents: counts them, sees that none is left without health checks, and that all
//! hear of it when nodes come and go.

use std::{collections::HashMap, time::Duration};

use protocol::id::NodeId;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use runtime::supervision::{self, ChildSpec, Restart, child};

use super::{Agent, Registry};
use crate::{
    agent::{actor as agent, placing},
    cluster::{Owner, Standing},
    host::Offer,
    services::Services,
    task::actor as task,
};

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks between two digests, and between two moves of idle agents.
const DIGEST: u32 = 5;

/// Agents that move at once.
const MOVED: usize = 4;

struct AgentManager {
    services: Services,
}

#[derive(Debug)]
enum Message {
    /// Time passed.
    Look,
    /// Nodes came, went, or own other entities than before.
    Changed,
}
impl ractor::Message for Message {}
impl supervision::Message for Message {
    fn name(&self) -> &'static str {
        match self {
            Self::Look => "Look",
            Self::Changed => "Changed",
        }
    }
}

/// The child that watches over the agents. The registry itself outlives it.
pub(crate) fn agent_manager(services: Services) -> ChildSpec {
    child("agent_manager", "system", Restart::Permanent, move || {
        (
            AgentManager {
                services: services.clone(),
            },
            (),
        )
    })
    .0
}

impl Actor for AgentManager {
    type Msg = Message;
    type State = u32;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        (): (),
    ) -> Result<u32, ActorProcessingErr> {
        let mut changes = self.services.hosts.around.cluster.changes();
        let own = myself.clone();
        tokio::spawn(async move {
            while changes.changed().await.is_ok() && own.cast(Message::Changed).is_ok() {}
        });
        // What changed before this life began is not missed.
        myself.cast(Message::Changed)?;
        myself.cast(Message::Look)?;
        Ok(0)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        looks: &mut u32,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Look => {
                count(&self.services.registry);
                self.services.hosts.check_overdue();
                *looks = looks.wrapping_add(1);
                if looks.is_multiple_of(DIGEST) {
                    self.services.directory.tell_digest();
                    rebalance(&self.services);
                }
                myself.send_after(PERIOD, || Message::Look);
            }
            Message::Changed => {
                self.services.agents.broadcast(|| agent::Message::Place);
                self.services
                    .tasks
                    .broadcast(|| task::Message::NodesChanged);
                self.services.directory.tell_digest();
                self.services.allocator.changed();
            }
        }
        Ok(())
    }
}

/// Lets idle agents move, a few at a time, from nodes that host many to nodes that host few. Every
/// control node comes to the same plan, and carries out what concerns its own agents.
fn rebalance(services: &Services) {
    let hosts = &services.hosts;
    let sites = hosts.around.cluster.sites();
    let mut hosted: HashMap<NodeId, usize> = sites
        .iter()
        .filter(|site| site.standing == Standing::Up)
        .map(|site| (site.node, 0))
        .collect();
    let mut agents = services.registry.all();
    agents.sort_unstable_by_key(|agent| agent.id);
    let host = |agent: &Agent| agent.facts().host.as_ref().map(|(node, _)| *node);
    for agent in &agents {
        if let Some(count) = host(agent).and_then(|node| hosted.get_mut(&node)) {
            *count += 1;
        }
    }
    let hosted: Vec<(NodeId, usize)> = hosted.into_iter().collect();
    for (from, to, count) in placing::moves(&hosted, MOVED) {
        let Some(site) = sites.iter().find(|site| site.node == to) else {
            continue;
        };
        let movable = agents.iter().filter(|agent| {
            let facts = agent.facts();
            host(agent) == Some(from)
                && agent.load(&facts).taken == 0
                && placing::fits(&facts.spec.placement, site)
                && hosts.offer(to, &facts.spec) == Offer::Made
        });
        for agent in movable.take(count) {
            if hosts.owner(agent.id) == Owner::Here {
                let share = agent::Message::Share(to);
                services.agents.tell_active(agent.id.into(), share);
            }
        }
    }
}

fn count(registry: &Registry) {
    let mut by_status: HashMap<&'static str, u32> =
        [("active", 0), ("paused", 0), ("inactive", 0), ("error", 0)].into();
    for agent in registry.all() {
        *by_status
            .entry(agent.facts().status().as_str())
            .or_default() += 1;
    }
    for (status, count) in by_status {
        metrics::gauge!(crate::metrics::AGENTS, "status" => status).set(f64::from(count));
    }
}
