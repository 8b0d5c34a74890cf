//! What a node that hosts agents answers the control nodes.

use std::{sync::Arc, time::Duration};

use protocol::{
    api::HealthReport, id::AgentId, json, member::NodeRole, task::Finding, wire::Service,
};
use runtime::cluster::{Fault, Incoming, Peer};
use tokio::sync::oneshot;

use super::{Hosted, Hosts, Report};
use crate::{
    adapter::{Call, Probe},
    agent::token_hash,
    host::{
        Run,
        actor::proxy,
        booking::{Place, Seen},
        message::{Dispatch, Refusal, Reply, Request, read, write},
    },
    registry::Slot,
};

impl Hosts {
    /// Answers other nodes from now on.
    pub(crate) fn serve(&self) {
        self.serve_files();
        let hosts = self.clone();
        self.around.net.serve(
            Service::HOST,
            Arc::new(move |incoming| {
                let hosts = hosts.clone();
                Box::pin(async move { hosts.answer(incoming).await })
            }),
        );
    }

    async fn answer(&self, incoming: Incoming) -> Result<Vec<u8>, Fault> {
        let Incoming { from, payload, .. } = incoming;
        if !from.roles.has(NodeRole::Control) {
            tracing::warn!(node = %from.node, name = from.name, "a node that is no control node gave orders");
            return Err(Fault::Refused("only control nodes give orders".to_owned()));
        }
        let request = read(&payload).map_err(|error| Fault::Refused(error.to_string()))?;
        let reply = match request {
            Request::Host(order) => done(self.host(order)),
            Request::Retire(retire) => match self.retire(retire) {
                Ok(running) => Reply::Retired { running },
                Err(super::Outranked) => Reply::Outranked,
            },
            Request::Reserve { agent, task, step } => match &self.ledger {
                Some(ledger) if !ledger.is_writable().await => refused(Refusal::Fenced),
                Some(_) | None => self.keep(agent, (from.node, task, step)),
            },
            Request::Release { reservation, .. } => {
                // Dropped after the lock: a slot that comes free may be asked for at once.
                let kept = self.bookings().take(reservation);
                drop(kept);
                Reply::Done
            }
            Request::Run(dispatch) => self.accept(*dispatch, &from).await,
            Request::Stop { agent, token, why } => {
                self.stop_here(agent, &token, &why);
                Reply::Done
            }
            Request::Probe { agent, call } => match self.probe_here(agent, &(*call).into()).await {
                Some(finding) => Reply::Found(finding),
                None => refused(Refusal::NotHere),
            },
            Request::Check { agent } => match self.check_here(agent).await {
                Some(report) => Reply::Checked(report),
                None => refused(Refusal::NotHere),
            },
            Request::Query { attempts } => {
                let known = attempts
                    .iter()
                    .map(|(agent, token)| self.knows(*agent, token));
                Reply::Known(known.collect())
            }
        };
        Ok(write(&reply))
    }

    /// Keeps a slot for a step of another node.
    fn keep(&self, agent: AgentId, place: Place) -> Reply {
        self.mind_lapse();
        let now = self.moment();
        let Some((hosted, post)) = self
            .known(agent)
            .and_then(|hosted| hosted.post().map(|post| (hosted, post)))
        else {
            return refused(Refusal::NotHere);
        };
        let timeout = post.adapter.as_ref().and_then(|adapter| adapter.timeout());
        let timeout = timeout.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        let reserved = |reservation| Reply::Reserved {
            reservation,
            load: hosted.figures(),
            timeout,
        };
        let mut bookings = self.bookings();
        if let Some(reservation) = bookings.again(&place, now) {
            return reserved(reservation);
        }
        let takes = post.order.mode == protocol::agent::Mode::Started;
        match takes.then(|| hosted.gate.take()).flatten() {
            Some(slot) => {
                if hosted.gate.free() == 0 {
                    // It may want more: it hears of the next slot as if it had been refused.
                    hosted.refuse(place.0);
                }
                reserved(bookings.keep(place, (agent, slot), now))
            }
            None => {
                drop(bookings);
                hosted.refuse(place.0);
                // One that came free meanwhile is not missed.
                if takes && hosted.gate.free() > 0 {
                    self.freed(agent);
                }
                let load = Some(hosted.figures());
                Reply::Refused {
                    why: Refusal::Full,
                    load,
                }
            }
        }
    }

