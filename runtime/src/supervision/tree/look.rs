//! The tree as the API shows it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use protocol::{
    api::{ActorView, FailureView, Life, LifeEvent, TreeNode, TreeQuery, TreeView},
    entity::Sight,
    time::Timestamp,
};

use super::{
    Failure, Row, Status, Tree,
    story::{Episode, Story},
    vigil::{Limits, Marks},
};

/// Rows of a page when the query names no number, and at most.
const PAGE: usize = 1_000;
const LARGEST_PAGE: usize = 10_000;

/// So many children of an actor are named.
const NAMED_CHILDREN: usize = 100;

/// So many links stand in a row.
const LINKS: usize = 5;

/// Three failures within this time are a loop.
const LOOP: Duration = Duration::from_mins(1);

impl Tree {
    /// A page of the actors from the query's path down, sorted by path.
    ///
    /// The total counts all levels and pages. Which node and which moment the query names is the
    /// caller's matter; `after` is the `next` of the page before.
    #[must_use]
    pub fn view(&self, query: &TreeQuery) -> TreeView {
        self.view_for(query, Sight::All)
    }

    /// The same, of what may be seen.
    #[must_use]
    pub fn view_for(&self, query: &TreeQuery, sight: Sight<'_>) -> TreeView {
        let limit = query.limit.map_or(PAGE, |limit| limit as usize);
        let after = query.after.as_deref();
        let path = query.path.as_deref().unwrap_or("/");
        let limit = limit.clamp(1, LARGEST_PAGE);
        let mut page = self.page(path, query.depth, after, limit, sight);
        page.nodes.iter_mut().for_each(|row| veil(row, sight));
        page
    }

    /// All actors from `path` down, sorted by path, `depth` levels below it or all of them.
    ///
    /// The total counts all levels.
    #[must_use]
    pub fn snapshot(&self, path: &str, depth: Option<u32>) -> TreeView {
        self.page(path, depth, None, usize::MAX, Sight::All)
    }

    /// One actor in full, but for what is durable of it.
    #[must_use]
    pub fn actor(&self, path: &str) -> Option<ActorView> {
        self.actor_for(path, Sight::All)
    }

    /// The same, as far as it may be seen.
    #[must_use]
    pub fn actor_for(&self, path: &str, sight: Sight<'_>) -> Option<ActorView> {
        let row = self.row(path).filter(|_| sight.sees(path))?;
        let mut child_paths = self.children_of(path, sight);
        child_paths.sort_unstable();
        let children = u32::try_from(child_paths.len()).unwrap_or(u32::MAX);
        child_paths.truncate(NAMED_CHILDREN);
        let failures = row.recall(|story| story.failures()).unwrap_or_default();
        let mut actor = ActorView {
            row: self.lens().node(&row, children),
            parent: parent(path).map(str::to_owned),
            child_paths,
            failures: failures.into_iter().map(FailureView::from).collect(),
            life: self.life(&row),
            entity: None,
            budget: None,
        };
        veil(&mut actor.row, sight);
        if !sight.sees_all_of(path) {
            actor.failures.clear();
            actor.life.iter_mut().for_each(|turn| turn.reason = None);
        }
        Some(actor)
    }

    fn children_of(&self, path: &str, sight: Sight<'_>) -> Vec<String> {
        let below = self.below(path, sight);
        let below = below.iter().map(|row| row.path());
        let direct = below.filter(|child| parent(child) == Some(path));
        direct.map(str::to_owned).collect()
    }

    /// How many direct children of `path` may be seen.
    #[must_use]
    pub fn count_children(&self, path: &str, sight: Sight<'_>) -> u32 {
        u32::try_from(self.children_of(path, sight).len()).unwrap_or(u32::MAX)
    }

    /// The last failures of the actor at `path`, the newest last.
    #[must_use]
    pub fn failures(&self, path: &str) -> Vec<Failure> {
        let row = self.row(path);
        let failures = row.and_then(|row| row.recall(|story| story.failures()));
        failures.unwrap_or_default()
    }

    pub(super) fn row(&self, path: &str) -> Option<Arc<Row>> {
        self.0.rows.get(path).map(|row| Arc::clone(row.value()))
    }

    fn page(
        &self,
        path: &str,
        depth: Option<u32>,
        after: Option<&str>,
        limit: usize,
        sight: Sight<'_>,
    ) -> TreeView {
        let path = match path.trim_end_matches('/') {
            "" => "/",
            trimmed => trimmed,
        };
        let rows = self.below(path, sight);
        let base = level(path);
        let is_shown = |path: &str| {
            depth.is_none_or(|depth| level(path) <= base.saturating_add(depth as usize))
                && after.is_none_or(|after| path > after)
        };
        // With their paths, so that comparing two does not fetch two rows from memory.
        let mut shown: Vec<(&str, &Arc<Row>)> = rows.iter().map(|row| (row.path(), row)).collect();
        shown.retain(|(path, _)| is_shown(path));
        let by_path = |(one, _): &(&str, &Arc<Row>), (other, _): &(&str, &Arc<Row>)| one.cmp(other);
        let is_last = shown.len() <= limit;
        if !is_last {
            shown.select_nth_unstable_by(limit, by_path);
            shown.truncate(limit);
        }
        shown.sort_unstable_by(by_path);

        let mut children: HashMap<&str, u32> = shown.iter().map(|(path, _)| (*path, 0)).collect();
        for parent in rows.iter().filter_map(|row| parent(row.path())) {
            if let Some(count) = children.get_mut(parent) {
                *count += 1;
            }
        }
        let lens = self.lens();
        let nodes = shown.iter().map(|(path, row)| {
            let children = children.get(path).copied().unwrap_or(0);
            lens.node(row, children)
        });
        let nodes: Vec<TreeNode> = nodes.collect();
        TreeView {
            path: path.to_owned(),
            at: lens.now,
            total: rows.len() as u64,
            next: (!is_last)
                .then(|| nodes.last().map(|last| last.path.clone()))
                .flatten(),
            nodes,
            silent: Vec::new(),
            stale: Vec::new(),
        }
    }

