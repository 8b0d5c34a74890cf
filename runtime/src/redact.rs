//! Takes secrets out of what is shown or written down, however they got there.

use std::borrow::Cow;

use serde_json::Value;

/// What stands in a secret's place.
const HIDDEN: &str = "[redacted]";

/// What our own secrets begin with.
const OURS: [&str; 3] = ["troupe_admin_", "troupe_join_", "troupe_ticket_"];

/// What a secret follows in a header.
const SCHEMES: [&str; 4] = ["Bearer ", "bearer ", "Basic ", "basic "];

/// Fields whose value is nobody's business, also as the end of a longer name.
const FIELDS: [&str; 7] = [
    "password",
    "passwd",
    "secret",
    "api_key",
    "apikey",
    "access_token",
    "authorization",
];

/// The same of every text in `value`, and without what stands under the name of a secret.
#[must_use]
pub fn redact_within(value: Value) -> Value {
    match value {
        Value::String(text) => match redact(&text) {
            Cow::Borrowed(_) => Value::String(text),
            Cow::Owned(clean) => Value::String(clean),
        },
        Value::Array(items) => items.into_iter().map(redact_within).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let lower = name.to_ascii_lowercase();
                let is_secret = FIELDS.iter().any(|field| lower.ends_with(field));
                let value = match value {
                    Value::String(text) if is_secret && !text.is_empty() => HIDDEN.into(),
                    other => redact_within(other),
                };
                (name, value)
            });
            Value::Object(fields.collect())
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

/// The line without secrets.
#[must_use]
pub fn redact(line: &str) -> Cow<'_, str> {
    let mut secrets = Vec::new();
    for prefix in OURS {
        all(
            line,
            prefix,
            |at| {
                let end = run(line, at, is_token);
                (end > at).then_some((at, end))
            },
            &mut secrets,
        );
    }
    for scheme in SCHEMES {
        all(
            line,
            scheme,
            |at| {
                let end = run(line, at, is_token);
                // Shorter ones are words of a sentence.
                (end >= at + 8).then_some((at, end))
            },
            &mut secrets,
        );
    }
    all(
        line,
        "://",
        |at| {
            let end = run(line, at, |byte| {
                !matches!(byte, b'/' | b'@' | b' ' | b'"' | b'?')
            });
            let colon = at + line[at..end].find(':')? + 1;
            (line.as_bytes().get(end) == Some(&b'@') && colon < end).then_some((colon, end))
        },
        &mut secrets,
    );
    let lower = line.to_ascii_lowercase();
    for field in FIELDS {
        all(&lower, field, |at| value(line, at), &mut secrets);
    }
    if secrets.is_empty() {
        return Cow::Borrowed(line);
    }
    secrets.sort_unstable();
    let mut clean = String::with_capacity(line.len());
    let mut done = 0;
    for (start, end) in secrets {
        if start >= done {
            clean.push_str(&line[done..start]);
            clean.push_str(HIDDEN);
        }
        done = done.max(end);
    }
    clean.push_str(&line[done..]);
    Cow::Owned(clean)
}

/// Looks behind every place where `mark` ends.
fn all(
    line: &str,
    mark: &str,
    look: impl Fn(usize) -> Option<(usize, usize)>,
    found: &mut Vec<(usize, usize)>,
) {
    let marks = line.match_indices(mark);
    found.extend(marks.filter_map(|(at, _)| look(at + mark.len())));
}

/// The value behind a field's name: `="…"`, `=…`, `":"…"` or `: …`.
fn value(line: &str, name_end: usize) -> Option<(usize, usize)> {
    let bytes = line.as_bytes();
    let quoted_name = bytes.get(name_end) == Some(&b'"');
    let mut at = name_end + usize::from(quoted_name);
    if !matches!(bytes.get(at), Some(b'=' | b':')) {
        return None;
    }
    at = run(line, at + 1, |byte| byte == b' ');
    if bytes.get(at) == Some(&b'"') {
        let (start, mut end) = (at + 1, at + 1);
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        return Some((start, end.min(bytes.len()))).filter(|(start, end)| end > start);
    }
    let end = run(line, at, |byte| {
        !matches!(byte, b' ' | b',' | b'}' | b'"' | b'\n')
    });
    (end > at).then_some((at, end))
}

/// Where the bytes that `belongs` holds of end, from `at` on; always between two characters.
fn run(line: &str, at: usize, belongs: impl Fn(u8) -> bool) -> usize {
    let rest = line.as_bytes().get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| belongs(**byte)).count()
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_in_every_form_that_they_come_in() {
        for (line, clean) in [
            (
                "token troupe_admin_0f0f0f at",
                "token troupe_admin_[redacted] at",
            ),
            (
                "--token troupe_join_ab-cd.ef",
                "--token troupe_join_[redacted]",
            ),
            (
                "authorization=Bearer abcdefghijk",
                "authorization=[redacted] [redacted]",
            ),
            ("it said Bearer abcdefghijk.", "it said Bearer [redacted]"),
            (
                "postgres://ann:s3cret@db/x failed",
                "postgres://ann:[redacted]@db/x failed",
            ),
            ("password=\"a b\" x=1", "password=\"[redacted]\" x=1"),
            (
                r#"{"db_password":"a\"b","x":1}"#,
                r#"{"db_password":"[redacted]","x":1}"#,
            ),
            ("API_KEY: sk-123, next", "API_KEY: [redacted], next"),
            ("client_secret=é-x.", "client_secret=[redacted]"),
        ] {
            assert_eq!(redact(line), clean, "{line}");
        }
    }

    #[test]
    fn anything_else_stays_as_it_is() {
        for line in [
            "token=tok_1 was made",
            "the bearer of this",
            "http://127.0.0.1:8000/api@x",
            "no secret here",
            "[::1]:80 password",
            "ß://",
            "",
        ] {
            assert_eq!(redact(line), line);
        }
    }

    #[test]
    fn a_value_keeps_its_shape_and_loses_its_secrets() {
        let value = serde_json::json!({
            "message": "password=hunter2 failed",
            "config": {"db_password": "hunter2", "port": 1, "secret": ""},
            "list": ["a", "Bearer hunter2hunter2"],
        });
        let clean = serde_json::json!({
            "message": "password=[redacted] failed",
            "config": {"db_password": "[redacted]", "port": 1, "secret": ""},
            "list": ["a", "Bearer [redacted]"],
        });
        assert_eq!(redact_within(value), clean);
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_fail(line in "(troupe_admin_|Bearer |://|:|@|password|\"|=|\\\\|é|a| ){0,12}") {
            let _ = redact(&line);
        }
    }
}
