//! Frames as messages of a WebSocket, which its reader may narrow.

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use actors::orchestrator::EventTypes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use http::{
    HeaderMap, StatusCode,
    header::{CONNECTION, ORIGIN, UPGRADE},
};
use protocol::{
    api::{SocketFilter, SocketFrame},
    entity::EntityId,
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use warp::{
    Reply,
    ws::{Message, Ws},
};

use super::Frame;
use crate::edge::{
    answer::Answer, host::Hosts, metrics::SOCKETS, problem::Refused, shared::Shared,
};

/// How often the reader is asked whether it is there, and for how long it may say nothing at all.
const PING: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(50);

/// How long a reader may take to take one message.
const SLOW: Duration = Duration::from_secs(5);

/// How long it may take to take its leave.
const LEAVE: Duration = Duration::from_secs(2);

/// Bytes of what a client says, and of what waits for it.
const MAX_MESSAGE: usize = 64 * 1024;
const MAX_WAITING: usize = 1024 * 1024;

/// Why a WebSocket is closed, as RFC 6455 and its private range have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    /// There is no more to tell.
    Over = 1000,
    /// The edge stops.
    Away = 1001,
    /// The client sent what is no text.
    Unsupported = 1003,
    /// The token with which it was opened was withdrawn.
    Withdrawn = 1008,
    /// The client takes nothing.
    Slow = 4008,
}

impl Close {
    const fn why(self) -> &'static str {
        match self {
            Self::Over => "there is no more to tell",
            Self::Away => "the node stops; another one goes on",
            Self::Unsupported => "only text is understood",
            Self::Withdrawn => "the token with which this was opened counts no more",
            Self::Slow => "what was sent is not taken fast enough",
        }
    }
}

/// A request that can become a WebSocket.
pub(in crate::edge) struct Upgrade {
    ws: Ws,
    /// As long as somebody has it, the connection counts.
    stay: Option<Arc<dyn Send + Sync>>,
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").finish_non_exhaustive()
    }
}

/// Whether a web page that opens a WebSocket is one of this node; what is no web page says nothing.
/// A browser lets any page try.
pub(in crate::edge) fn is_ours(headers: &HeaderMap, hosts: &Hosts) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    origins.all(|origin| {
        let authority = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"));
        authority.is_some_and(|(_, authority)| hosts.answers(authority))
    })
}

impl Upgrade {
    pub(in crate::edge) const fn new(ws: Ws, stay: Option<Arc<dyn Send + Sync>>) -> Self {
        Self { ws, stay }
    }

    /// What a request is told that cannot become one.
    pub(in crate::edge) fn missing() -> Refused {
        Refused::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade_required",
            "this path speaks WebSocket over HTTP/1.1; `GET /api/v1/events` tells the same as server-sent events",
        )
        .with(UPGRADE, http::HeaderValue::from_static("websocket"))
        .with(CONNECTION, http::HeaderValue::from_static("upgrade"))
    }

    pub(super) fn answer(
        self,
        shared: &Shared,
        kind: &'static str,
        frames: impl Stream<Item = Frame> + Send + 'static,
        withdrawn: impl Future<Output = ()> + Send + 'static,
    ) -> Answer {
        let Self { ws, stay } = self;
        let stopping = shared.stopping.clone();
        let ws = ws
            .max_message_size(MAX_MESSAGE)
            .max_frame_size(MAX_MESSAGE)
            .max_write_buffer_size(MAX_WAITING);
        let reply = ws.on_upgrade(async move |socket| {
            let _counted = Counted::new(kind);
            converse(socket, frames, withdrawn, stopping).await;
            drop(stay);
        });
        Answer::Streamed(reply.into_response())
    }
}

