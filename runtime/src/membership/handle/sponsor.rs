//! A control node as registrar, for nodes without the store; and the other end, which answers them.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use protocol::{
    id::NodeId,
    member::{Member, MemberState, NodeRole},
    wire::Service,
};
use serde::{Deserialize, Serialize};

use super::Membership;
use crate::{
    cluster::{Fault, Incoming, Mesh, Peer},
    membership::Registrar,
    store::{Answer, EntryRefusal, Error, ShardRow, Survey},
};

/// How long a control node may take to answer; a renewal has time for another after it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What members ask of a control node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ask {
    Enter {
        member: Box<Member>,
        former: Option<NodeId>,
        ttl: Duration,
    },
    Renew {
        health: String,
        ttl: Duration,
    },
    SetState {
        state: MemberState,
    },
    /// Who is there, and the shards unless they are those of this mark.
    Survey {
        known: Option<u64>,
    },
    /// Between control nodes: something has changed in the store.
    Look,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Entered(Result<(), EntryRefusal>),
    Renewed(bool),
    /// The node that asks is set otherwise than the cluster, and must be set anew.
    Otherwise(String),
    Set,
    Survey {
        survey: Box<Survey>,
        /// Of the shards; they are left out when whoever asked knows them, because a thin link has
        /// more important things to carry.
        mark: u64,
    },
    Looked,
}

/// Tells one state of all shards from another.
fn mark(shards: &[ShardRow]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for shard in shards {
        (shard.owner.map(NodeId::uuid), shard.epoch.to_i64()).hash(&mut hasher);
    }
    hasher.finish()
}

/// Reaches the store through whichever control node answers.
#[derive(Debug)]
pub struct SponsorRegistrar {
    mesh: Mesh,
    /// Who answered last: asked first the next time.
    sponsor: Mutex<Option<NodeId>>,
    /// The shards as they were told last, and their mark.
    shards: Mutex<Option<(u64, Vec<ShardRow>)>>,
}

impl SponsorRegistrar {
    /// Over the control nodes that `mesh` reaches.
    #[must_use]
    pub fn new(mesh: Mesh) -> Self {
        Self {
            mesh,
            sponsor: Mutex::new(None),
            shards: Mutex::new(None),
        }
    }

    fn sponsors(&self) -> Vec<NodeId> {
        let last = *lock(&self.sponsor);
        let mut nodes: Vec<_> = controls(&self.mesh).map(|peer| peer.node).collect();
        nodes.sort_by_key(|node| (Some(*node) != last, *node));
        nodes
    }

    async fn ask(&self, ask: &Ask) -> Result<Reply, Error> {
        let unavailable = |text: String| Error::Unavailable(text);
        let mut failure = "no control node can be reached".to_owned();
        for node in self.sponsors() {
            let payload = encode(ask).map_err(unavailable)?;
            match self
                .mesh
                .ask(node, Service::MEMBERSHIP, payload, PATIENCE)
                .await
            {
                Ok(answer) => {
                    *lock(&self.sponsor) = Some(node);
                    let reply = serde_json::from_slice(&answer)
                        .map_err(|error| unavailable(format!("{node} answers strangely: {error}")));
                    return match reply? {
                        Reply::Otherwise(why) => Err(Error::Unusable(why)),
                        reply => Ok(reply),
                    };
                }
                Err(fault) => failure = fault.to_string(),
            }
        }
        Err(unavailable(failure))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn controls(mesh: &Mesh) -> impl Iterator<Item = Arc<Peer>> {
    let peers = mesh.peers().into_iter();
    peers.filter(|peer| peer.roles.has(NodeRole::Control))
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    serde_json::to_vec(value).map_err(|error| error.to_string())
}

fn strange(reply: &Reply) -> Error {
    Error::Unavailable(format!(
        "the control node answers something else: {reply:?}"
    ))
}

impl Registrar for SponsorRegistrar {
    fn enter<'a>(
        &'a self,
        member: &'a Member,
        ttl: Duration,
        former: Option<NodeId>,
    ) -> Answer<'a, Result<(), EntryRefusal>> {
        Box::pin(async move {
            let member = Box::new(member.clone());
            match self
                .ask(&Ask::Enter {
                    member,
                    former,
                    ttl,
                })
                .await?
            {
                Reply::Entered(outcome) => Ok(outcome),
                other => Err(strange(&other)),
            }
        })
    }

