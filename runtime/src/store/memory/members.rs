//! Members and the shards they own.

use std::time::Duration;

use protocol::{
    entity::EntityId,
    epoch::Epoch,
    id::NodeId,
    member::{Member, MemberState},
    shard::Shard,
    time::Timestamp,
};

use super::{Memory, State};
use crate::store::{
    Answer, EntryRefusal, Founding, MemberRow, Members, Renewal, ShardRow, Survey, members::RECENT,
};

/// A member as it is kept.
#[derive(Debug)]
pub(super) struct Seat {
    member: Member,
    state: MemberState,
    lease_until: Timestamp,
    health: String,
    /// A shard of it was taken: its lease is never renewed again.
    lost: bool,
}

impl Seat {
    /// Whether it takes part, its lease aside.
    const fn sits(&self) -> bool {
        match self.state {
            MemberState::Up | MemberState::Draining => true,
            MemberState::Left | MemberState::Removed => false,
        }
    }

    fn lives(&self, now: Timestamp) -> bool {
        self.sits() && self.lease_until > now
    }
}

impl State {
    /// The next of the one counter that starts and takings draw from.
    pub(super) fn next_epoch(&mut self) -> Epoch {
        self.epoch = self.epoch.max(Epoch::new(1, 0)).next();
        self.epoch
    }

    /// Whether the stream's shard, if it was ever taken, is `owner`'s under `epoch`, or was free
    /// before that.
    pub(super) fn may_claim(&self, stream: EntityId, epoch: Epoch, owner: NodeId) -> bool {
        let shard = self
            .founding
            .map(|founding| Shard::of(stream, founding.shards));
        let row = shard.and_then(|shard| self.shards.get(usize::from(shard.0)));
        row.is_none_or(|row| match row.owner {
            Some(other) => other == owner && row.epoch == epoch,
            None => row.epoch < epoch,
        })
    }

    fn end(&mut self, node: NodeId, state: MemberState, now: Timestamp) {
        if let Some(seat) = self.members.get_mut(&node) {
            seat.state = state;
            seat.lease_until = seat.lease_until.min(now);
        }
        for row in &mut self.shards {
            row.owner = row.owner.filter(|owner| *owner != node);
        }
    }

    fn enter(
        &mut self,
        member: &Member,
        ttl: Duration,
        former: Option<NodeId>,
        now: Timestamp,
    ) -> Result<(), EntryRefusal> {
        let state = match self.members.get(&member.node).map(|seat| seat.state) {
            Some(MemberState::Removed) => return Err(EntryRefusal::Removed),
            // A lease that was lost is no reason to forget what an operator said.
            Some(MemberState::Draining) => MemberState::Draining,
            Some(MemberState::Up | MemberState::Left) | None => MemberState::Up,
        };
        let namesakes = self.members.iter().filter(|(node, seat)| {
            **node != member.node && seat.sits() && seat.member.name == member.name
        });
        let (held, mut over): (Vec<_>, Vec<_>) = namesakes
            .map(|(node, seat)| (*node, seat.lives(now) && former != Some(*node)))
            .partition(|(_, held)| *held);
        if let Some((by, _)) = held.first() {
            let held = &self.members[by];
            let (by, until) = (held.member.clone(), held.lease_until);
            return Err(EntryRefusal::name_held(by, until));
        }
        over.extend(former.map(|former| (former, false)));
        for (node, _) in over {
            self.end(node, MemberState::Left, now);
        }
        let health = self.members.remove(&member.node).map(|seat| seat.health);
        let seat = Seat {
            member: member.clone(),
            state,
            lease_until: now.plus(ttl),
            health: health.unwrap_or_else(|| "{}".into()),
            lost: false,
        };
        self.members.insert(member.node, seat);
        Ok(())
    }

    fn take(
        &mut self,
        taker: NodeId,
        shards: &[Shard],
        now: Timestamp,
    ) -> Option<(Epoch, Vec<Shard>)> {
        let lives = |node: NodeId| self.members.get(&node).is_some_and(|seat| seat.lives(now));
        let seat = self.members.get(&taker)?;
        if seat.state != MemberState::Up || !seat.lives(now) {
            return None;
        }
        let mut taken = shards.to_vec();
        taken.sort_unstable();
        taken.dedup();
        taken.retain(|shard| {
            let row = self.shards.get(usize::from(shard.0));
            row.is_some_and(|row| row.owner.is_none_or(|owner| !lives(owner)))
        });
        if taken.is_empty() {
            return None;
        }
        let epoch = self.next_epoch();
        for shard in &taken {
            let row = &mut self.shards[usize::from(shard.0)];
            let former = row.owner.replace(taker);
            row.epoch = epoch;
            if let Some(seat) = former.and_then(|former| self.members.get_mut(&former)) {
                seat.lost = true;
            }
        }
        Some((epoch, taken))
    }