    /// The rows of `path` and of all below it, in no order.
    fn below(&self, path: &str, sight: Sight<'_>) -> Vec<Arc<Row>> {
        let is_below = |row: &str| match row.strip_prefix(path) {
            Some(rest) => path == "/" || rest.is_empty() || rest.starts_with('/'),
            None => false,
        };
        let rows = self.0.rows.iter();
        let rows = rows.filter(|row| is_below(row.key()) && sight.sees(row.key()));
        rows.map(|row| Arc::clone(row.value())).collect()
    }

    /// What became of an actor, the newest last.
    fn life(&self, row: &Row) -> Vec<LifeEvent> {
        let told = |story: &mut Story| {
            let episodes: Vec<Episode> = story.episodes().cloned().collect();
            (story.began(), episodes)
        };
        let (began, episodes) = row
            .recall(told)
            .unwrap_or_else(|| (row.started_at(), Vec::new()));
        let has_moved = episodes.iter().any(|it| it.what == Life::Moved);
        let is_whole = episodes.len() < super::story::EPISODES;
        let start = (is_whole && !has_moved).then(|| Episode::new(began, Life::Started, None));
        let turns = start.into_iter().chain(episodes);
        turns.map(|turn| self.event(row, turn)).collect()
    }

    /// A turn of an actor's life, as others are told.
    fn event(&self, row: &Row, turn: Episode) -> LifeEvent {
        let from = (turn.what == Life::Moved)
            .then(|| row.recall(|story| story.restored_from().map(str::to_owned)));
        LifeEvent {
            at: turn.at,
            node: self.0.node.clone(),
            path: row.path().to_owned(),
            kind: row.kind().to_owned(),
            what: turn.what,
            reason: turn.reason,
            restored_from: from.flatten().flatten(),
        }
    }

    pub(super) fn lens(&self) -> Lens<'_> {
        Lens {
            node: &self.0.node,
            now: self.now(),
            elapsed: self.0.clock.coarse(),
            limits: self.0.vigil.limits(),
            marks: self.0.vigil.marks(),
        }
    }
}

/// Takes out of a row what may not be seen of it.
pub fn veil(row: &mut TreeNode, sight: Sight<'_>) {
    if !sight.sees_all_of(&row.path) {
        row.last_error = None;
        row.links.clear();
        row.links_total = None;
    }
}

/// What all rows of one look have in common.
pub(super) struct Lens<'a> {
    node: &'a str,
    pub(super) now: Timestamp,
    elapsed: Duration,
    limits: Limits,
    marks: Marks,
}

impl Lens<'_> {
    pub(super) fn node(&self, row: &Row, children: u32) -> TreeNode {
        let doing = self.limits.look(row, self.elapsed);
        let is_stuck = doing.as_ref().is_some_and(|doing| doing.is_overdue);
        let spent = doing.as_ref().map(|doing| doing.spent);
        let told = row.recall(|story| {
            let loops = story.third_last_crash();
            let loops = loops.is_some_and(|third| self.now.since(third) <= LOOP);
            let from = story.restored_from().map(str::to_owned);
            let links: Vec<_> = story.links.iter().take(LINKS).cloned().collect();
            let count = story.links.len();
            let total = (count > LINKS).then(|| u32::try_from(count).unwrap_or(u32::MAX));
            (loops, story.last_error(), from, links, total)
        });
        let (loops, last_error, restored_from, links, links_total) = told.unwrap_or_default();
        let status = row.status();
        let state = match status {
            Status::Running | Status::Paused if is_stuck => "stuck",
            Status::BackingOff if loops => "crash_loop",
            status => status.name(),
        };
        let mailbox = match status {
            // Whoever sends just when the actor ends may count a message that nobody will take.
            Status::BackingOff | Status::Stopped | Status::Parked => 0,
            Status::Starting | Status::Running | Status::Stopping | Status::Paused => row.depth(),
        };
        TreeNode {
            path: row.path().to_owned(),
            kind: row.kind().to_owned(),
            state: state.to_owned(),
            node: self.node.to_owned(),
            mailbox,
            handled: row.handled(),
            rate: self.marks.rate(row, self.elapsed),
            restarts: row.restarts(),
            last_error,
            restored_from,
            started_at: row.started_at(),
            current: doing.map(|doing| doing.what.into_owned()),
            current_ms: spent.map(|spent| u64::try_from(spent.as_millis()).unwrap_or(u64::MAX)),
            children,
            links,
            links_total,
        }
    }
}

impl From<Failure> for FailureView {
    fn from(Failure { at, error }: Failure) -> Self {
        Self { at, error }
    }
}

/// How many steps `path` is from the root.
pub(super) fn level(path: &str) -> usize {
    match path {
        "/" => 0,
        path => path.bytes().filter(|&byte| byte == b'/').count(),
    }
}

/// Where the supervisor of `path` would stand.
pub(crate) fn parent(path: &str) -> Option<&str> {
    let (parent, name) = path.rsplit_once('/')?;
    match (parent, name) {
        ("", "") => None,
        ("", _) => Some("/"),
        (parent, _) => Some(parent),
    }
}
