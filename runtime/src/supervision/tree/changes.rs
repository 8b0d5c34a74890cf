//! What became of the tree since a reader looked last.
//!
//! Who changes a row only leaves the row here, once until the next look. All work is the readers':
//! they fold what was left into a log in which each path stands once, with its last change.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use protocol::{
    api::{Life, LifeEvent, TreeDelta, TreeNode},
    time::Timestamp,
};

use super::{
    Inner, Row, Tree,
    entry::News,
    look::parent,
    story::{EPISODES, Episode, Story},
};

/// Places where rows are left, so that two threads seldom meet.
const PLACES: usize = 8;

/// Rows left at one place before it counts as lost what is left there.
const LEFT_AT_MOST: usize = 32_768;

/// Changes that the log holds though all have read them, for a reader that comes back.
const KEPT_AT_LEAST: usize = 4_096;

/// Turns of one path that the log holds for those who have not read them.
const UNREAD_AT_MOST: usize = 256;

/// Changes that the log holds; a reader that is further behind gets all rows.
const LOGGED_AT_MOST: usize = 131_072;

#[derive(Debug, Default)]
pub(super) struct Log {
    readers: AtomicUsize,
    places: [Mutex<Place>; PLACES],
    folded: Mutex<Folded>,
}

#[derive(Debug, Default)]
struct Place {
    left: Vec<Arc<Row>>,
    has_lost: bool,
}

/// What readers read.
#[derive(Debug, Default)]
struct Folded {
    /// Of the last change.
    number: u64,
    /// The last change that the log has forgotten.
    floor: u64,
    /// By path.
    last: HashMap<Arc<str>, Change>,
    /// Numbers and paths of changes, also of such as others took the place of since.
    order: VecDeque<(u64, Arc<str>)>,
    /// Direct children, by path.
    children: HashMap<Box<str>, u32>,
    /// How far each reader has read.
    cursors: HashMap<u64, u64>,
    readers: u64,
}

#[derive(Debug)]
struct Change {
    number: u64,
    /// When the log knows when readers saw the path for the first time.
    began: Option<u64>,
    /// Who stands there, if anybody.
    row: Option<Arc<Row>>,
    /// Turns, each with a number of its own; not that with which it began first.
    turns: Vec<(u64, Turn)>,
}

/// A turn of the life of whoever stood there then.
#[derive(Debug, Clone)]
struct Turn {
    kind: &'static str,
    restored_from: Option<String>,
    episode: Episode,
}

impl Turn {
    fn new(row: &Row, episode: Episode) -> Self {
        let from = (episode.what == Life::Moved)
            .then(|| row.recall(|story| story.restored_from().map(str::to_owned)));
        Self {
            kind: row.kind(),
            restored_from: from.flatten().flatten(),
            episode,
        }
    }

    fn event(self, node: &str, path: &str) -> LifeEvent {
        LifeEvent {
            at: self.episode.at,
            node: node.to_owned(),
            path: path.to_owned(),
            kind: self.kind.to_owned(),
            what: self.episode.what,
            reason: self.episode.reason,
            restored_from: self.restored_from,
        }
    }
}

/// What became of a tree since its reader looked last.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    /// Of which node.
    pub node: String,
    /// When it was so.
    pub at: Timestamp,
    /// Where a reader goes on that has read this.
    pub cursor: u64,
    /// Whether `rows` are all there are, because the reader is new or too far behind.
    pub reset: bool,
    /// Rows that are new or differ, sorted by path.
    pub rows: Vec<TreeNode>,
    /// Paths that are gone, sorted.
    pub gone: Vec<String>,
    /// What became of actors, in order of time. An actor that began and ended since the last look
    /// is in none of these, unless it failed or somebody ended it.
    pub life: Vec<LifeEvent>,
    /// Of each of these turns, where a reader goes on that was told all turns up to its mark.
    pub marks: Vec<u64>,
}

impl From<Delta> for TreeDelta {
    fn from(delta: Delta) -> Self {
        Self {
            node: delta.node,
            reset: delta.reset,
            rows: delta.rows,
            gone: delta.gone,
        }
    }
}

/// A reader of the changes of a tree; the tree keeps a log while there is one.
#[derive(Debug)]
pub struct Changes {
    tree: Tree,
    id: u64,
    cursor: Option<u64>,
}

