//! What examples share: an agent that is one Rust function, for where the agent is not the point.

use std::{fmt, future::ready, sync::Arc, time::Duration};

use actors::adapter::{Adapter, Answer, Call, CallError};
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
