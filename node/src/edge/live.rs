//! Events as they happen, as server-sent events, or those so far as JSON.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
    time::Duration,
};

use actors::{
    orchestrator::{EventFeed, Feed, LifeFrame},
    workflow::news::news,
};
use futures_util::{Stream, StreamExt, TryStreamExt};
use http::header::ACCEPT;
use protocol::{api::EventView, id::TaskId};
use serde::Serialize;
use serde_json::Value;
use warp::{Reply, sse::Event};

use super::{answer::Answer, problem::Refused, request::Call, shared::Shared};

/// A comment is sent when nothing else was for this long, so that nobody in between hangs up.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) async fn task_events(
    shared: &Shared,
    call: &Call,
    id: TaskId,
) -> Result<Answer, Refused> {
    let after = after(call)?;
    let caller = call.caller()?;
    if wants_json(call) {
        let last = shared.orchestrator.task(caller, id).await?.version;
        let feed = shared.orchestrator.task_events(caller, id, after).await?;
        return Answer::json(&recorded(feed, after, last).await?);
    }
    if after > 0 {
        let task = shared.orchestrator.task(caller, id).await?;
        if task.status.is_terminal() && after >= task.version {
            // What makes a browser's `EventSource` stop asking for more.
            return Ok(Answer::nothing());
        }
    }
    let feed = shared.orchestrator.task_events(caller, id, after).await?;
    let stopping = shared.stopping.clone().cancelled_owned();
    let request = call.id.clone();
    let events = feed.take_until(stopping).map(move |event| {
        Ok::<_, Infallible>(frame(event.map_err(Refused::from), request.as_str()))
    });
    Ok(streamed(events))
}

/// What happened in a run and to its nodes.
pub(super) async fn run_events(
    shared: &Shared,
    call: &Call,
    id: TaskId,
) -> Result<Answer, Refused> {
    let after = after(call)?;
    let caller = call.caller()?;
    let run = shared.orchestrator.execution(caller, id).await?;
    if !wants_json(call) && after > 0 && run.status.is_terminal() && after >= run.position {
        return Ok(Answer::nothing());
    }
    let feed = shared.orchestrator.task_events(caller, id, after).await?;
    if wants_json(call) {
        let events = recorded(feed, after, run.position).await?;
        let told: Vec<EventView> = events.iter().filter_map(as_news).collect();
        return Answer::json(&told);
    }
    let stopping = shared.stopping.clone().cancelled_owned();
    let request = call.id.clone();
    let frames = feed.take_until(stopping).filter_map(move |event| {
        let told = match event {
            Ok(event) => as_news(&event).map(Ok),
            Err(rejection) => Some(Err(Refused::from(rejection))),
        };
        let frame = told.map(|told| Ok::<_, Infallible>(frame(told, request.as_str())));
        std::future::ready(frame)
    });
    Ok(streamed(frames))
}

/// An event as those are told it who follow a run: by another name, and of the run's nodes.
fn as_news(view: &EventView) -> Option<EventView> {
    let news = news(view)?;
    let mut event = news.data;
    event["type"] = news.name.into();
    Some(EventView {
        event,
        ..view.clone()
    })
}

/// What an agent did, and with `follow` what it does.
pub(super) async fn agent_logs(
    shared: &Shared,
    call: &Call,
    agent: &str,
) -> Result<Answer, Refused> {
    let caller = call.caller()?;
    let since = match call.header("last-event-id") {
        Some(id) => Some(id),
        None => call.query.text("since"),
    };
    let orchestrator = &shared.orchestrator;
    match call.query.text("follow") {
        None | Some("0" | "false") => {
            return Answer::json(&orchestrator.agent_logs(caller, agent, since).await?);
        }
        Some("" | "1" | "true") => {}
        Some(_) => return Err(Refused::bad("follow", "is neither `1` nor `0`")),
    }
    let lines = orchestrator.follow_agent(caller, agent, since).await?;
    let stopping = shared.stopping.clone().cancelled_owned();
    let request = call.id.clone();
    let frames = lines.take_until(stopping).map(move |line| {
        Ok::<_, Infallible>(match line {
            Ok(line) => Event::default()
                .id(line.cursor.clone())
                .event("log")
                .data(serde_json::to_string(&line).unwrap_or_default()),
            Err(rejection) => frame(Err(rejection.into()), request.as_str()),
        })
    });
    Ok(streamed(frames))
}

