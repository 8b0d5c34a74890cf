//! Finds the node that carries a use case out, and asks it until there is one outcome.

mod exchange;

use std::time::Duration;

use protocol::{
    access::Caller,
    entity::EntityId,
    id::{AgentId, NodeId},
};
use runtime::cluster::Fault;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::{
    Answer, Member, Orchestrator,
    cases::{Effect, Place, READ, Relay, UseCase, unanswered},
};
use crate::{
    Rejection,
    orchestrator::{
        Owner,
        call::{Call, Reply, Standing, unreadable},
    },
};
use exchange::Failure;

/// How long a use case may take to reach its node and come back, beyond what it waits for itself.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pauses between two looks for a node that can be asked: the first, and the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(800);
/// How often in a row one node may send us to the next.
const HOPS: u32 = 3;

/// Whom to ask.
enum Target {
    Here,
    There(NodeId, Standing),
    Nowhere,
}

/// One use case on its way: who was asked, and how that went.
struct Search {
    until: Instant,
    pause: Duration,
    /// Nodes that are not worth asking again before the next pause.
    tried: Vec<NodeId>,
    /// Who was named by the last one that was asked.
    hint: Option<NodeId>,
    hops: u32,
    failure: Option<(NodeId, Fault)>,
    /// Whether it may have happened already.
    uncertain: bool,
}

impl Search {
    fn until(until: Instant) -> Self {
        Self {
            until,
            pause: PAUSE,
            tried: Vec::new(),
            hint: None,
            hops: 0,
            failure: None,
            uncertain: false,
        }
    }

    fn elsewhere(&mut self, me: NodeId, asked: NodeId, owner: Option<NodeId>) {
        self.tried.push(asked);
        self.hops += 1;
        self.hint =
            owner.filter(|owner| *owner != me && !self.tried.contains(owner) && self.hops <= HOPS);
    }

    fn failed(&mut self, asked: NodeId, fault: Fault) {
        self.tried.push(asked);
        self.failure = Some((asked, fault));
    }

    /// How long one node may take.
    fn limit<U: UseCase>(&self, case: &U) -> Duration {
        let left = self.until.saturating_duration_since(Instant::now());
        match case.effect() {
            Effect::Reads => left.min(case.read_within()),
            Effect::Repeats | Effect::Once => left,
        }
    }

    /// What a node said, if that is the end of it; else it is known where not to ask next.
    fn concluded<U: UseCase>(
        &mut self,
        me: NodeId,
        node: NodeId,
        case: &U,
        asked: Result<Reply, Failure>,
    ) -> Option<Answer<U::Answer>> {
        match asked {
            Ok(Reply::Answered(answer)) => {
                let answer = serde_json::from_str(answer.get());
                return Some(answer.map_err(|error| unreadable("answer", &error)));
            }
            Ok(Reply::Rejected(rejection)) => return Some(Err(rejection)),
            Ok(Reply::Elsewhere(owner)) => self.elsewhere(me, node, owner),
            Err(Failure::Nothing(fault)) => self.failed(node, fault),
            Err(Failure::Unreadable(error)) => return Some(Err(unreadable("answer", &error))),
            Err(Failure::Unknown(fault)) => {
                if case.effect() == Effect::Once {
                    tracing::warn!(case = U::NAME, %node, %fault, "not answered");
                    return Some(Err(unanswered()));
                }
                self.uncertain = true;
                self.failed(node, fault);
            }
        }
        None
    }

    /// Waits a little, after which everybody may be asked again; false when the time is up.
    async fn rests(&mut self) -> bool {
        let next = Instant::now() + self.pause;
        if next >= self.until {
            return false;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.tried.clear();
        self.hops = 0;
        true
    }
}

impl Orchestrator {
    /// Carries a use case out where it belongs; here, that is a plain call.
    pub(super) async fn carry_out<U: UseCase>(
        &self,
        caller: &Caller,
        case: U,
    ) -> Answer<U::Answer> {
        let Some(member) = &self.0.member else {
            return case.perform(self, caller).await;
        };
        if let Place::Node(node) = case.place()
            && self.0.own.is_none()
            && node != self.0.id
            && !member.reaches(node)
        {
            return Box::pin(self.relayed(member, caller, node, case)).await;
        }
        let search = Search::until(Instant::now() + PATIENCE + case.wait());
        let target = self.target(member, caller, &case, &search).await?;
        match target {
            Target::Here => case.perform(self, caller).await,
            Target::There(..) | Target::Nowhere => {
                Box::pin(self.forward(member, caller, case, search)).await
            }
        }
    }

