//! Events as they happen, as server-sent events, or those so far as JSON.

use actors::{
    orchestrator::{EventFeed, Feed, HappeningFrame, LifeFrame, WORKER_STATUS},
    workflow::news::retold,
};
use futures_util::{Stream, StreamExt};
use http::header::ACCEPT;
use protocol::{api::EventView, id::TaskId};
use serde::Serialize;
use serde_json::Value;

use super::{
    answer::Answer,
    problem::Refused,
    push::{Door, Frame, push},
    request::{Call, LAST_EVENT_ID},
    shared::Shared,
};

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
    let request = call.id.clone();
    let frames = feed.map(move |event| frame(event.map_err(Refused::from), request.as_str()));
    Ok(push(shared, call, Door::Events, frames))
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
        let told: Vec<EventView> = events.iter().filter_map(retold).collect();
        return Answer::json(&told);
    }
    let request = call.id.clone();
    let frames = feed.filter_map(move |event| {
        let told = match event {
            Ok(event) => retold(&event).map(Ok),
            Err(rejection) => Some(Err(Refused::from(rejection))),
        };
        std::future::ready(told.map(|told| frame(told, request.as_str())))
    });
    Ok(push(shared, call, Door::Events, frames))
}

/// What an agent did, and with `follow` what it does.
pub(super) async fn agent_logs(
    shared: &Shared,
    call: &Call,
    agent: &str,
) -> Result<Answer, Refused> {
    let caller = call.caller()?;
    let cut_off = call.cut_off()?;
    let since = cut_off.or_else(|| call.query.text("since"));
    let wrong = |rejection| match cut_off {
        Some(_) => Refused::from(rejection).called("since", LAST_EVENT_ID),
        None => Refused::from(rejection),
    };
    let orchestrator = &shared.orchestrator;
    match call.query.text("follow") {
        None | Some("0" | "false") => {
            let lines = orchestrator.agent_logs(caller, agent, since).await;
            return Answer::json(&lines.map_err(wrong)?);
        }
        Some("" | "1" | "true") => {}
        Some(_) => return Err(Refused::bad("follow", "is neither `1` nor `0`")),
    }
    let lines = orchestrator.follow_agent(caller, agent, since).await;
    let lines = lines.map_err(wrong)?;
    let request = call.id.clone();
    let frames = lines.map(move |line| match line {
        Ok(line) => Frame::new(line.cursor.clone(), "log", &line),
        Err(rejection) => problem(&rejection.into(), request.as_str()),
    });
    Ok(push(shared, call, Door::Events, frames))
}

/// What is told as it comes, each with the cursor to go on after.
pub(super) fn feed<T: Serialize + Send + 'static>(
    shared: &Shared,
    call: &Call,
    event: &'static str,
    feed: Feed<T>,
) -> Answer {
    let frames = feed.map(move |told| Frame::new(told.cursor, event, &told.what));
    push(shared, call, Door::Events, frames)
}

/// The same of actors' lives; a frame without data says how far they are told.
pub(super) fn lives(shared: &Shared, call: &Call, feed: Feed<LifeFrame>) -> Answer {
    let frames = feed.map(|told| match &told.what {
        LifeFrame::Turn(turn) => Frame::new(told.cursor, "life", turn),
        LifeFrame::Gap(gap) => Frame::new(told.cursor, "gap", gap),
        LifeFrame::Mark => Frame::mark(told.cursor),
    });
    push(shared, call, Door::Events, frames)
}

/// What happens in the cluster, through either door.
pub(super) fn happenings(feed: Feed<HappeningFrame>) -> impl Stream<Item = Frame> + Send + 'static {
    feed.map(|told| match &told.what {
        HappeningFrame::Recorded(name, view) => {
            Frame::new(told.cursor, name.as_str(), view).about(view.entity)
        }
        HappeningFrame::Worker(worker) => Frame::new(told.cursor, WORKER_STATUS, worker),
        HappeningFrame::Mark => Frame::mark(told.cursor),
    })
}

/// The position to go on after: where a client was cut off counts more than where it began.
fn after(call: &Call) -> Result<u64, Refused> {
    match call.cut_off()? {
        Some(id) => id
            .parse()
            .map_err(|_| Refused::bad(LAST_EVENT_ID, "is not the `id` of an event")),
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

fn frame(event: Result<EventView, Refused>, request: &str) -> Frame {
    match event {
        Ok(view) => {
            let kind = view.event.get("type").and_then(Value::as_str);
            Frame::new(view.seq.to_string(), kind.unwrap_or("event"), &view).about(view.entity)
        }
        Err(refused) => problem(&refused, request),
    }
}

fn problem(refused: &Refused, request: &str) -> Frame {
    Frame::new(String::new(), "problem", &refused.problem(request))
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
        let frame = frame(Ok(event(7)), "r");
        assert_eq!(
            (frame.id.as_deref(), frame.event.as_deref()),
            (Some("7"), Some("submitted"))
        );
        assert_eq!(frame.data.lines().count(), 1, "{}", frame.data);
    }

    #[test]
    fn a_failure_in_the_middle_is_told() {
        let frame = frame(Err(Rejection::not_found("task").into()), "req_9");
        assert_eq!(frame.event.as_deref(), Some("problem"));
        assert!(frame.data.contains("req_9"), "{}", frame.data);
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
