//! Keep-alive HTTP/1.1 that costs the load generator next to nothing: its connections, and a service
//! for the node to call.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
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

/// A service on a port of its own that answers every request with this JSON.
///
/// # Errors
///
/// When no port is free.
pub async fn serve(body: &str) -> io::Result<SocketAddr> {
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json";
    let answer = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A caller that goes away in the middle is its own affair.
            tokio::spawn(answer_all(stream, answer.clone()));
        }
    });
    Ok(address)
}

async fn answer_all(mut stream: TcpStream, answer: String) -> io::Result<()> {
    let mut received = Vec::new();
    while stream.read_buf(&mut received).await? > 0 {
        if let Some(message) = read(&received)?
            && message.body.len() >= message.length.unwrap_or(0)
        {
            stream.write_all(answer.as_bytes()).await?;
            received.clear();
        }
    }
    Ok(())
}

/// A message as far as it is there.
struct Message<'a> {
    head: &'a str,
    /// Bytes of body that the head names.
    length: Option<usize>,
    body: &'a [u8],
}

/// A message whose head is there.
fn read(received: &[u8]) -> io::Result<Option<Message<'_>>> {
    let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&received[..end]).map_err(io::Error::other)?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse())
    });
    let length = length.transpose().map_err(|_| malformed(head))?;
    Ok(Some(Message {
        head,
        length,
        body: &received[end + 4..],
    }))
}

fn malformed(head: &str) -> io::Error {
    io::Error::other(format!("not a message that is understood here: {head}"))
}

/// The answer, once all of it is there.
fn parse(received: &[u8]) -> io::Result<Option<Answer>> {
    let Some(Message { head, length, body }) = read(received)? else {
        return Ok(None);
    };
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| malformed(head))?;
    let length = match length {
        Some(length) => length,
        None if status == 204 => 0,
        None => return Err(malformed(head)),
    };
    Ok((body.len() >= length).then(|| Answer {
        status,
        body: body[..length].to_vec(),
    }))
}