    /// Has a use case of a node to which there is no link passed on by one that has it.
    async fn relayed<U: UseCase>(
        &self,
        member: &Member,
        caller: &Caller,
        node: NodeId,
        case: U,
    ) -> Answer<U::Answer> {
        let relay = Relay::of(node, &case).map_err(|error| unreadable("request", &error))?;
        let search = Search::until(Instant::now() + PATIENCE + case.wait());
        let answer = self.forward(member, caller, relay, search).await?;
        serde_json::from_str(answer.get()).map_err(|error| unreadable("answer", &error))
    }

    /// Passes on what another node wants of one that is linked to this one.
    pub(super) async fn pass_on(
        &self,
        caller: &Caller,
        node: NodeId,
        name: String,
        body: Box<RawValue>,
        within: Duration,
    ) -> Answer<Box<RawValue>> {
        let member = self.0.member.as_ref();
        let member = member.ok_or_else(|| nobody(&node.to_string()))?;
        let call = Call {
            name,
            caller: caller.clone(),
            standing: Standing::Owner,
            body,
        };
        match member.send(node, &call, within).await {
            Ok(Reply::Answered(answer)) => Ok(answer),
            Ok(Reply::Rejected(rejection)) => Err(rejection),
            Ok(Reply::Elsewhere(_)) => Err(nobody(&node.to_string())),
            Err(Failure::Nothing(fault)) => Err(Rejection::Unavailable {
                message: format!("{fault}; nothing was changed, try again"),
                retry_after: Duration::from_secs(1),
            }),
            Err(Failure::Unknown(_)) => Err(unanswered()),
            Err(Failure::Unreadable(error)) => Err(unreadable("answer", &error)),
        }
    }

    /// Asks one node, this one or one that is linked, and no other if it does not answer.
    pub(super) async fn ask_once<U: UseCase>(
        &self,
        caller: &Caller,
        node: NodeId,
        case: U,
        until: Instant,
    ) -> Answer<U::Answer> {
        let silent = |fault: String| Rejection::Unavailable {
            message: fault,
            retry_after: Duration::from_secs(1),
        };
        if node == self.0.id {
            let told = timeout_at(until, case.perform(self, caller)).await;
            return told.unwrap_or_else(|_| Err(silent("it takes too long".to_owned())));
        }
        let member = self.0.member.as_ref();
        let member = member.ok_or_else(|| nobody(&node.to_string()))?;
        let within = until.saturating_duration_since(Instant::now());
        let asked = member.ask(node, Standing::Owner, caller, &case, within);
        match asked.await {
            Ok(Reply::Answered(answer)) => {
                serde_json::from_str(answer.get()).map_err(|error| unreadable("answer", &error))
            }
            Ok(Reply::Rejected(rejection)) => Err(rejection),
            Ok(Reply::Elsewhere(_)) => Err(nobody(&node.to_string())),
            Err(Failure::Nothing(fault) | Failure::Unknown(fault)) => {
                Err(silent(fault.to_string()))
            }
            Err(Failure::Unreadable(error)) => Err(unreadable("answer", &error)),
        }
    }

    /// Asks other nodes until one of them answers, or this one is to do it after all.
    async fn forward<U: UseCase>(
        &self,
        member: &Member,
        caller: &Caller,
        mut case: U,
        mut search: Search,
    ) -> Answer<U::Answer> {
        let mut since = Instant::now();
        loop {
            let target = match search.hint.take() {
                Some(hint) => Target::There(hint, Standing::Owner),
                None => self.target(member, caller, &case, &search).await?,
            };
            match target {
                Target::Here => return case.perform(self, caller).await,
                Target::There(node, standing) => {
                    let limit = search.limit(&case);
                    let asked = member.ask(node, standing, caller, &case, limit).await;
                    if let Some(answer) = search.concluded(self.0.id, node, &case, asked) {
                        return answer;
                    }
                }
                Target::Nowhere => {
                    if !search.rests().await {
                        return Err(member.given_up::<U>(&case, &search));
                    }
                }
            }
            if Instant::now() >= search.until {
                return Err(member.given_up::<U>(&case, &search));
            }
            case.waited(since.elapsed());
            since = Instant::now();
        }
    }

