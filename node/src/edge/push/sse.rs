//! Frames as server-sent events.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use warp::{Reply, sse::Event};

use super::Frame;
use crate::edge::{answer::Answer, shared::Shared};

/// A comment is sent when nothing else was for this long, so that nobody in between hangs up.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) fn answer(
    shared: &Shared,
    frames: impl Stream<Item = Frame> + Send + 'static,
    withdrawn: impl Future<Output = ()> + Send + 'static,
    farewell: Frame,
) -> Answer {
    let stopping = shared.stopping.clone().cancelled_owned();
    let events = until(frames, withdrawn, farewell)
        .take_until(stopping)
        .map(|frame| Ok::<_, Infallible>(event(frame)));
    let alive = warp::sse::keep_alive().interval(HEARTBEAT).stream(events);
    let body = Shareable::new(alive.into_stream());
    Answer::Streamed(warp::sse::reply(body).into_response())
}

/// What there is to tell until its reader may hear no more, which is the last that it is told.
fn until(
    frames: impl Stream<Item = Frame>,
    withdrawn: impl Future<Output = ()>,
    farewell: Frame,
) -> impl Stream<Item = Frame> {
    let withdrawn = withdrawn.shared();
    let over = withdrawn.clone();
    let last = stream::once(async move { over.now_or_never().map(|()| farewell) });
    frames
        .take_until(withdrawn)
        .chain(last.filter_map(std::future::ready))
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
    use std::future::pending;

    use tokio::time::timeout;

    use super::*;

    /// Over when this time of the test's clock has passed.
    async fn after(span: Duration) {
        let _ = timeout(span, pending::<()>()).await;
    }

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

    #[tokio::test(start_paused = true)]
    async fn who_may_hear_no_more_is_told_that_and_nothing_after_it() {
        let frame = |number: u64| Frame::new(number.to_string(), "x", &number);
        let farewell = || Frame::new(String::new(), "problem", &0);
        let slow = stream::iter(1_u64..).then(async |number| {
            after(Duration::from_secs(1)).await;
            Frame::new(number.to_string(), "x", &number)
        });
        let withdrawn = after(Duration::from_millis(2500));
        let told: Vec<_> = until(slow, withdrawn, farewell()).collect().await;
        assert_eq!(told, [frame(1), frame(2), farewell()]);
        let all = stream::iter([frame(1)]);
        let told: Vec<_> = until(all, pending(), farewell()).collect().await;
        assert_eq!(told, [frame(1)]);
    }

    #[test]
    fn a_position_alone_has_neither_name_nor_data() {
        let text = event(Frame::mark("7".to_owned())).to_string();
        assert!(text.contains("id:7") && !text.contains("data"), "{text}");
        let unplaced = Frame::new(String::new(), "x", &1);
        assert!(!event(unplaced).to_string().contains("id:"));
    }
}
