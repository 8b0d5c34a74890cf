//! Messages before a link is open: a length of four bytes, then JSON, never longer than said.

use std::io;

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a greeting may weigh.
pub(in crate::cluster) const GREETING: u32 = 16 * 1024;

/// What an answer to a join may weigh: it names the peers.
pub(in crate::cluster) const ANSWER: u32 = 1024 * 1024;

pub(in crate::cluster) async fn send<T: Serialize + Sync>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(&body);
    stream.write_all(&framed).await?;
    stream.flush().await
}

/// Reads exactly one message and nothing behind it.
pub(in crate::cluster) async fn receive<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    limit: u32,
) -> io::Result<T> {
    let length = stream.read_u32().await?;
    if length > limit {
        let said = format!("a message of {length} bytes is more than the {limit} allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, said));
    }
    let mut body = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    stream.read_exact(&mut body).await?;
    Ok(serde_json::from_slice(&body)?)
}
