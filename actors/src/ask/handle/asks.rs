//! [`Asks`]: questions that wait for their answer on this node.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use dashmap::DashMap;
use protocol::{
    id::{AgentId, NodeId, TaskId},
    task::{Outcome, TokenHash},
};
use tokio::{sync::oneshot, time::Instant};

use super::{Standing, token_hash};
use crate::{adapter::Asker, host::Hosts, registry::Agent, services::Services};

/// Questions without an answer, by the name of the step as which they run. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asks(Arc<DashMap<String, Pending>>);

/// A question without an answer, as far as others are told of it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// As which step it runs, its first attempt.
    pub(crate) step: String,
    /// As whose step, and which attempt of it, the one that asked runs.
    pub(crate) by: (String, u32),
    /// Who is asked, and by which name.
    pub(crate) agent: AgentId,
    pub(crate) name: String,
    /// Where that one is hosted.
    pub(crate) node: NodeId,
    pub(crate) token: TokenHash,
}

/// A question that an agent works on.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(super) task: TaskId,
    /// As whose step, and which attempt of it, the one that asked runs.
    pub(super) by: (String, u32),
    /// Who is asked.
    pub(super) agent: AgentId,
    pub(super) token: [u8; 16],
    /// Where its agent is hosted.
    pub(super) node: NodeId,
    pub(super) tenant: Arc<str>,
    /// Who asked whom, its agent at the end.
    pub(super) path: Vec<String>,
    pub(super) until: Instant,
    pub(super) answer: oneshot::Sender<Outcome>,
    /// Whether its agent was told to stop.
    pub(super) stopped: AtomicBool,
}

impl Pending {
    /// Tells its agent to stop, the first time; its end comes as its outcome.
    fn stop(&self, hosts: &Hosts, why: &str) {
        if !self.stopped.swap(true, Ordering::SeqCst) && !hosts.around.cluster.gone(self.node) {
            hosts.stop(self.node, self.agent, token_hash(&self.token), why);
        }
    }
}

impl Asks {
    /// Stops everything that is asked for a task, and tells on which nodes that has not ended.
    pub(crate) fn stop(&self, hosts: &Hosts, task: TaskId) -> Vec<NodeId> {
        let of_task = self.0.iter().filter(|pending| pending.task == task);
        of_task
            .map(|pending| {
                pending.stop(hosts, "stopped with the task for which it was asked");
                pending.node
            })
            .collect()
    }

    /// Everything that is asked for a task.
    pub(crate) fn of(&self, task: TaskId) -> Vec<Asked> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let of_task = self.0.iter().filter(|pending| pending.task == task);
        of_task
            .map(|pending| Asked {
                step: pending.key().clone(),
                by: pending.by.clone(),
                agent: pending.agent,
                name: pending.path.last().cloned().unwrap_or_default(),
                node: pending.node,
                token: token_hash(&pending.token),
            })
            .collect()
    }

    /// Stops what an attempt that ended had asked, and what that had asked in turn.
    pub(crate) fn abandon(&self, hosts: &Hosts, task: TaskId, step: &str, number: u32) {
        if self.0.is_empty() {
            return;
        }
        for pending in self.0.iter() {
            if pending.task == task && pending.by.0 == step && pending.by.1 == number {
                pending.stop(hosts, "stopped with the attempt that asked it");
            }
        }
    }

    /// Takes an outcome that belongs to no step of its task; answers whether it was waited for.
    pub(crate) fn settle(&self, step: &str, token: &[u8; 16], outcome: &Outcome) -> bool {
        let mine = |_: &String, pending: &Pending| pending.token == *token;
        match self.0.remove_if(step, mine) {
            Some((_, pending)) => {
                // Whoever asked may have gone away this moment.
                let _ = pending.answer.send(outcome.clone());
                true
            }
            None => false,
        }
    }

    /// In whose name the agent of a question asks on.
    pub(super) fn standing(&self, from: NodeId, of: &Asker) -> Option<Standing> {
        let pending = self.0.get(&of.step)?;
        (pending.task == of.task && pending.node == from).then(|| Standing {
            tenant: pending.tenant.clone(),
            path: pending.path.clone(),
            until: Some(pending.until),
        })
    }

    /// Keeps a question until what this gives is dropped.
    pub(super) fn wait(
        &self,
        services: &Services,
        agent: &Agent,
        step: &str,
        pending: Pending,
    ) -> Waiting {
        let (node, token) = (pending.node, pending.token);
        self.0.insert(step.to_owned(), pending);
        Waiting {
            services: services.clone(),
            step: step.to_owned(),
            agent: agent.id,
            node,
            token,
        }
    }
}

/// A question that is waited for; when nobody waits any more, its agent is stopped.
pub(super) struct Waiting {
    services: Services,
    step: String,
    agent: AgentId,
    node: NodeId,
    token: [u8; 16],
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.services.asks.0.remove(&self.step).is_none() {
            return;
        }
        let hosts = &self.services.hosts;
        if tokio::runtime::Handle::try_current().is_ok() && !hosts.around.cluster.gone(self.node) {
            let why = "nobody waits for its answer any more";
            hosts.stop(self.node, self.agent, token_hash(&self.token), why);
        }
    }
}
