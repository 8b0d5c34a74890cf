//! What an actor has to do with others: looked up when it is asked for, from what is recorded, from the
//! trees of the nodes and from the owner of its task.

use std::collections::BTreeMap;

use protocol::{
    access::Caller,
    api::{ActorLink, ActorView, Relation, TreeQuery},
    entity::{EntityKind, path},
    id::{NodeId, TaskId},
    task::TaskStatus,
};
use runtime::store::StreamQuery;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use super::super::{
    Answer, Orchestrator,
    cases::{ShowAsks, ShowTree, TOLD_WITHIN, streams_of},
};
use crate::{
    ask::Asked,
    registry::view::path_of,
    task::{
        Task,
        links::{Errand, agent_of, links, proxy_of, to_task},
    },
};

/// So many links of one relation are told.
const TOLD: u32 = 100;

/// A question that waits for its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct OpenAsk {
    /// As which step it runs, its first attempt.
    step: String,
    /// As whose step, and which attempt of it, the one that asks runs.
    by: (String, u32),
    /// Who is asked.
    agent: String,
    /// Where that one is hosted.
    node: NodeId,
}

impl From<Asked> for OpenAsk {
    fn from(asked: Asked) -> Self {
        Self {
            step: asked.step,
            by: asked.by,
            agent: asked.name,
            node: asked.node,
        }
    }
}

impl Orchestrator {
    /// Adds what an actor has to do with others, and what is left of a task's limits.
    pub(in super::super) async fn complete_links(
        &self,
        caller: &Caller,
        actor: &mut ActorView,
    ) -> Answer<()> {
        // What its row shows is only some of it, and of a task for all who see its row.
        actor.row.links.clear();
        actor.row.links_total = None;
        match actor.row.kind.as_str() {
            "task" => self.link_task(caller, actor).await?,
            "agent" => self.link_agent(caller, actor).await,
            "agent-proxy" => {
                let agent = actor.row.path.trim_end_matches("/proxy").to_owned();
                actor.row.links.push(agent_of(agent.clone()));
                let errands = self.errands(caller, &agent, &actor.row.node).await;
                let errands = errands.into_iter().map(|(path, it)| it.works_for(&path));
                actor.row.links.extend(errands);
            }
            "tool" => self.link_attempt(caller, actor).await?,
            _ => {}
        }
        actor.row.links.sort();
        let mut told = BTreeMap::new();
        actor.row.links.retain(|link| {
            let count: &mut u32 = told.entry(link.relation).or_default();
            *count += 1;
            *count <= TOLD
        });
        Ok(())
    }

    async fn link_task(&self, caller: &Caller, actor: &mut ActorView) -> Answer<()> {
        // Who may not read the task is told nothing of it.
        let Some(id) = actor.entity.as_ref().map(|entity| entity.id) else {
            return Ok(());
        };
        let own = self.own()?;
        // From its stream: its actor may be the one that hangs.
        let Some(task) = own.journal.load::<Task>(id).await? else {
            return Ok(());
        };
        let id = TaskId::from_uuid(id.key());
        actor.budget = task.left(own.services.clock.now());
        actor.row.links.extend(links(&caller.tenant, id, &task));
        for status in TaskStatus::ALL.into_iter().filter(|it| !it.is_terminal()) {
            let query = StreamQuery {
                status: Some(status.as_str().to_owned()),
                parent: Some(id.into()),
                limit: TOLD,
                ..streams_of(caller, EntityKind::Task)
            };
            let parts = own.journal.store().list(&query).await?;
            let parts = parts.iter().map(|row| TaskId::from_uuid(row.stream.key()));
            let parts = parts.map(|part| to_task(Relation::Part, &caller.tenant, part));
            actor.row.links.extend(parts);
        }
        let asks = self.asks(caller, id).await;
        let asks = asks.iter().map(|ask| self.asked(caller, id, ask));
        actor.row.links.extend(asks);
        Ok(())
    }

