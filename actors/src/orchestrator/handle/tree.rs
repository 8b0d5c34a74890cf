//! The actors of the whole cluster: as they are, as they were, and what changed.

mod actor;
mod follow;
mod links;
mod look;

use std::{collections::BTreeMap, sync::Arc};

pub use follow::Feed;
pub(super) use follow::Followed;
pub(super) use links::OpenAsk;

use futures_util::future::join_all;
use protocol::{
    access::{Caller, Role},
    api::{DiffQuery, TreeDiff, TreeQuery, TreeView},
    entity::meant_by,
    id::NodeId,
    member::MemberState,
};
use runtime::chronicle::{self, Bounds, Untold};
use tokio::time::Instant;

use super::{
    Answer, Orchestrator,
    cases::{CompareTrees, ShowForest, ShowTree, TOLD_WITHIN, at_least, is_path},
};
use crate::{
    Rejection,
    orchestrator::{
        members,
        tree::{Pages, Standing},
    },
};

/// Whether it is the `next` of some page: the name of a node, and a path on it.
fn goes_on(after: Option<&str>) -> Answer<()> {
    match after {
        Some(after) if after.starts_with('/') || !after.contains('/') => Err(Rejection::field(
            "after",
            "must be the `next` of the page before, such as `node1/agents/reviewer`; leave it out for the first page",
        )),
        Some(_) | None => Ok(()),
    }
}

/// What is there at the path that was asked for: nothing at all, if every node says so.
pub(super) fn found(view: TreeView) -> Answer<TreeView> {
    let is_known = view.silent.is_empty() && view.stale.is_empty();
    match view.total {
        0 if view.path != "/" && is_known => Err(Rejection::not_found(view.path)),
        _ => Ok(view),
    }
}

impl Orchestrator {
    /// A page of the supervision tree of the whole cluster, or of the node that the query names, as it
    /// is or as it was.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role viewer, `Invalid` for a moment to come or a page that is none, `NotFound` for a node that
    /// is no member that lives, or for `at` never was one, and for a path at which nothing stands, `Unavailable` when no control node can be reached.
    pub async fn tree(&self, caller: &Caller, query: &TreeQuery) -> Answer<TreeView> {
        at_least(caller, Role::Viewer)?;
        is_path(query.path.as_deref())?;
        goes_on(query.after.as_deref())?;
        let mut query = query.clone();
        query.path = query.path.map(|path| meant_by(&path, &caller.tenant));
        let case = ShowForest {
            query: query.clone(),
        };
        match self.carry_out(caller, case).await {
            // What this node knows itself is worth showing, and who is missing is said.
            Err(Rejection::Unavailable { .. })
                if self.0.own.is_none() && query.at.is_none() && self.knows_members() =>
            {
                self.gather(caller, query).await
            }
            answer => answer,
        }
    }

    /// What died, moved or restarted between two moments.
    ///
    /// # Errors
    ///
    /// As [`tree`](Self::tree), and `Invalid` without a moment to begin at; a path at which something
    /// stands now, or once stood, is one.
    pub async fn tree_diff(&self, caller: &Caller, query: &DiffQuery) -> Answer<TreeDiff> {
        at_least(caller, Role::Viewer)?;
        is_path(query.path.as_deref())?;
        let from = query.from.ok_or_else(|| {
            Rejection::field("from", "is missing; it is the earlier of the two moments")
        })?;
        let case = CompareTrees {
            path: query
                .path
                .as_deref()
                .map(|path| meant_by(path, &caller.tenant)),
            node: query.node.clone(),
            from,
            to: query.to,
        };
        self.carry_out(caller, case).await
    }

    /// Whether this node has heard who belongs to the cluster: before that it cannot say who is missing.
    fn knows_members(&self) -> bool {
        let roll = self.0.roll.as_ref();
        roll.is_none_or(|roll| !roll.membership.roster().members().is_empty())
    }

    /// Nodes whose actors belong to the cluster's tree now, by name: members whose lease runs, or
    /// whoever can be reached where nobody keeps members.
    pub(super) fn company(&self) -> BTreeMap<String, NodeId> {
        let mut company = BTreeMap::new();
        match (&self.0.roll, &self.0.member) {
            (Some(roll), _) => {
                let roster = roll.membership.roster();
                let takes_part = members::latest(&roster).into_iter();
                let takes_part = takes_part.filter(|(_, row)| members::takes_part(row));
                company.extend(takes_part.map(|(name, row)| (name.to_owned(), row.member.node)));
            }
            (None, Some(member)) => {
                let peers = member.peers.peers().into_iter();
                company.extend(peers.map(|peer| (peer.name.clone(), peer.node)));
            }
            (None, None) => {}
        }
        company.entry(self.0.name.to_string()).or_insert(self.0.id);
        company
    }

