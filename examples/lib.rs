//! What examples share: agents that are one Rust function each, for where the agent is not the point.

use std::{fmt, future::ready, sync::Arc, time::Duration};

use actors::adapter::{Adapter, Answer, Call, CallError, Colleagues};
use protocol::task::Failure;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// An agent that answers each call at once; `adapter.rs` shows how one is made by hand.
pub fn function<F>(answer: F) -> Arc<dyn Adapter>
where
    F: Fn(&Call) -> Result<Value, CallError> + Send + Sync + 'static,
{
    Arc::new(Function(answer))
}

struct Function<F>(F);

impl<F> fmt::Debug for Function<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}

impl<F> Adapter for Function<F>
where
    F: Fn(&Call) -> Result<Value, CallError> + Send + Sync,
{
    fn call<'a>(
        &'a self,
        call: &'a Call,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(ready((self.0)(call)))
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(ready(Ok("a function of this program".to_owned())))
    }
}

/// An agent that asks others while it works.
pub fn asking<F>(work: F) -> Arc<dyn Adapter>
where
    F: for<'a> Fn(&'a Call, &'a Colleagues) -> Answer<'a, Result<Value, CallError>>
        + Send
        + Sync
        + 'static,
{
    Arc::new(Asking(work))
}

struct Asking<F>(F);

impl<F> fmt::Debug for Asking<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asking")
    }
}

impl<F> Adapter for Asking<F>
where
    F: for<'a> Fn(&'a Call, &'a Colleagues) -> Answer<'a, Result<Value, CallError>> + Send + Sync,
{
    // A node always gives colleagues; only a program that calls an agent itself may not.
    fn call<'a>(
        &'a self,
        _: &'a Call,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(ready(Err(CallError::Failed {
            failure: Failure::new("alone", "this agent needs others to ask"),
            retryable: false,
        })))
    }

    fn call_among<'a>(
        &'a self,
        call: &'a Call,
        colleagues: &'a Colleagues,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        (self.0)(call, colleagues)
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(ready(Ok("a function of this program".to_owned())))
    }
}