    fn survey(&self, now: Timestamp) -> Survey {
        let owns = |node: NodeId| self.shards.iter().any(|row| row.owner == Some(node));
        let shown = self.members.iter().filter(|(node, seat)| {
            seat.lives(now) || seat.lease_until.plus(RECENT) > now || owns(**node)
        });
        Survey {
            at: now,
            incarnation: 1,
            members: shown
                .map(|(_, seat)| MemberRow {
                    member: seat.member.clone(),
                    state: seat.state,
                    lease_left: seat.lease_until.since(now),
                    lease_until: seat.lease_until,
                    health: seat.health.clone(),
                })
                .collect(),
            shards: self.shards.clone(),
        }
    }
}

impl Members for Memory {
    fn found(&self, wanted: Founding) -> Answer<'_, Founding> {
        let founding = self.with(|state| {
            let founding = *state.founding.get_or_insert(wanted);
            let count = usize::from(founding.shards);
            state.shards.resize(count, ShardRow::default());
            founding.agree(wanted)
        });
        Box::pin(async move { founding.await? })
    }

    fn enter<'a>(
        &'a self,
        member: &'a Member,
        ttl: Duration,
        former: Option<NodeId>,
    ) -> Answer<'a, Result<(), EntryRefusal>> {
        self.with(|state| state.enter(member, ttl, former, self.clock.now()))
    }

    fn renew<'a>(&'a self, renewals: &'a [Renewal], ttl: Duration) -> Answer<'a, Vec<NodeId>> {
        self.with(|state| {
            let now = self.clock.now();
            let mut renewed = Vec::new();
            for renewal in renewals {
                let seat = state.members.get_mut(&renewal.node);
                if let Some(seat) = seat.filter(|seat| seat.sits() && !seat.lost) {
                    seat.lease_until = now.plus(ttl);
                    seat.health.clone_from(&renewal.health);
                    renewed.push(renewal.node);
                }
            }
            renewed
        })
    }

    fn set_state(&self, node: NodeId, to: MemberState) -> Answer<'_, ()> {
        self.with(|state| {
            let sits = state.members.get(&node).is_some_and(Seat::sits);
            let now = self.clock.now();
            match to {
                MemberState::Up | MemberState::Draining if sits => {
                    if let Some(seat) = state.members.get_mut(&node) {
                        seat.state = to;
                    }
                }
                // Nobody comes back by changing a word.
                MemberState::Up | MemberState::Draining => {}
                MemberState::Left if sits => state.end(node, to, now),
                MemberState::Left => {}
                MemberState::Removed => state.end(node, to, now),
            }
        })
    }

    fn survey(&self) -> Answer<'_, Survey> {
        self.with(|state| state.survey(self.clock.now()))
    }

    fn take<'a>(
        &'a self,
        taker: NodeId,
        shards: &'a [Shard],
    ) -> Answer<'a, Option<(Epoch, Vec<Shard>)>> {
        self.with(|state| state.take(taker, shards, self.clock.now()))
    }

    fn give_back<'a>(&'a self, owner: NodeId, shards: &'a [(Shard, Epoch)]) -> Answer<'a, ()> {
        self.with(|state| {
            for (shard, epoch) in shards {
                if let Some(row) = state.shards.get_mut(usize::from(shard.0)) {
                    let meant = row.epoch == *epoch && row.owner == Some(owner);
                    row.owner = row.owner.filter(|_| !meant);
                }
            }
        })
    }

    fn prune(&self, older: Duration) -> Answer<'_, u64> {
        self.with(|state| {
            let now = self.clock.now();
            let owners: Vec<_> = state.shards.iter().filter_map(|row| row.owner).collect();
            let before = state.members.len() + state.tokens.len();
            let over = |at: Timestamp| at.plus(older) < now;
            state
                .members
                .retain(|node, seat| !over(seat.lease_until) || owners.contains(node));
            state.tokens.retain(|token| {
                let end = token.used.map_or(token.expires_at, |(at, _)| at);
                !over(end)
            });
            (before - state.members.len() - state.tokens.len()) as u64
        })
    }
}
