//! Reads the past back, within bounds: newest first, off the threads that others wait for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use protocol::{
    api::{LifeEvent, Stale, TreeDiff},
    id::NodeId,
    time::Timestamp,
};
use tokio::{task::spawn_blocking, time::Instant};

use super::{
    super::{
        codec::{self, Tale},
        diff::{self, NODE},
        past::Past,
        scribe::SIGN,
        sieve::{Below, LifeAt, Reasons, Sieve},
    },
    EARLIEST, LATEST, is_by_others,
};
use crate::store::{self, Chapter, Error, Segment, SegmentKind};

/// A segment that tells of a moment may be written for so much longer.
const LATE: Duration = Duration::from_mins(1);

/// How late a node's sign of life may be.
const TARDY: Duration = Duration::from_secs(5);

/// Segments that are read at once: at first, and at most.
const FEW: u16 = 8;
const MANY: u16 = 256;

/// Bytes read at once from which more segments at once are too many.
const PLENTY: u64 = 256 << 10;

/// Turns among which a comparison looks for reasons.
const REASONS: usize = 100_000;

/// Why the past was not told.
#[derive(Debug, thiserror::Error)]
pub enum Untold {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// It is not kept any more, or never was: it is from this moment on.
    #[error("{}", forgotten(*from))]
    Forgotten {
        /// Nothing is kept at all when absent.
        from: Option<Timestamp>,
    },
    /// It takes more than the bounds allow.
    #[error("more of the past would have to be read than one request may")]
    TooMuch,
}

fn forgotten(from: Option<Timestamp>) -> String {
    from.map_or_else(
        || "nothing of the past is kept yet".to_owned(),
        |from| format!("the past is kept from {from} on"),
    )
}

/// What one reading may cost.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    bytes: u64,
    until: Instant,
}

impl Bounds {
    /// So many bytes of segments, and so much time.
    #[must_use]
    pub fn new(bytes: u64, within: Duration) -> Self {
        Self {
            bytes,
            until: Instant::now() + within,
        }
    }

