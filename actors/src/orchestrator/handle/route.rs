//! Finds the node that carries a use case out, and asks it until there is one outcome.

use std::{
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use protocol::{
    access::Caller,
    entity::{EntityId, EntityKind},
    id::{AgentId, NodeId},
    wire::Service,
};
use runtime::{cluster::Fault, store::StreamQuery};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::{
    Answer, Member, Orchestrator,
    cases::{Effect, LONGEST_PAGE, Place, UseCase, unanswered},
};
use crate::{
    Rejection,
    orchestrator::{
        Owner,
        call::{Call, Reply, Standing, decode, encode, unreadable},
        parcel::{Frame, PIECE, Parcels, pieces},
    },
};

/// How long a use case may take to reach its node and come back, beyond what it waits for itself.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an owner may take before somebody else is asked for what is only read.
const READ: Duration = Duration::from_secs(1);
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

/// Why a node gave no answer.
enum Failure {
    /// Nothing happened there.
    Nothing(Fault),
    /// It may have happened.
    Unknown(Fault),
    /// An answer that is none to this version.
    Unreadable(serde_json::Error),
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
        let search = Search::until(Instant::now() + PATIENCE + case.wait());
        let target = self.target(member, caller, &case, &search).await?;
        match target {
            Target::Here => case.perform(self, caller).await,
            Target::There(..) | Target::Nowhere => {
                Box::pin(self.forward(member, caller, case, search)).await
            }
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
                    let left = search.until.saturating_duration_since(Instant::now());
                    let limit = match case.effect() {
                        Effect::Reads => left.min(READ),
                        Effect::Repeats | Effect::Once => left,
                    };
                    let asked = member.ask(node, standing, caller, &case, limit).await;
                    match asked {
                        Ok(Reply::Answered(answer)) => {
                            return serde_json::from_str(answer.get())
                                .map_err(|error| unreadable("answer", &error));
                        }
                        Ok(Reply::Rejected(rejection)) => return Err(rejection),
                        Ok(Reply::Elsewhere(owner)) => search.elsewhere(self.0.id, node, owner),
                        Err(Failure::Nothing(fault)) => search.failed(node, fault),
                        Err(Failure::Unreadable(error)) => {
                            return Err(unreadable("answer", &error));
                        }
                        Err(Failure::Unknown(fault)) => {
                            if case.effect() == Effect::Once {
                                tracing::warn!(case = U::NAME, %node, %fault, "not answered");
                                return Err(unanswered());
                            }
                            search.uncertain = true;
                            search.failed(node, fault);
                        }
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
            Place::Store if self.0.own.is_some() => return Ok(Target::Here),
            Place::New | Place::Store => return Ok(self.control(member, search)),
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
                Place::Entity(_) | Place::Agent(_) | Place::New | Place::Store | Place::Node(_),
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

    /// The id of an agent of this name or id, as this node or the store knows it.
    pub(super) async fn agent_id(&self, caller: &Caller, agent: &str) -> Answer<Option<AgentId>> {
        let own = self.own()?;
        if let Some(found) = own.services.registry.tenant(&caller.tenant).agent(agent) {
            return Ok(Some(found.id));
        }
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.0.member.is_none() || agent.len() > 64 || !agent.chars().all(named) {
            return Ok(None);
        }
        if let Ok(id) = agent.parse::<AgentId>() {
            let row = own.journal.store().stream(id.into()).await?;
            let seen = |row: &runtime::store::StreamRow| {
                row.tenant == caller.tenant && !row.summary.hidden
            };
            return Ok(row.filter(seen).map(|_| id));
        }
        let mut query = StreamQuery {
            tenant: caller.tenant.clone(),
            kind: EntityKind::Agent,
            status: None,
            user: None,
            parent: None,
            text: Some(agent.to_owned()),
            before: None,
            limit: LONGEST_PAGE,
        };
        loop {
            let rows = own.journal.store().list(&query).await?;
            let mut found = rows.iter();
            let found = found.find(|row| row.summary.name.as_deref() == Some(agent));
            if let Some(row) = found {
                return Ok(Some(AgentId::from_uuid(row.stream.key())));
            }
            match rows.last() {
                Some(last) if rows.len() >= LONGEST_PAGE as usize => {
                    query.before = Some(last.stream)
                }
                Some(_) | None => return Ok(None),
            }
        }
    }

    /// A node by name, this one or one that can be reached.
    pub(super) fn node_named(&self, name: &str) -> Option<NodeId> {
        if name == &*self.0.name {
            return Some(self.0.id);
        }
        let peers = self.0.member.as_ref()?.peers.peers();
        let named = peers.iter().find(|peer| peer.name == name);
        named.map(|peer| peer.node)
    }

    /// How many nodes with the store this one can pass its use cases on to.
    pub(super) fn controls_in_reach(&self) -> Result<String, String> {
        let Some(member) = &self.0.member else {
            return Err("this node has no store and knows no other".to_owned());
        };
        let (controls, peers) = (member.placement.controls(), member.peers.peers());
        let reached = controls
            .iter()
            .filter(|control| peers.iter().any(|peer| peer.node == **control))
            .count();
        let found = format!(
            "{reached} of {} control nodes can be reached",
            controls.len()
        );
        if reached > 0 { Ok(found) } else { Err(found) }
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
    pub(super) fn parcels(&self) -> MutexGuard<'_, Parcels> {
        self.parcels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks one node once.
    async fn ask<U: UseCase>(
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
            let parcel = self.parcels().number();
            let last = pieces(request) - 1;
            for index in 0..last {
                let part = Frame::part(parcel, request, index).unwrap_or(Frame::Gone);
                let kept = self.send(node, &part, until).await;
                // Before its last piece is there, nothing is done about it.
                let kept = kept.map_err(Failure::Nothing)?;
                if Frame::decode(&kept) != Some(Frame::Kept) {
                    return Err(Failure::Nothing(Fault::Overloaded(node)));
                }
            }
            let part = Frame::part(parcel, request, last).unwrap_or(Frame::Gone);
            self.send(node, &part, until).await
        };
        let answered = answered.map_err(|fault| {
            if fault.nothing_happened() {
                Failure::Nothing(fault)
            } else {
                Failure::Unknown(fault)
            }
        })?;
        match Frame::decode(&answered) {
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
    pub(super) async fn feed<T: Serialize>(
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
                Place::Store => nobody("the store"),
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
