//! Which field it is that cannot be read, where the parser knows the whole only: a node is read by its
//! `type`, and of what is in it no path is kept.

use protocol::{
    json::objects,
    workflow::{Choose, Director, Expert, Node},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::workflow::check::{element, field};

/// What tells how the rest is to be read comes first.
const FIRST: [&str; 3] = ["id", "type", "by"];

/// Bytes of JSON up to which a part is looked for: each field costs a reading of all that it stands in.
const LOOKED_INTO: usize = 8 << 10;

/// The path of the part that a parser says this of; the path of the whole when it is no part.
pub(super) fn narrowed(definition: &Value, path: &str, told: &str) -> String {
    let Some(whole) = definition.pointer(&pointer(path)) else {
        return path.to_owned();
    };
    if whole.to_string().len() > LOOKED_INTO {
        return path.to_owned();
    }
    let says = match path.split(['[', '.']).next() {
        Some("nodes") => says::<Node>,
        Some("director") => says::<Director>,
        Some("experts") => says::<Expert>,
        Some("choose") => says::<Choose>,
        _ => return path.to_owned(),
    };
    part(whole, path.to_owned(), told, &|value| says(value, told))
}

fn says<T: DeserializeOwned>(value: Value, told: &str) -> bool {
    objects::<T, _>(value).is_err_and(|error| error.to_string() == told)
}

fn missing(told: &str) -> Option<&str> {
    told.strip_prefix("missing field `")?.strip_suffix('`')
}

/// Whether it is said of an object by its form or its one name: of what it has to that, nothing is.
fn is_about_form(told: &str) -> bool {
    ["invalid type: map,", "unknown variant "]
        .iter()
        .any(|begin| told.starts_with(begin))
}

/// Whether it is said of this word that nobody knows it.
fn is_about_word(told: &str, word: &Value) -> bool {
    let unknown = told.strip_prefix("unknown variant `");
    let rest = unknown.and_then(|rest| rest.strip_prefix(word.as_str()?));
    rest.is_some_and(|rest| rest.starts_with('`'))
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace(']', "").replace(['[', '.'], "/"))
}

/// What is wrong begins to be wrong when the part that it is in is added to those before.
fn part(whole: &Value, path: String, told: &str, is_wrong: &dyn Fn(Value) -> bool) -> String {
    match whole {
        Value::Object(fields) => {
            // It is missing here if anything in its place would do away with that.
            if let Some(name) = missing(told).filter(|name| !fields.contains_key(*name)) {
                let mut fields = fields.clone();
                fields.insert(name.to_owned(), Value::Null);
                if !is_wrong(fields.into()) {
                    return path;
                }
            }
            let is_first = |name: &str| FIRST.contains(&name);
            let (first, others): (Vec<_>, Vec<_>) =
                fields.iter().partition(|(name, _)| is_first(name));
            let first = first
                .into_iter()
                .map(|(name, value)| (name.clone(), value.clone()));
            let mut before: Map<String, Value> = first.collect();
            // What is said of a word given as an object is said whatever the object has to it.
            let is_about_form = is_about_form(told);
            if is_wrong(before.clone().into()) {
                // It may be the word itself that is not known.
                let word = before.iter().find(|(_, value)| is_about_word(told, value));
                return word.map_or(path.clone(), |(name, _)| field(&path, name));
            }
            for (name, value) in others {
                let with = |value: Value| {
                    let mut fields = before.clone();
                    fields.insert(name.clone(), value);
                    is_wrong(fields.into())
                };
                if with(value.clone()) {
                    if is_about_form && with(Value::Null) && with(Value::Bool(true)) {
                        return path;
                    }
                    return part(value, field(&path, name), told, &with);
                }
                before.insert(name.clone(), value.clone());
            }
            path
        }
        Value::Array(elements) => {
            let begins: Vec<usize> = (0..=elements.len()).collect();
            let length = begins.partition_point(|length| !is_wrong(elements[..*length].into()));
            let Some((last, before)) = elements.get(..length).and_then(<[Value]>::split_last)
            else {
                return path;
            };
            let with = |value: Value| {
                let mut elements = before.to_vec();
                elements.push(value);
                is_wrong(elements.into())
            };
            part(last, element(&path, before.len()), told, &with)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => path,
    }
}
