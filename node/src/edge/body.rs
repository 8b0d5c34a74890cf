//! A request's body: how much of it is read, how long that may take, and what it must be.

use std::{pin::pin, time::Duration};

use futures_util::{Stream, StreamExt};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use protocol::{json::Objects, words};
use serde::de::{DeserializeOwned, IgnoredAny};
use warp::Buf;

use super::{
    json::{self, Strings},
    problem::Refused,
};

/// Reads at most `limit` bytes within `patience`.
pub(crate) async fn read<B: Buf>(
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>>,
    limit: usize,
    patience: Duration,
) -> Result<Vec<u8>, Refused> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(64 * 1024));
    let reading = async {
        let mut body = pin!(body);
        while let Some(piece) = body.next().await {
            let mut piece = piece.map_err(|_| {
                Refused::new(
                    StatusCode::BAD_REQUEST,
                    "broken_body",
                    "the body ended before its end",
                )
                .close()
            })?;
            if bytes.len() + piece.remaining() > limit {
                return Err(too_large(limit));
            }
            while piece.has_remaining() {
                let chunk = piece.chunk();
                bytes.extend_from_slice(chunk);
                let length = chunk.len();
                piece.advance(length);
            }
        }
        Ok(())
    };
    match tokio::time::timeout(patience, reading).await {
        Ok(read) => read.map(|()| bytes),
        Err(_) => Err(Refused::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            format!("the body did not come within {} s", patience.as_secs()),
        )
        .close()),
    }
}

fn too_large(limit: usize) -> Refused {
    Refused::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        format!("the body of this request may have {limit} bytes at most"),
    )
    .close()
}

/// Whether the body claims to be JSON, in UTF-8 if it says so.
pub(crate) fn is_json(headers: &HeaderMap) -> Result<(), Refused> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return Err(unsupported());
    };
    let mut parts = value
        .to_str()
        .map_err(|_| unsupported())?
        .split(';')
        .map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let charset_is_utf8 = parts.all(|part| {
        part.eq_ignore_ascii_case("charset=utf-8") || part.eq_ignore_ascii_case("charset=\"utf-8\"")
    });
    if essence.eq_ignore_ascii_case("application/json") && charset_is_utf8 {
        Ok(())
    } else {
        Err(unsupported())
    }
}

fn unsupported() -> Refused {
    Refused::wrong(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "Content-Type",
        "must be `application/json`",
    )
}

/// Reads a `T` out of `bytes`, or says where it is wrong.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    parse_within(bytes, Strings::Short)
}

/// Reads a `T` that has a definition as a text in its `source`: whoever reads that says how long it may be.
pub(crate) fn parse_draft<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    parse_within(bytes, Strings::Whole("source"))
}

/// As [`parse_draft`], of a body that may be absent.
pub(crate) fn parse_draft_or_default<T: DeserializeOwned + Default>(
    bytes: &[u8],
) -> Result<T, Refused> {
    if bytes.is_empty() {
        Ok(T::default())
    } else {
        parse_draft(bytes)
    }
}

fn parse_within<T: DeserializeOwned>(bytes: &[u8], strings: Strings) -> Result<T, Refused> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("is not UTF-8 at byte {}", error.valid_up_to());
        Refused::wrong(StatusCode::BAD_REQUEST, "not_utf8", "body", message)
    })?;
    within(text, strings)?;
    // The path to what is wrong is tracked on a second pass only: most bodies are right.
    match read_objects(text) {
        Ok(value) => Ok(value),
        // Where one thing of several may be said and two are, the parser calls that no JSON at all.
        Err(error) if error.is_data() || serde_json::from_str::<IgnoredAny>(text).is_ok() => {
            Err(located::<T>(text))
        }
        Err(error) => Err(Refused::wrong(
            StatusCode::BAD_REQUEST,
            "malformed_json",
            "body",
            format!("is not JSON: {error}"),
        )),
    }
}

/// Refuses JSON of which a parser would make too much, or something else than it says.
pub(crate) fn within_limits(text: &str) -> Result<(), Refused> {
    within(text, Strings::Short)
}

fn within(text: &str, strings: Strings) -> Result<(), Refused> {
    json::check(text, strings).map_err(|crossed| {
        let (line, column) = json::position(text, crossed.at);
        let message = format!("{} (line {line}, column {column})", crossed.limit);
        Refused::wrong(StatusCode::BAD_REQUEST, "json_limit", "body", message)
    })
}

