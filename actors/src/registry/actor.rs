//! Watches over the agents: counts them, sees that none is left without health checks, and that all
//! hear of it when nodes come and go.

use std::{collections::HashMap, time::Duration};

use protocol::id::NodeId;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use runtime::supervision::{self, ChildSpec, Restart, child};

use super::Registry;
use crate::{
    agent::{
        actor as agent, placing,
        spreading::{self, Hosted, Kind},
    },
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

/// Lets idle agents move, a few at a time, so that nodes host alike, and alike of each kind. Every control
/// node comes to the same plan, and carries out what concerns its own agents.
fn rebalance(services: &Services) {
    let hosts = &services.hosts;
    let sites = hosts.around.cluster.sites();
    let up = sites.iter().filter(|site| site.standing == Standing::Up);
    let mut nodes: Vec<NodeId> = up.map(|site| site.node).collect();
    nodes.sort_unstable();
    let mut agents = services.registry.all();
    agents.sort_unstable_by_key(|agent| agent.id);
    let hosted = agents.into_iter().filter_map(|agent| {
        let facts = agent.facts();
        let on = facts.host.as_ref().map(|(node, _)| *node)?;
        let kind = Kind::of(&agent.tenant, &facts.spec);
        let hosted = Hosted {
            agent: agent.id,
            kind,
            on,
        };
        nodes.contains(&on).then_some((agent, hosted))
    });
    let (agents, mut hosted): (Vec<_>, Vec<_>) = hosted.unzip();
    let may = |place: usize, to: NodeId| {
        let (agent, site) = (agents.get(place), sites.iter().find(|it| it.node == to));
        agent.zip(site).is_some_and(|(agent, site)| {
            let facts = agent.facts();
            agent.load(&facts).taken == 0
                && placing::fits(&facts.spec.placement, site)
                && hosts.offer(to, &facts.spec) == Offer::Made
        })
    };
    for it in spreading::moves(&mut hosted, &nodes, MOVED, may) {
        let id = hosted[it.place].agent;
        if hosts.owner(id) == Owner::Here {
            let share = agent::Message::Share(it.to);
            services.agents.tell_active(id.into(), share);
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
