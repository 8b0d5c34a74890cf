//! What can be read of the tree of actors: of one node, of the whole cluster, and of the past.

use std::time::Duration;

use protocol::{
    access::{Caller, Role},
    api::{LifeEvent, TreeDiff, TreeQuery, TreeView},
    entity::Sight,
    id::NodeId,
    time::Timestamp,
};
use runtime::chronicle;
use serde::{Deserialize, Serialize};

use super::{
    super::{past::untold, tree::found},
    Answer, Effect, Orchestrator, Place, UseCase, at_least,
};
use crate::{Rejection, orchestrator::tree::hide_links};

/// How long nodes may take to tell of their actors; who takes longer is named as silent.
pub(in super::super) const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// Clocks of nodes and callers may differ by so much.
const SKEW: Duration = Duration::from_secs(5);

/// The supervision tree of one node.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowTree {
    pub(in super::super) node: NodeId,
    pub(in super::super) query: TreeQuery,
}

impl UseCase for ShowTree {
    type Answer = TreeView;
    const NAME: &'static str = "node.tree";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Node(self.node)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TreeView> {
        at_least(caller, Role::Viewer)?;
        let mut page = at.0.tree.view_for(&self.query, Sight::of(&caller.tenant));
        hide_links(&mut page.nodes, caller);
        Ok(page)
    }
}

/// A page of the tree of the whole cluster, now or then.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowForest {
    pub(in super::super) query: TreeQuery,
}

impl UseCase for ShowForest {
    type Answer = TreeView;
    const NAME: &'static str = "tree.show";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Cluster
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TreeView> {
        at_least(caller, Role::Viewer)?;
        let Self { query } = self;
        let Some(moment) = query.at else {
            return at.gather(caller, query).await;
        };
        has_been("at", moment, at.0.tree.clock().now())?;
        at.is_or_was_node(query.node.as_deref()).await?;
        let store = at.own()?.journal.store();
        let mut reading = at.0.readings.begin().await?;
        let (node, below) = (query.node.as_deref(), query.path.as_deref());
        let below = below.unwrap_or("/");
        let past = chronicle::past(store, moment, node, below, &mut reading.bounds);
        let past = past.await.map_err(|why| untold(why, "at"))?;
        found(past.view_for(&query, Sight::of(&caller.tenant)))
    }
}

/// Whether a node is or was one, as far as is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct KnowsNode {
    pub(in super::super) name: String,
}

impl UseCase for KnowsNode {
    type Answer = bool;
    const NAME: &'static str = "tree.knows_node";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Cluster
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<bool> {
        at_least(caller, Role::Viewer)?;
        match at.is_or_was_node(Some(&self.name)).await {
            Ok(()) => Ok(true),
            Err(Rejection::NotFound { .. }) => Ok(false),
            Err(rejection) => Err(rejection),
        }
    }
}

/// How a node ended that is one no more, as its past tells it; nothing while that is not written.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct NodeEnd {
    pub(in super::super) name: String,
}

impl UseCase for NodeEnd {
    type Answer = Option<LifeEvent>;
    const NAME: &'static str = "tree.node_end";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Option<LifeEvent>> {
        at_least(caller, Role::Viewer)?;
        let mut reading = at.0.readings.begin().await?;
        let store = at.own()?.journal.store();
        Ok(chronicle::end_of(store, &self.name, &mut reading.bounds).await?)
    }
}

/// Whether anything stands at a path, or stood as far as is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct KnowsPath {
    pub(in super::super) path: String,
}

impl UseCase for KnowsPath {
    type Answer = bool;
    const NAME: &'static str = "tree.knows_path";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Cluster
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<bool> {
        at_least(caller, Role::Viewer)?;
        let mut reading = at.0.readings.begin().await?;
        at.is_or_was(caller, &self.path, &mut reading.bounds).await
    }
}

/// What changed in the tree between two moments.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct CompareTrees {
    pub(in super::super) path: Option<String>,
    pub(in super::super) node: Option<String>,
    pub(in super::super) from: Timestamp,
    pub(in super::super) to: Option<Timestamp>,
}

impl UseCase for CompareTrees {
    type Answer = TreeDiff;
    const NAME: &'static str = "tree.diff";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Cluster
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TreeDiff> {
        at_least(caller, Role::Viewer)?;
        let now = at.0.tree.clock().now();
        let to = self.to.unwrap_or(now);
        has_been("to", to, now)?;
        if self.from > to {
            return Err(Rejection::field("from", "must not be later than `to`"));
        }
        at.is_or_was_node(self.node.as_deref()).await?;
        let store = at.own()?.journal.store();
        let mut reading = at.0.readings.begin().await?;
        let (moments, node) = ((self.from, to), self.node.as_deref());
        let below = self.path.as_deref().unwrap_or("/");
        let diff = chronicle::changes(store, moments, node, below, &mut reading.bounds);
        let mut diff = diff.await.map_err(|why| untold(why, "from"))?;
        // Nothing may have become of what stands there; of what never did nothing can.
        if diff.changes.is_empty()
            && diff.stale.is_empty()
            && !at.is_or_was(caller, below, &mut reading.bounds).await?
        {
            return Err(Rejection::not_found(below));
        }
        let sight = Sight::of(&caller.tenant);
        diff.changes.retain(|it| sight.sees(&it.path));
        for change in &mut diff.changes {
            if !sight.sees_all_of(&change.path) {
                change.reason = None;
            }
        }
        Ok(diff)
    }
}

/// What is yet to come cannot be shown.
pub(super) fn has_been(field: &str, moment: Timestamp, now: Timestamp) -> Answer<()> {
    if moment > now.plus(SKEW) {
        return Err(Rejection::field(
            field,
            format!("{moment} is in the future; it is {now} now"),
        ));
    }
    Ok(())
}

/// A path of the tree begins with a slash.
pub(in super::super) fn is_path(path: Option<&str>) -> Answer<()> {
    match path {
        Some(path) if !path.starts_with('/') => Err(Rejection::field(
            "path",
            "must begin with a slash, such as `/agents`",
        )),
        Some(_) | None => Ok(()),
    }
}