    /// Takes an attempt over: from here on its result comes from this node, whoever asks again.
    async fn accept(&self, dispatch: Dispatch, from: &Peer) -> Reply {
        let Dispatch {
            agent,
            reservation,
            token,
            effect,
            call,
        } = dispatch;
        // Not under a lock: what ends may look at the tokens.
        self.mind_lapse();
        let hash = token_hash(&token);
        let admitted = {
            let mut tokens = self.tokens();
            // First of all: what was taken over stays so, whatever has become of the lease since.
            match tokens.enter(&hash, self.moment()) {
                Err(Seen::Before) => return Reply::Done,
                Err(Seen::GivenUp) => return refused(Refusal::GivenUp),
                Ok(()) => {}
            }
            let admitted = self.admit(agent, reservation);
            if admitted.is_err() {
                // Final, because the owner believes it: another copy may be on its way.
                tokens.give_up(&hash, self.moment());
            }
            admitted
        };
        self.mark_tokens();
        let (hosted, slot) = match admitted {
            Ok(admitted) => admitted,
            Err(why) => return refused(why),
        };
        let call = Call::from(call);
        let report = Report::new(self.clone(), call.task, &call.step, call.attempt, token);
        if let Some(ledger) = &self.ledger
            && let Err(error) = ledger.accepted(&call, &token).await
        {
            // Its report says that it was not started.
            tracing::error!(task = %call.task, %error, "an attempt could not be written down");
            return Reply::Done;
        }
        tracing::debug!(task = %call.task, from = from.name, "an attempt was taken over");
        self.run(
            &hosted,
            Box::new(Run {
                call,
                effect,
                slot,
                report,
            }),
        );
        Reply::Done
    }

    /// The agent's part of this node and a slot for an attempt: the one that was kept, or another.
    fn admit(&self, agent: AgentId, reservation: u64) -> Result<(Arc<Hosted>, Slot), Refusal> {
        if self.is_fenced() || self.has_lapsed() {
            return Err(Refusal::Fenced);
        }
        let hosted = self.known(agent).ok_or(Refusal::NotHere)?;
        let kept = {
            let mut bookings = self.bookings();
            // Its owner may have given it up as lost with the lease, and tried again since.
            if bookings.is_void(reservation) {
                return Err(Refusal::GivenUp);
            }
            bookings.take(reservation)
        };
        let kept = kept.and_then(|(of, slot)| (of == agent).then_some(slot));
        match kept.or_else(|| hosted.gate.take()) {
            Some(slot) => Ok((hosted, slot)),
            None => Err(full_or_away(&hosted)),
        }
    }

    /// Asks the tool about a lost attempt; absent when its agent is not hosted here.
    pub(super) async fn probe_here(&self, agent: AgentId, call: &Call) -> Option<Finding> {
        let post = self.known(agent)?.post()?;
        let Some(adapter) = post.adapter.clone() else {
            return Some(Finding::Unknown {
                detail: "the agent's configuration makes no sense to this build".to_owned(),
            });
        };
        let probing = tokio::time::timeout(call.timeout, adapter.probe(call));
        Some(match probing.await {
            Ok(Probe::Done(output)) => match json::check(&output) {
                Ok(()) => Finding::Done { output },
                Err(why) => Finding::Unknown {
                    detail: format!("the probe's result cannot be taken: {why}"),
                },
            },
            Ok(Probe::NotDone) => Finding::NotDone,
            Ok(Probe::Unknown(detail)) => Finding::Unknown { detail },
            Err(_) => Finding::Unknown {
                detail: "the probe did not answer in time".to_owned(),
            },
        })
    }

    /// Checks an agent's health now; absent when it is not hosted here.
    pub(super) async fn check_here(&self, agent: AgentId) -> Option<HealthReport> {
        let hosted = self.known(agent)?;
        hosted.post()?;
        // A proxy that is about to start, or starts again, is asked once more.
        for _ in 0..20 {
            let (reply, report) = oneshot::channel();
            let message = proxy::Message::Check { reply: Some(reply) };
            if hosted.proxy.cast(message).is_ok()
                && let Ok(report) = report.await
            {
                return Some(report);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }
}

fn full_or_away(hosted: &Hosted) -> Refusal {
    match hosted.post() {
        Some(_) => Refusal::Full,
        None => Refusal::NotHere,
    }
}

const fn refused(why: Refusal) -> Reply {
    Reply::Refused { why, load: None }
}

const fn done(answer: Result<(), super::Outranked>) -> Reply {
    match answer {
        Ok(()) => Reply::Done,
        Err(super::Outranked) => Reply::Outranked,
    }
}