impl Tree {
    /// A reader whose first look shows all rows.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.read_from(None)
    }

    /// A reader that goes on where another was, if the log still holds what came since.
    #[must_use]
    pub fn changes_since(&self, cursor: u64) -> Changes {
        self.read_from(Some(cursor))
    }

    fn read_from(&self, cursor: Option<u64>) -> Changes {
        let mut folded = self.0.log.folded();
        if self.0.log.readers.fetch_add(1, Ordering::SeqCst) == 0 {
            // Numbers go on over a restart, so that no cursor of an earlier life fits.
            folded.number = self.now().as_micros().unsigned_abs();
            folded.begin(&self.0);
        }
        folded.readers += 1;
        let id = folded.readers;
        let from = cursor.unwrap_or(folded.number);
        folded.cursors.insert(id, from);
        drop(folded);
        Changes {
            tree: self.clone(),
            id,
            cursor,
        }
    }
}

/// Which rows a look shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Changed,
    All,
    /// None: only what became of actors.
    Life,
}

/// What a look found, before its rows are written out: that takes long where there are many, and is
/// done when other readers may look again.
struct Finding {
    cursor: u64,
    reset: bool,
    rows: Rows,
    gone: Vec<String>,
    life: Vec<LifeEvent>,
    marks: Vec<u64>,
}

enum Rows {
    /// With the number of their children.
    These(Vec<(Arc<Row>, u32)>),
    /// All that are known, and the children of each that has any.
    All(Vec<Arc<Row>>, HashMap<Box<str>, u32>),
}

impl Finding {
    fn told(self, tree: &Tree) -> Delta {
        let lens = tree.lens();
        let mut rows: Vec<TreeNode> = match self.rows {
            Rows::These(rows) => rows
                .into_iter()
                .map(|(row, children)| lens.node(&row, children))
                .collect(),
            Rows::All(known, children) => {
                let count = |path: &str| children.get(path).copied().unwrap_or(0);
                let rows = known.iter().map(|row| lens.node(row, count(row.path())));
                rows.collect()
            }
        };
        rows.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Delta {
            node: tree.0.node.clone(),
            at: lens.now,
            cursor: self.cursor,
            reset: self.reset,
            rows,
            gone: self.gone,
            life: self.life,
            marks: self.marks,
        }
    }
}

impl Changes {
    /// What changed since the last look.
    pub fn take(&mut self) -> Delta {
        self.read(Scope::Changed)
    }

    /// What became of actors since the last look, and all rows.
    pub fn take_all(&mut self) -> Delta {
        self.read(Scope::All)
    }

    /// What became of actors since the last look, without rows.
    pub fn take_life(&mut self) -> Delta {
        self.read(Scope::Life)
    }

    fn read(&mut self, scope: Scope) -> Delta {
        let mut folded = self.tree.0.log.folded();
        folded.fold(&self.tree);
        let cursor = self.cursor;
        let cursor = cursor.filter(|cursor| (folded.floor..=folded.number).contains(cursor));
        let finding = match cursor {
            Some(cursor) => {
                let changed = folded.since(cursor, &self.tree, scope);
                match scope {
                    Scope::Changed | Scope::Life => changed,
                    Scope::All => Finding {
                        life: changed.life,
                        marks: changed.marks,
                        ..folded.all(&self.tree, scope)
                    },
                }
            }
            None => folded.all(&self.tree, scope),
        };
        self.cursor = Some(finding.cursor);
        folded.cursors.insert(self.id, finding.cursor);
        folded.trim();
        drop(folded);
        finding.told(&self.tree)
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        let mut folded = self.tree.0.log.folded();
        folded.cursors.remove(&self.id);
        if self.tree.0.log.readers.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.tree.0.log.collect();
            *folded = Folded::default();
        }
    }
}

impl Log {
    pub(super) fn is_read(&self) -> bool {
        self.readers.load(Ordering::SeqCst) > 0
    }

    /// Leaves a row to be looked at.
    pub(super) fn note(&self, row: &Arc<Row>) {
        if !self.is_read() || row.note() == News::Old {
            return;
        }
        let place = Arc::as_ptr(row).addr() / 256 % PLACES;
        let mut place = lock(&self.places[place]);
        if place.left.len() == LEFT_AT_MOST {
            place.has_lost = true;
            place.left.drain(..).for_each(|row| row.look());
        }
        place.left.push(Arc::clone(row));
    }