    fn spend(&mut self, bytes: u64) -> Result<(), Untold> {
        if bytes > self.bytes || self.is_over() {
            return Err(Untold::TooMuch);
        }
        self.bytes -= bytes;
        Ok(())
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

/// What stood at a moment, to the second, at `below` and beneath it, on all nodes or one.
///
/// # Errors
///
/// When the store fails, when that moment is not kept, or beyond the bounds. A node whose past cannot
/// be read is named in the answer.
pub async fn past(
    store: &store::Shared,
    at: Timestamp,
    node: Option<&str>,
    below: &str,
    bounds: &mut Bounds,
) -> Result<Past, Untold> {
    let mut past = Past {
        at,
        ..Past::default()
    };
    let chapters = store.chapters(at, at).await?;
    match store.forgotten().await? {
        Some(from) if at < from => return Err(Untold::Forgotten { from: Some(from) }),
        None if chapters.is_empty() => {
            let first = store.chapters(at, LATEST).await?;
            let from = first.first().map(|first| first.since);
            return Err(Untold::Forgotten { from });
        }
        Some(_) | None => {}
    }
    let is_meant = |it: &Chapter| node.is_none_or(|node| node == it.name);
    let standing = standing(chapters, at).into_iter();
    let (meant, others): (Vec<_>, Vec<_>) = standing.partition(is_meant);
    let mut were_lost = false;
    for chapter in meant {
        were_lost |= read_chapter(store, chapter, below, &mut past, bounds).await?;
    }
    let mut theirs = Past {
        at,
        ..Past::default()
    };
    if were_lost {
        for chapter in others {
            read_chapter(store, chapter, below, &mut theirs, bounds).await?;
        }
    }
    past.settle(&theirs);
    Ok(past)
}

/// Adds what stood on one node; answers whether it was counted as lost before that moment.
async fn read_chapter(
    store: &store::Shared,
    chapter: Chapter,
    below: &str,
    past: &mut Past,
    bounds: &mut Bounds,
) -> Result<bool, Untold> {
    if chapter.until.plus(SIGN + TARDY) < past.at {
        past.stale.push(Stale {
            node: chapter.name.clone(),
            until: chapter.until,
        });
    }
    let segments = store.segments(chapter.node, chapter.chapter, past.at);
    let segments = segments.await?;
    bounds.spend(bytes(&segments))?;
    let was_lost = segments.iter().any(|it| it.kind == SegmentKind::End);
    let own = segments.iter().filter(|it| !is_by_others(it));
    let until_then = own.map(|it| it.until).max();
    let (name, sieve, until) = (chapter.name.clone(), Below(below.to_owned()), *bounds);
    let told = off_thread(move || follow(&chapter.name, segments, &sieve, until)).await??;
    match told {
        Ok(told) => {
            past.told
                .extend(until_then.map(|until| (name.clone(), until)));
            past.starts.insert(name, chapter.node);
            past.take_in(told);
        }
        Err(error) => {
            tracing::warn!(node = name, error, "a past cannot be read");
            past.silent.push(name);
        }
    }
    Ok(was_lost)
}

/// Whether anything is kept of a node of this name.
///
/// # Errors
///
/// When the store fails.
pub async fn knows(store: &store::Shared, node: &str) -> Result<bool, Error> {
    let chapters = store.chapters(Timestamp::default(), LATEST).await?;
    Ok(chapters.iter().any(|chapter| chapter.name == node))
}

/// How the last that bore this name ended, if that is written yet.
///
/// # Errors
///
/// When the store fails.
pub async fn end_of(
    store: &store::Shared,
    node: &str,
    bounds: &mut Bounds,
) -> Result<Option<LifeEvent>, Error> {
    let chapters = store.chapters(Timestamp::default(), LATEST).await?;
    let theirs = chapters.into_iter().filter(|chapter| chapter.name == node);
    let last = theirs.max_by_key(|chapter| chapter.since);
    let Some(ended) = last.and_then(|chapter| chapter.ended) else {
        return Ok(None);
    };
    let span = Span {
        from: Timestamp::from_micros(ended.as_micros().saturating_sub(1)),
        to: ended,
        nodes: Some([node.to_owned()].into()),
        limit: 1,
    };
    let lives = life(store, &span, Arc::new(LifeAt(NODE.0.to_owned())), bounds).await?;
    let mut ends = lives.events.into_iter();
    Ok(ends.rfind(|event| event.kind == NODE.1))
}

/// Whether anything that the sieve admits ever stood, on any node, as far as is kept.
///
/// # Errors
///
/// When the store fails, and when it takes more than the bounds to say. What cannot be read is left out.
pub async fn stood(
    store: &store::Shared,
    sieve: Arc<dyn Sieve>,
    bounds: &mut Bounds,
) -> Result<bool, Untold> {
    let always = Span {
        from: EARLIEST,
        to: LATEST,
        nodes: None,
        limit: 0,
    };
    for mut source in sources(store, &always).await? {
        loop {
            let segments = source.read(store, &always).await?;
            bounds.spend(bytes(&segments))?;
            let Some(last) = segments.last() else {
                break;
            };
            source.before = last.number;
            let (name, sieve) = (source.chapter.name.clone(), sieve.clone());
            let tells = move || {
                let tales = segments
                    .iter()
                    .map(|it| codec::decode(&name, &it.data, &*sieve));
                let mut tales = tales.filter_map(Result::ok);
                tales.any(|tale| !tale.is_empty())
            };
            if off_thread(tells).await? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let done = spawn_blocking(work).await;
    done.map_err(|panicked| Error::Corrupt(panicked.to_string()))
}

fn bytes(segments: &[Segment]) -> u64 {
    segments.iter().map(Segment::weight).sum()
}

/// Of each name the chapter of the node that bore it last, unless it had ended.
fn standing(chapters: Vec<Chapter>, at: Timestamp) -> Vec<Chapter> {
    let mut last = BTreeMap::<String, Chapter>::new();
    for chapter in chapters {
        let is_later = last
            .get(&chapter.name)
            .is_none_or(|it| it.since <= chapter.since);
        if is_later {
            last.insert(chapter.name.clone(), chapter);
        }
    }
    let stands = |it: &Chapter| it.ended.is_none_or(|ended| ended > at);
    last.into_values().filter(stands).collect()
}

/// What a chapter tells of one node, or why it cannot be read.
fn follow(
    node: &str,
    segments: Vec<Segment>,
    sieve: &Below,
    bounds: Bounds,
) -> Result<Result<Past, String>, Untold> {
    let (mut past, mut parts, mut has_begun) = (Past::default(), Vec::<Tale>::new(), false);
    for segment in segments {
        if bounds.is_over() {
            return Err(Untold::TooMuch);
        }
        if segment.kind == SegmentKind::End {
            continue;
        }
        match codec::decode(node, &segment.data, sieve) {
            Ok(tale) => parts.push(tale),
            Err(error) => return Ok(Err(error.to_string())),
        }
        match segment.kind {
            // Nothing of it counts before its last piece.
            SegmentKind::Part | SegmentKind::End => continue,
            SegmentKind::Base => {
                past.nodes.clear();
                has_begun = true;
            }
            SegmentKind::Changes => {}
        }
        parts.drain(..).for_each(|tale| past.follow(node, tale));
    }
    Ok(match has_begun {
        true => Ok(past),
        false => Err("its chapter has no beginning".to_owned()),
    })
}

/// Which turns of lives are read.
#[derive(Debug, Clone)]
pub struct Span {
    /// After this moment.
    pub from: Timestamp,
    /// Not after this one.
    pub to: Timestamp,
    /// Of these nodes; of all when absent.
    pub nodes: Option<BTreeSet<String>>,
    /// The last so many, and what happened in the same moment as the first of them.
    pub limit: usize,
}

/// What became of actors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lives {
    /// In order of time.
    pub events: Vec<LifeEvent>,
    /// There may be more, of this moment and before it; nothing of it is among these.
    pub more: Option<Timestamp>,
}

/// What became of actors, the newest of it, as far as the bounds reach.
///
/// # Errors
///
/// When the store fails. What cannot be read is left out.
pub async fn life(
    store: &store::Shared,
    span: &Span,
    sieve: Arc<dyn Sieve>,
    bounds: &mut Bounds,
) -> Result<Lives, Error> {
    let mut sources = sources(store, span).await?;
    let mut lives = Lives::default();
    loop {
        let newest = (0..sources.len()).max_by_key(|&number| sources[number].newest);
        let Some(number) = newest else {
            return Ok(lives);
        };
        let source = &mut sources[number];
        // What is not read yet is older than this.
        let newest = source.newest;
        let is_full = lives.events.len() >= span.limit;
        // What happened in one moment is told on one page, so that the next one begins before it.
        if is_full && lives.events.first().is_none_or(|it| it.at > newest) {
            lives.more = lives.more.max(Some(newest));
            return Ok(lives);
        }
        let segments = source.read(store, span).await?;
        if bounds.spend(bytes(&segments)).is_err() {
            lives.events.retain(|event| event.at > newest);
            lives.more = Some(newest);
            return Ok(lives);
        }
        let Some(last) = segments.last() else {
            sources.swap_remove(number);
            continue;
        };
        (source.before, source.newest) = (last.number, last.until.min(span.to));
        let (chapter, span_, sieve) = (source.chapter.clone(), span.clone(), sieve.clone());
        let is_done = source.newest <= span.from;
        let told = off_thread(move || turns(&chapter, &segments, &span_, &*sieve)).await?;
        lives.take_in(told, span.limit);
        if is_done {
            sources.swap_remove(number);
        }
    }
}

impl Lives {
    fn take_in(&mut self, told: Vec<LifeEvent>, limit: usize) {
        self.events.extend(told);
        self.events.sort_by_key(|event| event.at);
        let surplus = self.events.len().saturating_sub(limit);
        let oldest = self.events.get(surplus).map(|event| event.at);
        let surplus = self.events.partition_point(|event| Some(event.at) < oldest);
        if let Some(left_out) = self.events.drain(..surplus).next_back() {
            self.more = self.more.max(Some(left_out.at));
        }
    }
}

/// A chapter that is read from its end.
struct Source {
    chapter: Chapter,
    /// The number of the last segment that was read.
    before: u64,
    /// What is not read yet tells of nothing after this.
    newest: Timestamp,
    /// So many segments at once.
    most: u16,
}

async fn sources(store: &store::Shared, span: &Span) -> Result<Vec<Source>, Error> {
    let chapters = store.chapters(span.from, span.to.plus(LATE)).await?;
    let is_meant = |it: &Chapter| {
        let is_named = |nodes: &BTreeSet<String>| nodes.contains(&it.name);
        it.until > span.from && span.nodes.as_ref().is_none_or(is_named)
    };
    let sources = chapters.into_iter().filter(is_meant).map(|chapter| Source {
        newest: chapter.until.min(span.to),
        before: i64::MAX.unsigned_abs(),
        chapter,
        most: FEW,
    });
    Ok(sources.collect())
}

impl Source {
    /// The next segments back.
    async fn read(&mut self, store: &store::Shared, span: &Span) -> Result<Vec<Segment>, Error> {
        let chapter: (NodeId, u64) = (self.chapter.node, self.chapter.chapter);
        let late = span.to.plus(LATE);
        let mut segments = Vec::new();
        loop {
            let before = segments
                .last()
                .map_or(self.before, |it: &Segment| it.number);
            let read = store.segments_back(chapter, before, late, self.most);
            let read = read.await?;
            let is_all = read.is_empty();
            segments.extend(read);
            // Only of what the node wrote itself are the moments in the order of the numbers.
            if is_all || segments.last().is_some_and(|it| !is_by_others(it)) {
                break;
            }
        }
        self.most = match bytes(&segments) {
            ..PLENTY => (2 * self.most).min(MANY),
            PLENTY.. => FEW,
        };
        Ok(segments)
    }
}

/// What segments of a chapter tell that is wanted.
fn turns(
    chapter: &Chapter,
    segments: &[Segment],
    span: &Span,
    sieve: &dyn Sieve,
) -> Vec<LifeEvent> {
    let mut life = Vec::new();
    for segment in segments {
        // The node went on.
        let is_void = segment.kind == SegmentKind::End && chapter.ended != Some(segment.until);
        if is_void || segment.until <= span.from {
            continue;
        }
        match codec::decode(&chapter.name, &segment.data, sieve) {
            Ok(tale) => life.extend(tale.life.into_iter().filter(|it| {
                let is_late = chapter.ended.is_some_and(|ended| it.at > ended);
                it.at > span.from && it.at <= span.to && !is_late
            })),
            Err(error) => {
                tracing::warn!(node = chapter.name, %error, "a past cannot be read");
            }
        }
    }
    life
}

/// How the trees of two moments differ at `below` and beneath it.
///
/// # Errors
///
/// As [`past`].
pub async fn changes(
    store: &store::Shared,
    (from, to): (Timestamp, Timestamp),
    node: Option<&str>,
    below: &str,
    bounds: &mut Bounds,
) -> Result<TreeDiff, Untold> {
    let before = past(store, from, node, below, bounds).await?;
    let after = past(store, to, node, below, bounds).await?;
    let differ = diff::diff(&before, &after, &[]);
    if differ.changes.is_empty() {
        return Ok(differ);
    }
    // What had happened at the first moment and was not written yet tells the trees apart too.
    let span = Span {
        from: before.told.values().copied().fold(from, Ord::min),
        to,
        nodes: node.map(|node| [node.to_owned()].into()),
        limit: REASONS,
    };
    let reasons = Arc::new(Reasons::of(&differ));
    let mut lives = life(store, &span, reasons, bounds).await?;
    lives
        .events
        .retain(|it| it.at > *before.told.get(&it.node).unwrap_or(&from));
    match lives.more {
        Some(_) => Err(Untold::TooMuch),
        None => Ok(diff::diff(&before, &after, &lives.events)),
    }
}
