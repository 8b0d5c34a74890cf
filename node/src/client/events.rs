//! Events of a task as they happen: server-sent events, taken up again where they broke off.

use std::{collections::VecDeque, time::Duration};

use futures_util::{Stream, StreamExt};
use protocol::{api::EventView, id::TaskId};

use super::{Client, Error};

/// Pauses before the connection is opened again; the last one is repeated.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// Tries in a row without a single event before the caller is told.
const TRIES: usize = 15;

/// A piece of the answer, or why there is none.
pub(super) type Piece = Result<Vec<u8>, Error>;

/// A task's events, each once and in order, until it is settled.
pub struct Events {
    client: Client,
    task: TaskId,
    after: u64,
    pieces: Option<std::pin::Pin<Box<dyn Stream<Item = Piece> + Send>>>,
    frames: Frames,
    ready: VecDeque<EventView>,
    tries: usize,
    ended: bool,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("task", &self.task)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new(client: Client, task: TaskId, after: u64) -> Self {
        Self {
            client,
            task,
            after,
            pieces: None,
            frames: Frames::default(),
            ready: VecDeque::new(),
            tries: 0,
            ended: false,
        }
    }

    /// The next event; nothing after the one that settles the task.
    ///
    /// # Errors
    ///
    /// When the node refuses, or stays out of reach for about half a minute.
    pub async fn next(&mut self) -> Result<Option<EventView>, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if event.seq <= self.after {
                    continue;
                }
                self.after = event.seq;
                self.tries = 0;
                self.ended = event.event["type"] == "settled";
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            self.fill().await?;
        }
    }

    /// Reads one more piece, or opens the connection.
    async fn fill(&mut self) -> Result<(), Error> {
        let Some(pieces) = &mut self.pieces else {
            return self.open().await;
        };
        match pieces.next().await {
            Some(Ok(bytes)) => {
                let frames = self.frames.feed(&bytes).into_iter();
                for frame in frames.filter(|frame| !frame.data.is_empty()) {
                    let event =
                        serde_json::from_str(&frame.data).map_err(|error| Error::Unknown {
                            url: self.client.url().to_owned(),
                            detail: error.to_string(),
                        })?;
                    self.ready.push_back(event);
                }
            }
            Some(Err(_)) | None => self.pieces = None,
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<(), Error> {
        if self.tries > 0 {
            let pause = PAUSES[(self.tries - 1).min(PAUSES.len() - 1)];
            tokio::time::sleep(pause).await;
        }
        self.tries += 1;
        self.frames = Frames::default();
        match self.client.event_pieces(self.task, self.after).await {
            Ok(pieces) => self.pieces = Some(Box::pin(pieces)),
            Err(error) if self.tries < TRIES && passes(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Whether trying again can help.
pub(super) fn passes(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => true,
        Error::Refused(problem) => problem.status == 429 || problem.status >= 500,
        Error::NoNode { .. }
        | Error::Read { .. }
        | Error::Certificate { .. }
        | Error::NoToken { .. }
        | Error::Unknown { .. } => false,
    }
}

/// Cuts a stream of bytes into its events.
#[derive(Debug, Default)]
pub(super) struct Frames {
    line: Vec<u8>,
    open: Frame,
}

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    /// Where to go on after it.
    pub(super) id: Option<String>,
    /// What it is called.
    pub(super) event: String,
    pub(super) data: String,
}

impl Frames {
    /// Each event with data or an id that `bytes` completes.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let mut complete = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.line);
            self.open.take(line.trim_end_matches('\r'), &mut complete);
            self.line.clear();
        }
        complete
    }
}

impl Frame {
    fn take(&mut self, line: &str, complete: &mut Vec<Self>) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "" if line.is_empty() => {
                let frame = std::mem::take(self);
                let says = |it: &Self| it.id.is_some() || !it.data.is_empty();
                complete.extend(Some(frame).filter(says));
            }
            "id" => self.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.event),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // Comments, and what this client does not need.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_out_however_the_bytes_arrive() {
        let stream = "retry: 500\n\nid: 1\nevent: a\ndata: {\"ä\":\ndata: 1}\n\n: ping\n\ndata:x\r\n\r\nid: 2\n\ndata: half";
        let mut at_once = Frames::default();
        let frame = |id: Option<&str>, event: &str, data: &str| Frame {
            id: id.map(str::to_owned),
            event: event.to_owned(),
            data: data.to_owned(),
        };
        let expected = vec![
            frame(Some("1"), "a", "{\"ä\":\n1}"),
            frame(None, "", "x"),
            frame(Some("2"), "", ""),
        ];
        assert_eq!(at_once.feed(stream.as_bytes()), expected);
        let mut bytewise = Frames::default();
        let cut: Vec<Frame> = stream
            .as_bytes()
            .iter()
            .flat_map(|byte| bytewise.feed(std::slice::from_ref(byte)))
            .collect();
        assert_eq!(cut, expected);
    }
}
