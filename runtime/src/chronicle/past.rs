//! What stood at a moment, told from segments.

use std::collections::BTreeMap;

use protocol::{
    api::{Stale, TreeNode, TreeQuery, TreeView},
    entity::Sight,
    id::NodeId,
    time::Timestamp,
};

use super::codec::Tale;
use crate::supervision::veil;

/// Rows of a page when the query names no number, and at most.
const PAGE: usize = 1_000;
const LARGEST_PAGE: usize = 10_000;

/// An actor as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastActor {
    /// What it was.
    pub kind: String,
    /// Its state, as in a row of the tree.
    pub state: String,
    /// When that incarnation began.
    pub started_at: Timestamp,
    /// How often it had been restarted.
    pub restarts: u32,
    /// Why it failed last, if it had.
    pub last_error: Option<String>,
    /// The node on which it was before it began there.
    pub restored_from: Option<String>,
}

impl PastActor {
    /// What is kept of a row, with its path.
    pub(super) fn of(row: TreeNode) -> (String, Self) {
        let actor = Self {
            kind: row.kind,
            state: row.state,
            started_at: row.started_at,
            restarts: row.restarts,
            last_error: row.last_error,
            restored_from: row.restored_from,
        };
        (row.path, actor)
    }

    /// As the API shows it. What was in mailboxes and hands is not kept.
    fn row(&self, node: &str, path: &str, children: u32) -> TreeNode {
        TreeNode {
            path: path.to_owned(),
            kind: self.kind.clone(),
            state: self.state.clone(),
            node: node.to_owned(),
            mailbox: 0,
            handled: 0,
            rate: 0.0,
            restarts: self.restarts,
            last_error: self.last_error.clone(),
            restored_from: self.restored_from.clone(),
            started_at: self.started_at,
            current: None,
            current_ms: None,
            children,
            links: Vec::new(),
            links_total: None,
        }
    }
}

/// All actors of the cluster at a moment, by node and path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// That moment.
    pub at: Timestamp,
    /// By the names of nodes, then by path.
    pub nodes: BTreeMap<String, BTreeMap<String, PastActor>>,
    /// Which start of each node it was.
    pub starts: BTreeMap<String, NodeId>,
    /// Up to when each node had told of itself by then: what happened after that is not in here.
    pub told: BTreeMap<String, Timestamp>,
    /// Nodes whose past cannot be read.
    pub silent: Vec<String>,
    /// Nodes that wrote nothing for a while before that moment, not even that they live.
    pub stale: Vec<Stale>,
}

impl Past {
    /// Follows what a segment of `node` tells.
    pub(super) fn follow(&mut self, node: &str, tale: Tale) {
        let actors = self.nodes.entry(node.to_owned()).or_default();
        for gone in &tale.gone {
            actors.remove(gone);
        }
        actors.extend(tale.actors);
    }

    /// Adds what stood on other nodes.
    pub(super) fn take_in(&mut self, other: Self) {
        self.nodes.extend(other.nodes);
        self.starts.extend(other.starts);
    }

    /// Leaves what moved with who took it over, here or among `others`, where the node on which it was
    /// stood still and told of its end only later.
    pub(super) fn settle(&mut self, others: &Self) {
        let nodes = self.nodes.iter().chain(&others.nodes);
        let moved = nodes.flat_map(|(_, actors)| actors);
        let mut left = Vec::new();
        for (path, actor) in moved {
            let Some(from) = &actor.restored_from else {
                continue;
            };
            let former = self.nodes.get(from).and_then(|actors| actors.get(path));
            if former.is_some_and(|it| it.started_at < actor.started_at) {
                left.push((from.clone(), path.clone()));
            }
        }
        for (node, path) in left {
            let Some(actors) = self.nodes.get_mut(&node) else {
                continue;
            };
            actors.remove(&path);
            // `0` is the character after `/`.
            let below = actors.range(format!("{path}/")..format!("{path}0"));
            let below: Vec<String> = below.map(|(path, _)| path.clone()).collect();
            for path in below {
                actors.remove(&path);
            }
        }
    }

    /// Adds an actor as it is, such as for a comparison with now.
    pub fn add(&mut self, row: TreeNode) {
        let actors = self.nodes.entry(row.node.clone()).or_default();
        actors.extend([PastActor::of(row)]);
    }

    /// How many actors there were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.values().map(BTreeMap::len).sum()
    }

    /// Whether nothing stood.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A page of what the query asks for, sorted by the names of nodes, then by paths.
    #[must_use]
    pub fn view(&self, query: &TreeQuery) -> TreeView {
        self.view_for(query, Sight::All)
    }

    /// The same, of what may be seen.
    #[must_use]
    pub fn view_for(&self, query: &TreeQuery, sight: Sight<'_>) -> TreeView {
        let path = match query.path.as_deref().unwrap_or("/").trim_end_matches('/') {
            "" => "/",
            path => path,
        };
        let limit = query.limit.map_or(PAGE, |limit| limit as usize);
        let limit = limit.clamp(1, LARGEST_PAGE);
        let levels = query.depth.map_or(usize::MAX, |depth| depth as usize);
        let deepest = level(path).saturating_add(levels);
        let after = query.after.as_deref().map(parse);
        let (mut total, mut nodes, mut more) = (0, Vec::new(), false);
        for (node, actors) in &self.nodes {
            if query.node.as_deref().is_some_and(|wanted| wanted != node) {
                continue;
            }
            let seen = actors.iter().filter(|(at, _)| sight.sees(at));
            for (at, actor) in seen.filter(|(at, _)| is_below(at, path)) {
                total += 1;
                let is_shown = level(at) <= deepest
                    && after.is_none_or(|after| (node.as_str(), at.as_str()) > after);
                if is_shown && nodes.len() == limit {
                    more = true;
                } else if is_shown {
                    let mut row = actor.row(node, at, children(actors, at, sight));
                    veil(&mut row, sight);
                    nodes.push(row);
                }
            }
        }
        let last = nodes.last().filter(|_| more);
        TreeView {
            path: path.to_owned(),
            at: self.at,
            total,
            next: last.map(|last| cursor(&last.node, &last.path)),
            nodes,
            silent: self.silent.clone(),
            stale: self.stale.clone(),
        }
    }
}

/// Where a page over several nodes goes on: after this row.
#[must_use]
pub fn cursor(node: &str, path: &str) -> String {
    format!("{node}{path}")
}

/// A node's name has no slash, and a path begins with one.
fn parse(cursor: &str) -> (&str, &str) {
    let slash = cursor.find('/').unwrap_or(cursor.len());
    cursor.split_at(slash)
}

/// Whether `path` is `root` or stands below it.
#[must_use]
pub fn is_below(path: &str, root: &str) -> bool {
    match path.strip_prefix(root.trim_end_matches('/')) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

fn level(path: &str) -> usize {
    match path {
        "/" => 0,
        path => path.bytes().filter(|&byte| byte == b'/').count(),
    }
}

/// How many actors stood directly below `path`.
fn children(actors: &BTreeMap<String, PastActor>, path: &str, sight: Sight<'_>) -> u32 {
    let start = format!("{}/", path.trim_end_matches('/'));
    let below = actors.range::<String, _>(start.clone()..);
    let below = below.take_while(|(at, _)| at.starts_with(&start));
    let direct = below.filter(|(at, _)| at.len() > start.len() && !at[start.len()..].contains('/'));
    let direct = direct.filter(|(at, _)| sight.sees(at));
    u32::try_from(direct.count()).unwrap_or(u32::MAX)
}
