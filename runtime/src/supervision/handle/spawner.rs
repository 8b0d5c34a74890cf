//! The one way to start an actor.

use std::sync::Arc;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};

use super::{Address, Message};
use crate::supervision::{
    Guard, Tree,
    actor::{Keeper, Supervised},
    tree::Entry,
};

/// Starts an actor at `path`, linked to `parent`, which hears of its end.
///
/// The actor is shown in the tree while it runs. Nobody restarts it: that is for children of a
/// supervisor, made with [`super::child`].
pub async fn spawn<A>(
    tree: &Tree,
    path: impl Into<Arc<str>>,
    kind: &'static str,
    actor: A,
    args: A::Arguments,
    parent: &ActorCell,
) -> Result<Address<A::Msg>, SpawnError>
where
    A: Actor,
    A::Msg: Message,
{
    let address = Address::vacant();
    spawn_at(&address, tree, path, kind, actor, args, parent).await?;
    Ok(address)
}

/// The same at an address made before, so that the actor itself or others can be given it.
pub async fn spawn_at<A>(
    address: &Address<A::Msg>,
    tree: &Tree,
    path: impl Into<Arc<str>>,
    kind: &'static str,
    actor: A,
    args: A::Arguments,
    parent: &ActorCell,
) -> Result<(), SpawnError>
where
    A: Actor,
    A::Msg: Message,
{
    let origin = Origin::fresh(tree, path, kind);
    launch(origin, address, actor, args, Some(parent.clone())).await?;
    Ok(())
}

/// The same at a place in the tree that its keeper holds, and that outlives the actor.
pub async fn spawn_in<A>(
    place: &Guard,
    address: &Address<A::Msg>,
    actor: A,
    args: A::Arguments,
    parent: &ActorCell,
) -> Result<(), SpawnError>
where
    A: Actor,
    A::Msg: Message,
{
    let origin = Origin {
        tree: place.tree().clone(),
        entry: Arc::clone(place.entry()),
        keeper: Keeper::Supervisor,
    };
    launch(origin, address, actor, args, Some(parent.clone())).await?;
    Ok(())
}

/// Starts an actor that nothing supervises.
pub async fn spawn_root<A>(
    tree: &Tree,
    path: impl Into<Arc<str>>,
    kind: &'static str,
    actor: A,
    args: A::Arguments,
) -> Result<Address<A::Msg>, SpawnError>
where
    A: Actor,
    A::Msg: Message,
{
    let address = Address::vacant();
    let origin = Origin::fresh(tree, path, kind);
    launch(origin, &address, actor, args, None).await?;
    Ok(address)
}

/// Where an incarnation stands in the tree, and who takes it out of there.
pub(in crate::supervision) struct Origin {
    pub(in crate::supervision) tree: Tree,
    pub(in crate::supervision) entry: Arc<Entry>,
    pub(in crate::supervision) keeper: Keeper,
}

impl Origin {
    pub(in crate::supervision) fn fresh(
        tree: &Tree,
        path: impl Into<Arc<str>>,
        kind: &'static str,
    ) -> Self {
        Self {
            tree: tree.clone(),
            entry: tree.insert(path.into(), kind),
            keeper: Keeper::Actor,
        }
    }
}

pub(in crate::supervision) async fn launch<A>(
    origin: Origin,
    address: &Address<A::Msg>,
    actor: A,
    args: A::Arguments,
    parent: Option<ActorCell>,
) -> Result<ActorRef<A::Msg>, SpawnError>
where
    A: Actor,
    A::Msg: Message,
{
    let entry = Arc::clone(&origin.entry);
    let supervised = Supervised::new(actor, origin, Arc::clone(address.slot()));
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where actors are started, after their row is in the tree"
    )]
    let spawned = match parent {
        Some(parent) => Actor::spawn_linked(None, supervised, args, parent).await,
        None => Actor::spawn(None, supervised, args).await,
    };
    match spawned {
        Ok((actor, _)) => Ok(actor),
        Err(error) => {
            let source = match error {
                SpawnErr::StartupFailed(source) => source,
                other @ (SpawnErr::ActorAlreadyStarted | SpawnErr::ActorAlreadyRegistered(_)) => {
                    other.into()
                }
            };
            let path = entry.path().to_owned();
            Err(SpawnError { path, source })
        }
    }
}

/// An actor did not start: its `pre_start` failed or panicked, or its parent is about to end.
#[derive(Debug, thiserror::Error)]
#[error("{path} did not start")]
pub struct SpawnError {
    /// Where it should have stood.
    pub path: String,
    /// Why.
    pub source: ActorProcessingErr,
}
