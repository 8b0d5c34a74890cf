//! From a text, YAML or JSON, to the definition that it says, with the line of everything in it.

mod blame;
mod fields;
mod places;
mod rest;

use protocol::{json::Objects, words, workflow::Definition};
use serde_json::Value;

pub use fields::{COMMON, KINDS, Kind};
pub use places::{Place, Places};

use super::check::{self, Problem};
use rest::Rest;

/// Longest text, in bytes.
pub const MAX_LENGTH: usize = 1 << 20;

/// A definition as it was read; whether it holds is for [`check::check`] to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The definition.
    pub definition: Definition,
    /// Where everything in it stands.
    pub places: Places,
}

/// Reads a text.
///
/// # Errors
///
/// What keeps it from being a definition: it is neither YAML nor JSON, something is missing, has a name
/// that nobody knows, or is not of its type.
pub fn read(text: &str) -> Result<Read, Vec<Problem>> {
    if text.len() > MAX_LENGTH {
        return Err(vec![too_long()]);
    }
    let (value, places) = places::parse(text).map_err(|problem| vec![problem])?;
    match definition(&value) {
        Ok(definition) => Ok(Read { definition, places }),
        Err(problems) => Err(places.found(problems)),
    }
}

pub(super) fn too_long() -> Problem {
    let message = format!("a definition has at most {MAX_LENGTH} bytes");
    Problem::new("", message)
}

/// Reads a text and checks what it says.
///
/// # Errors
///
/// All that is wrong with it, each with its line.
pub fn checked(text: &str) -> Result<Definition, Vec<Problem>> {
    let Read { definition, places } = read(text)?;
    match check::check(&definition) {
        problems if problems.is_empty() => Ok(definition),
        problems => Err(places.found(problems)),
    }
}

/// Makes a definition of JSON.
///
/// # Errors
///
/// What keeps it from being one, as with [`read`].
pub fn definition(value: &Value) -> Result<Definition, Vec<Problem>> {
    if !value.is_object() {
        let message = "it is no definition: that has a `name` and `nodes`";
        return Err(vec![Problem::new("", message.to_owned())]);
    }
    let unknown = fields::unknown(value);
    if unknown.is_empty() {
        return parsed(value).map_err(|error| Rest::of(value).told(vec![unreadable(value, error)]));
    }
    Err(Rest::of(value).told(unknown))
}

fn parsed(value: &Value) -> Result<Definition, serde_path_to_error::Error<serde_json::Error>> {
    serde_path_to_error::deserialize(Objects(value))
}

/// A value that its field cannot have.
fn unreadable(value: &Value, error: serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let path = match error.path().to_string() {
        root if root == "." => String::new(),
        path => path,
    };
    let told = error.into_inner().to_string();
    let path = blame::narrowed(value, &path, &told);
    let mut message = words::plain(&told);
    if message.ends_with("where a text is expected") {
        message.push_str("; quotes make one");
    }
    Problem::new(path, message).of_node_in(value)
}

#[cfg(test)]
mod tests;
