//! What the examples share: an agent that is one Rust function, for where the agent is not the point.

use std::{future::ready, time::Duration};

use actors::adapter::{Adapter, Answer, Call, CallError};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// An agent that answers each call at once; `adapter.rs` shows how one is made.
#[derive(Debug, Clone, Copy)]
pub struct Function(pub fn(&Call) -> Value);

impl Adapter for Function {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(ready(Ok(self.0(call))))
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(ready(Ok("a function of this program".to_owned())))
    }
}
