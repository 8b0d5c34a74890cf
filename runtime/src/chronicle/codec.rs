//! The bytes of a segment: bincode's, and named nowhere else.
//!
//! `Layout` and what it holds are the contract of [`VERSION`], the first byte. Paths stand once,
//! sorted, each without what it has in common with the one before; words that repeat stand once.

use std::collections::{BTreeSet, HashMap};

use bincode::{
    Decode, Encode,
    config::{Configuration, Limit, LittleEndian, Varint},
};
use protocol::{
    api::{Life, LifeEvent},
    time::Timestamp,
};

use super::past::PastActor;
use crate::supervision::Delta;

/// Of the layout below.
const VERSION: u8 = 1;

/// Bytes of the largest segment: a base of a million actors.
const LARGEST: usize = 256 << 20;

const CONFIG: Configuration<LittleEndian, Varint, Limit<LARGEST>> =
    bincode::config::standard().with_limit::<LARGEST>();

/// What a segment tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tale {
    /// After when it tells.
    pub from: Timestamp,
    /// Up to when.
    pub to: Timestamp,
    /// Actors that are new or differ, by path; in a base, all.
    pub actors: Vec<(String, PastActor)>,
    /// Paths that are gone.
    pub gone: Vec<String>,
    /// What became of actors, in order of time.
    pub life: Vec<LifeEvent>,
}

impl Tale {
    /// What `delta` says of the time since `from`.
    #[must_use]
    pub fn new(from: Timestamp, delta: Delta) -> Self {
        let actors = delta.rows.into_iter();
        Self {
            from,
            to: delta.at,
            actors: actors.map(PastActor::of).collect(),
            gone: delta.gone,
            life: delta.life,
        }
    }

    /// Whether it tells of nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty() && self.gone.is_empty() && self.life.is_empty()
    }
}

/// A segment's bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A newer build wrote it.
    #[error("a segment has version {0}, this build reads {VERSION} at most")]
    Version(u8),
    /// It is damaged.
    #[error("a segment is malformed: {0}")]
    Malformed(String),
}

#[derive(Encode, Decode)]
struct Layout {
    from: i64,
    /// Moments below are before this one, in microseconds.
    to: i64,
    paths: Vec<Step>,
    words: Vec<String>,
    actors: Vec<Actor>,
    gone: Vec<u32>,
    life: Vec<Turn>,
}

/// A path by what it adds to the one before.
#[derive(Encode, Decode)]
struct Step {
    shared: u16,
    rest: String,
}

#[derive(Encode, Decode)]
struct Actor {
    path: u32,
    kind: u32,
    state: u32,
    /// Whether it began under the eyes of this segment: then no turn says so.
    is_new: bool,
    before: i64,
    restarts: u32,
    error: Option<u32>,
    moved_from: Option<u32>,
}

#[derive(Encode, Decode)]
struct Turn {
    path: u32,
    kind: u32,
    what: u8,
    before: i64,
    reason: Option<u32>,
    moved_from: Option<u32>,
}

const LIVES: [Life; 8] = [
    Life::Started,
    Life::Stopped,
    Life::Failed,
    Life::Restarted,
    Life::Parked,
    Life::Moved,
    Life::Stuck,
    Life::NodeLost,
];

/// The bytes of `tale`.
pub(super) fn encode(tale: &Tale) -> Vec<u8> {
    let layout = lay_out(tale);
    let mut bytes = vec![VERSION];
    let written = bincode::encode_into_std_write(layout, &mut bytes, CONFIG);
    debug_assert!(written.is_ok(), "a vector takes all that is written");
    bytes
}

/// What was told of `node`.
pub(super) fn decode(node: &str, bytes: &[u8]) -> Result<Tale, Unreadable> {
    let malformed = |what: &str| Unreadable::Malformed(what.to_owned());
    match bytes.split_first() {
        None => Err(malformed("it is empty")),
        Some((&VERSION, rest)) => {
            let layout = bincode::decode_from_slice::<Layout, _>(rest, CONFIG);
            let (layout, used) = layout.map_err(|error| malformed(&format!("{error:?}")))?;
            if used != rest.len() {
                return Err(malformed("something follows it"));
            }
            read(node, layout).ok_or_else(|| malformed("it names what it does not hold"))
        }
        Some((&version, _)) => Err(Unreadable::Version(version)),
    }
}

/// Words by number, in the order in which they came.
#[derive(Default)]
struct Words<'a> {
    numbers: HashMap<&'a str, u32>,
    all: Vec<String>,
}