/// One more WebSocket, until it is dropped.
struct Counted(&'static str);

impl Counted {
    fn new(kind: &'static str) -> Self {
        metrics::gauge!(SOCKETS, "kind" => kind).increment(1.0);
        Self(kind)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!(SOCKETS, "kind" => self.0).decrement(1.0);
    }
}

/// Which frames a reader still wants.
#[derive(Debug, Default)]
struct Wanted {
    types: Option<EventTypes>,
    entity: Option<EntityId>,
}

impl Wanted {
    fn read(text: &str) -> Result<Self, Refused> {
        let wrong = |error: serde_json::Error| Refused::bad("message", error.to_string());
        let filter: SocketFilter = serde_json::from_str(text).map_err(wrong)?;
        let types = filter.types.as_deref();
        let types = types.map(|types| EventTypes::read(Some(types))).transpose();
        Ok(Self {
            types: types.map_err(|wrong| Refused::from(wrong).in_query())?,
            entity: filter.entity,
        })
    }

    fn admits(&self, frame: &Frame) -> bool {
        let Some(name) = &frame.event else {
            return true;
        };
        let types = self.types.as_ref();
        types.is_none_or(|types| types.admit(name))
            && self.entity.is_none_or(|entity| frame.about == Some(entity))
    }
}

/// What comes next in a conversation.
enum Turn<E> {
    Frame(Option<Frame>),
    Heard(Option<Result<Message, E>>),
    Ping,
    Withdrawn,
    Stop,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The reader is gone, or said that it goes.
    Gone,
    Closed(Close),
}

/// Sends frames until they end, the reader goes, takes nothing or may hear no more, or the edge stops.
/// What waits for a reader is one message: nothing more is asked for before it is taken.
async fn converse<S, E>(
    socket: S,
    frames: impl Stream<Item = Frame>,
    withdrawn: impl Future<Output = ()>,
    stopping: CancellationToken,
) -> End
where
    S: Stream<Item = Result<Message, E>> + Sink<Message, Error = E>,
{
    let mut socket = pin!(socket);
    let mut frames = pin!(frames);
    let mut withdrawn = pin!(withdrawn);
    let mut wanted = Wanted::default();
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.reset();
    let mut heard = Instant::now();
    let close = loop {
        let turn = tokio::select! {
            biased;
            () = stopping.cancelled() => Turn::Stop,
            () = &mut withdrawn => Turn::Withdrawn,
            said = socket.next() => Turn::Heard(said),
            _ = pings.tick() => Turn::Ping,
            frame = frames.next() => Turn::Frame(frame),
        };
        let message = match turn {
            Turn::Stop => break Close::Away,
            Turn::Withdrawn => break Close::Withdrawn,
            Turn::Frame(None) => break Close::Over,
            Turn::Frame(Some(frame)) if wanted.admits(&frame) => text(frame),
            Turn::Frame(Some(_)) => continue,
            Turn::Ping if heard.elapsed() >= SILENCE => return End::Gone,
            Turn::Ping => Message::ping(Vec::new()),
            Turn::Heard(None | Some(Err(_))) => return End::Gone,
            Turn::Heard(Some(Ok(said))) => {
                heard = Instant::now();
                if said.is_close() {
                    // The answer to it lies ready.
                    let _ = timeout(LEAVE, socket.close()).await;
                    return End::Gone;
                }
                if said.is_binary() {
                    break Close::Unsupported;
                }
                match said.to_str() {
                    Ok(said) => answer(said, &mut wanted),
                    // A ping was answered, a pong says all that it has to say.
                    Err(()) => continue,
                }
            }
        };
        match timeout(SLOW, socket.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Gone,
            Err(_) => break Close::Slow,
        }
    };
    let leave = async {
        let farewell = Message::close_with(close as u16, close.why());
        if socket.send(farewell).await.is_ok() {
            while let Some(Ok(said)) = socket.next().await {
                if said.is_close() {
                    return;
                }
            }
        }
    };
    // Whoever does not listen is left all the same.
    let _ = timeout(LEAVE, leave).await;
    End::Closed(close)
}

/// Takes a filter in, and says what came of it.
fn answer(said: &str, wanted: &mut Wanted) -> Message {
    match Wanted::read(said) {
        Ok(filter) => {
            *wanted = filter;
            let filter: SocketFilter = serde_json::from_str(said).unwrap_or_default();
            text(Frame::new(String::new(), "filtered", &filter))
        }
        Err(refused) => text(Frame::new(String::new(), "problem", &refused.problem(""))),
    }
}

fn text(frame: Frame) -> Message {
    let frame = SocketFrame {
        id: frame.id,
        event: frame.event,
        data: serde_json::from_str(&frame.data).ok(),
    };
    Message::text(serde_json::to_string(&frame).unwrap_or_default())
}

#[cfg(test)]
mod tests;
