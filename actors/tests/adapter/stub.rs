//! A service that says exactly what a test wants, byte by byte.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the service does with each request.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// Answers with this status, these header lines and this body.
    Answer(u16, &'static str, String),
    /// Reads the request and never answers.
    Silent,
    /// Reads the request and hangs up.
    HangUp,
    /// Announces a body and hangs up within it.
    HangUpWithin,
    /// Sends a byte of a body without an end whenever it is asked for more.
    Endless,
}

/// A running service; ends with the test's runtime.
#[derive(Debug)]
pub(crate) struct Stub {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    pub(crate) async fn new(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, behaviour.clone(), Arc::clone(&seen)));
            }
        });
        Self { port, requests }
    }

    pub(crate) async fn json(status: u16, body: &Value) -> Self {
        Self::new(Behaviour::Answer(status, "", body.to_string())).await
    }

    /// All requests so far, with head and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The body of the only request.
    pub(crate) fn body(&self) -> Value {
        let [request] = &self.requests()[..] else {
            panic!("not one request: {:?}", self.requests());
        };
        serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour, seen: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = read(&mut stream).await {
        seen.lock().unwrap().push(request);
        match &behaviour {
            Behaviour::Answer(status, headers, body) => {
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n");
                if stream
                    .write_all(format!("{head}{body}").as_bytes())
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Behaviour::Silent => {
                // Until the caller hangs up.
                let _ = stream.read(&mut [0]).await;
                return;
            }
            Behaviour::HangUp => return,
            Behaviour::HangUpWithin => {
                let part = b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n{";
                let _ = stream.write_all(part).await;
                return;
            }
            Behaviour::Endless => {
                let head = b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n";
                let _ = stream.write_all(head).await;
                while stream.write_all(b"4\r\naaaa\r\n").await.is_ok() {}
                return;
            }
        }
    }
}

/// One request; none when the caller hangs up.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.ok().filter(|it| *it > 0)?;
        text.extend_from_slice(&buffer[..length]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else {
            continue;
        };
        let announced = head.lines().find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        if body.len() >= announced.unwrap_or(0) {
            return Some(so_far);
        }
    }
}