    fn folded(&self) -> MutexGuard<'_, Folded> {
        lock(&self.folded)
    }

    /// What was left, or nothing when some of it is lost.
    fn collect(&self) -> Option<Vec<Arc<Row>>> {
        let (mut all, mut has_lost) = (Vec::new(), false);
        for place in &self.places {
            let Place {
                left,
                has_lost: lost,
            } = std::mem::take(&mut *lock(place));
            has_lost |= lost;
            // Before anybody reads their state: what changes from here on leaves them again.
            left.iter().for_each(|row| row.look());
            all.extend(left);
        }
        (!has_lost).then_some(all)
    }
}

impl Folded {
    /// Forgets what was and takes the rows that stand now for known.
    fn begin(&mut self, inner: &Inner) {
        self.number += 1;
        self.floor = self.number;
        self.last.clear();
        self.order.clear();
        self.children.clear();
        for row in &inner.rows {
            row.introduce();
            if let Some(parent) = parent(row.path()) {
                *self.children.entry(parent.into()).or_default() += 1;
            }
        }
    }

    fn fold(&mut self, tree: &Tree) {
        let Some(left) = tree.0.log.collect() else {
            self.begin(&tree.0);
            return;
        };
        // Who left before who took the place: they are told of in the order in which they are logged.
        let stands = |row: &Arc<Row>| tree.row(row.path()).is_some_and(|it| Arc::ptr_eq(&it, row));
        let (standing, mut departed): (Vec<_>, Vec<_>) = left.into_iter().partition(stands);
        // Several may have left one place in the meantime.
        departed.sort_by_key(|row| row.changed_at());
        let mut parents = HashSet::new();
        for row in departed.into_iter().chain(standing) {
            if let Some(parent) = self.see(&row, tree) {
                parents.insert(parent);
            }
        }
        for parent in parents {
            if let Some(row) = tree.row(&parent).filter(|row| row.is_known()) {
                let standing = Arc::clone(&row);
                self.log(&row, Some(standing), None, Vec::new(), News::Old);
            }
        }
    }

    /// Logs what became of a row; gives its parent when that has one child more or less.
    fn see(&mut self, row: &Arc<Row>, tree: &Tree) -> Option<Box<str>> {
        let standing = tree.row(row.path());
        let stands = standing.as_ref().is_some_and(|it| Arc::ptr_eq(it, row));
        let turns = row.recall(Story::take_untold).unwrap_or_default();
        if stands {
            let news = row.introduce();
            let start = (news == News::Fresh).then(|| start(row, &turns)).flatten();
            self.log(row, Some(Arc::clone(row)), start, turns, news);
            return self.count(row, news, 1);
        }
        let was_known = row.is_known();
        row.forget();
        let has_failed = turns.iter().any(|turn| turn.what == Life::Failed);
        let why = row.recall(|story| story.farewell()).flatten();
        if !was_known && !has_failed && why.is_none() {
            return None;
        }
        let start = (!was_known).then(|| start(row, &turns)).flatten();
        let failed = row.recall(|story| story.ended_in_failure());
        let stop = Episode::new(row.changed_at(), Life::Stopped, why);
        let stop = (failed != Some(true)).then_some(stop);
        let turns = start.into_iter().chain(turns).chain(stop).collect();
        // One that stands here but was not looked at yet will be.
        let standing = standing.filter(|it| it.is_known());
        let news = if was_known { News::Old } else { News::Fresh };
        self.log(row, standing, None, turns, news);
        let counted = if was_known { News::Fresh } else { News::Old };
        self.count(row, counted, u32::MAX)
    }

    /// Adds to the children of the row's parent, which is given when that changed it.
    fn count(&mut self, row: &Row, news: News, more: u32) -> Option<Box<str>> {
        let parent: Box<str> = parent(row.path()).filter(|_| news == News::Fresh)?.into();
        let children = self.children.entry(parent.clone()).or_default();
        *children = children.wrapping_add(more);
        if *children == 0 {
            self.children.remove(&parent);
        }
        Some(parent)
    }

    /// Logs a change; `start` is left out where the log itself tells that readers see it first.
    fn log(
        &mut self,
        row: &Row,
        standing: Option<Arc<Row>>,
        start: Option<Episode>,
        turns: Vec<Episode>,
        news: News,
    ) {
        let read = self.read();
        self.number += 1;
        let began = self.number;
        let path = Arc::clone(row.shared_path());
        let mut start = start;
        let change = self.last.entry(Arc::clone(&path)).or_insert_with(|| {
            start = None;
            Change {
                number: began,
                began: (news == News::Fresh).then_some(began),
                row: None,
                turns: Vec::new(),
            }
        });
        change.row = standing;
        for turn in start.into_iter().chain(turns) {
            self.number += 1;
            change.turns.push((self.number, Turn::new(row, turn)));
        }
        change.number = self.number;
        // What somebody has not read yet is kept for longer than what all have.
        let count = change.turns.len();
        let is_read = change.turns.partition_point(|(mark, _)| *mark <= read);
        let surplus = count.saturating_sub(EPISODES).min(is_read);
        let surplus = surplus.max(count.saturating_sub(UNREAD_AT_MOST));
        change.turns.drain(..surplus);
        self.order.push_back((self.number, path));
        if self.order.len() > LOGGED_AT_MOST {
            self.forget_first();
        }
    }

