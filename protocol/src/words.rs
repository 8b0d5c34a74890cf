//! What a parser of JSON, YAML or TOML finds wrong, in the words of who wrote the text.
//!
//! Parsers tell of types of this program: structs, variants, sequences. Who sends a request knows
//! objects, texts and arrays. Pure.

/// The message of a parser, as a person who knows nothing of this program reads it.
///
/// ```
/// let told = protocol::words::plain("invalid type: sequence, expected struct TaskSpec");
/// assert_eq!(told, "is an array, where an object is expected");
/// ```
#[must_use]
pub fn plain(message: &str) -> String {
    for start in ["invalid type: ", "invalid value: "] {
        if let Some((given, wanted)) = split(message, start) {
            let (given, wanted) = (given_as(given), wanted_as(wanted));
            return format!("is {given}, where {wanted} is expected");
        }
    }
    if let Some((length, wanted)) = split(message, "invalid length ") {
        return match wanted_as(wanted) {
            object if object == OBJECT => format!("is an array, where {object} is expected"),
            wanted => format!("has the length {length}, where {wanted} is expected"),
        };
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return match rest.split_once(", ") {
            Some((given, known)) => format!("{given} is not known here; {known}"),
            None => format!("{rest} is not known here"),
        };
    }
    if message.starts_with("data did not match any variant of untagged enum") {
        return "has none of the forms that it may have here".to_owned();
    }
    message.to_owned()
}

const OBJECT: &str = "an object";

/// The two halves of `START GIVEN, expected WANTED`; what was given may hold the words, too.
fn split<'a>(message: &'a str, start: &str) -> Option<(&'a str, &'a str)> {
    message.strip_prefix(start)?.rsplit_once(", expected ")
}

fn given_as(given: &str) -> String {
    let quoted = |start: &str| given.strip_prefix(start)?.strip_suffix('`');
    if let Some(number) = quoted("integer `").or_else(|| quoted("floating point `")) {
        return format!("the number {number}");
    }
    if let Some(truth) = quoted("boolean `") {
        return format!("`{truth}`");
    }
    if let Some(text) = given.strip_prefix("string ") {
        return format!("the text {text}");
    }
    match given {
        "map" => OBJECT.to_owned(),
        "sequence" => "an array".to_owned(),
        "null" | "unit value" | "Option value" => "null".to_owned(),
        other => other.to_owned(),
    }
}

fn wanted_as(wanted: &str) -> String {
    let most = |most: u64| format!("a whole number from 0 to {most}");
    match wanted {
        "a map" | "map" => OBJECT.to_owned(),
        "a sequence" | "sequence" => "an array".to_owned(),
        "a string" | "str" | "string" | "a borrowed string" => "a text".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "u8" => most(u8::MAX.into()),
        "u16" => most(u16::MAX.into()),
        "u32" => most(u32::MAX.into()),
        "u64" | "usize" => "a whole number, 0 or more,".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "unit" => "null".to_owned(),
        "string or map" => "a known word, or an object with one name,".to_owned(),
        "variant identifier" => "a known word".to_owned(),
        other if other.starts_with("struct ") || other.starts_with("internally tagged enum ") => {
            OBJECT.to_owned()
        }
        other if other.starts_with("adjacently tagged enum ") => OBJECT.to_owned(),
        other if other.starts_with("tuple struct ") => "an array".to_owned(),
        other if other.starts_with("a tuple of size ") => {
            other.replace("a tuple of size", "an array of")
        }
        other if other.starts_with("enum ") => "a known word".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, de::DeserializeOwned};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Yes,
        No,
    }

    #[derive(Debug, Deserialize)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    enum Tagged {
        One { _n: u8 },
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(#[expect(dead_code, reason = "only its refusal counts")] String),
        Number(#[expect(dead_code, reason = "only its refusal counts")] u8),
    }

    #[derive(Debug, Deserialize)]
    struct Thing {
        #[serde(rename = "n")]
        _n: u8,
    }

    fn told<T: DeserializeOwned>(json: &str) -> String {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        match serde_json::from_value::<T>(value) {
            Ok(_) => panic!("{json} is right"),
            Err(error) => plain(&error.to_string()),
        }
    }

    #[test]
    fn nothing_of_this_program_s_types_is_told() {
        let told = [
            told::<Thing>("7"),
            told::<Thing>("[]"),
            told::<Thing>("\"a, expected b\""),
            told::<Thing>("{\"n\": 256}"),
            told::<Thing>("{\"n\": null}"),
            told::<Thing>("{\"n\": 1.5}"),
            told::<Thing>("{}"),
            told::<Vec<Thing>>("{}"),
            told::<BTreeMap<String, u8>>("[]"),
            told::<Word>("\"maybe\""),
            told::<Word>("7"),
            told::<Tagged>("\"one\""),
            told::<Tagged>("{\"kind\": \"two\"}"),
            told::<Either>("[]"),
            told::<bool>("\"yes\""),
            told::<(u8, u8)>("[1]"),
            told::<String>("true"),
        ];
        assert_eq!(
            told.each_ref().map(String::as_str),
            [
                "is the number 7, where an object is expected",
                "is an array, where an object is expected",
                "is the text \"a, expected b\", where an object is expected",
                "is the number 256, where a whole number from 0 to 255 is expected",
                "is null, where a whole number from 0 to 255 is expected",
                "is the number 1.5, where a whole number from 0 to 255 is expected",
                "missing field `n`",
                "is an object, where an array is expected",
                "is an array, where an object is expected",
                "`maybe` is not known here; expected `yes` or `no`",
                "is the number 7, where a known word, or an object with one name, is expected",
                "is the text \"one\", where an object is expected",
                "`two` is not known here; expected `one`",
                "has none of the forms that it may have here",
                "is the text \"yes\", where `true` or `false` is expected",
                "has the length 1, where an array of 2 is expected",
                "is `true`, where a text is expected",
            ]
        );
    }
}
