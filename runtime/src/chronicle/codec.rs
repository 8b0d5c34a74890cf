//! The bytes of a segment: bincode's, and named nowhere else.
//!
//! `Layout` and what it holds are the contract of [`VERSION`], the first byte. Paths stand once,
//! sorted, each without what it has in common with the one before; words that repeat stand once.

use std::collections::{BTreeSet, HashMap};

use bincode::{
    BorrowDecode, Decode, Encode,
    config::{Configuration, Limit, LittleEndian, Varint},
};
use protocol::{
    api::{Life, LifeEvent},
    time::Timestamp,
};

use super::{past::PastActor, sieve::Sieve};
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

#[derive(Encode, BorrowDecode)]
struct Layout<'a> {
    from: i64,
    /// Moments below are before this one, in microseconds.
    to: i64,
    paths: Vec<Step<'a>>,
    words: Vec<&'a str>,
    actors: Vec<Actor>,
    gone: Vec<u32>,
    life: Vec<Turn>,
}

/// A path by what it adds to the one before.
#[derive(Encode, BorrowDecode)]
struct Step<'a> {
    shared: u16,
    rest: &'a str,
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

/// What was told of `node`, as far as the sieve lets it pass; the rest is not built at all.
pub(super) fn decode(node: &str, bytes: &[u8], sieve: &dyn Sieve) -> Result<Tale, Unreadable> {
    let malformed = |what: &str| Unreadable::Malformed(what.to_owned());
    match bytes.split_first() {
        None => Err(malformed("it is empty")),
        Some((&VERSION, rest)) => {
            let layout = bincode::borrow_decode_from_slice::<Layout<'_>, _>(rest, CONFIG);
            let (layout, used) = layout.map_err(|error| malformed(&format!("{error:?}")))?;
            if used != rest.len() {
                return Err(malformed("something follows it"));
            }
            read(node, layout, sieve).ok_or_else(|| malformed("it names what it does not hold"))
        }
        Some((&version, _)) => Err(Unreadable::Version(version)),
    }
}

/// Words by number, in the order in which they came.
#[derive(Default)]
struct Words<'a> {
    numbers: HashMap<&'a str, u32>,
    all: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn number(&mut self, word: &'a str) -> u32 {
        *self.numbers.entry(word).or_insert_with(|| {
            self.all.push(word);
            count(self.all.len() - 1)
        })
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn lay_out(tale: &Tale) -> Layout<'_> {
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

fn steps(sorted: BTreeSet<&str>) -> Vec<Step<'_>> {
    let mut before = "";
    let step = |path| {
        let shared = shared(before, path);
        before = path;
        Step {
            shared,
            rest: &path[usize::from(shared)..],
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

/// A path of which something is wanted.
struct Place {
    path: String,
    is_row: bool,
    is_life: bool,
}

/// The paths in full, those that are wanted; nothing when a step refers to what is not there.
fn places(steps: &[Step<'_>], sieve: &dyn Sieve) -> Option<Vec<Option<Place>>> {
    let mut path = String::new();
    let place = |step: &Step<'_>| {
        let shared = path.get(..usize::from(step.shared))?.len();
        path.truncate(shared);
        path.push_str(step.rest);
        let (is_row, is_life) = (sieve.admits_row(&path), sieve.admits_path(&path));
        Some((is_row || is_life).then(|| Place {
            path: path.clone(),
            is_row,
            is_life,
        }))
    };
    steps.iter().map(place).collect()
}

/// Numbers that a segment gives to what stands in it once.
struct Index<'a> {
    node: &'a str,
    to: i64,
    places: Vec<Option<Place>>,
    words: Vec<&'a str>,
}

impl Index<'_> {
    /// The path of a number, if it is wanted there; nothing at all if there is no such number.
    fn path(&self, number: u32, is_wanted: fn(&Place) -> bool) -> Option<Option<&str>> {
        let place = self.places.get(number as usize)?.as_ref();
        let place = place.filter(|place| is_wanted(place));
        Some(place.map(|place| place.path.as_str()))
    }

    fn word(&self, number: u32) -> Option<&str> {
        self.words.get(number as usize).copied()
    }

    fn maybe(&self, number: Option<u32>) -> Option<Option<String>> {
        match number {
            None => Some(None),
            Some(number) => Some(Some(self.word(number)?.to_owned())),
        }
    }

    fn at(&self, before: i64) -> Timestamp {
        Timestamp::from_micros(self.to.wrapping_sub(before))
    }

    fn start(&self, path: &str, it: &Actor) -> Option<LifeEvent> {
        Some(LifeEvent {
            at: self.at(it.before),
            node: self.node.to_owned(),
            path: path.to_owned(),
            kind: self.word(it.kind)?.to_owned(),
            what: Life::Started,
            reason: None,
            restored_from: None,
        })
    }

    fn turn(&self, path: &str, what: Life, it: &Turn) -> Option<LifeEvent> {
        Some(LifeEvent {
            at: self.at(it.before),
            node: self.node.to_owned(),
            path: path.to_owned(),
            kind: self.word(it.kind)?.to_owned(),
            what,
            reason: self.maybe(it.reason)?,
            restored_from: self.maybe(it.moved_from)?,
        })
    }

    fn actor(&self, path: &str, it: &Actor) -> Option<(String, PastActor)> {
        let actor = PastActor {
            kind: self.word(it.kind)?.to_owned(),
            state: self.word(it.state)?.to_owned(),
            started_at: self.at(it.before),
            restarts: it.restarts,
            last_error: self.maybe(it.error)?,
            restored_from: self.maybe(it.moved_from)?,
        };
        Some((path.to_owned(), actor))
    }
}

fn read(node: &str, layout: Layout<'_>, sieve: &dyn Sieve) -> Option<Tale> {
    let index = Index {
        node,
        to: layout.to,
        places: places(&layout.paths, sieve)?,
        words: layout.words,
    };
    let mut tale = Tale {
        from: Timestamp::from_micros(layout.from),
        to: Timestamp::from_micros(layout.to),
        ..Tale::default()
    };
    for it in &layout.actors {
        if let Some(path) = index.path(it.path, |place| place.is_life)?
            && it.is_new
            && sieve.admits_turn(index.word(it.kind)?, Life::Started)
        {
            tale.life.push(index.start(path, it)?);
        }
        if let Some(path) = index.path(it.path, |place| place.is_row)? {
            tale.actors.push(index.actor(path, it)?);
        }
    }
    for it in &layout.life {
        let what = LIVES.get(usize::from(it.what)).copied()?;
        if let Some(path) = index.path(it.path, |place| place.is_life)?
            && sieve.admits_turn(index.word(it.kind)?, what)
        {
            tale.life.push(index.turn(path, what, it)?);
        }
    }
    for &gone in &layout.gone {
        let path = index.path(gone, |place| place.is_row)?;
        tale.gone.extend(path.map(str::to_owned));
    }
    tale.life.sort_by_key(|turn| turn.at);
    Some(tale)
}
