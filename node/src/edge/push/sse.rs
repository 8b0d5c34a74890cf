//! Frames as server-sent events.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt, TryStreamExt};
use warp::{Reply, sse::Event};

use super::Frame;
use crate::edge::{answer::Answer, shared::Shared};

/// A comment is sent when nothing else was for this long, so that nobody in between hangs up.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) fn answer(
    shared: &Shared,
    frames: impl Stream<Item = Frame> + Send + 'static,
) -> Answer {
    let stopping = shared.stopping.clone().cancelled_owned();
    let events = frames
        .take_until(stopping)
        .map(|frame| Ok::<_, Infallible>(event(frame)));
    let alive = warp::sse::keep_alive().interval(HEARTBEAT).stream(events);
    let body = Shareable::new(alive.into_stream());
    Answer::Streamed(warp::sse::reply(body).into_response())
}

fn event(frame: Frame) -> Event {
    let mut event = Event::default();
    if let Some(id) = frame.id {
        event = event.id(id);
    }
    match frame.event {
        Some(name) => event.event(name).data(frame.data),
        None => event,
    }
}

/// A stream that may be shared between threads because nobody can reach it without `&mut`:
/// bodies must be `Sync`, feeds are not.
struct Shareable<S>(Mutex<Pin<Box<S>>>);

impl<S> Shareable<S> {
    fn new(stream: S) -> Self {
        Self(Mutex::new(Box::pin(stream)))
    }
}

impl<S: Stream> Stream for Shareable<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let inner = self
            .0
            .get_mut()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.as_mut().poll_next(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_one_event_with_its_position() {
        let frame = Frame::new("7".to_owned(), "submitted", &"two\nlines");
        let text = event(frame).to_string();
        let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(
            lines.contains(&"event:submitted") && lines.contains(&"id:7"),
            "{text}"
        );
    }

    #[test]
    fn a_position_alone_has_neither_name_nor_data() {
        let text = event(Frame::mark("7".to_owned())).to_string();
        assert!(text.contains("id:7") && !text.contains("data"), "{text}");
        let unplaced = Frame::new(String::new(), "x", &1);
        assert!(!event(unplaced).to_string().contains("id:"));
    }
}
