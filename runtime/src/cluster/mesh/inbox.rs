//! [`Inbox`]: what a peer told, handled in order, one at a time for each service.
//!
//! It outlasts a link: what the former link brought is heard before what its successor brings. It never
//! drops anything: whoever tells too much runs out of window, since a frame is done with only after
//! all of it was heard.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use protocol::wire::{Lane, Service, Trace};

use super::{Inner, handling, session::Session, window::Tally};
use crate::cluster::Incoming;

/// One frame of a lane of tells.
pub(super) struct Told {
    pub(super) session: Arc<Session>,
    pub(super) number: u64,
    pub(super) tally: Tally,
    pub(super) messages: Vec<(Option<Trace>, Vec<u8>)>,
}

#[derive(Default)]
pub(super) struct Inbox(Mutex<HashMap<Service, Line>>);

#[derive(Default)]
struct Line {
    told: VecDeque<Told>,
    heard: Hearing,
}

/// Whether a task hears a line.
#[derive(Default, PartialEq, Eq)]
enum Hearing {
    #[default]
    Nobody,
    Task,
}

impl Inbox {
    /// Takes a frame; a task hears it, and ends when there is no more.
    pub(super) fn push(self: &Arc<Self>, inner: &Arc<Inner>, service: Service, told: Told) {
        let runtime = told.session.runtime.clone();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry(service).or_default();
        line.told.push_back(told);
        if line.heard == Hearing::Nobody {
            line.heard = Hearing::Task;
            runtime.spawn(self.clone().hear(inner.clone(), service));
        }
    }

    async fn hear(self: Arc<Self>, inner: Arc<Inner>, service: Service) {
        while let Some(told) = self.next(service) {
            let handler = inner.handler(service);
            for (trace, payload) in told.messages {
                let Some(handler) = &handler else { break };
                let incoming = Incoming {
                    from: told.session.link.peer().clone(),
                    payload,
                    left: std::time::Duration::ZERO,
                };
                handling::hear(service, handler, incoming, trace).await;
            }
            let lane = Lane::tells(service);
            told.session.finished(lane, told.number, told.tally);
            // Handlers that never wait would keep this thread from all others.
            tokio::task::yield_now().await;
        }
    }

    fn next(&self, service: Service) -> Option<Told> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.get_mut(&service)?;
        let told = line.told.pop_front();
        if told.is_none() {
            line.heard = Hearing::Nobody;
        }
        told
    }
}
