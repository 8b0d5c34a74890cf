//! The same for a model as for people: MCP tools with which an operator's own agent looks at the cluster.
//!
//! Each tool is a route, and goes where a request for it would go: the same roles, limits and answers.
//! `tools` says which; `server` speaks the protocol, by the library that the protocol's makers write.

mod server;
mod tools;

use std::{sync::Arc, time::Duration};

use http::{Method, Request, StatusCode, header::ORIGIN};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use runtime::trace::current_trace;
use serde_json::{Value, json};
use tokio::time::timeout;
use warp::reply::Response;

use self::server::Asker;
pub(crate) use self::server::Server;
use super::{answer::Answer, body, problem::Refused, push::is_ours, request::Call, shared::Shared};

/// What a tool may take beside the time that any request may: some wait before they answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of JSON-RPC: the parameters of a method are not what it takes.
const NO_ARGUMENTS: i64 = -32_602;

/// What is answered to a call whose arguments have no names: to the library that is no call at all.
fn misshapen(message: &Value) -> Option<Value> {
    let id = message.get("id")?;
    let arguments = message.get("params")?.get("arguments")?;
    let is_call = message
        .get("method")
        .is_some_and(|method| method == "tools/call");
    if !is_call || arguments.is_object() || arguments.is_null() {
        return None;
    }
    let why = "`arguments` must be an object, with a field for each argument";
    let error = json!({ "code": NO_ARGUMENTS, "message": why });
    Some(json!({ "jsonrpc": "2.0", "id": id, "error": error }))
}

/// Answers one message of an MCP client.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    call: &Call,
    bytes: Vec<u8>,
) -> Result<Answer, Refused> {
    if call.headers.contains_key(ORIGIN) && !is_ours(&call.headers, &shared.hosts) {
        return Err(Refused::new(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "a page of another site may not speak MCP here; names of this node are listed as `hosts` under `[edge]`",
        ));
    }
    // What is no text is refused where it is read as JSON.
    if let Ok(text) = std::str::from_utf8(&bytes) {
        body::within_limits(text)?;
        let message = serde_json::from_str(text).ok();
        if let Some(told) = message.as_ref().and_then(misshapen) {
            return Answer::json(&told);
        }
    }
    let mut request = Request::new(Full::new(Bytes::from(bytes)));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = call.headers.clone();
    let caller = call.caller.clone().ok_or_else(Refused::bug)?;
    let asker = Asker {
        shared: Arc::clone(shared),
        caller,
        id: call.id.clone(),
        trace: current_trace(),
    };
    request.extensions_mut().insert(asker);
    let answered = async {
        let response = shared.mcp.handle(request).await;
        let (head, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes);
        // Its error cannot be made.
        let body = body.unwrap_or_default();
        Answer::Streamed(Response::from_parts(head, body.into()))
    };
    let late = || Refused::unavailable("timeout", "the node did not answer in time");
    let answered = timeout(shared.request_timeout + PATIENCE, answered).await;
    answered.map_err(|_| late())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_names() {
        let message = |method: &str, arguments: Value| {
            let params = json!({ "name": "get_task", "arguments": arguments });
            json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
        };
        for wrong in [json!([1]), json!("t1"), json!(5)] {
            let answer = misshapen(&message("tools/call", wrong)).unwrap();
            assert_eq!(
                (&answer["id"], &answer["error"]["code"]),
                (&json!(7), &json!(-32_602))
            );
            let told = answer["error"]["message"].as_str().unwrap();
            assert!(told.contains("`arguments`"), "{told}");
        }
        for (method, right) in [
            ("tools/call", json!({})),
            ("tools/call", Value::Null),
            ("other", json!([1])),
        ] {
            assert_eq!(misshapen(&message(method, right)), None);
        }
    }
}
