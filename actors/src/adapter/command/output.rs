//! From how a program ended to what the call answers.

use protocol::{json, task::Failure, usage::Usage};
use serde_json::{Value, json};

use super::{
    capture::Captured,
    config::{Config, Output},
    job::Status,
    workdir::{WHOLE_STDOUT, WorkDir, lacks_room},
};
use crate::adapter::{
    CallError,
    usage::{customary, declared},
};

/// Longer text stands in an artifact, and only its beginning in the answer.
const MAX_INLINE: usize = 64 * 1024;

/// What a program said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) stdout: Captured,
    pub(super) stderr: Captured,
}

/// Tells a failure from a success.
pub(super) fn judge(status: Status, stderr: &Captured) -> Result<i32, CallError> {
    match status {
        Status::Exited(0) => Ok(0),
        Status::Exited(code) => {
            let said = stderr.last_lines();
            let colon = if said.is_empty() { "" } else { ": " };
            let message = format!("the program ended with status {code}{colon}{said}");
            Err(CallError::retryable("exit_status", message))
        }
        // It did not say that it failed; nobody knows how far it came.
        Status::Signalled(signal) => Err(CallError::lost(
            "signal",
            format!("the program was ended by signal {signal}"),
        )),
        Status::LeaseOver => Err(CallError::lost(
            "lease",
            "the program was ended with the lease of its node, which was not renewed in time",
        )),
        Status::NotStarted { reason, retryable } => Err(not_started(&reason, retryable)),
    }
}

/// Why there was no program that could fail. What passes has a code of its own: nothing ran, so even
/// an irreversible step may be tried again.
pub(super) fn not_started(reason: &str, retryable: bool) -> CallError {
    let code = if retryable { "not_started" } else { "spawn" };
    let message = format!("the program could not be started: {reason}");
    CallError::Failed {
        failure: Failure::new(code, message),
        retryable,
    }
}

/// Puts the answer of a success together; keeps what is too long for it.
pub(super) fn answer(
    code: i32,
    said: &Said,
    form: Output,
    work: &mut WorkDir,
) -> Result<Value, CallError> {
    let failed = |error: std::io::Error| {
        CallError::lost("artifacts", format!("its files could not be kept: {error}"))
    };
    let (mut artifacts, mut skipped) = work.collect().map_err(failed)?;
    let mut inline = |name: &str, captured: &Captured| {
        let mut text = String::from_utf8_lossy(&captured.head).into_owned();
        let cut = text.len() > MAX_INLINE;
        if cut {
            match work.keep(name, &captured.head) {
                Err(error) if lacks_room(&error) => skipped.push(format!("{name}: {error}")),
                kept => artifacts.push(kept?),
            }
            text.truncate(text.floor_char_boundary(MAX_INLINE));
        }
        Ok::<_, std::io::Error>((text, cut || captured.is_cut()))
    };
    let (stderr, stderr_cut) = inline("stderr.txt", &said.stderr).map_err(failed)?;
    let mut answer = match form {
        Output::Text => {
            let (stdout, cut) = inline(WHOLE_STDOUT, &said.stdout).map_err(failed)?;
            json!({ "exit_code": code, "stdout": stdout, "stderr": stderr,
                "truncated": cut || stderr_cut, "artifacts": artifacts })
        }
        Output::Json => json!({ "exit_code": code, "json": parsed(&said.stdout)?,
            "stderr": stderr, "truncated": stderr_cut, "artifacts": artifacts }),
    };
    if let Some(fields) = answer.as_object_mut().filter(|_| !skipped.is_empty()) {
        fields.insert("skipped_artifacts".to_owned(), json!(skipped));
    }
    Ok(answer)
}

/// What a program reports to have taken of models, also one that fails: standard output is JSON then
/// as well.
pub(super) fn usage(said: &Said, config: &Config) -> Option<Usage> {
    if config.output != Output::Json || said.stdout.is_cut() {
        return None;
    }
    let reply = json::read(&said.stdout.head).ok()?;
    match &config.usage_path {
        Some(path) => declared(&path.find(&reply)?),
        None => customary(&reply),
    }
}

