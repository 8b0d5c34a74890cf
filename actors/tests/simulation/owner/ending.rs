//! How an activation ends: done, idle, failed, or sent away.

use std::time::Duration;

use protocol::entity::EntityId;
use runtime::{placement::Evict, store::Scope};

use super::Phase;
use crate::{node::Notice, world::World};

impl World {
    /// After what is on disk was acted on: leave memory, or go on.
    pub(crate) fn settle_down(&mut self, n: usize, stream: EntityId) {
        let Some(entity) = self.nodes[n].entities.get_mut(&stream) else {
            return;
        };
        let over = entity.task.status.is_terminal() || entity.head == 0;
        let idle = std::mem::take(&mut entity.idle);
        if (over || idle || entity.leaving) && entity.mailbox.is_empty() {
            self.gone(n, stream);
        } else {
            self.serve(n, stream);
        }
    }

    /// The activation is over.
    pub(crate) fn gone(&mut self, n: usize, stream: EntityId) {
        self.nodes[n].entities.remove(&stream);
        self.departed(n);
    }

    /// It ends because of what surrounds it, and comes back if it is still this node's.
    pub(crate) fn failed(&mut self, n: usize, stream: EntityId) {
        self.trace(format_args!("node {n}: {stream} fails"));
        self.gone(n, stream);
        if self.nodes[n].holdings.activates(stream).is_some() {
            let failures = self.nodes[n].failures.entry(stream).or_default();
            *failures += 1;
            let wait = Duration::from_millis(25 << (*failures).min(7));
            self.after(n, wait, Notice::Revive(stream));
        }
    }

    pub(crate) fn evict_at_once(&mut self, n: usize, scope: &Scope) {
        self.evict(n, scope, Evict::AtOnce);
    }

    /// Sends entities out of memory when they have done what they do.
    pub(crate) fn dismiss(&mut self, n: usize, scope: &Scope) {
        self.evict(n, scope, Evict::Politely);
    }

    pub(crate) fn evict(&mut self, n: usize, scope: &Scope, how: Evict) {
        let here = self.nodes[n].entities.iter_mut();
        let meant = here.filter(|(stream, _)| scope.holds(**stream));
        let mut out = Vec::new();
        for (stream, entity) in meant {
            match how {
                Evict::AtOnce => out.push(*stream),
                Evict::Politely => {
                    entity.leaving = true;
                    if entity.phase == Phase::Resting && entity.mailbox.is_empty() {
                        out.push(*stream);
                    }
                }
            }
        }
        for stream in out {
            self.gone(n, stream);
        }
    }
}
