//! From what a service answers to the output or the failure that it means.

use protocol::{json, usage::Usage};
use serde_json::Value;

use super::config::{ProbeMapping, ResponseMapping};
use crate::adapter::{
    CallError, Probe,
    usage::{customary, declared},
};

/// How much of a reply is shown when it cannot be used.
const SHOWN: usize = 2048;
/// Statuses of HTTP after which another attempt can help, besides 5xx.
const PASSING: [u16; 3] = [408, 425, 429];

/// How replies of one agent are read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplyReader {
    /// Where its parts are.
    pub mapping: ResponseMapping,
    /// How much of a reply is the output.
    pub output: Output,
}

/// How much of a reply is the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// What the result's path leads to.
    Result,
    /// All, if the result's path leads to something: for what a service tells besides its result.
    Whole,
}

impl ReplyReader {
    /// How replies of `api` agents are read: `{status, result, processing_time_ms}`, kept whole.
    #[must_use]
    pub fn api() -> Self {
        use super::path::Path;
        Self {
            mapping: ResponseMapping {
                status_path: Path::parse("$.status").ok(),
                result_path: Path::parse("$.result").ok(),
                error_path: Path::parse("$.error").ok(),
                usage_path: None,
            },
            output: Output::Whole,
        }
    }

    /// The output in a reply.
    ///
    /// # Errors
    ///
    /// When it is a failure, or does not have the declared form.
    pub fn read(&self, status: u16, body: &[u8]) -> Result<Value, CallError> {
        let json = json::read(body);
        let said = json.as_ref().ok().and_then(|reply| self.error(reply));
        if !(200..300).contains(&status) {
            let said = said.unwrap_or_else(|| shown(body));
            let message = format!("the service answered {status}: {said}");
            return Err(if PASSING.contains(&status) || status >= 500 {
                CallError::retryable("http_status", message)
            } else {
                CallError::fatal("http_status", message)
            });
        }
        if let Some(said) = said {
            return Err(CallError::retryable("agent_error", said));
        }
        match json {
            Ok(reply) => self.output(reply, body),
            // Anyone else reads it as JSON; it is no text for that this node does not.
            Err(error) if error.is_data() => Err(unmapped(
                &format!("its JSON cannot be taken ({error})"),
                body,
            )),
            Err(error) if self.declares_json() => {
                Err(unmapped(&format!("the reply is not JSON ({error})"), body))
            }
            Err(_) if body.is_empty() => Ok(Value::Null),
            Err(_) => Ok(String::from_utf8_lossy(body).into()),
        }
    }

    /// What a reply reports to have been taken of models, whatever else it says.
    #[must_use]
    pub fn usage(&self, body: &[u8]) -> Option<Usage> {
        if self.mapping.usage_path.is_none() && !has(body, b"\"usage\"") {
            return None;
        }
        let reply = json::read(body).ok()?;
        match &self.mapping.usage_path {
            Some(path) => declared(&path.find(&reply)?),
            None => customary(&reply),
        }
    }

    fn output(&self, reply: Value, body: &[u8]) -> Result<Value, CallError> {
        if let Some(path) = &self.mapping.status_path {
            let missing = || unmapped(&format!("status_path `{path}` finds nothing"), body);
            let status = path.find(&reply).ok_or_else(missing)?;
            if !is_success(&status) {
                let message = format!("the service says `{}`: {}", plain(&status), shown(body));
                return Err(CallError::retryable("agent_error", message));
            }
        }
        let Some(path) = &self.mapping.result_path else {
            return Ok(reply);
        };
        let missing = || unmapped(&format!("result_path `{path}` finds nothing"), body);
        let result = path.find(&reply).ok_or_else(missing)?;
        Ok(match self.output {
            Output::Result => result,
            Output::Whole => reply,
        })
    }

    /// What a reply says went wrong.
    fn error(&self, reply: &Value) -> Option<String> {
        let said = self.mapping.error_path.as_ref()?.find(reply)?;
        let nothing = match &said {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Bool(true) | Value::Number(_) | Value::Object(_) => false,
        };
        (!nothing).then(|| shown(plain(&said).as_bytes()))
    }

