//! Carries out the plan: takes shards, gives them back, and has their entities moved.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use protocol::{epoch::Epoch, id::NodeId, shard::Shard};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Holdings,
    plan::{Plan, Takeover, plan},
};
use crate::{
    membership::{Membership, Roster, Standing},
    metrics, store,
    supervision::{ChildSpec, Message, Restart, child},
};

/// How often the plan is made anew without news.
const PERIOD: Duration = Duration::from_secs(1);

/// How often what ended long ago is looked for.
const PRUNED_EVERY: Duration = Duration::from_hours(1);

/// The wait after a move that failed.
const PAUSE: Duration = Duration::from_millis(500);

/// No statement is under way for longer: what the owner before began to commit stands in the store, or
/// never will.
const SETTLED: Duration = Duration::from_secs(6);

/// How entities leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evict {
    /// They finish what they do.
    Politely,
    /// This node may not act for them any more.
    AtOnce,
}

/// Why a node looks for streams with unfinished work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// They are its own: it starts, or it may act again.
    Own,
    /// Their shards were taken.
    Taken {
        /// The last sign of life of their owner before, a moment of the boot clock.
        since: Option<Duration>,
    },
}

type Done<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What happens to the entities of shards that come and go.
#[derive(Clone)]
pub struct Moves {
    /// Activates streams with unfinished work and answers whether it could.
    pub recover: Arc<dyn Fn(store::Scope, Arrival) -> Done<bool> + Send + Sync>,
    /// Takes entities out of memory; answers when they are gone.
    pub evict: Arc<dyn Fn(store::Scope, Evict) -> Done<()> + Send + Sync>,
    /// Tells other nodes that it is worth looking at the store.
    pub announce: Arc<dyn Fn() + Send + Sync>,
    /// How long ago another node was still there, if that is known.
    pub silent: Arc<dyn Fn(NodeId) -> Option<Duration> + Send + Sync>,
}

impl std::fmt::Debug for Moves {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Moves")
    }
}

struct Placer {
    holdings: Holdings,
    membership: Membership,
    store: store::Shared,
    moves: Moves,
}

#[derive(Debug)]
enum Notice {
    Tick,
    /// There is a new roster, or this node stands differently.
    News,
    Taken(Result<Option<(Epoch, Vec<Shard>)>, store::Error>),
    GivenBack(Vec<(Shard, Epoch)>, Result<(), store::Error>),
    Evicted(Vec<(Shard, Epoch)>),
}
impl ractor::Message for Notice {}
impl Message for Notice {
    fn name(&self) -> &'static str {
        match self {
            Self::Tick => "Tick",
            Self::News => "News",
            Self::Taken(_) => "Taken",
            Self::GivenBack(..) => "GivenBack",
            Self::Evicted(_) => "Evicted",
        }
    }
}

/// The child that owns shards for this node.
#[must_use]
pub fn placer(
    holdings: Holdings,
    membership: Membership,
    store: store::Shared,
    moves: Moves,
) -> ChildSpec {
    let forget = holdings.clone();
    membership.when_lost(move || {
        for shard in forget.held().into_keys() {
            forget.drop(shard);
        }
    });
    child("placer", "system", Restart::Permanent, move || {
        let placer = Placer {
            holdings: holdings.clone(),
            membership: membership.clone(),
            store: store.clone(),
            moves: moves.clone(),
        };
        (placer, ())
    })
    .0
}

#[derive(Debug, Default)]
struct State {
    taking: bool,
    /// Being put away; not to be taken again before that is over.
    leaving: BTreeSet<Shard>,
    /// How this node stood at the last news.
    stood: Option<Standing>,
    /// By which names others were seen to own shards last.
    owners: BTreeMap<Shard, Arc<str>>,
    /// When it last had forgotten what ended long ago.
    pruned: Option<Duration>,
    _news: Option<AbortOnDropHandle<()>>,
}

