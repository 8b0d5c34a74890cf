//! Handlers of what happens in the cluster, as it happens.

use http::StatusCode;
use protocol::api::EventsQuery;
use tokio::time::timeout;

use super::{
    answer::Answer,
    live,
    problem::Refused,
    push::{Door, Upgrade, is_ours, push},
    request::{Call, LAST_EVENT_ID},
    shared::Shared,
    table::EventOp,
};

pub(super) async fn handle(
    operation: EventOp,
    shared: &Shared,
    call: &Call,
) -> Result<Answer, Refused> {
    match operation {
        EventOp::Stream => through(Door::Events, shared, call).await,
        EventOp::Socket | EventOp::Client => Err(Upgrade::missing()),
        EventOp::Ticket => shared.tickets.give(call.known()?, &shared.clock),
    }
}

/// The same over a WebSocket.
pub(super) async fn socket(
    upgrade: Upgrade,
    shared: &Shared,
    call: &Call,
) -> Result<Answer, Refused> {
    if !is_ours(&call.headers, &shared.hosts) {
        return Err(Refused::new(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "a page of another site may not open a WebSocket here; names of this node are listed as `hosts` under `[edge]`",
        ));
    }
    if shared.stopping.is_cancelled() {
        return Err(Refused::unavailable("draining", "the node stops"));
    }
    let opened = through(Door::Socket(upgrade, "client"), shared, call);
    let late = || Refused::unavailable("timeout", "the node did not answer in time");
    timeout(shared.request_timeout, opened)
        .await
        .unwrap_or_else(|_| Err(late()))
}

async fn through(door: Door, shared: &Shared, call: &Call) -> Result<Answer, Refused> {
    let text = |name: &str| call.query.text(name).map(str::to_owned);
    let cut_off = call.cut_off()?;
    let asked = EventsQuery {
        types: text("types"),
        // Where a client was cut off counts more than where it began.
        since: cut_off.map(str::to_owned).or_else(|| text("since")),
    };
    let feed = shared.orchestrator.follow_events(call.caller()?, &asked);
    let feed = feed.await.map_err(|wrong| {
        let wrong = Refused::from(wrong).in_query();
        match cut_off {
            Some(_) => wrong.called("since", LAST_EVENT_ID),
            None => wrong,
        }
    })?;
    Ok(push(shared, call, door, live::happenings(feed)))
}
