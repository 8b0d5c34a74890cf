//! An agent of your own behind a simple REST service: `POST /process`.
//!
//! Takes `{task_type, data, instructions, context}`, answers `{status, result,
//! processing_time_ms}`, and keeps nothing between calls. Any language will do; this one counts
//! the words of all texts in `data`.
//!
//! ```text
//! cargo run --example api_agent -- 127.0.0.1:8002
//! ```
//!
//! A node calls it after `[egress] allow = ["127.0.0.1:8002"]` in its `cluster.toml`, as an agent
//! `{"name": "words", "agent_type": "api", "endpoint": "http://127.0.0.1:8002",
//! "capabilities": ["count"], "config": {"health": {"path": "/health"}}}`.

#![expect(
    clippy::print_stdout,
    reason = "a program tells where it listens; what it prints is its interface"
)]

use std::{convert::Infallible, error::Error, time::Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Longest request that is read.
const MAX_REQUEST: usize = 1024 * 1024;

/// What an `api` agent is sent.
#[derive(Deserialize)]
struct Work {
    task_type: String,
    data: Value,
    #[serde(default)]
    instructions: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let address = address.unwrap_or_else(|| "127.0.0.1:8002".to_owned());
    let listener = TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
            if let Err(error) = connection {
                println!("a connection broke: {error}");
            }
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/health") => (StatusCode::OK, json!({ "status": "ok" })),
        (&Method::POST, "/process") => process(request).await,
        _ => (StatusCode::NOT_FOUND, json!({ "error": "no such route" })),
    };
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    Ok(response)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program's own clock, not a rule's"
)]
async fn process(request: Request<Incoming>) -> (StatusCode, Value) {
    let start = Instant::now();
    let refused = |error: String| (StatusCode::BAD_REQUEST, json!({ "error": error }));
    let body = match Limited::new(request.into_body(), MAX_REQUEST)
        .collect()
        .await
    {
        Ok(body) => body.to_bytes(),
        Err(error) => return refused(error.to_string()),
    };
    let work: Work = match serde_json::from_slice(&body) {
        Ok(work) => work,
        Err(error) => return refused(error.to_string()),
    };
    println!("{}: {}", work.task_type, work.instructions);
    let reply = json!({
        "status": "success",
        "result": { "words": words(&work.data) },
        "processing_time_ms": u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    (StatusCode::OK, reply)
}

/// How many words there are in all texts of a document.
fn words(data: &Value) -> usize {
    match data {
        Value::String(text) => text.split_whitespace().count(),
        Value::Array(items) => items.iter().map(words).sum(),
        Value::Object(fields) => fields.values().map(words).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
