//! How large a value is, and what names it: a digest of its content, whether that is there or referred to.

use std::{fmt, str::FromStr};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Bytes of JSON from which on a part of a kept value is worth a reference.
pub(super) const PART: usize = 512;

/// Stands before a digest, and in no JSON.
const MARK: u8 = 0xff;

const KEY: &str = "$large";

/// Names a value by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 16]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 32 lower-case hex digits")]
pub struct NoDigest;

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(is_hex) {
            return Err(NoDigest);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| NoDigest)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// What stands in the place of a value.
pub(super) fn reference(digest: Digest, bytes: usize) -> Value {
    json!({ KEY: digest.to_string(), "bytes": bytes })
}

/// To what a value refers, if it is a reference, and how large that says to be.
pub(super) fn referred(value: &Value) -> Option<(Digest, usize)> {
    let fields = value.as_object().filter(|fields| fields.len() == 2)?;
    let digest = fields.get(KEY)?.as_str()?.parse().ok()?;
    let bytes = fields.get("bytes")?.as_u64()?;
    Some((digest, usize::try_from(bytes).ok()?))
}

/// About how many bytes a value has as JSON; counted no further than to `enough`.
pub(super) fn size(value: &Value, enough: usize) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(all) => sum(all.iter().map(|one| (0, one)), enough),
        Value::Object(all) => sum(all.iter().map(|(key, one)| (key.len() + 3, one)), enough),
    }
}

fn sum<'a>(all: impl Iterator<Item = (usize, &'a Value)>, enough: usize) -> usize {
    let mut sum = 2;
    for (key, one) in all {
        if sum >= enough {
            break;
        }
        sum += key + 1 + size(one, enough - sum);
    }
    sum
}

/// How large a value is, and those of its parts that are worth a reference.
#[derive(Debug, Default)]
pub(super) struct Weight {
    /// Its name and the bytes of its content; of what is worth a reference.
    pub(super) digest: Option<(Digest, usize)>,
    /// Those of its parts, by their places in it, that are or have such.
    parts: Vec<(usize, Self)>,
}

impl Weight {
    pub(super) fn of(value: &Value) -> Self {
        weigh(value, &mut Vec::new()).0
    }

    /// Puts references in the place of all that is kept; of a whole and its parts, of the whole.
    pub(super) fn replace(&self, value: &mut Value, is_kept: &impl Fn(&Digest) -> bool) {
        if let Some((digest, bytes)) = self.digest
            && is_kept(&digest)
        {
            *value = reference(digest, bytes);
            return;
        }
        match value {
            Value::Array(all) => {
                for (at, part) in &self.parts {
                    part.replace(&mut all[*at], is_kept);
                }
            }
            Value::Object(all) => {
                let mut parts = self.parts.iter().peekable();
                for (at, (_, one)) in all.iter_mut().enumerate() {
                    if let Some((_, part)) = parts.next_if(|(place, _)| *place == at) {
                        part.replace(one, is_kept);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Each part that is worth a reference and is none: its name, its JSON pointer, how large it is here.
    pub(super) fn each(&self, value: &Value, visit: &mut impl FnMut(Digest, &str, usize)) {
        self.walk(value, &mut String::new(), visit);
    }

    fn walk(&self, value: &Value, path: &mut String, visit: &mut impl FnMut(Digest, &str, usize)) {
        if referred(value).is_some() {
            return;
        }
        if let Some((digest, _)) = self.digest {
            visit(digest, path, size(value, usize::MAX));
        }
        let here = path.len();
        let mut keys = value.as_object().map(|all| all.iter().enumerate());
        for (at, part) in &self.parts {
            let inner = match (value, &mut keys) {
                (Value::Array(all), _) => {
                    path.push_str(&format!("/{at}"));
                    all.get(*at)
                }
                (_, Some(keys)) => keys.find(|(place, _)| place == at).map(|(_, (key, one))| {
                    path.push('/');
                    path.push_str(&key.replace('~', "~0").replace('/', "~1"));
                    one
                }),
                (_, None) => None,
            };
            if let Some(inner) = inner {
                part.walk(inner, path, visit);
            }
            path.truncate(here);
        }
    }
}

/// Writes the value's content with digests in the place of its larger parts; answers also its bytes.
fn weigh(value: &Value, out: &mut Vec<u8>) -> (Weight, usize) {
    let start = out.len();
    if let Some((digest, bytes)) = referred(value) {
        mark(digest, out);
        let digest = (bytes >= PART).then_some((digest, bytes));
        let parts = Vec::new();
        return (Weight { digest, parts }, bytes);
    }
    let mut parts = Vec::new();
    let mut bytes = 2;
    let mut inner = |at: usize, one: &Value, out: &mut Vec<u8>| {
        let (part, inner) = weigh(one, out);
        if part.digest.is_some() {
            parts.push((at, part));
        }
        // With the comma before it.
        inner + usize::from(at > 0)
    };
    match value {
        Value::Array(all) => {
            out.push(b'[');
            for (at, one) in all.iter().enumerate() {
                bytes += inner(at, one, out);
                out.push(b',');
            }
            out.push(b']');
        }
        Value::Object(all) => {
            out.push(b'{');
            for (at, (key, one)) in all.iter().enumerate() {
                bytes += text(key, out) + 1 + inner(at, one, out);
                out.push(b',');
            }
            out.push(b'}');
        }
        Value::String(string) => bytes = text(string, out),
        Value::Null | Value::Bool(_) | Value::Number(_) => bytes = text(value, out),
    }
    let mut digest = None;
    if bytes >= PART {
        let mut half = [0; 16];
        half.copy_from_slice(&Sha256::digest(&out[start..])[..16]);
        out.truncate(start);
        mark(Digest(half), out);
        digest = Some((Digest(half), bytes));
    }
    (Weight { digest, parts }, bytes)
}

/// Writes it as JSON; answers how long that is.
fn text(value: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) -> usize {
    let start = out.len();
    // Texts, numbers and truths always can be written, and memory takes them.
    let _ = serde_json::to_writer(&mut *out, value);
    out.len() - start
}

fn mark(digest: Digest, out: &mut Vec<u8>) {
    out.push(MARK);
    out.extend(digest.0);
}