/// What is told as it comes, each with the cursor to go on after.
pub(super) fn feed<T: Serialize + Send + 'static>(
    shared: &Shared,
    event: &'static str,
    feed: Feed<T>,
) -> Answer {
    let stopping = shared.stopping.clone().cancelled_owned();
    let frames = feed.take_until(stopping).map(move |told| {
        let data = serde_json::to_string(&told.what).unwrap_or_default();
        let frame = Event::default().event(event).data(data);
        Ok::<_, Infallible>(if told.cursor.is_empty() {
            frame
        } else {
            frame.id(told.cursor)
        })
    });
    streamed(frames)
}

/// The same of actors' lives; a frame without data says how far they are told.
pub(super) fn lives(shared: &Shared, feed: Feed<LifeFrame>) -> Answer {
    let stopping = shared.stopping.clone().cancelled_owned();
    let frames = feed.take_until(stopping).map(move |told| {
        let event = Event::default();
        let frame = match &told.what {
            LifeFrame::Turn(turn) => event
                .event("life")
                .data(serde_json::to_string(turn).unwrap_or_default()),
            LifeFrame::Gap(gap) => event
                .event("gap")
                .data(serde_json::to_string(gap).unwrap_or_default()),
            LifeFrame::Mark => event,
        };
        Ok::<_, Infallible>(if told.cursor.is_empty() {
            frame
        } else {
            frame.id(told.cursor)
        })
    });
    streamed(frames)
}

fn streamed(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Answer {
    let alive = warp::sse::keep_alive().interval(HEARTBEAT).stream(events);
    let body = Shareable::new(alive.into_stream());
    Answer::Streamed(warp::sse::reply(body).into_response())
}

/// The position to go on after: where a client was cut off counts more than where it began.
fn after(call: &Call) -> Result<u64, Refused> {
    match call.header("last-event-id") {
        Some(id) => id
            .parse()
            .map_err(|_| Refused::bad("Last-Event-ID", "is not the `id` of an event")),
        None => Ok(call.query.get("since")?.unwrap_or(0)),
    }
}

fn wants_json(call: &Call) -> bool {
    call.header(ACCEPT.as_str()).is_some_and(|accept| {
        accept.split(',').any(|media| {
            media
                .split(';')
                .next()
                .is_some_and(|media| media.trim() == "application/json")
        })
    })
}

/// The events up to position `last`.
async fn recorded(mut feed: EventFeed, after: u64, last: u64) -> Result<Vec<EventView>, Refused> {
    let mut events: Vec<EventView> = Vec::new();
    while events.last().map_or(after, |event| event.seq) < last {
        match feed.next().await {
            Some(event) => events.push(event?),
            None => break,
        }
    }
    Ok(events)
}

fn frame(event: Result<EventView, Refused>, request: &str) -> Event {
    match event {
        Ok(view) => {
            let kind = view
                .event
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or("event")
                .to_owned();
            let data = serde_json::to_string(&view).unwrap_or_default();
            Event::default()
                .id(view.seq.to_string())
                .event(kind)
                .data(data)
        }
        Err(refused) => {
            let data = serde_json::to_string(&refused.problem(request)).unwrap_or_default();
            Event::default().event("problem").data(data)
        }
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
    use actors::Rejection;
    use futures_util::stream;
    use serde_json::json;

    use super::*;

    fn event(seq: u64) -> EventView {
        serde_json::from_value(json!({
            "entity": "task_01980000000070008000000000000001",
            "seq": seq,
            "at": "2026-01-01T00:00:00Z",
            "actor": "admin",
            "event": {"type": "submitted", "text": "two\nlines"},
        }))
        .unwrap()
    }

    #[test]
    fn an_event_is_one_frame_with_its_position() {
        let text = frame(Ok(event(7)), "r").to_string();
        let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(
            lines.contains(&"event:submitted") && lines.contains(&"id:7"),
            "{text}"
        );
    }

    #[test]
    fn a_failure_in_the_middle_is_told() {
        let text = frame(Err(Rejection::not_found("task").into()), "req_9").to_string();
        assert!(
            text.contains("event:problem") && text.contains("req_9"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn the_events_so_far_end_at_the_last_one() {
        let endless = stream::iter((3..).map(|seq| Ok(event(seq))));
        let events = recorded(Box::pin(endless), 2, 5).await.unwrap();
        assert_eq!(
            events.iter().map(|event| event.seq).collect::<Vec<_>>(),
            [3, 4, 5]
        );
        let nothing = recorded(Box::pin(stream::pending()), 5, 5).await.unwrap();
        assert_eq!(nothing, []);
    }
}
