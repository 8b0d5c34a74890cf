//! A text as JSON, with the line and the column of each part.

mod scan;

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
};

use protocol::json;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use serde_saphyr::{Location, Spanned};

use crate::workflow::check::{Problem, element, field};

/// Deepest nesting of a text.
const MAX_DEPTH: usize = 40;

/// Where something stands in a text; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

impl Place {
    fn of(location: &Location) -> Self {
        let number = |it| u32::try_from(it).unwrap_or(u32::MAX);
        Self {
            line: number(location.line()),
            column: number(location.column()),
        }
    }
}

/// Where each part of a definition stands, by paths such as `nodes[3].needs[0]`.
///
/// Each part is known by the whole that it is in and the last step of its path: with whole paths, a long
/// name above many parts would be kept once for each of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(HashMap<(usize, Step), (usize, Place)>);

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    /// A name, as paths have it.
    Field(String),
    Element(usize),
}

impl Step {
    fn field(key: &str) -> Self {
        Self::Field(field("", key))
    }

    /// The first step of a path, and what is left of it.
    fn first(path: &str) -> Option<(Self, &str)> {
        if path.starts_with("[\"") {
            let end = quoted_end(path)?;
            let (name, rest) = path.split_at_checked(end)?;
            return Some((Self::Field(name.to_owned()), rest));
        }
        if let Some(inner) = path.strip_prefix('[') {
            let (at, rest) = inner.split_once(']')?;
            return Some((Self::Element(at.parse().ok()?), rest));
        }
        let path = path.strip_prefix('.').unwrap_or(path);
        let (name, rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
        (!name.is_empty()).then(|| (Self::Field(name.to_owned()), rest))
    }
}

/// Where a quoted name ends, its bracket included.
fn quoted_end(path: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (at, byte) in path.bytes().enumerate().skip(2) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// The whole definition.
const WHOLE: usize = 0;

impl Places {
    /// Where a part stands, or the nearest whole that it would be part of.
    #[must_use]
    pub fn of(&self, path: &str) -> Option<Place> {
        let (mut found, mut whole, mut rest) = (None, WHOLE, path);
        while let Some((step, after)) = Step::first(rest) {
            let Some((part, place)) = self.0.get(&(whole, step)) else {
                break;
            };
            (found, whole, rest) = (Some(*place), *part, after);
        }
        found
    }

    /// The problems with their lines, in the order of these.
    #[must_use]
    pub fn found(&self, mut problems: Vec<Problem>) -> Vec<Problem> {
        for problem in &mut problems {
            problem.line = problem
                .line
                .or_else(|| self.of(&problem.path).map(|place| place.line));
        }
        problems.sort_by_key(|problem| (problem.is_last, problem.line));
        problems
    }

    /// Adds a part of a whole; nothing if the whole has it already.
    fn add(&mut self, whole: usize, step: Step, place: Place) -> Option<usize> {
        let part = self.0.len() + 1;
        match self.0.entry((whole, step)) {
            Entry::Occupied(_) => None,
            Entry::Vacant(room) => {
                room.insert((part, place));
                Some(part)
            }
        }
    }
}

/// What was read as YAML, part by part.
#[derive(Default)]
struct Reading {
    places: Places,
    /// The steps to the part that is read.
    way: Vec<Step>,
    /// The first name that is given twice: the library takes a number or a truth and the text of it for
    /// two names, and of the two JSON would keep one.
    twice: Option<Problem>,
}

impl Reading {
    fn add_all(&mut self, whole: usize, part: Part) -> Value {
        match part {
            Part::Scalar(value) => value,
            Part::List(elements) => {
                let elements = elements.into_iter().enumerate();
                let elements = elements.map(|(at, part)| {
                    let (step, place) = (Step::Element(at), Place::of(&part.referenced));
                    let inner = self.places.add(whole, step.clone(), place);
                    self.add_inner(inner.unwrap_or(whole), step, part.value)
                });
                Value::Array(elements.collect())
            }
            Part::Fields(fields) => {
                let fields = fields.into_iter().map(|(key, part)| {
                    let (step, place) = (Step::field(&key.value), Place::of(&key.referenced));
                    let inner = self.places.add(whole, step.clone(), place);
                    if inner.is_none() && self.twice.is_none() {
                        self.twice = Some(twice(&self.way, &key.value, place));
                    }
                    (
                        key.value,
                        self.add_inner(inner.unwrap_or(whole), step, part),
                    )
                });
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    fn add_inner(&mut self, whole: usize, step: Step, part: Part) -> Value {
        self.way.push(step);
        let value = self.add_all(whole, part);
        self.way.pop();
        value
    }
}

/// A name that stands twice in the object to which the steps lead.
fn twice<'a>(way: impl IntoIterator<Item = &'a Step>, name: &str, place: Place) -> Problem {
    let whole = way
        .into_iter()
        .fold(String::new(), |path, step| match step {
            Step::Element(at) => element(&path, *at),
            Step::Field(name) if path.is_empty() || name.starts_with('[') => path + name,
            Step::Field(name) => path + "." + name,
        });
    let mut problem = Problem::new(field(&whole, name), given_twice(name));
    problem.line = Some(place.line);
    problem
}

fn given_twice(name: &str) -> String {
    let shown: String = name.chars().take(80).collect();
    format!("the name `{shown}` is given twice in one object")
}

/// Reads a text, JSON if it begins like it.
pub(super) fn parse(text: &str) -> Result<(Value, Places), Problem> {
    let yaml = || {
        let mut reading = Reading::default();
        let value = parts(text).map(|part| reading.add_all(WHOLE, part))?;
        match reading.twice {
            Some(problem) => Err(problem.of_node_in(&value)),
            None => Ok((value, reading.places)),
        }
    };
    if !text.trim_start().starts_with('{') {
        return yaml();
    }
    match json::read(text.as_bytes()) {
        Ok(value) => match scan::places(text) {
            Ok(places) => Ok((value, places)),
            Err(problem) => Err(problem.of_node_in(&value)),
        },
        Err(error) if error.is_data() => {
            let message = error.to_string();
            let mut problem = Problem::new("", without_place(&message));
            problem.line = u32::try_from(error.line()).ok();
            Err(problem)
        }
        Err(error) => yaml().map_err(|_| {
            let message = error.to_string();
            let message = without_place(&message);
            let mut problem = Problem::new("", format!("this is not JSON: {message}"));
            problem.line = u32::try_from(error.line()).ok();
            problem
        }),
    }
}

fn parts(text: &str) -> Result<Part, Problem> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        // `y`, `no` and `on` are texts, as YAML has it since 2009.
        strict_booleans: true,
        // What is read so goes down the stack by some kilobytes for each level.
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map(|location| Place::of(&location));
        let message = error.without_snippet().to_string();
        let first = message.lines().next().unwrap_or_default();
        let first = without_place(first);
        let message = name_given_twice(first).map_or_else(|| first.to_owned(), given_twice);
        let mut problem = Problem::new("", message);
        problem.line = place.map(|place| place.line).filter(|line| *line > 0);
        problem
    })
}

/// The name of which the library says that it stands there twice: to that it adds what its own users can
/// do about it.
fn name_given_twice(message: &str) -> Option<&str> {
    let said = message.strip_prefix("duplicate mapping key: ")?;
    said.rsplit_once(", set ").map(|(name, _)| name)
}

/// The place stands in front already.
fn without_place(message: &str) -> &str {
    match message.rfind(" at line ") {
        Some(index) => &message[..index],
        None => message,
    }
}

/// A text as it is read: JSON, but each part knows where it stands.
#[derive(Debug)]
enum Part {
    Scalar(Value),
    List(Vec<Spanned<Self>>),
    Fields(Vec<(Spanned<String>, Self)>),
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PartVisitor)
    }
}

struct PartVisitor;

impl<'de> Visitor<'de> for PartVisitor {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Part, E> {
        Ok(Part::Scalar(truth.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Part, E> {
        Ok(Part::Scalar(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Part, E> {
        Ok(Part::Scalar(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Part, E> {
        let number = serde_json::Number::from_f64(number);
        let number = number.ok_or_else(|| E::custom("a number is finite"))?;
        Ok(Part::Scalar(Value::Number(number)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Part, E> {
        Ok(Part::Scalar(text.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Part, E> {
        Ok(Part::Scalar(Value::Null))
    }

    fn visit_none<E: Error>(self) -> Result<Part, E> {
        Ok(Part::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Part, D::Error> {
        Part::deserialize(inner)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Part, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Part::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Part, A::Error> {
        let mut fields = Vec::new();
        while let Some((key, part)) = entries.next_entry::<Spanned<String>, Part>()? {
            if json::is_reserved(&key.value) {
                return Err(A::Error::custom(json::Unfit::Reserved));
            }
            fields.push((key, part));
        }
        Ok(Part::Fields(fields))
    }
}
