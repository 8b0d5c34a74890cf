//! What a control node asks of the nodes that host agents.

use std::{sync::Arc, time::Duration};

use protocol::{
    api::HealthReport,
    id::{AgentId, NodeId, TaskId},
    task::{Failure, Finding, Outcome, TokenHash},
    wire::Service,
};
use runtime::cluster::Fault;

use super::{
    Hosts, LONGEST,
    report::{not_started, too_large},
};
use crate::{
    Rejection,
    adapter::Call,
    host::{
        Run,
        message::{Dispatch, Order, Refusal, Reply, Request, Retire, read, write},
    },
    registry::{Agent, Booking, Slot},
};

/// How long a host may take to keep a slot.
const RESERVED_WITHIN: Duration = Duration::from_secs(1);

/// How long a host may take for anything else that it does at once.
const DONE_WITHIN: Duration = Duration::from_secs(2);

/// How long a lost attempt's agent is looked for before nobody can say what became of it.
const PROBED_WITHIN: Duration = Duration::from_secs(120);

impl Hosts {
    async fn ask(&self, node: NodeId, request: &Request, within: Duration) -> Result<Reply, Fault> {
        let payload = write(request);
        self.ask_again(node, payload, within).await
    }

    async fn ask_again(
        &self,
        node: NodeId,
        payload: Vec<u8>,
        within: Duration,
    ) -> Result<Reply, Fault> {
        let asking = self.around.net.ask(node, Service::HOST, payload, within);
        let answer = asking.await?;
        read(&answer).map_err(|error| Fault::Refused(error.to_string()))
    }

