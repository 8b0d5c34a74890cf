//! An agent's proxy on its host: runs attempts beside its mailbox, never in it; checks health.

mod check;
mod run;

use std::sync::Arc;

use protocol::api::HealthReport;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use runtime::supervision::{self, Address};
use tokio::sync::oneshot;

pub(crate) use self::run::{Run, ended_with_lease};
use crate::{
    agent::{
        breaker::{Breaker, CallEnd, Pass},
        stats::SuccessRate,
    },
    allocator::Circuit,
    host::{Hosted, Hosts, message::Order},
    registry::{Agent, view},
};

/// Where the proxy of an agent stands in the supervision tree.
pub(crate) fn path_of_proxy(order: &Order) -> String {
    format!("{}/proxy", path_of_agent(order))
}

/// Where what is hosted of an agent stands.
pub(super) fn path_of_agent(order: &Order) -> String {
    view::path_of(&order.tenant, &order.spec.name)
}

pub(super) struct AgentProxy {
    pub(super) hosts: Hosts,
    pub(super) hosted: Arc<Hosted>,
}

/// What lies in a proxy's mailbox.
#[derive(Debug)]
pub(crate) enum Message {
    /// Run an attempt.
    Run(Box<Run>),
    /// An attempt ended.
    Ended { pass: Pass, end: CallEnd },
    /// An open circuit may let one call through.
    BreakerDue,
    /// The agent's configuration is another.
    Changed,
    /// Check health now.
    Check {
        reply: Option<oneshot::Sender<HealthReport>>,
    },
    /// What the check found.
    Checked(HealthReport),
}
impl ractor::Message for Message {}
impl supervision::Message for Message {
    fn name(&self) -> &'static str {
        match self {
            Self::Run(_) => "Run",
            Self::Ended { .. } => "Ended",
            Self::BreakerDue => "BreakerDue",
            Self::Changed => "Changed",
            Self::Check { .. } => "Check",
            Self::Checked(_) => "Checked",
        }
    }
}

/// What is gone with the proxy.
pub(super) struct State {
    hosts: Hosts,
    hosted: Arc<Hosted>,
    breaker: Breaker,
    success: SuccessRate,
    checking: check::Checking,
    /// The agent's entry in this node's registry, once it was found there.
    entry: Option<Arc<Agent>>,
}

impl Actor for AgentProxy {
    type Msg = Message;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        myself.cast(Message::Changed)?;
        Ok(State {
            hosts: self.hosts.clone(),
            hosted: self.hosted.clone(),
            breaker: Breaker::new(&self.hosts.config.breaker),
            success: SuccessRate::default(),
            checking: check::Checking::default(),
            entry: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Run(run) => run::start(state, *run),
            Message::Ended { pass, end } => {
                state.ended(pass, end);
                state.show_circuit(&myself);
            }
            Message::BreakerDue => state.show_circuit(&myself),
            Message::Changed => {
                state.breaker = Breaker::new(&state.hosts.config.breaker);
                state.show_circuit(&myself);
                check::at_once(state);
            }
            Message::Check { reply } => check::begin(state, reply),
            Message::Checked(report) => check::end(state, &myself, &report),
        }
        Ok(())
    }
}

impl State {
    fn address(&self) -> &Address<Message> {
        &self.hosted.proxy
    }

    fn entry(&mut self) -> Option<&Arc<Agent>> {
        if self.entry.is_none() {
            let local = self.hosts.local()?;
            self.entry = local.registry.get(self.hosted.id);
        }
        self.entry.as_ref()
    }

    /// A call ended: breaker and success rate learn from it.
    fn ended(&mut self, pass: Pass, end: CallEnd) {
        let now = self.hosts.clock.now();
        self.breaker.record(pass, end, now);
        self.success.add(end);
        let rate = self.success.get();
        self.hosted.change(|vitals| vitals.success_rate = rate);
        if let Some(entry) = self.entry() {
            entry.set_success_rate(rate);
        }
    }

    /// Publishes where the breaker stands; an open one is looked at again when its pause is over.
    fn show_circuit(&self, myself: &ActorRef<Message>) {
        let now = self.hosts.clock.now();
        let circuit = self.breaker.position(now);
        let admits = if self.breaker.admits(now) {
            Circuit::Passable
        } else {
            Circuit::Open
        };
        let stood = self.hosted.circuit();
        if stood == (circuit, admits) {
            return;
        }
        if stood.0 != circuit {
            let agent = self.hosted.post().map(|post| post.order.spec.name.clone());
            tracing::warn!(
                agent,
                circuit = circuit.as_str(),
                "the agent's circuit changed"
            );
        }
        self.hosted
            .change(|vitals| (vitals.circuit, vitals.admits) = (circuit, admits));
        self.hosts.publish(&self.hosted);
        if admits == Circuit::Open {
            let pause = self.hosts.config.breaker.pause.0;
            myself.send_after(pause, || Message::BreakerDue);
        }
    }
}
