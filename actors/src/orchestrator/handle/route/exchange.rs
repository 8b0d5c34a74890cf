//! One question to one node, and its answer: whole, whatever their sizes.

use std::time::Duration;

use protocol::{access::Caller, id::NodeId, wire::Service};
use runtime::cluster::Fault;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::{Member, READ, UseCase};
use crate::orchestrator::call::{Call, Reply, Standing, decode, encode};

/// Why a node gave no answer.
pub(super) enum Failure {
    /// Nothing happened there.
    Nothing(Fault),
    /// It may have happened.
    Unknown(Fault),
    /// An answer that is none to this version.
    Unreadable(serde_json::Error),
}

impl Member {
    /// Asks one node once.
    pub(super) async fn ask<U: UseCase>(
        &self,
        node: NodeId,
        standing: Standing,
        caller: &Caller,
        case: &U,
        within: Duration,
    ) -> Result<Reply, Failure> {
        let body = serde_json::value::to_raw_value(case).map_err(Failure::Unreadable)?;
        let call = Call {
            name: U::NAME.to_owned(),
            caller: caller.clone(),
            standing,
            body,
        };
        self.send(node, &call, within).await
    }

    /// Asks one node once, for itself or for another.
    pub(super) async fn send(
        &self,
        node: NodeId,
        call: &Call,
        within: Duration,
    ) -> Result<Reply, Failure> {
        let call = encode(call).map_err(Failure::Unreadable)?;
        let until = Instant::now() + within;
        let asked = self.carrier.ask_until(node, Service::CALL, call, until);
        let answer = asked.await.map_err(|fault| {
            if fault.nothing_happened() {
                Failure::Nothing(fault)
            } else {
                Failure::Unknown(fault)
            }
        })?;
        decode(&answer).map_err(Failure::Unreadable)
    }

    /// Asks a node about events of a task.
    pub(in super::super) async fn feed<T: Serialize>(
        &self,
        node: NodeId,
        what: &T,
    ) -> Result<Vec<u8>, Fault> {
        let what = encode(what).map_err(|error| Fault::Refused(error.to_string()))?;
        let asked = self.peers.ask(node, Service::FEED, what, READ);
        timeout(READ, asked)
            .await
            .unwrap_or(Err(Fault::Deadline(node)))
    }
}