    /// Asks until there is an answer, or the node is gone for good.
    async fn insist(&self, node: NodeId, request: &Request) -> Option<Reply> {
        let payload = write(request);
        let mut wait = Duration::from_millis(50);
        let mut changes = self.around.cluster.changes();
        loop {
            changes.mark_unchanged();
            if self.around.cluster.gone(node) {
                return None;
            }
            match self.ask_again(node, payload.clone(), DONE_WITHIN).await {
                Ok(reply) => return Some(reply),
                Err(error @ Fault::TooLarge { .. }) => {
                    tracing::error!(%node, %error, "an agent's description does not fit into a message");
                    return None;
                }
                Err(error) => tracing::debug!(%node, %error, "a host is asked again"),
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST),
                // It may be gone by now, or can be reached again.
                changed = changes.changed() => if changed.is_err() {
                    tokio::time::sleep(wait).await;
                },
            }
        }
    }

    /// Lets a node host an agent; answers whether it does.
    pub(crate) async fn host_at(&self, node: NodeId, order: &Order) -> bool {
        if node == self.me() {
            return self.host(order.clone()).is_ok();
        }
        let answer = self.insist(node, &Request::Host(order.clone())).await;
        answer == Some(Reply::Done)
    }

    /// Lets a node host an agent no more; answers when it does not, or is gone, and how many of its
    /// attempts go on there.
    pub(crate) async fn retire_at(&self, node: NodeId, retire: Retire) -> u32 {
        if node == self.me() {
            return self.retire(retire).unwrap_or_default();
        }
        match self.insist(node, &Request::Retire(retire)).await {
            Some(Reply::Retired { running }) => running,
            Some(_) | None => 0,
        }
    }

    /// Asks another node to keep a slot for a step, which was counted as lent already. Without an answer there is none; one that is kept
    /// all the same lapses.
    pub(crate) async fn reserve(&self, agent: &Agent, task: TaskId, step: usize) -> Option<Slot> {
        let (node, name) = agent.facts().host.clone()?;
        let request = Request::Reserve {
            agent: agent.id,
            task,
            step: step as u64,
        };
        match self.ask(node, &request, RESERVED_WITHIN).await {
            Ok(Reply::Reserved {
                reservation,
                load,
                timeout,
            }) => {
                agent.report(node, &load);
                Some(Slot::there(Booking {
                    node,
                    name,
                    number: reservation,
                    timeout: timeout.map(Duration::from_millis),
                    release: Some(self.releasing(node, agent.id, reservation)),
                }))
            }
            Ok(Reply::Refused {
                load: Some(load), ..
            }) => {
                agent.report(node, &load);
                None
            }
            Ok(_) | Err(_) => {
                agent.unanswered();
                None
            }
        }
    }

    /// What tells a node that a slot is not needed. When that is lost, the slot lapses.
    fn releasing(
        &self,
        node: NodeId,
        agent: AgentId,
        reservation: u64,
    ) -> Box<dyn FnOnce() + Send + Sync> {
        let net = self.around.net.clone();
        Box::new(move || {
            let request = write(&Request::Release { agent, reservation });
            let _ = net.tell(node, Service::HOST, request);
        })
    }

    /// Hands an attempt whose intent is on disk to whoever keeps its slot.
    pub(crate) fn dispatch(&self, agent: &Arc<Agent>, run: Box<Run>) {
        if run.slot.booking().is_none() {
            self.run(&agent.hosted, run);
            return;
        }
        let (hosts, agent) = (self.clone(), agent.clone());
        tokio::spawn(async move { hosts.send(&agent, *run).await });
    }

    /// Sends an attempt to the node that keeps its slot, until that has taken it over: always the
    /// same attempt to the same node, which takes it once.
    async fn send(&self, agent: &Agent, run: Run) {
        let Run {
            call,
            effect,
            slot,
            report,
        } = run;
        let (Ok(booking), Some(token)) = (slot.into_booking(), report.token()) else {
            return;
        };
        let payload = write(&Request::Run(Box::new(Dispatch {
            agent: agent.id,
            reservation: booking.number,
            token: *token,
            effect,
            call: (&call).into(),
        })));
        let node = booking.node;
        let mut wait = Duration::from_millis(100);
        // It may have arrived without an answer that did.
        let mut doubtful = false;
        let outcome = loop {
            if self.around.cluster.gone(node) {
                let error = Failure::new("node_lost", "the node that was to run it is gone");
                break Outcome::Lost { error };
            }
            match self.ask_again(node, payload.clone(), DONE_WITHIN).await {
                Ok(Reply::Done) => {
                    booking.used();
                    report.handed_over();
                    return;
                }
                Ok(Reply::Refused { why, load }) => {
                    if let Some(load) = load {
                        agent.report(node, &load);
                    }
                    break not_started(refused(why));
                }
                Ok(_) => break no_word(doubtful, "its host gave another answer than to a run"),
                Err(Fault::TooLarge { size, limit }) => break too_large(size, limit),
                Err(Fault::NoService(_) | Fault::Refused(_)) => {
                    break no_word(doubtful, "its host takes no attempts from this node");
                }
                Err(
                    error @ (Fault::Unreachable(_)
                    | Fault::Lost(_)
                    | Fault::Deadline(_)
                    | Fault::Overloaded(_)),
                ) => {
                    doubtful |= !error.nothing_happened();
                    tracing::debug!(%node, %error, "an attempt is sent again");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(DONE_WITHIN);
        };
        report.send("host", outcome.into(), None).await;
    }

    /// Stops an attempt wherever it runs; its past tells why.
    pub(crate) fn stop(&self, node: NodeId, agent: AgentId, token: TokenHash, why: &str) {
        if node == self.me() {
            self.stop_here(agent, &token, why);
            return;
        }
        let (hosts, why) = (self.clone(), why.to_owned());
        tokio::spawn(async move {
            let request = Request::Stop { agent, token, why };
            hosts.insist(node, &request).await;
        });
    }

    /// Asks the tool about a lost attempt, at whichever node hosts its agent now.
    pub(crate) async fn probe(&self, agent: &Agent, call: &Call) -> Finding {
        let deadline = tokio::time::Instant::now() + PROBED_WITHIN;
        let mut wait = Duration::from_millis(100);
        while tokio::time::Instant::now() < deadline {
            let host = agent.facts().host.as_ref().map(|(node, _)| *node);
            let found = match host {
                Some(node) if node == self.me() => self.probe_here(agent.id, call).await,
                Some(node) => self.probe_there(node, agent.id, call).await,
                None => None,
            };
            if let Some(found) = found {
                return found;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST);
        }
        Finding::Unknown {
            detail: format!("no node that hosts agent {} could be asked", agent.name),
        }
    }

    async fn probe_there(&self, node: NodeId, agent: AgentId, call: &Call) -> Option<Finding> {
        let request = Request::Probe {
            agent,
            call: Box::new(call.into()),
        };
        match self.ask(node, &request, call.timeout + DONE_WITHIN).await {
            Ok(Reply::Found(finding)) => Some(finding),
            Ok(_) | Err(_) => None,
        }
    }

    /// Which attempts a node runs; absent when it is gone for good.
    pub(crate) async fn query(
        &self,
        node: NodeId,
        attempts: Vec<(AgentId, TokenHash)>,
    ) -> Option<Vec<bool>> {
        let count = attempts.len();
        match self.insist(node, &Request::Query { attempts }).await {
            Some(Reply::Known(known)) if known.len() == count => Some(known),
            // A build that does not know the question cannot be told apart from one that lost them.
            Some(_) | None => None,
        }
    }

    /// Checks an agent's health where it is hosted.
    pub(crate) async fn check(&self, agent: &Agent) -> Result<HealthReport, Rejection> {
        let unhosted = || Rejection::Unavailable {
            message: format!("no node hosts agent {} at the moment", agent.name),
            retry_after: Duration::from_secs(1),
        };
        let facts = agent.facts();
        let (node, _) = facts.host.as_ref().ok_or_else(unhosted)?;
        if *node == self.me() {
            return self.check_here(agent.id).await.ok_or_else(unhosted);
        }
        let request = Request::Check { agent: agent.id };
        let within = self.config.health.timeout.0 * 2 + DONE_WITHIN;
        match self.ask(*node, &request, within).await {
            Ok(Reply::Checked(report)) => Ok(report),
            Ok(_) | Err(_) => Err(unhosted()),
        }
    }
}

/// What a host leaves open that does not say whether it took an attempt over.
fn no_word(doubtful: bool, why: &str) -> Outcome {
    if !doubtful {
        return not_started(why);
    }
    let message = format!("{why}, and may have taken it over before");
    Outcome::Lost {
        error: Failure::new("unanswered", message),
    }
}

const fn refused(why: Refusal) -> &'static str {
    match why {
        Refusal::NotHere => "its agent is not hosted there any more",
        Refusal::Full => "its slot was given to another, because it came too late",
        Refusal::GivenUp => "it was given up before it reached its host",
        Refusal::Fenced => "its host may run nothing at the moment",
    }
}
