//! Agents for trials and load: [`Echo`], [`Sleep`] and [`Fail`].

use std::{future::ready, time::Duration};

use protocol::time::Span;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Adapter, Answer, Call, CallError};

const FINE: &str = "built in";

/// Answers the step's input, or the task's input, or the task's description.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Echo;

impl Adapter for Echo {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        let answer = if cancel.is_cancelled() {
            Err(CallError::Cancelled)
        } else {
            Ok(match call.effective_input() {
                Value::Null => Value::String(call.description.as_ref().to_owned()),
                input => input.clone(),
            })
        };
        Box::pin(ready(answer))
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(ready(Ok(FINE.to_owned())))
    }
}

/// The empty configuration.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Answers after a while, which the input tells, or else the configuration.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sleep {
    #[serde(rename = "for")]
    span: Option<Span>,
}

impl Sleep {
    fn span(self, call: &Call) -> Result<Span, CallError> {
        let wrong = |reason: String| {
            CallError::fatal("input", format!("{reason}; expected {{\"for\": \"2s\"}}"))
        };
        match call.effective_input().get("for") {
            Some(text) => Span::deserialize(text).map_err(|error| wrong(error.to_string())),
            None => self
                .span
                .ok_or_else(|| wrong("neither input nor configuration says how long".to_owned())),
        }
    }
}

impl Adapter for Sleep {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async move {
            let span = self.span(call)?;
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(CallError::Cancelled),
                () = tokio::time::sleep(span.0.min(call.timeout)) => {
                    if span.0 <= call.timeout {
                        Ok(json!({ "slept": span }))
                    } else {
                        Err(CallError::retryable("timeout", timed_out(call.timeout)))
                    }
                }
            }
        })
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(ready(Ok(FINE.to_owned())))
    }
}

/// Says that a call took longer than it may.
pub(super) fn timed_out(limit: Duration) -> String {
    format!("no answer within {}", Span(limit))
}

/// Fails the first `times` attempts, or all; what the input tells comes before the configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fail {
    times: Option<u32>,
    code: Option<String>,
    message: Option<String>,
    retryable: Option<bool>,
}

impl Fail {
    fn outcome(&self, call: &Call) -> Result<Value, CallError> {
        let input = match call.effective_input() {
            // The task's input may hold more than what is meant for this agent.
            Value::Object(input) => {
                let known = |key: &str| ["times", "code", "message", "retryable"].contains(&key);
                let mut input = input.clone();
                input.retain(|key, _| known(key));
                Self::deserialize(Value::Object(input)).map_err(|error| {
                    CallError::fatal(
                        "input",
                        format!("{error}; expected {{\"times\": 2}} or code, message, retryable"),
                    )
                })?
            }
            _ => Self::default(),
        };
        let times = input.times.or(self.times);
        if times.is_some_and(|times| call.attempt > times) {
            return Ok(json!({ "attempt": call.attempt }));
        }
        let code = input.code.as_ref().or(self.code.as_ref());
        let message = input.message.as_ref().or(self.message.as_ref());
        Err(CallError::Failed {
            failure: protocol::task::Failure::new(
                code.map_or("failed", String::as_str),
                message.map_or("failed as it was told to", String::as_str),
            ),
            retryable: input.retryable.or(self.retryable).unwrap_or(true),
        })
    }
}

impl Adapter for Fail {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        let answer = if cancel.is_cancelled() {
            Err(CallError::Cancelled)
        } else {
            self.outcome(call)
        };
        Box::pin(ready(answer))
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(ready(Ok(FINE.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::tests::call;

    #[tokio::test]
    async fn an_echo_answers_the_nearest_input_there_is() {
        let cancel = CancellationToken::new();
        let step = call(json!({ "a": 1 }));
        assert_eq!(Echo.call(&step, &cancel).await, Ok(json!({ "a": 1 })));
        let mut task = call(Value::Null);
        task.task_input = json!({ "b": 2 }).into();
        assert_eq!(Echo.call(&task, &cancel).await, Ok(json!({ "b": 2 })));
        let neither = call(Value::Null);
        assert_eq!(Echo.call(&neither, &cancel).await, Ok(json!("describe")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_takes_as_long_as_the_input_says_and_not_the_configuration() {
        let sleep = Sleep {
            span: Some(Span(Duration::from_secs(9))),
        };
        let start = tokio::time::Instant::now();
        let call = call(json!({ "for": "2s" }));
        let answer = sleep.call(&call, &CancellationToken::new()).await;
        assert_eq!(answer, Ok(json!({ "slept": "2s" })));
        assert_eq!(start.elapsed().as_secs(), 2);
    }

    #[tokio::test]
    async fn a_sleep_without_a_span_fails_for_good() {
        for input in [json!("x"), Value::Null, json!({ "for": "soon" })] {
            let call = call(input);
            let answer = Sleep::default()
                .call(&call, &CancellationToken::new())
                .await;
            let Err(CallError::Failed { failure, retryable }) = answer else {
                panic!("{answer:?}");
            };
            assert_eq!((failure.code.as_str(), retryable), ("input", false));
        }
    }

    #[test]
    fn a_failure_ends_after_the_attempts_it_was_told() {
        let fail = Fail {
            times: Some(2),
            ..Fail::default()
        };
        let outcomes: Vec<bool> = (1..=4)
            .map(|attempt| {
                let call = Call {
                    attempt,
                    ..call(Value::Null)
                };
                fail.outcome(&call).is_ok()
            })
            .collect();
        assert_eq!(outcomes, [false, false, true, true]);
    }

    #[test]
    fn a_failure_without_a_number_never_ends_and_says_what_it_was_told() {
        let input = json!({ "code": "quota", "message": "none left", "retryable": false });
        let call = Call {
            attempt: 1000,
            ..call(input)
        };
        assert_eq!(
            Fail::default().outcome(&call),
            Err(CallError::fatal("quota", "none left"))
        );
    }
}