    /// Whom to ask, as far as is known now.
    async fn target<U: UseCase>(
        &self,
        member: &Member,
        caller: &Caller,
        case: &U,
        search: &Search,
    ) -> Answer<Target> {
        let entity = match case.place() {
            Place::Entity(id) => id,
            Place::Agent(agent) => match agent.parse::<AgentId>() {
                Ok(id) => id.into(),
                Err(_) if self.0.own.is_none() => return Ok(self.control(member, search)),
                Err(_) => match self.agent_id(caller, agent).await? {
                    Some(id) => id.into(),
                    // There is none: this node can say so.
                    None => return Ok(Target::Here),
                },
            },
            Place::New if self.fresh_id().is_ok() => return Ok(Target::Here),
            Place::Store | Place::Cluster if self.0.own.is_some() => return Ok(Target::Here),
            Place::New | Place::Store | Place::Cluster => {
                return Ok(self.control(member, search));
            }
            Place::Node(node) if node == self.0.id => return Ok(Target::Here),
            Place::Node(node) if search.tried.contains(&node) => return Ok(Target::Nowhere),
            Place::Node(node) => return Ok(Target::There(node, Standing::Owner)),
        };
        Ok(match member.placement.owner(entity) {
            Owner::Here if self.0.own.is_some() => Target::Here,
            Owner::There(node) if !search.tried.contains(&node) => {
                Target::There(node, Standing::Owner)
            }
            Owner::Here | Owner::There(_) | Owner::Nobody => match case.effect() {
                Effect::Reads if self.0.own.is_some() => Target::Here,
                Effect::Reads => match self.control(member, search) {
                    Target::There(node, _) => Target::There(node, Standing::Reader),
                    other @ (Target::Here | Target::Nowhere) => other,
                },
                Effect::Repeats | Effect::Once => Target::Nowhere,
            },
        })
    }

    /// The nearest other node with the store.
    fn control(&self, member: &Member, search: &Search) -> Target {
        let controls = member.placement.controls();
        let untried = |node: &NodeId| *node != self.0.id && !search.tried.contains(node);
        controls
            .into_iter()
            .find(untried)
            .map_or(Target::Nowhere, |node| Target::There(node, Standing::Owner))
    }

    /// Where a node that asked this one has to go instead; nothing when it is right here.
    pub(super) async fn elsewhere<U: UseCase>(
        &self,
        caller: &Caller,
        case: &U,
        standing: Standing,
    ) -> Answer<Option<Reply>> {
        let Some(member) = &self.0.member else {
            return Ok(None);
        };
        if standing == Standing::Reader && self.0.own.is_some() {
            return Ok(None);
        }
        // A node that asks from elsewhere is told the owner, not somebody who could stand in.
        let search = Search::until(Instant::now());
        Ok(match (case.place(), standing) {
            (Place::Entity(id), Standing::Owner) => match member.placement.owner(id) {
                Owner::Here if self.0.own.is_some() => None,
                Owner::There(node) => Some(Reply::Elsewhere(Some(node))),
                Owner::Here | Owner::Nobody => Some(Reply::Elsewhere(None)),
            },
            (
                Place::Entity(_)
                | Place::Agent(_)
                | Place::New
                | Place::Store
                | Place::Cluster
                | Place::Node(_),
                Standing::Owner | Standing::Reader,
            ) => match self.target(member, caller, case, &search).await? {
                Target::Here => None,
                Target::There(node, _) => Some(Reply::Elsewhere(Some(node))),
                Target::Nowhere => Some(Reply::Elsewhere(None)),
            },
        })
    }

    /// An id for something new that this node will own.
    pub(super) fn fresh_id(&self) -> Answer<Uuid> {
        let services = &self.own()?.services;
        let mut fresh = || services.dice.uuid_v7(services.clock.now());
        match &self.0.member {
            None => Ok(fresh()),
            Some(member) => member
                .placement
                .own_id(&mut fresh)
                .ok_or_else(|| nobody("anything on this node")),
        }
    }

    /// Who owns an entity, for whoever follows it.
    pub(super) fn owner(&self, id: EntityId) -> Owner {
        match &self.0.member {
            None => Owner::Here,
            Some(member) => member.placement.owner(id),
        }
    }
}

impl Member {
    /// Whether there is a link to a node.
    fn reaches(&self, node: NodeId) -> bool {
        self.peers.peers().iter().any(|peer| peer.node == node)
    }

    /// What a caller hears whose use case found no node in time.
    fn given_up<U: UseCase>(&self, case: &U, search: &Search) -> Rejection {
        if search.uncertain && U::EFFECT == Effect::Once {
            return unanswered();
        }
        let Some((node, fault)) = &search.failure else {
            return match case.place() {
                Place::Entity(id) => nobody(&id.to_string()),
                Place::Agent(agent) => nobody(&format!("agent {agent}")),
                Place::New => nobody("anything that could be made"),
                Place::Store | Place::Cluster => nobody("the store"),
                Place::Node(node) => nobody(&node.to_string()),
            };
        };
        let peers = self.peers.peers();
        let name = peers.iter().find(|peer| peer.node == *node);
        let name = name.map_or_else(String::new, |peer| format!("{}: ", peer.name));
        Rejection::Unavailable {
            message: format!("{name}{fault}; nothing was changed, try again"),
            retry_after: Duration::from_secs(1),
        }
    }
}

/// There is nobody to ask: owners are being found anew, after a node was lost say.
pub(super) fn nobody(what: &str) -> Rejection {
    Rejection::Unavailable {
        message: format!("no node that can be reached owns {what} at the moment; try again"),
        retry_after: Duration::from_secs(1),
    }
}