    fn renew<'a>(&'a self, _: NodeId, health: String, ttl: Duration) -> Answer<'a, bool> {
        Box::pin(async move {
            match self.ask(&Ask::Renew { health, ttl }).await? {
                Reply::Renewed(renewed) => Ok(renewed),
                other => Err(strange(&other)),
            }
        })
    }

    fn set_state(&self, _: NodeId, state: MemberState) -> Answer<'_, ()> {
        Box::pin(async move {
            match self.ask(&Ask::SetState { state }).await? {
                Reply::Set => Ok(()),
                other => Err(strange(&other)),
            }
        })
    }

    fn survey(&self) -> Answer<'_, Survey> {
        Box::pin(async move {
            let known = lock(&self.shards).as_ref().map(|(mark, _)| *mark);
            let (mut survey, mark) = match self.ask(&Ask::Survey { known }).await? {
                Reply::Survey { survey, mark } => (*survey, mark),
                other => return Err(strange(&other)),
            };
            let mut shards = lock(&self.shards);
            match &*shards {
                Some((known, shards)) if *known == mark => survey.shards.clone_from(shards),
                Some(_) | None => *shards = Some((mark, survey.shards.clone())),
            }
            Ok(survey)
        })
    }
}

/// Answers members without the store, on a node that has it.
pub fn sponsor(mesh: &Mesh, membership: &Membership, registrar: Arc<dyn Registrar>) {
    let membership = membership.clone();
    mesh.serve(
        Service::MEMBERSHIP,
        Arc::new(move |incoming| {
            let (membership, registrar) = (membership.clone(), registrar.clone());
            Box::pin(async move {
                let reply = answer(&membership, &*registrar, incoming).await?;
                encode(&reply).map_err(Fault::Refused)
            })
        }),
    );
}

/// Tells the other control nodes that it is worth looking at the store.
pub fn announce(mesh: &Mesh) {
    let Ok(payload) = encode(&Ask::Look) else {
        return;
    };
    for peer in controls(mesh) {
        // Who misses it looks soon enough.
        let _ = mesh.tell(peer.node, Service::MEMBERSHIP, payload.clone());
    }
}

/// Whoever asks speaks for itself: its id is the link's, never the message's.
async fn answer(
    membership: &Membership,
    registrar: &dyn Registrar,
    incoming: Incoming,
) -> Result<Reply, Fault> {
    let from = incoming.from.node;
    let refused = |text: String| Fault::Refused(text);
    let ask: Ask = serde_json::from_slice(&incoming.payload)
        .map_err(|error| refused(format!("not understood: {error}")))?;
    let failed = |error: Error| Fault::Refused(error.to_string());
    match ask {
        Ask::Enter {
            member,
            former,
            ttl,
        } => {
            let honest = member.node == from
                && member.name == incoming.from.name
                && member
                    .roles
                    .iter()
                    .all(|role| incoming.from.roles.has(role));
            if !honest {
                return Err(refused("a node may only enter as itself".to_owned()));
            }
            if let Some(otherwise) = other_lease(membership, ttl) {
                return Ok(Reply::Otherwise(otherwise));
            }
            let former = former.filter(|former| {
                let roster = membership.roster();
                let earlier = roster.member(*former);
                earlier.is_none_or(|row| row.member.name == member.name)
            });
            let entered = registrar.enter(&member, ttl, former).await;
            // Whoever is there now may be asked for at once.
            membership.hurry();
            Ok(Reply::Entered(entered.map_err(failed)?))
        }
        Ask::Renew { health, ttl } => {
            if let Some(otherwise) = other_lease(membership, ttl) {
                return Ok(Reply::Otherwise(otherwise));
            }
            let renewed = registrar.renew(from, health, ttl).await;
            Ok(Reply::Renewed(renewed.map_err(failed)?))
        }
        Ask::SetState { state } => {
            registrar.set_state(from, state).await.map_err(failed)?;
            membership.hurry();
            Ok(Reply::Set)
        }
        Ask::Survey { known } => {
            let mut survey = Box::new(membership.roster().survey().clone());
            let mark = mark(&survey.shards);
            if known == Some(mark) {
                survey.shards.clear();
            }
            Ok(Reply::Survey { survey, mark })
        }
        Ask::Look => {
            membership.hurry();
            Ok(Reply::Looked)
        }
    }
}

/// All members count their leases alike, or one would act on a lease that is over for the others.
fn other_lease(membership: &Membership, ttl: Duration) -> Option<String> {
    let here = membership.timing().ttl;
    (ttl != here).then(|| {
        format!(
            "leases of this cluster run for {here:?}, not {ttl:?}; set `cluster.lease` alike on every node"
        )
    })
}