/// Refuses a body where none is taken; one that says nothing does no harm.
pub(crate) fn is_empty(bytes: &[u8]) -> Result<(), Refused> {
    let blank = |byte: &&u8| !byte.is_ascii_whitespace();
    let said: Vec<u8> = bytes.iter().filter(blank).take(5).copied().collect();
    if matches!(said.as_slice(), b"" | b"{}" | b"null") {
        return Ok(());
    }
    let message = "is not taken here, and would change nothing; send this request without one";
    Err(Refused::bad("body", message))
}

/// Reads a `T` out of a body that may be absent.
pub(crate) fn parse_or_default<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, Refused> {
    if bytes.is_empty() {
        Ok(T::default())
    } else {
        parse(bytes)
    }
}

/// Reads a `T`, all of the text.
fn read_objects<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = T::deserialize(Objects(&mut json))?;
    json.end().map(|()| value)
}

fn located<T: DeserializeOwned>(text: &str) -> Refused {
    let mut json = serde_json::Deserializer::from_str(text);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(Objects(&mut json)) else {
        return Refused::bug();
    };
    let path = error.path().to_string();
    let message = match without_position(&error.inner().to_string()) {
        message if message == "expected value" => {
            "must say one thing, as an object with one name".to_owned()
        }
        message => words::plain(&message),
    };
    let field = match missing(&message) {
        Some(name) if path == "." => name.to_owned(),
        Some(name) => format!("{path}.{name}"),
        None if path.is_empty() || path == "." => "body".to_owned(),
        None => path,
    };
    Refused::wrong(StatusCode::UNPROCESSABLE_ENTITY, "invalid", field, message)
}

/// The field that a message misses.
fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