impl<'a> Words<'a> {
    fn number(&mut self, word: &'a str) -> u32 {
        *self.numbers.entry(word).or_insert_with(|| {
            self.all.push(word.to_owned());
            count(self.all.len() - 1)
        })
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn lay_out(tale: &Tale) -> Layout {
    let of_life = tale.life.iter().map(|turn| turn.path.as_str());
    let gone = tale.gone.iter().map(String::as_str);
    let actors = tale.actors.iter().map(|(path, _)| path.as_str());
    let sorted: BTreeSet<&str> = actors.chain(gone).chain(of_life).collect();
    let numbers: HashMap<&str, u32> = sorted.iter().copied().zip(0..).collect();
    let path = |path: &str| numbers.get(path).copied().unwrap_or(u32::MAX);
    let to = tale.to.as_micros();
    let before = |at: Timestamp| to.wrapping_sub(at.as_micros());

    let begun: HashMap<(&str, &str, Timestamp), ()> = tale
        .life
        .iter()
        .filter(|turn| turn.what == Life::Started && turn.reason.is_none())
        .map(|turn| ((turn.path.as_str(), turn.kind.as_str(), turn.at), ()))
        .collect();
    let mut left_out = HashMap::new();
    let mut words = Words::default();
    let mut actors = Vec::with_capacity(tale.actors.len());
    for (at, actor) in &tale.actors {
        let beginning = (at.as_str(), actor.kind.as_str(), actor.started_at);
        let is_new = begun.contains_key(&beginning);
        if is_new {
            left_out.insert(beginning, ());
        }
        actors.push(Actor {
            path: path(at),
            kind: words.number(&actor.kind),
            state: words.number(&actor.state),
            is_new,
            before: before(actor.started_at),
            restarts: actor.restarts,
            error: actor.last_error.as_deref().map(|it| words.number(it)),
            moved_from: actor.restored_from.as_deref().map(|it| words.number(it)),
        });
    }
    let mut life = Vec::new();
    for turn in &tale.life {
        let beginning = (turn.path.as_str(), turn.kind.as_str(), turn.at);
        if turn.what == Life::Started && left_out.contains_key(&beginning) {
            continue;
        }
        life.push(Turn {
            path: path(&turn.path),
            kind: words.number(&turn.kind),
            what: number_of(turn.what),
            before: before(turn.at),
            reason: turn.reason.as_deref().map(|it| words.number(it)),
            moved_from: turn.restored_from.as_deref().map(|it| words.number(it)),
        });
    }
    Layout {
        from: tale.from.as_micros(),
        to,
        gone: tale.gone.iter().map(|gone| path(gone)).collect(),
        actors,
        life,
        words: words.all,
        paths: steps(sorted),
    }
}

fn number_of(what: Life) -> u8 {
    let place = LIVES.iter().position(|life| *life == what).unwrap_or(0);
    u8::try_from(place).unwrap_or(0)
}

fn steps(sorted: BTreeSet<&str>) -> Vec<Step> {
    let mut before = "";
    let step = |path| {
        let shared = shared(before, path);
        before = path;
        Step {
            shared,
            rest: path[usize::from(shared)..].to_owned(),
        }
    };
    sorted.into_iter().map(step).collect()
}

/// How many bytes two texts have in common at their beginnings, up to the end of a character.
fn shared(one: &str, other: &str) -> u16 {
    let same = one.bytes().zip(other.bytes());
    let same = same.take_while(|(one, other)| one == other).count();
    let same = other.floor_char_boundary(same.min(usize::from(u16::MAX)));
    u16::try_from(same).unwrap_or(0)
}

/// The paths in full; nothing when a step refers to what is not there.
fn paths(steps: Vec<Step>) -> Option<Vec<String>> {
    let mut paths: Vec<String> = Vec::with_capacity(steps.len());
    for Step { shared, rest } in steps {
        let before = paths.last().map_or("", String::as_str);
        let path = format!("{}{rest}", before.get(..usize::from(shared))?);
        paths.push(path);
    }
    Some(paths)
}

fn read(node: &str, layout: Layout) -> Option<Tale> {
    let paths = paths(layout.paths)?;
    let path = |number: u32| paths.get(number as usize).cloned();
    let word = |number: u32| layout.words.get(number as usize).cloned();
    let maybe = |number: Option<u32>| match number {
        None => Some(None),
        Some(number) => word(number).map(Some),
    };
    let at = |before: i64| Timestamp::from_micros(layout.to.wrapping_sub(before));
    let (mut actors, mut life) = (Vec::with_capacity(layout.actors.len()), Vec::new());
    for it in layout.actors {
        let (path, kind) = (path(it.path)?, word(it.kind)?);
        if it.is_new {
            life.push(LifeEvent {
                at: at(it.before),
                node: node.to_owned(),
                path: path.clone(),
                kind: kind.clone(),
                what: Life::Started,
                reason: None,
                restored_from: None,
            });
        }
        let actor = PastActor {
            kind,
            state: word(it.state)?,
            started_at: at(it.before),
            restarts: it.restarts,
            last_error: maybe(it.error)?,
            restored_from: maybe(it.moved_from)?,
        };
        actors.push((path, actor));
    }
    for it in layout.life {
        life.push(LifeEvent {
            at: at(it.before),
            node: node.to_owned(),
            path: path(it.path)?,
            kind: word(it.kind)?,
            what: LIVES.get(usize::from(it.what)).copied()?,
            reason: maybe(it.reason)?,
            restored_from: maybe(it.moved_from)?,
        });
    }
    life.sort_by_key(|turn| turn.at);
    Some(Tale {
        from: Timestamp::from_micros(layout.from),
        to: Timestamp::from_micros(layout.to),
        actors,
        gone: layout.gone.into_iter().map(path).collect::<Option<_>>()?,
        life,
    })
}