    async fn link_attempt(&self, caller: &Caller, actor: &mut ActorView) -> Answer<()> {
        let Some(errand) = Errand::at(&actor.row.path) else {
            return Ok(());
        };
        actor
            .row
            .links
            .push(errand.clone().works_for(&actor.row.path));
        let id = errand.task;
        let task = path("tasks", &caller.tenant, &id.to_string());
        let Some(row) = self.stream_at(caller, &task).await? else {
            return Ok(());
        };
        let asks = self.asks(caller, id).await;
        let by = (errand.step, errand.attempt);
        for ask in &asks {
            if ask.by == by {
                actor.row.links.push(self.asked(caller, id, ask));
            }
        }
        let Some(mine) = asks.iter().find(|ask| ask.step == by.0) else {
            return Ok(());
        };
        if let Some(above) = asks.iter().find(|ask| ask.step == mine.by.0) {
            let relation = Relation::AskedBy;
            let link = self.asked(caller, id, above);
            actor.row.links.push(ActorLink { relation, ..link });
        } else if let Some(task) = self.own()?.journal.load::<Task>(row.stream).await? {
            let by = |link: &ActorLink| {
                (link.step.as_deref(), link.attempt) == (Some(&*mine.by.0), Some(mine.by.1))
            };
            let attempts = links(&caller.tenant, id, &task).into_iter().filter(by);
            let relation = Relation::AskedBy;
            let asked_by = attempts.map(|link| ActorLink { relation, ..link });
            actor.row.links.extend(asked_by);
        }
        Ok(())
    }

    /// An agent may be hosted on another node than its actor is on.
    async fn link_agent(&self, caller: &Caller, actor: &mut ActorView) {
        let agent = actor.row.path.clone();
        let proxy = format!("{agent}/proxy");
        // It is hosted nowhere, or where nobody answers.
        let Ok(proxy) = self.find_actor(caller, &proxy, None).await else {
            return;
        };
        let node = proxy.row.node;
        for (path, errand) in self.errands(caller, &agent, &node).await {
            let link = errand.link(Relation::Attempt, path, Some(node.clone()));
            actor.row.links.push(link);
        }
        let proxy = proxy_of(&agent, Some(node));
        actor.row.links.push(proxy);
    }

    /// What an agent works on, on the node that hosts it, and where the rows of that are.
    async fn errands(&self, caller: &Caller, agent: &str, node: &str) -> Vec<(String, Errand)> {
        let Some(node) = self.company().get(node).copied() else {
            return Vec::new();
        };
        let query = TreeQuery {
            path: Some(agent.to_owned()),
            depth: Some(1),
            limit: Some(TOLD + 2),
            ..TreeQuery::default()
        };
        let until = Instant::now() + TOLD_WITHIN;
        let asked = self.ask_once(caller, node, ShowTree { node, query }, until);
        // Who does not answer now is missing here, as in the tree.
        let rows = asked.await.map_or_else(|_| Vec::new(), |told| told.nodes);
        let errands = rows.into_iter().filter(|row| row.kind == "tool");
        errands
            .filter_map(|row| Some((row.path.clone(), Errand::at(&row.path)?)))
            .collect()
    }

    /// What is asked for a task, as far as its owner tells in time.
    async fn asks(&self, caller: &Caller, id: TaskId) -> Vec<OpenAsk> {
        let asked = self.carry_out(caller, ShowAsks { id });
        let told = timeout(TOLD_WITHIN, asked).await;
        told.ok().and_then(Result::ok).unwrap_or_default()
    }

    fn asked(&self, caller: &Caller, task: TaskId, ask: &OpenAsk) -> ActorLink {
        let errand = Errand {
            task,
            step: ask.step.clone(),
            attempt: 1,
        };
        let path = errand.below(&path_of(&caller.tenant, &ask.agent));
        let company = self.company();
        let mut names = company.into_iter().filter(|(_, node)| *node == ask.node);
        errand.link(Relation::Asks, path, names.next().map(|(name, _)| name))
    }
}