/// A message of serde without ` at line 1 column 2`: the path says where, and better.
fn without_position(message: &str) -> String {
    message
        .rfind(" at line ")
        .map_or(message, |end| &message[..end])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::{
        agent::AgentSpec,
        api::{ScopeRequest, TaskPatch, WorkflowDraft},
        task::TaskSpec,
    };

    use super::*;

    fn refused<T: DeserializeOwned>(text: &str) -> (u16, String, String) {
        let Err(refused) = parse::<T>(text.as_bytes()) else {
            panic!("taken: {text}");
        };
        let problem = refused.problem("r");
        (
            problem.status,
            problem.errors[0].field.clone(),
            problem.message,
        )
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        for (text, field) in [
            (r#"{"steps": []}"#, "description"),
            (
                r#"{"description": "d", "steps": [{"id": "a"}, {"id": "b"}, {"id": "c", "needs": [1]}]}"#,
                "steps[2].needs[0]",
            ),
            (
                r#"{"description": "d", "steps": [{"needs": []}]}"#,
                "steps[0].id",
            ),
            (
                r#"{"description": "d", "steps": [{"id": "a", "effect": "none"}]}"#,
                "steps[0].effect",
            ),
            (
                r#"{"description": "d", "steps": [{"id": "a", "colour": 1}]}"#,
                "steps[0].colour",
            ),
            (r#"{"description": 1}"#, "description"),
            (r#"{"description": "d", "tenant": "other"}"#, "tenant"),
            (r#"{"description": "d", "priority": 10}"#, "priority"),
            (r#"{"description": "d", "priority": -1}"#, "priority"),
            (
                r#"{"description": "d", "budget": {"wall_time": "5 s"}}"#,
                "budget.wall_time",
            ),
            ("[]", "body"),
            ("null", "body"),
            ("{\"\": 1}", "body"),
            ("7", "body"),
        ] {
            let (status, named, message) = refused::<TaskSpec>(text);
            assert_eq!((status, named.as_str()), (422, field), "{text}: {message}");
        }
        assert_eq!(
            refused::<AgentSpec>(r#"{"name": "a", "agent_type": "x"}"#).1,
            "agent_type"
        );
        assert_eq!(
            refused::<TaskPatch>(r#"{"status": "completed"}"#).1,
            "status"
        );
    }

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        for (text, field) in [
            (r#"["d"]"#, "body"),
            (r#"{"description": "d", "budget": ["5s"]}"#, "budget"),
            (r#"{"description": "d", "steps": [["a"]]}"#, "steps[0]"),
            (
                r#"{"description": "d", "steps": [{"id": "a", "retry": [2]}]}"#,
                "steps[0].retry",
            ),
        ] {
            let (status, named, message) = refused::<TaskSpec>(text);
            assert_eq!((status, named.as_str()), (422, field), "{text}: {message}");
            assert!(
                message.ends_with("is an array, where an object is expected"),
                "{message}"
            );
        }
        let free = r#"{"description": "d", "input": [["a"]], "metadata": {"a": [1]}}"#;
        assert!(parse::<TaskSpec>(free.as_bytes()).is_ok());
    }

    #[test]
    fn a_definition_may_be_longer_than_other_texts() {
        let text = |name: &str| format!(r#"{{"{name}": "{}"}}"#, "\\n".repeat(1 << 20));
        let draft = parse_draft::<WorkflowDraft>(text("source").as_bytes()).unwrap();
        assert_eq!(draft.source.map(|source| source.len()), Some(1 << 20));
        let long = [
            text("name"),
            text("source").replace("source", "name\": \"source\", \"description"),
            format!(r#"{{"source": [{}]}}"#, text("source")),
        ];
        for text in long {
            let refused = parse_draft::<WorkflowDraft>(text.as_bytes()).unwrap_err();
            assert_eq!(refused.code(), "json_limit");
        }
        let source = text("source");
        let refused = parse::<WorkflowDraft>(source.as_bytes()).unwrap_err();
        assert_eq!(refused.code(), "json_limit");
    }

    #[test]
    fn no_name_makes_json_of_a_text() {
        for text in [
            r#"{"description": "d", "input": {"$serde_json::private::RawValue": "[5]"}}"#,
            r#"{"description": "d", "metadata": {"m": {"\u0024serde_json::private::RawValue": "1"}}}"#,
        ] {
            let (status, _, message) = refused::<TaskSpec>(text);
            assert_eq!(status, 400, "{text}");
            assert!(message.contains("cannot be given"), "{message}");
        }
    }

    #[test]
    fn two_things_where_one_may_be_said_are_json_all_the_same() {
        for text in [
            r#"{"scope": {"user": "ada", "node": "one"}}"#,
            r#"{"scope": {}}"#,
        ] {
            let (status, field, message) = refused::<ScopeRequest>(text);
            assert_eq!((status, field.as_str()), (422, "scope"), "{message}");
            assert!(!message.contains("JSON"), "{message}");
        }
    }

    #[test]
    fn malformed_json_is_answered_with_its_place() {
        for (text, place) in [
            ("", "line 1 column 0"),
            ("{", "line 1 column 1"),
            ("{\"description\":\n tru}", "line 2"),
            ("{\"description\": \"d\"} x", "column 22"),
            ("{\"description\": \"\u{1}\"}", "column"),
        ] {
            let (status, _, message) = refused::<TaskSpec>(text);
            assert_eq!(status, 400, "{text}");
            assert!(message.contains(place), "{text}: {message}");
        }
        assert_eq!(
            parse::<TaskSpec>(b"{\"description\": \"\xff\"}")
                .unwrap_err()
                .code(),
            "not_utf8"
        );
        let deep = "[".repeat(100_000);
        assert_eq!(refused::<TaskSpec>(&deep).0, 400);
    }

    #[test]
    fn only_json_is_taken() {
        let headers = |values: &[&str]| -> HeaderMap {
            values
                .iter()
                .map(|value| (CONTENT_TYPE, value.parse().unwrap()))
                .collect()
        };
        for good in ["application/json", "Application/JSON; charset=utf-8"] {
            assert!(is_json(&headers(&[good])).is_ok(), "{good}");
        }
        for wrong in [
            &[][..],
            &["text/plain"],
            &["application/json; charset=latin1"],
            &["application/jsonp"],
            &["application/problem+json"],
            &["application/json", "text/plain"],
        ] {
            let status = is_json(&headers(wrong)).unwrap_err().status;
            assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{wrong:?}");
        }
    }

    const TASK: &str = r#"{"description": "d", "steps": [{"id": "a", "needs": ["b"], "retry": {"max_attempts": 2}}], "priority": 3, "budget": {"wall_time": "5s"}}"#;

    proptest! {
        #[test]
        fn no_bytes_are_more_than_the_client_s_fault(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Err(refused) = parse::<TaskSpec>(&bytes) {
                prop_assert!(refused.status.is_client_error());
            }
        }

        #[test]
        fn no_damage_to_a_task_is_more_than_the_client_s_fault(
            at in 0..TASK.len(),
            length in 0..20_usize,
            put in "[\\[\\]{}:,\"0-9a-z\\\\ -]{0,8}",
        ) {
            let end = (at + length).min(TASK.len());
            let damaged = format!("{}{put}{}", &TASK[..at], &TASK[end..]);
            if let Err(refused) = parse::<TaskSpec>(damaged.as_bytes()) {
                prop_assert!(refused.status.is_client_error(), "{damaged}");
            }
        }
    }
}