fn parsed(stdout: &Captured) -> Result<Value, CallError> {
    const SHOWN: usize = 2048;
    if stdout.is_cut() {
        let message = format!(
            "standard output has {} bytes, more than `[command] max_output`",
            stdout.total
        );
        return Err(CallError::fatal("response_mapping", message));
    }
    json::read(&stdout.head).map_err(|error| {
        let shown = &stdout.head[..stdout.head.len().min(SHOWN)];
        let text = String::from_utf8_lossy(shown);
        let wrong = match error.is_data() {
            true => format!("the JSON on standard output cannot be taken: {error}"),
            false => format!("standard output is not JSON: {error}"),
        };
        let message = format!("{wrong}; it begins: {text}");
        CallError::fatal("response_mapping", message)
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::*;
    use crate::adapter::tests::call;

    fn captured(text: &str) -> Captured {
        Captured {
            head: text.into(),
            tail: text.into(),
            total: text.len() as u64,
        }
    }

    #[test]
    fn a_program_that_could_not_be_started_yet_is_no_risk_to_try_again() {
        for (retryable, expected) in [(true, "not_started"), (false, "spawn")] {
            let reason = "why".to_owned();
            let status = Status::NotStarted { reason, retryable };
            let Err(CallError::Failed { failure, .. }) = judge(status, &captured("")) else {
                panic!("it did not start");
            };
            assert_eq!(failure.code, expected);
        }
    }

    fn answer_to(stdout: &str, form: Output) -> Result<Value, CallError> {
        let data = tempfile::tempdir().unwrap();
        let mut work = WorkDir::prepare(data.path(), &call(Value::Null)).unwrap();
        let said = Said {
            stdout: captured(stdout),
            stderr: captured("warned"),
        };
        answer(0, &said, form, &mut work)
    }

    #[test]
    fn an_answer_has_the_same_fields_each_time() {
        let expected = json!({ "exit_code": 0, "stdout": "hi\n", "stderr": "warned",
            "truncated": false, "artifacts": [] });
        assert_eq!(answer_to("hi\n", Output::Text), Ok(expected));
        let expected = json!({ "exit_code": 0, "json": { "a": 1 }, "stderr": "warned",
            "truncated": false, "artifacts": [] });
        assert_eq!(answer_to(" {\"a\": 1}\n", Output::Json), Ok(expected));
    }

    #[test]
    fn long_text_stands_in_an_artifact_and_begins_in_the_answer() {
        let text = "é".repeat(MAX_INLINE);
        let answer = answer_to(&text, Output::Text).unwrap();
        assert_eq!(answer["truncated"], true);
        assert_eq!(answer["stdout"], text[..MAX_INLINE]);
        assert_eq!(answer["artifacts"][0]["name"], WHOLE_STDOUT);
        assert_eq!(answer["artifacts"][0]["bytes"], text.len());
    }

    #[test]
    fn a_result_stands_though_the_disk_has_no_room_for_its_long_text() {
        let data = tempfile::tempdir().unwrap();
        let call = call(Value::Null);
        let mut work = WorkDir::prepare(data.path(), &call).unwrap();
        let place = Path::new("artifacts").join(call.task.to_string());
        let place = data.path().join(place).join(&call.step).join("1");
        fs::create_dir_all(&place).unwrap();
        // Whoever writes here is told that the disk is full.
        symlink("/dev/full", place.join(WHOLE_STDOUT)).unwrap();
        let said = Said {
            stdout: captured(&"x".repeat(MAX_INLINE + 1)),
            stderr: captured(""),
        };
        let answer = answer(0, &said, Output::Text, &mut work).unwrap();
        assert_eq!(answer["truncated"], true);
        assert_eq!(answer["stdout"].as_str().unwrap().len(), MAX_INLINE);
        assert_eq!(answer["artifacts"], json!([]));
        let skipped = answer["skipped_artifacts"][0].as_str().unwrap();
        assert!(
            skipped.starts_with("stdout.txt: No space left"),
            "{skipped}"
        );
    }

    #[test]
    fn what_is_not_json_fails_for_good_and_is_shown() {
        let Err(CallError::Failed { failure, retryable }) = answer_to("oops", Output::Json) else {
            panic!("it is no JSON");
        };
        assert_eq!(
            (failure.code.as_str(), retryable),
            ("response_mapping", false)
        );
        assert!(failure.message.ends_with("it begins: oops"));
    }

    #[test]
    fn json_is_what_it_says_and_not_deeper_than_what_is_sent_here() {
        let deep = "[".repeat(65) + &"]".repeat(65);
        let raw = r#"{"$serde_json::private::RawValue": "[5]"}"#;
        for (said, told) in [(deep.as_str(), "64 deep"), (raw, "cannot be given")] {
            let Err(CallError::Failed { failure, .. }) = answer_to(said, Output::Json) else {
                panic!("taken: {said}");
            };
            assert_eq!(failure.code, "response_mapping");
            assert!(failure.message.contains(told), "{}", failure.message);
        }
    }

    #[test]
    fn an_end_from_outside_leaves_open_what_happened() {
        let said = captured("one\ntwo\n");
        let failed =
            CallError::retryable("exit_status", "the program ended with status 3: one\ntwo");
        assert_eq!(judge(Status::Exited(0), &said), Ok(0));
        assert_eq!(judge(Status::Exited(3), &said), Err(failed));
        for status in [Status::Signalled(9), Status::LeaseOver] {
            let killed = judge(status, &said);
            assert!(matches!(killed, Err(CallError::Lost { .. })));
        }
    }
}
