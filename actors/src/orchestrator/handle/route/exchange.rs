//! One question to one node, and its answer: whole, whatever their sizes.

use std::{
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use protocol::{access::Caller, id::NodeId, wire::Service};
use runtime::cluster::Fault;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::{Member, READ, UseCase};
use crate::orchestrator::{
    call::{Call, Reply, Standing, decode, encode},
    parcel::{Frame, PIECE, Parcels, pieces},
};

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
    pub(in super::super) fn parcels(&self) -> MutexGuard<'_, Parcels> {
        self.parcels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks one node once.
    pub(super) async fn ask<U: UseCase>(
        &self,
        node: NodeId,
        standing: Standing,
        caller: &Caller,
        case: &U,
        within: Duration,
    ) -> Result<Reply, Failure> {
        let call = serde_json::value::to_raw_value(case)
            .and_then(|body| {
                encode(&Call {
                    name: U::NAME.to_owned(),
                    caller: caller.clone(),
                    standing,
                    body,
                })
            })
            .map_err(Failure::Unreadable)?;
        let until = Instant::now() + within;
        let answer = self.exchange(node, &call, until).await?;
        decode(&answer).map_err(Failure::Unreadable)
    }

    /// Sends a request, in pieces if need be, and fetches its answer likewise.
    async fn exchange(
        &self,
        node: NodeId,
        request: &[u8],
        until: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let answered = if request.len() <= PIECE {
            self.send(node, &Frame::Whole(request), until).await
        } else {
            let last = self.send_all_but_last(node, request, until).await?;
            self.send(node, &last, until).await
        };
        let answered = answered.map_err(|fault| {
            if fault.nothing_happened() {
                Failure::Nothing(fault)
            } else {
                Failure::Unknown(fault)
            }
        })?;
        self.fetch(node, &answered, until).await
    }

    /// Sends the pieces of a long request up to the last, which is given back: before that is there,
    /// nothing is done about it.
    async fn send_all_but_last<'a>(
        &self,
        node: NodeId,
        request: &'a [u8],
        until: Instant,
    ) -> Result<Frame<'a>, Failure> {
        let parcel = self.parcels().number();
        let part = |index| Frame::part(parcel, request, index).unwrap_or(Frame::Gone);
        let last = pieces(request) - 1;
        for index in 0..last {
            let kept = self.send(node, &part(index), until).await;
            let kept = kept.map_err(Failure::Nothing)?;
            if Frame::decode(&kept) != Some(Frame::Kept) {
                return Err(Failure::Nothing(Fault::Overloaded(node)));
            }
        }
        Ok(part(last))
    }

    /// The whole of an answer, which may have come in pieces.
    async fn fetch(
        &self,
        node: NodeId,
        answered: &[u8],
        until: Instant,
    ) -> Result<Vec<u8>, Failure> {
        match Frame::decode(answered) {
            Some(Frame::Whole(answer)) => Ok(answer.to_vec()),
            Some(Frame::Part {
                parcel, of, bytes, ..
            }) => {
                let mut answer = bytes.to_vec();
                for index in 1..of {
                    let next = Frame::Next { parcel, index };
                    let piece = self.send(node, &next, until).await;
                    let piece = piece.map_err(Failure::Unknown)?;
                    match Frame::decode(&piece) {
                        Some(Frame::Part { bytes, .. }) => answer.extend_from_slice(bytes),
                        Some(Frame::Whole(_) | Frame::Next { .. } | Frame::Kept | Frame::Gone)
                        | None => return Err(Failure::Unknown(Fault::Lost(node))),
                    }
                }
                Ok(answer)
            }
            // The last piece followed on nothing.
            Some(Frame::Gone) => Err(Failure::Nothing(Fault::Overloaded(node))),
            Some(Frame::Next { .. } | Frame::Kept) | None => {
                Err(Failure::Unknown(Fault::NoService(node)))
            }
        }
    }

    async fn send(
        &self,
        node: NodeId,
        frame: &Frame<'_>,
        until: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let left = until.saturating_duration_since(Instant::now());
        let asked = self.peers.ask(node, Service::CALL, frame.encode(), left);
        timeout(left, asked)
            .await
            .unwrap_or(Err(Fault::Deadline(node)))
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