    fn declares_json(&self) -> bool {
        let ResponseMapping {
            status_path,
            result_path,
            error_path,
            usage_path: _,
        } = &self.mapping;
        [status_path, result_path, error_path]
            .into_iter()
            .any(Option::is_some)
    }
}

/// What a reply to a probe says.
#[must_use]
pub fn read_probe(mapping: &ProbeMapping, status: u16, body: &[u8]) -> Probe {
    if !(200..300).contains(&status) {
        return Probe::Unknown(format!("the probe was answered {status}"));
    }
    let Ok(reply) = json::read(body) else {
        return Probe::Unknown("the probe's reply is not JSON".to_owned());
    };
    match mapping.done_path.find(&reply) {
        Some(done) if is_success(&done) => {
            let result = mapping.result_path.as_ref().and_then(|it| it.find(&reply));
            Probe::Done(result.unwrap_or_default())
        }
        Some(Value::Bool(false)) => Probe::NotDone,
        Some(other) => Probe::Unknown(format!("the probe says `{}`", plain(&other))),
        None => Probe::Unknown(format!("done_path `{}` finds nothing", mapping.done_path)),
    }
}

/// `true`, a status of 2xx, or a word that services use for a success.
fn is_success(status: &Value) -> bool {
    const WORDS: [&str; 4] = ["success", "ok", "completed", "succeeded"];
    match status {
        Value::Bool(success) => *success,
        Value::Number(number) => number
            .as_u64()
            .is_some_and(|number| (200..300).contains(&number)),
        Value::String(word) => WORDS.iter().any(|it| it.eq_ignore_ascii_case(word)),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Whether a text stands somewhere in a body: so that most are not read twice.
fn has(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|window| window == text)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn unmapped(why: &str, body: &[u8]) -> CallError {
    CallError::fatal("response_mapping", format!("{why} in: {}", shown(body)))
}

fn shown(body: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).into_owned();
    if body.len() > SHOWN {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    fn reader(mapping: &Value) -> ReplyReader {
        ReplyReader {
            mapping: ResponseMapping::deserialize(mapping).unwrap(),
            output: Output::Result,
        }
    }

    fn specified() -> ReplyReader {
        reader(&json!({
            "status_path": "$.status", "result_path": "$.result", "error_path": "$.error",
        }))
    }

    fn read(reader: &ReplyReader, status: u16, body: &Value) -> Result<Value, (String, bool)> {
        reader
            .read(status, body.to_string().as_bytes())
            .map_err(|error| match error {
                CallError::Failed { failure, retryable } => (failure.code, retryable),
                other => panic!("{other:?}"),
            })
    }

    #[test]
    fn json_that_could_not_be_kept_is_no_answer_whatever_is_declared() {
        let deep = "[".repeat(65) + &"]".repeat(65);
        let raw = r#"{"$serde_json::private::RawValue": "[5]"}"#;
        for reader in [reader(&json!({})), reader(&json!({ "result_path": "$" }))] {
            for body in [deep.as_str(), raw] {
                let Err(CallError::Failed { failure, .. }) = reader.read(200, body.as_bytes())
                else {
                    panic!("taken: {body}");
                };
                assert_eq!(failure.code, "response_mapping");
            }
        }
    }

    #[test]
    fn the_mapping_of_the_specification_finds_result_status_and_error() {
        let reader = specified();
        for status in [json!("success"), json!("OK"), json!(true), json!(201)] {
            let reply = json!({ "status": status, "result": { "a": 1 }, "error": null });
            assert_eq!(read(&reader, 200, &reply), Ok(json!({ "a": 1 })), "{reply}");
        }
        for (status, reply, code, retryable) in [
            (
                200,
                json!({ "status": "success" }),
                "response_mapping",
                false,
            ),
            (200, json!({ "result": 1 }), "response_mapping", false),
            (
                200,
                json!({ "status": "failed", "result": 1 }),
                "agent_error",
                true,
            ),
            (
                200,
                json!({ "status": "ok", "result": 1, "error": "no" }),
                "agent_error",
                true,
            ),
            (
                200,
                json!({ "status": 500, "result": 1 }),
                "agent_error",
                true,
            ),
            (302, json!({}), "http_status", false),
            (400, json!({ "error": "bad" }), "http_status", false),
            (404, json!({}), "http_status", false),
            (408, json!({}), "http_status", true),
            (425, json!({}), "http_status", true),
            (429, json!({}), "http_status", true),
            (500, json!({}), "http_status", true),
            (503, json!({}), "http_status", true),
        ] {
            let expected = Err((code.to_owned(), retryable));
            assert_eq!(read(&reader, status, &reply), expected, "{status} {reply}");
        }
    }

    #[test]
    fn the_text_of_an_error_and_the_raw_body_are_in_the_message() {
        let text = |status, body: &str| {
            let answer = specified().read(status, body.as_bytes());
            let Err(CallError::Failed { failure, .. }) = answer else {
                panic!("{answer:?}");
            };
            failure.message
        };
        assert_eq!(
            text(200, r#"{"error": "quota is used up"}"#),
            "quota is used up"
        );
        assert_eq!(
            text(500, r#"{"error": "down"}"#),
            "the service answered 500: down"
        );
        assert!(text(200, "<html>").ends_with("in: <html>"));
        let long = text(200, &"x".repeat(10_000));
        assert!(long.len() < 2200 && long.ends_with('…'));
    }

    #[test]
    fn a_reply_without_a_mapping_is_the_output_as_it_is() {
        let reader = reader(&json!({}));
        assert_eq!(reader.read(200, b"[1]"), Ok(json!([1])));
        assert_eq!(reader.read(200, b"plain"), Ok(json!("plain")));
        assert_eq!(reader.read(204, b""), Ok(Value::Null));
    }

    #[test]
    fn an_api_agents_reply_is_kept_with_its_processing_time() {
        let reply = json!({ "status": "success", "result": {}, "processing_time_ms": 150 });
        assert_eq!(read(&ReplyReader::api(), 200, &reply), Ok(reply));
        let empty = json!({ "status": "success" });
        let expected = Err(("response_mapping".to_owned(), false));
        assert_eq!(read(&ReplyReader::api(), 200, &empty), expected);
    }

    #[test]
    fn what_a_reply_took_is_read_where_it_says_so_also_of_a_failure() {
        let usage =
            |mapping: Value, body: Value| reader(&mapping).usage(body.to_string().as_bytes());
        let openai = json!({ "usage": { "prompt_tokens": 9, "completion_tokens": 1 } });
        let tokens = |input, output, cost_micros| {
            Some(Usage {
                input_tokens: Some(input),
                output_tokens: Some(output),
                cost_micros,
            })
        };
        assert_eq!(usage(json!({}), openai.clone()), tokens(9, 1, None));
        let failed = json!({ "error": "no", "usage": { "input_tokens": 9, "output_tokens": 0 } });
        assert_eq!(usage(json!({}), failed), tokens(9, 0, None));
        let elsewhere = json!({ "usage_path": "$.meta" });
        let meta =
            json!({ "meta": { "input_tokens": 2, "output_tokens": 3, "cost_usd": 0.000_5 } });
        assert_eq!(
            usage(elsewhere.clone(), meta.clone()),
            tokens(2, 3, Some(500))
        );
        // Who says where it is means nothing else.
        assert_eq!(usage(elsewhere, openai), None);
        assert_eq!(usage(json!({}), meta), None);
        assert_eq!(reader(&json!({})).usage(b"\"usage\": 12"), None);
        let reader = reader(&json!({ "usage_path": "$.meta" }));
        assert_eq!(reader.read(200, b"plain"), Ok(json!("plain")));
    }

    #[test]
    fn only_a_clear_word_of_a_probe_counts() {
        let mapping = ProbeMapping::deserialize(json!({
            "path": "/x", "done_path": "$.done", "result_path": "$.it",
        }))
        .unwrap();
        let probe = |status, body: Value| read_probe(&mapping, status, body.to_string().as_bytes());
        assert_eq!(
            probe(200, json!({ "done": true, "it": 1 })),
            Probe::Done(json!(1))
        );
        assert_eq!(probe(200, json!({ "done": false })), Probe::NotDone);
        for (status, body) in [
            (404, json!({ "done": false })),
            (200, json!({})),
            (200, json!({ "done": null })),
            (200, json!({ "done": "pending" })),
        ] {
            assert!(
                matches!(probe(status, body.clone()), Probe::Unknown(_)),
                "{status} {body}"
            );
        }
    }
}