    /// The nodes that are meant: all, or the one that is named; a member that does not live is named
    /// without an id.
    pub(super) fn meant(&self, node: Option<&str>) -> Answer<BTreeMap<String, Option<NodeId>>> {
        let company = self.company();
        let Some(name) = node else {
            let all = company.into_iter();
            return Ok(all.map(|(name, id)| (name, Some(id))).collect());
        };
        let id = company.get(name).copied();
        let was_member = || {
            let roll = self.0.roll.as_ref();
            roll.is_some_and(|roll| members::named(&roll.membership.roster(), name).is_ok())
        };
        if id.is_none() && !was_member() {
            return Err(members::no_node(name));
        }
        Ok([(name.to_owned(), id)].into())
    }

    /// A page of what the nodes that are meant tell of their actors.
    pub(super) async fn gather(&self, caller: &Caller, query: TreeQuery) -> Answer<TreeView> {
        let nodes = self.meant(query.node.as_deref())?;
        if let Some((name, None)) = nodes.first_key_value() {
            return Err(self.no_more(name));
        }
        let until = Instant::now() + TOLD_WITHIN;
        let mut pages = Pages::new(query, nodes.keys().map(String::as_str));
        let asked = nodes.iter().map(async |(name, node)| {
            let told = self.ask_tree(caller, *node, pages.ask(name), until).await;
            (name, told)
        });
        for (name, told) in join_all(asked).await {
            match told {
                Some(view) => pages.take(name, view),
                None => pages.miss(name),
            }
        }
        while let Some((name, query)) = pages.lacks() {
            let node = nodes.get(&name).copied().flatten();
            match self.ask_tree(caller, node, query, until).await {
                Some(view) => pages.take(&name, view),
                None => pages.miss(&name),
            }
        }
        found(pages.view(self.0.tree.clock().now()))
    }

    /// What is told of a member that does not live: nothing stands there, and nobody waits for it.
    fn no_more(&self, name: &str) -> Rejection {
        let roster = self.0.roll.as_ref().map(|roll| roll.membership.roster());
        let row = roster.as_ref().and_then(|it| members::named(it, name).ok());
        let how = match row.map(|row| row.state) {
            Some(MemberState::Left) => "has left",
            Some(MemberState::Removed) => "was removed",
            Some(MemberState::Up | MemberState::Draining) | None => "is dead",
        };
        let what = format!("an actor of node {name}, which {how} (`at` shows what stood there),");
        Rejection::not_found(what)
    }

    /// Refuses the name of a node that is none, and of which nothing is kept.
    pub(super) async fn is_or_was_node(&self, node: Option<&str>) -> Answer<()> {
        let Some(name) = node else {
            return Ok(());
        };
        let Err(unknown) = self.meant(node) else {
            return Ok(());
        };
        match chronicle::knows(self.own()?.journal.store(), name).await? {
            true => Ok(()),
            false => Err(unknown),
        }
    }

    /// Whether something stands at a path or below it, or ever stood as far as is kept. What nobody can
    /// say within the bounds counts.
    pub(super) async fn is_or_was(
        &self,
        caller: &Caller,
        path: &str,
        bounds: &mut Bounds,
    ) -> Answer<bool> {
        let query = TreeQuery {
            path: Some(path.to_owned()),
            depth: Some(0),
            limit: Some(1),
            ..TreeQuery::default()
        };
        match self.gather(caller, query).await {
            Err(Rejection::NotFound { .. }) => {}
            answer => return answer.map(|_| true),
        }
        let standing = Arc::new(Standing {
            path: path.to_owned(),
            tenant: caller.tenant.clone(),
        });
        match chronicle::stood(self.own()?.journal.store(), standing, bounds).await {
            Ok(stood) => Ok(stood),
            Err(Untold::TooMuch | Untold::Forgotten { .. }) => Ok(true),
            Err(Untold::Store(error)) => Err(error.into()),
        }
    }

    async fn ask_tree(
        &self,
        caller: &Caller,
        node: Option<NodeId>,
        query: TreeQuery,
        until: Instant,
    ) -> Option<TreeView> {
        let node = node?;
        let case = ShowTree { node, query };
        let told = self.ask_once(caller, node, case, until).await;
        told.inspect_err(|error| tracing::debug!(%node, %error, "its actors are not known"))
            .ok()
    }
}
