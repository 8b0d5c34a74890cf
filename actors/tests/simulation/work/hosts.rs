//! What a task tells the hosts of its attempts, until they answer.

use std::{rc::Rc, time::Duration};

use protocol::entity::EntityId;

use super::AGAIN;
use crate::{
    link::{End, Message},
    node::Notice,
    owner::{Phase, run_of},
    world::World,
};

impl World {
    /// Sends something about a running attempt to its host.
    pub(crate) fn tell_host(
        &mut self,
        n: usize,
        stream: EntityId,
        token: &str,
        message: impl FnOnce(Rc<crate::link::Run>) -> Message,
    ) {
        let node = &self.nodes[n];
        let Some(entity) = node.entities.get(&stream) else {
            return;
        };
        let running = entity.task.steps.iter().find_map(|step| {
            let attempt = step.running().filter(|attempt| attempt.token == token)?;
            Some((run_of(stream, step, attempt), attempt.node))
        });
        if let Some((run, host)) = running
            && let Some(place) = node.place_of(host)
        {
            self.send(End::Node(n), End::Node(place), Some(host), message(run));
        }
    }

    pub(crate) fn nag_later(&mut self, n: usize, stream: EntityId) {
        let Some(entity) = self.nodes[n].entities.get_mut(&stream) else {
            return;
        };
        let task = &entity.task;
        let open = !entity.unsure.is_empty()
            || task.to_probe().next().is_some()
            || (task.cancelling && task.running() > 0);
        if open && !std::mem::replace(&mut entity.nagging, true) {
            let life = entity.life;
            self.after(n, Duration::from_millis(5), Notice::Nag(stream, life));
        }
    }

    /// Tries again to get across what nobody answered.
    pub(crate) fn nag(&mut self, n: usize, stream: EntityId, life: u64) {
        let Some(entity) = self.entity(n, stream, life) else {
            return;
        };
        entity.nagging = false;
        if entity.phase == Phase::Loading {
            return;
        }
        if entity.phase == Phase::Resting && self.is_owned(n, stream) {
            self.nag_hosts(n, stream);
        }
        if let Some(entity) = self.entity(n, stream, life) {
            let task = &entity.task;
            let open = !entity.unsure.is_empty()
                || task.to_probe().next().is_some()
                || (task.cancelling && task.running() > 0);
            if open {
                entity.nagging = true;
                self.after(n, AGAIN, Notice::Nag(stream, life));
            }
        }
    }

    pub(crate) fn nag_hosts(&mut self, n: usize, stream: EntityId) {
        let Some(entity) = self.nodes[n].entities.get_mut(&stream) else {
            return;
        };
        let steps = &entity.task.steps;
        let running: Vec<_> = steps.iter().filter_map(|step| step.running()).collect();
        let running: Vec<_> = running.iter().map(|run| run.token.clone()).collect();
        entity.unsure.retain(|token, _| running.contains(token));
        let unsure: Vec<_> = entity.unsure.keys().cloned().collect();
        let found = entity.found.clone();
        let cancelling = entity.task.cancelling;
        let probes: Vec<_> = entity
            .task
            .to_probe()
            .map(|(step, attempt)| run_of(stream, step, attempt))
            .collect();
        for token in unsure {
            if found.contains(&token) {
                self.tell_host(n, stream, &token, |run| Message::Query(n, run));
            } else {
                self.tell_host(n, stream, &token, |run| Message::Dispatch(n, run));
            }
        }
        for token in running.into_iter().filter(|_| cancelling) {
            self.tell_host(n, stream, &token, |run| Message::Stop(n, run));
        }
        for run in probes {
            let living = self.nodes[n].roster.living();
            let hosts: Vec<_> = living.map(|row| row.member.node).collect();
            if let Some(host) = self.chance.pick(&hosts).copied()
                && let Some(place) = self.nodes[n].place_of(host)
            {
                let probe = Message::Probe(n, run);
                self.send(End::Node(n), End::Node(place), Some(host), probe);
            }
        }
    }
}