impl Actor for Placer {
    type Msg = Notice;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Notice>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        myself.cast(Notice::Tick)?;
        let (mut roster, mut standing) =
            (self.membership.watch(), self.membership.watch_standing());
        let news = tokio::spawn(async move {
            loop {
                let changed = tokio::select! {
                    changed = roster.changed() => changed,
                    changed = standing.changed() => changed,
                };
                if changed.is_err() || myself.cast(Notice::News).is_err() {
                    return;
                }
            }
        });
        Ok(State {
            _news: Some(AbortOnDropHandle::new(news)),
            ..State::default()
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Notice>,
        notice: Notice,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match notice {
            Notice::Tick => {
                self.look(&myself, state);
                self.prune_if_due(state);
                myself.send_after(PERIOD, || Notice::Tick);
            }
            Notice::News => self.look(&myself, state),
            Notice::Taken(outcome) => {
                state.taking = false;
                self.taken(state, outcome);
            }
            Notice::Evicted(shards) => self.give_back(&myself, shards),
            Notice::GivenBack(shards, outcome) => {
                self.given_back(&myself, state, shards, outcome);
            }
        }
        Ok(())
    }
}

impl Placer {
    fn look(&self, myself: &ActorRef<Notice>, state: &mut State) {
        let standing = self.membership.standing();
        let stood = state.stood.replace(standing.clone());
        if standing != Standing::Member {
            if stood.as_ref() != Some(&standing) {
                // What is owned may be owned by another at any moment.
                self.evict_at_once(&store::Scope::All);
            }
            return;
        }
        if matches!(stood, Some(Standing::Fenced)) && !self.holdings.held().is_empty() {
            tracing::info!("the lease runs again; entities come back");
            self.recover(self.holdings.scope(), Arrival::Own);
        }
        let roster = self.membership.roster();
        self.remember_owners(&roster, state);
        let takeover = if self.membership.is_steady() {
            Takeover::Allowed
        } else {
            Takeover::FreeOnly
        };
        let held = self.holdings.held();
        let plan = plan(&roster, self.membership.node(), &held, takeover);
        self.keep(state, &plan, &held);
        self.carry_out(myself, state, plan);
        let owned = u32::try_from(self.holdings.held().len()).unwrap_or(u32::MAX);
        ::metrics::gauge!(metrics::SHARDS).set(f64::from(owned));
    }

    /// Who gives a shard back is told by no later roster.
    fn remember_owners(&self, roster: &Roster, state: &mut State) {
        let own = &self.membership.me().name;
        for (number, row) in (0..).zip(roster.shards()) {
            let owner = row.owner.and_then(|owner| roster.member(owner));
            let Some(name) = owner.map(|row| &row.member.name) else {
                continue;
            };
            if name == own {
                // Its own, or of its life before: nothing moves.
                state.owners.remove(&Shard(number));
            } else if state
                .owners
                .get(&Shard(number))
                .is_none_or(|it| **it != **name)
            {
                state.owners.insert(Shard(number), name.as_str().into());
            }
        }
    }

    /// Lets the store forget what ended long ago. Every control node does; the first finds it.
    fn prune_if_due(&self, state: &mut State) {
        let now = self.boot();
        let due = state.pruned.is_none_or(|last| now >= last + PRUNED_EVERY);
        if !due || self.membership.standing() != Standing::Member {
            return;
        }
        state.pruned = Some(now);
        let (store, keep) = (self.store.clone(), self.membership.timing().keep);
        tokio::spawn(async move {
            match store.prune(keep).await {
                Ok(0) => {}
                Ok(rows) => {
                    tracing::info!(rows, "members and tokens that ended long ago are forgotten");
                }
                Err(error) => tracing::warn!(%error, "what ended long ago is not forgotten yet"),
            }
        });
    }

    /// Shards that an earlier life of this actor was about to leave, and that are to stay after all.
    fn keep(&self, state: &State, plan: &Plan, held: &BTreeMap<Shard, Epoch>) {
        for (shard, epoch) in held {
            let goes = state.leaving.contains(shard)
                || plan.give_back.contains(&(*shard, *epoch))
                || plan.lost.contains(shard);
            if !goes && !self.holdings.owns(*shard) {
                self.holdings.hold(*shard, *epoch);
            }
        }
    }

    fn carry_out(&self, myself: &ActorRef<Notice>, state: &mut State, plan: Plan) {
        if !plan.lost.is_empty() {
            tracing::error!(
                shards = plan.lost.len(),
                "shards were lost to another owner"
            );
            ::metrics::counter!(metrics::SHARDS_LOST).increment(plan.lost.len() as u64);
            for shard in &plan.lost {
                self.holdings.drop(*shard);
            }
            self.evict_at_once(&self.scope(&plan.lost));
        }
        let mut back = plan.give_back;
        if !state.taking {
            back.extend(plan.stray);
        }
        let take: Vec<_> = plan
            .take
            .into_iter()
            .filter(|shard| !state.leaving.contains(shard))
            .collect();
        if !take.is_empty() && !std::mem::replace(&mut state.taking, true) {
            self.take(myself, take);
        }
        if state.leaving.is_empty() && !back.is_empty() {
            state.leaving.extend(back.iter().map(|(shard, _)| *shard));
            self.leave(myself, back);
        }
    }

    fn scope(&self, shards: &[Shard]) -> store::Scope {
        store::Scope::Shards {
            count: self.holdings.count(),
            shards: shards.iter().copied().collect(),
        }
    }

    fn evict_at_once(&self, scope: &store::Scope) {
        tokio::spawn((self.moves.evict)(scope.clone(), Evict::AtOnce));
    }

