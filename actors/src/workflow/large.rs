//! Values of a run that are too large to be written down again and again: each is kept once, and what
//! refers to it holds a reference.
//!
//! A reference is `{"$large": DIGEST, "bytes": SIZE}`. It counts as one only where a value with this
//! digest is kept, so what merely looks like one stays as it is.

mod event;
mod weight;

use std::{collections::HashMap, sync::Arc};

use protocol::task::Event;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use weight::Digest;
use weight::{PART, Weight, reference, referred, size};

/// Bytes of JSON from which on a value is kept by itself.
pub const LARGE: usize = 64 << 10;

/// Bytes of kept values that one expression, call or result may load.
pub const MOST: usize = 64 << 20;

/// The large values of a run, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Arc<Value>>", into = "Vec<Arc<Value>>")]
pub struct Large {
    values: Vec<Arc<Value>>,
    /// These and the parts of these that are worth a reference.
    parts: HashMap<Digest, Part>,
}

/// Where a part stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    value: usize,
    /// A JSON pointer.
    path: String,
    /// As it is kept: where it refers to others, with the references.
    size: usize,
}

/// More was to be loaded than may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it would load more than {MOST} bytes")]
pub struct TooLarge;

impl From<Vec<Arc<Value>>> for Large {
    fn from(values: Vec<Arc<Value>>) -> Self {
        let mut large = Self::default();
        for value in values {
            let weight = Weight::of(&value);
            large.enter(value, &weight);
        }
        large
    }
}

impl From<Large> for Vec<Arc<Value>> {
    fn from(large: Large) -> Self {
        large.values
    }
}

impl Large {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// An event as it is written down: what is kept, or stands in it before, is referred to.
    #[must_use]
    pub fn fold(&self, mut event: Event) -> Event {
        let mut news = Self::default();
        let mut is_heavy = !self.is_empty();
        event::each(&event, &mut |value| is_heavy |= is_large(value));
        if !is_heavy {
            return event;
        }
        event::each_mut(&mut event, &mut |value| {
            self.replace(value, &news);
            if is_large(value) {
                news.keep(&mut value.clone());
            }
        });
        event
    }

    /// A value with references to what is kept.
    pub(crate) fn folded(&self, mut value: Value) -> Value {
        self.replace(&mut value, &Self::default());
        value
    }

    /// Keeps what is large in an event that was written down; answers the event with references in its
    /// place, if there is anything.
    pub(crate) fn take_in(&mut self, event: &Event) -> Option<Event> {
        let mut has_large = false;
        event::each(event, &mut |value| has_large |= is_large(value));
        has_large.then(|| {
            let mut folded = event.clone();
            event::each_mut(&mut folded, &mut |value| self.keep(value));
            folded
        })
    }

    /// A value of another run as this one writes it down, and keeps it.
    pub(crate) fn take_over(&mut self, value: Value) -> Value {
        let value = self.folded(value);
        if is_large(&value) {
            self.keep(&mut value.clone());
        }
        value
    }

    /// A value with all that it refers to.
    ///
    /// # Errors
    ///
    /// When that is more than may be loaded.
    pub fn whole(&self, value: &Value) -> Result<Value, TooLarge> {
        self.within(value, MOST)
    }

    /// Whether a value can be loaded with all that it refers to.
    ///
    /// # Errors
    ///
    /// When that is more than may be loaded.
    pub fn fits(&self, value: &Value) -> Result<(), TooLarge> {
        match self.is_empty() {
            true => Ok(()),
            false => self.measure(value, &mut { MOST }),
        }
    }

    /// A value as views show it: small ones whole, large ones by reference.
    #[must_use]
    pub fn shown(&self, value: &Value) -> Value {
        let whole = self.within(value, LARGE);
        whole.unwrap_or_else(|TooLarge| value.clone())
    }

    /// A value with all that it refers to, if that may be loaded; as it is otherwise.
    #[must_use]
    pub fn loaded(&self, value: &Value) -> Value {
        let whole = self.whole(value);
        whole.unwrap_or_else(|TooLarge| value.clone())
    }

    /// A value that is kept, by its digest.
    #[must_use]
    pub fn named(&self, digest: &str) -> Option<Value> {
        let found = self.find(&digest.parse().ok()?)?.0;
        Some(self.loaded(found))
    }

    fn within(&self, value: &Value, most: usize) -> Result<Value, TooLarge> {
        match self.is_empty() {
            true => Ok(value.clone()),
            false => self.expand(value, &mut { most }),
        }
    }

    fn measure(&self, value: &Value, left: &mut usize) -> Result<(), TooLarge> {
        if let Some((kept, size)) = referred(value).and_then(|(digest, _)| self.find(&digest)) {
            *left = left.checked_sub(size).ok_or(TooLarge)?;
            return self.measure(kept, left);
        }
        match value {
            Value::Array(all) => all.iter().try_for_each(|one| self.measure(one, left)),
            Value::Object(all) => all.values().try_for_each(|one| self.measure(one, left)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn expand(&self, value: &Value, left: &mut usize) -> Result<Value, TooLarge> {
        if let Some((kept, size)) = referred(value).and_then(|(digest, _)| self.find(&digest)) {
            *left = left.checked_sub(size).ok_or(TooLarge)?;
            return self.expand(kept, left);
        }
        Ok(match value {
            Value::Array(all) => {
                let all = all.iter().map(|one| self.expand(one, left));
                Value::Array(all.collect::<Result<_, _>>()?)
            }
            Value::Object(all) => {
                let all = all.iter();
                let all = all.map(|(key, one)| Ok((key.clone(), self.expand(one, left)?)));
                Value::Object(all.collect::<Result<_, _>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        })
    }

    fn find(&self, digest: &Digest) -> Option<(&Value, usize)> {
        let part = self.parts.get(digest)?;
        let value = self.values[part.value].pointer(&part.path)?;
        Some((value, part.size))
    }

    /// Puts references in the place of what is kept here or in `other`.
    fn replace(&self, value: &mut Value, other: &Self) {
        if self.is_empty() && other.is_empty() || size(value, PART) < PART {
            return;
        }
        let weight = Weight::of(value);
        weight.replace(value, &|digest| {
            self.parts.contains_key(digest) || other.parts.contains_key(digest)
        });
    }

    /// Keeps a value if it is large, and puts a reference in its place.
    fn keep(&mut self, value: &mut Value) {
        if !is_large(value) {
            return;
        }
        let weight = Weight::of(value);
        let Some((digest, bytes)) = weight.digest else {
            return;
        };
        let kept = std::mem::replace(value, reference(digest, bytes));
        if !self.parts.contains_key(&digest) {
            self.enter(Arc::new(kept), &weight);
        }
    }

    fn enter(&mut self, value: Arc<Value>, weight: &Weight) {
        let at = self.values.len();
        let parts = &mut self.parts;
        weight.each(&value, &mut |digest, path, size| {
            let path = path.to_owned();
            parts.entry(digest).or_insert(Part {
                value: at,
                path,
                size,
            });
        });
        self.values.push(value);
    }
}

fn is_large(value: &Value) -> bool {
    size(value, LARGE) >= LARGE
}

#[cfg(test)]
mod tests;
