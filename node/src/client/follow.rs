//! News without an end: server-sent events, taken up again where they broke off.

use std::{collections::VecDeque, marker::PhantomData, pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt};
use protocol::api::Problem;
use reqwest::{Method, header};
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use super::{
    Client, Error, Route,
    events::{Frame, Frames, Piece, passes},
};

/// A pause before the connection is opened again.
const PAUSE: Duration = Duration::from_secs(1);
/// Tries in a row before the caller is told.
const TRIES: usize = 30;
/// Silence, pings included, after which nobody is believed to be there.
const SILENCE: Duration = Duration::from_secs(40);

/// News of one kind, each once and in order.
pub struct Follow<T> {
    client: Client,
    route: Route,
    /// Of the last news that was read.
    cursor: Option<String>,
    pieces: Option<Pin<Box<dyn Stream<Item = Piece> + Send>>>,
    frames: Frames,
    ready: VecDeque<Frame>,
    has_failed: bool,
    /// Whether there ever was a connection.
    has_begun: bool,
    of: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for Follow<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow")
            .field("route", &self.route)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned> Follow<T> {
    pub(super) fn new(client: Client, route: Route) -> Self {
        Self {
            client,
            route,
            cursor: None,
            pieces: None,
            frames: Frames::default(),
            ready: VecDeque::new(),
            has_failed: false,
            has_begun: false,
            of: PhantomData,
        }
    }

    /// The next news. After an error the next call tries again, where the last one broke off.
    ///
    /// # Errors
    ///
    /// When the node refuses, cannot be reached, or falls silent.
    pub async fn next(&mut self) -> Result<T, Error> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                if frame.event == "problem" {
                    self.pieces = None;
                    self.has_failed = true;
                    let problem: Problem = self.parse(&frame.data)?;
                    return Err(Error::Refused(Box::new(problem)));
                }
                if frame.data.is_empty() {
                    // Nothing happened; so far it is told.
                    self.cursor = frame.id.or(self.cursor.take());
                    continue;
                }
                let news = self.parse(&frame.data)?;
                self.cursor = frame.id.or(self.cursor.take());
                return Ok(news);
            }
            if let Err(error) = self.fill().await {
                self.pieces = None;
                self.has_failed = true;
                return Err(error);
            }
            self.has_failed = false;
        }
    }

    /// The same, but that an outage is waited out once there was a connection.
    ///
    /// # Errors
    ///
    /// When the node refuses, cannot be reached the first time, or for about half a minute.
    pub async fn next_steadily(&mut self) -> Result<T, Error> {
        let mut tries = 0;
        loop {
            match self.next().await {
                Err(error) if self.has_begun && tries < TRIES && passes(&error) => tries += 1,
                answer => return answer,
            }
        }
    }

    fn parse<U: DeserializeOwned>(&self, data: &str) -> Result<U, Error> {
        serde_json::from_str(data).map_err(|error| Error::Unknown {
            url: self.client.url().to_owned(),
            detail: error.to_string(),
        })
    }

    /// Reads one more piece, or opens the connection.
    async fn fill(&mut self) -> Result<(), Error> {
        let Some(pieces) = &mut self.pieces else {
            return self.open().await;
        };
        match timeout(SILENCE, pieces.next()).await {
            Ok(Some(bytes)) => self.ready.extend(self.frames.feed(&bytes?)),
            // The node ended it, as it does when it stops, or says nothing any more.
            Ok(None) | Err(_) => self.pieces = None,
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<(), Error> {
        if self.has_failed {
            sleep(PAUSE).await;
        }
        self.frames = Frames::default();
        self.ready.clear();
        let mut request = self
            .client
            .call(Method::GET, &self.route)
            .header(header::ACCEPT, "text/event-stream");
        if let Some(cursor) = &self.cursor {
            request = request.header("last-event-id", cursor);
        }
        let response = self.client.accepted(request).await?;
        self.has_begun = true;
        let client = self.client.clone();
        self.pieces = Some(Box::pin(response.bytes_stream().map(move |piece| {
            let piece = piece.map_err(|source| client.lost(source))?;
            Ok(piece.to_vec())
        })));
        Ok(())
    }
}