    /// The last change that all have read.
    fn read(&self) -> u64 {
        self.cursors.values().min().copied().unwrap_or(self.number)
    }

    /// Forgets most of what all have read.
    fn trim(&mut self) {
        let read = self.read();
        while self.order.len() > KEPT_AT_LEAST
            && self
                .order
                .front()
                .is_some_and(|(number, _)| *number <= read)
        {
            self.forget_first();
        }
        if self.last.capacity() > 4 * self.last.len().max(KEPT_AT_LEAST) {
            self.last.shrink_to(2 * KEPT_AT_LEAST);
            self.order.shrink_to(2 * KEPT_AT_LEAST);
        }
    }

    fn forget_first(&mut self) {
        let Some((number, path)) = self.order.pop_front() else {
            return;
        };
        self.floor = number;
        if self.last.get(&path).is_some_and(|it| it.number == number) {
            self.last.remove(&path);
        }
    }

    fn since(&self, cursor: u64, tree: &Tree, scope: Scope) -> Finding {
        let from = self.order.partition_point(|(number, _)| *number <= cursor);
        let node = tree.0.node.as_str();
        let (mut rows, mut gone, mut life) = (Vec::new(), Vec::new(), Vec::new());
        for (number, path) in self.order.range(from..) {
            let Some(change) = self.last.get(path).filter(|it| it.number == *number) else {
                continue;
            };
            let is_new = change.began.is_some_and(|began| began > cursor);
            let untold = change.turns.iter().filter(|(mark, _)| *mark > cursor);
            let untold: Vec<&(u64, Turn)> = untold.collect();
            let has = |what| untold.iter().any(|(_, turn)| turn.episode.what == what);
            match &change.row {
                Some(row) => {
                    if scope == Scope::Changed {
                        rows.push((Arc::clone(row), self.children_of(path)));
                    }
                    if is_new && !has(Life::Started) && !has(Life::Moved) {
                        let start = start(row, &[]);
                        let start = start.map(|start| Turn::new(row, start));
                        let mark = change.began.unwrap_or(*number);
                        life.extend(start.map(|turn| (mark, turn.event(node, path))));
                    }
                }
                None if !is_new => gone.push(path.to_string()),
                None if untold.iter().any(|(_, turn)| turn.episode.is_worth()) => {}
                None => continue,
            }
            let untold = untold.into_iter().cloned();
            life.extend(untold.map(|(mark, turn)| (mark, turn.event(node, path))));
        }
        gone.sort_unstable();
        life.sort_by_key(|(_, event): &(u64, LifeEvent)| event.at);
        let (marks, life) = life.into_iter().unzip();
        Finding {
            cursor: self.number,
            reset: false,
            rows: Rows::These(rows),
            gone,
            life,
            marks,
        }
    }

    fn all(&self, tree: &Tree, scope: Scope) -> Finding {
        let rows = match scope {
            Scope::Changed | Scope::All => {
                // Who is not known yet is told of with what comes after the cursor.
                let known = tree.0.rows.iter().filter(|row| row.is_known());
                let known = known.map(|row| Arc::clone(&row)).collect();
                Rows::All(known, self.children.clone())
            }
            Scope::Life => Rows::These(Vec::new()),
        };
        Finding {
            cursor: self.number,
            reset: true,
            rows,
            gone: Vec::new(),
            life: Vec::new(),
            marks: Vec::new(),
        }
    }

    fn children_of(&self, path: &str) -> u32 {
        self.children.get(path).copied().unwrap_or(0)
    }
}

/// The turn with which a life begins, unless another says how it did.
fn start(row: &Row, turns: &[Episode]) -> Option<Episode> {
    if turns.iter().any(|turn| turn.what == Life::Moved) {
        return None;
    }
    let began = row.recall(|story| story.began());
    let began = began.unwrap_or_else(|| row.started_at());
    Some(Episode::new(began, Life::Started, None))
}

/// Nothing in here panics half-way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "changes/tests.rs"]
mod tests;
