//! A keep-alive HTTP/1.1 connection that costs the load generator next to nothing.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One connection to a node's edge.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    head: String,
    received: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, if the request was met.
    ///
    /// # Errors
    ///
    /// When it was not met, or the body is no JSON.
    pub fn json(&self) -> io::Result<serde_json::Value> {
        if self.status / 100 == 2 {
            Ok(serde_json::from_slice(&self.body)?)
        } else {
            let body = String::from_utf8_lossy(&self.body);
            Err(io::Error::other(format!("answer {}: {body}", self.status)))
        }
    }
}

impl Connection {
    /// Connects to `address`, for requests with the bearer `token`.
    ///
    /// # Errors
    ///
    /// When nobody listens there.
    pub async fn open(address: &str, token: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let head = format!(
            "Host: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        );
        Ok(Self {
            stream,
            head,
            received: Vec::with_capacity(16 * 1024),
        })
    }

    /// Sends one request and reads its answer.
    ///
    /// # Errors
    ///
    /// When the connection breaks, or the answer is not one that says its length.
    pub async fn request(&mut self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        let (head, length) = (&self.head, body.len());
        let request =
            format!("{method} {path} HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}");
        self.stream.write_all(request.as_bytes()).await?;
        self.received.clear();
        loop {
            if let Some(answer) = parse(&self.received)? {
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Posts JSON.
    ///
    /// # Errors
    ///
    /// As for [`request`](Self::request).
    pub async fn post(&mut self, path: &str, body: &str) -> io::Result<Answer> {
        self.request("POST", path, body).await
    }

    /// Gets JSON.
    ///
    /// # Errors
    ///
    /// As for [`request`](Self::request), and when the request was not met.
    pub async fn get(&mut self, path: &str) -> io::Result<serde_json::Value> {
        self.request("GET", path, "").await?.json()
    }
}

/// The answer, once all of it is there.
fn parse(received: &[u8]) -> io::Result<Option<Answer>> {
    let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&received[..end]).map_err(io::Error::other)?;
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let malformed = || io::Error::other(format!("not an answer that is understood here: {head}"));
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(malformed)?;
    let length = match field("content-length") {
        Some(length) => length.parse().map_err(|_| malformed())?,
        None if status == 204 => 0,
        None => return Err(malformed()),
    };
    let body = &received[end + 4..];
    Ok((body.len() >= length).then(|| Answer {
        status,
        body: body[..length].to_vec(),
    }))
}
