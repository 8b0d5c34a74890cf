//! Watches over the agents: counts them, and sees that none is left without health checks.

use std::{collections::HashMap, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use runtime::{
    clock::Clock,
    supervision::{self, ChildSpec, Restart, child},
};

use super::Registry;
use crate::services::Services;

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(1);

struct AgentManager {
    services: Services,
}

#[derive(Debug)]
enum Message {
    Look,
}
impl ractor::Message for Message {}
impl supervision::Message for Message {
    fn name(&self) -> &'static str {
        "Look"
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
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Message>, (): ()) -> Result<(), ActorProcessingErr> {
        myself.cast(Message::Look)?;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message::Look: Message,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        count(&self.services.registry);
        for id in overdue(&self.services) {
            // Its proxy lost its timer, in a restart say: it is asked to check now.
            let check = crate::agent::actor::Message::Check { reply: None };
            self.services.agents.tell_active(id.into(), check);
        }
        myself.send_after(PERIOD, || Message::Look);
        Ok(())
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

/// Agents whose last check is older than an interval and the time that a check may take.
fn overdue(services: &Services) -> Vec<protocol::id::AgentId> {
    let health = &services.config.health;
    let limit = health.interval.0 + health.timeout.0;
    let now = Clock::now(&services.clock);
    services
        .registry
        .all()
        .iter()
        .filter(|agent| {
            let facts = agent.facts();
            facts
                .health
                .as_ref()
                .is_some_and(|report| now.since(report.checked_at) > limit)
        })
        .map(|agent| agent.id)
        .collect()
}
