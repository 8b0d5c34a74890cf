//! How a supervisor starts its children.

use std::{pin::Pin, sync::Arc};

use ractor::{Actor, ActorCell};

use super::{Address, Message, Origin, SpawnError, SupervisorRef, launch};
use crate::supervision::{
    ChildSpec, Restart, Shutdown, Spec, Supervisor, Tree,
    actor::{Args, Keeper, SupervisorActor},
    tree::Entry,
};

/// Starts an incarnation of a child.
pub(in crate::supervision) type Start = Arc<dyn Fn(Context) -> Starting + Send + Sync>;

type Starting = Pin<Box<dyn Future<Output = Result<ActorCell, SpawnError>> + Send>>;

/// Where and under whom a child is started.
pub(in crate::supervision) struct Context {
    pub(in crate::supervision) tree: Tree,
    pub(in crate::supervision) entry: Arc<Entry>,
    pub(in crate::supervision) parent: ActorCell,
}

impl Context {
    fn origin(self) -> (Origin, ActorCell) {
        let origin = Origin {
            tree: self.tree,
            entry: self.entry,
            keeper: Keeper::Supervisor,
        };
        (origin, self.parent)
    }
}

/// A child whose incarnations `make` provides, and its address, which is valid for all of them.
pub fn child<A>(
    name: impl Into<String>,
    kind: &'static str,
    restart: Restart,
    make: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
) -> (ChildSpec, Address<A::Msg>)
where
    A: Actor,
    A::Msg: Message,
{
    let address = Address::vacant();
    let spec = child_at::<A>(&address, name, kind, restart, make);
    (spec, address)
}

/// The same at an address made before, so that `make` can give it to the child or to siblings.
pub fn child_at<A>(
    address: &Address<A::Msg>,
    name: impl Into<String>,
    kind: &'static str,
    restart: Restart,
    make: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
) -> ChildSpec
where
    A: Actor,
    A::Msg: Message,
{
    let (address, make) = (address.clone(), Arc::new(make));
    let start = move |context: Context| -> Starting {
        let (address, make) = (address.clone(), Arc::clone(&make));
        Box::pin(async move {
            let (origin, parent) = context.origin();
            let (actor, args) = make();
            let actor = launch(origin, &address, actor, args, Some(parent)).await?;
            Ok(actor.get_cell())
        })
    };
    ChildSpec {
        name: name.into(),
        kind,
        restart,
        shutdown: Shutdown::default(),
        start: Arc::new(start),
    }
}

/// A supervisor as a permanent child; each incarnation of it starts `children` afresh.
///
/// Children that were added later are gone when it restarts.
pub fn branch(
    name: impl Into<String>,
    spec: Spec,
    children: Vec<ChildSpec>,
) -> (ChildSpec, SupervisorRef) {
    let handle = SupervisorRef::vacant();
    let own = handle.clone();
    let start = move |context: Context| -> Starting {
        let (handle, children) = (own.clone(), children.clone());
        Box::pin(async move {
            let args = Args::new(&context.tree, context.entry.path(), spec, children, &handle);
            let (origin, parent) = context.origin();
            let address = handle.address();
            let actor = launch(origin, address, SupervisorActor, args, Some(parent)).await?;
            Ok(actor.get_cell())
        })
    };
    let spec = ChildSpec {
        name: name.into(),
        kind: Supervisor::KIND,
        restart: Restart::Permanent,
        shutdown: Shutdown::Unbounded,
        start: Arc::new(start),
    };
    (spec, handle)
}
