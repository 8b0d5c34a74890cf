//! What a task does once its decisions are on disk.

use protocol::entity::EntityId;

use crate::{
    bug::Bug,
    link::{End, Message},
    node::Notice,
    owner::{Effect, Mail},
    world::World,
};

impl World {
    /// Whether an entity's node still owns it under the epoch that it was loaded under.
    pub(crate) fn is_owned(&self, n: usize, stream: EntityId) -> bool {
        let node = &self.nodes[n];
        let epoch = node.entities.get(&stream).map(|entity| entity.epoch);
        self.bug == Some(Bug::UnfencedEffects)
            || self.bug == Some(Bug::NoFence)
            || (epoch.is_some() && node.holdings.appends(stream) == epoch)
    }

    pub(crate) fn carry_out_some(
        &mut self,
        n: usize,
        stream: EntityId,
        which: impl Fn(&Effect) -> bool,
    ) {
        let Some(entity) = self.nodes[n].entities.get_mut(&stream) else {
            return;
        };
        let all = std::mem::take(&mut entity.effects);
        let (now, later) = all.into_iter().partition(|effect| which(effect));
        entity.effects = later;
        self.effects(n, stream, now);
    }

    /// Does what waited for the commit.
    pub(crate) fn carry_out(&mut self, n: usize, stream: EntityId) {
        if !self.is_owned(n, stream) {
            self.failed(n, stream);
            return;
        }
        self.carry_out_some(n, stream, |_| true);
        self.nag_later(n, stream);
        self.set_timer(n, stream);
        self.settle_down(n, stream);
    }

    pub(crate) fn effects(&mut self, n: usize, stream: EntityId, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Accept(order) => self.accept(n, &order, stream),
                Effect::Dispatch(run) => {
                    self.tell_host(n, stream, &run.token, |run| Message::Dispatch(n, run));
                }
                Effect::Recorded(host, token) => {
                    self.send(
                        End::Node(n),
                        End::Node(host),
                        None,
                        Message::Recorded(token),
                    );
                }
                Effect::Status { order, ask, client } => {
                    let Some(entity) = self.nodes[n].entities.get(&stream) else {
                        continue;
                    };
                    let status = Message::Status {
                        order,
                        ask,
                        status: entity.task.status,
                        head: entity.head,
                    };
                    self.send(End::Node(n), End::Client(client), None, status);
                }
            }
        }
    }

    pub(crate) fn set_timer(&mut self, n: usize, stream: EntityId) {
        let now = self.nodes[n].wall();
        let Some(entity) = self.nodes[n].entities.get_mut(&stream) else {
            return;
        };
        let Some(due) = entity.task.wake_at(entity.looked) else {
            return;
        };
        if entity
            .timer
            .is_none_or(|earlier| due < earlier || earlier <= now)
        {
            entity.timer = Some(due);
            let life = entity.life;
            self.after(n, due.since(now), Notice::Wake(stream, life));
        }
    }

    pub(crate) fn timer(&mut self, n: usize, stream: EntityId, life: u64) {
        if let Some(entity) = self.entity(n, stream, life) {
            entity.timer = None;
            self.tell(n, stream, Mail::Look);
        }
    }
}