    fn recover(&self, scope: store::Scope, arrival: Arrival) {
        // Who is found only then waited for the store, not for this node.
        let late = match arrival {
            Arrival::Own => Arrival::Own,
            Arrival::Taken { .. } => Arrival::Taken { since: None },
        };
        let (recover, fence) = (self.moves.recover.clone(), self.holdings.fence().clone());
        tokio::spawn(async move {
            // Shards that were given away meanwhile hold nothing that this node may activate.
            for (after, arrival) in [(Duration::ZERO, arrival), (SETTLED, late)] {
                tokio::time::sleep(after).await;
                while !recover(scope.clone(), arrival).await && fence.holds() {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
    }

    fn take(&self, myself: &ActorRef<Notice>, shards: Vec<Shard>) {
        let (store, me, placer) = (self.store.clone(), self.membership.node(), myself.clone());
        tokio::spawn(async move {
            let outcome = store.take(me, &shards).await;
            if outcome.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            // A placer that was restarted finds the shards in the store's roster.
            let _ = placer.cast(Notice::Taken(outcome));
        });
    }

    fn taken(&self, state: &mut State, outcome: Result<Option<(Epoch, Vec<Shard>)>, store::Error>) {
        match outcome {
            Ok(Some((epoch, shards))) => {
                let roster = self.membership.roster();
                let (me, ttl) = (self.membership.node(), self.membership.timing().ttl);
                for shard in &shards {
                    self.holdings.came_from(*shard, state.owners.remove(shard));
                    self.holdings.hold(*shard, epoch);
                }
                tracing::info!(shards = shards.len(), %epoch, "shards were taken");
                for (owner, of) in by_owner(&roster, me, &shards) {
                    let sign = owner.and_then(|owner| roster.last_sign(owner, ttl));
                    let from = if sign.is_some() { "dead" } else { "free" };
                    ::metrics::counter!(metrics::TAKEOVERS, "from" => from)
                        .increment(of.len() as u64);
                    // It lived at its last renewal, and for as long as the mesh knew of it after that.
                    let silent = owner.and_then(|owner| (self.moves.silent)(owner));
                    let age = sign.map(|sign| roster.survey().at.since(sign));
                    let age = age.map(|age| age.min(silent.unwrap_or(age)));
                    let since = age.map(|age| self.boot().saturating_sub(age));
                    self.recover(self.scope(&of), Arrival::Taken { since });
                }
                self.membership.hurry();
            }
            Ok(None) => self.membership.hurry(),
            Err(error) => tracing::warn!(%error, "shards could not be taken"),
        }
    }

    fn boot(&self) -> Duration {
        self.membership.clock().boot()
    }

    /// Puts the entities of shards away; giving the shards back follows.
    fn leave(&self, myself: &ActorRef<Notice>, shards: Vec<(Shard, Epoch)>) {
        let all: Vec<Shard> = shards.iter().map(|(shard, _)| *shard).collect();
        for shard in &all {
            self.holdings.leave(*shard);
        }
        let gone = (self.moves.evict)(self.scope(&all), Evict::Politely);
        let placer = myself.clone();
        tokio::spawn(async move {
            gone.await;
            let _ = placer.cast(Notice::Evicted(shards));
        });
    }

    fn give_back(&self, myself: &ActorRef<Notice>, shards: Vec<(Shard, Epoch)>) {
        let (store, me, placer) = (self.store.clone(), self.membership.node(), myself.clone());
        for (shard, _) in &shards {
            self.holdings.drop(*shard);
        }
        tokio::spawn(async move {
            let outcome = store.give_back(me, &shards).await;
            if outcome.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            let _ = placer.cast(Notice::GivenBack(shards, outcome));
        });
    }

    fn given_back(
        &self,
        myself: &ActorRef<Notice>,
        state: &mut State,
        shards: Vec<(Shard, Epoch)>,
        outcome: Result<(), store::Error>,
    ) {
        match outcome {
            Ok(()) => {
                ::metrics::counter!(metrics::HANDOVERS).increment(shards.len() as u64);
                state.leaving.clear();
                (self.moves.announce)();
                self.membership.hurry();
            }
            Err(error) => {
                tracing::warn!(%error, "shards could not be given back");
                self.give_back(myself, shards);
            }
        }
    }
}

/// Shards by who owned them until now.
fn by_owner(roster: &Roster, me: NodeId, shards: &[Shard]) -> Vec<(Option<NodeId>, Vec<Shard>)> {
    let mut groups: Vec<(Option<NodeId>, Vec<Shard>)> = Vec::new();
    for shard in shards {
        let row = roster.shards().get(usize::from(shard.0));
        let owner = row.and_then(|row| row.owner).filter(|owner| *owner != me);
        match groups.iter_mut().find(|(of, _)| *of == owner) {
            Some((_, group)) => group.push(*shard),
            None => groups.push((owner, vec![*shard])),
        }
    }
    groups
}
