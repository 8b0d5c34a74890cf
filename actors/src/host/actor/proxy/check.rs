//! Health checks: at once, then by the interval, faster while they fail.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use protocol::{agent::Health, api::HealthReport, time::Timestamp};
use ractor::ActorRef;
use runtime::redact::redact;
use tokio::sync::oneshot;

use super::{Message, State};

/// Where a proxy stands with its checks.
#[derive(Debug, Default)]
pub(super) struct Checking {
    waiters: Vec<oneshot::Sender<HealthReport>>,
    under_way: Option<Timestamp>,
    failures: u32,
    next: Option<Timestamp>,
}

/// Starts a check although none is due yet.
pub(super) fn at_once(state: &mut State) {
    state.checking.next = None;
    begin(state, None);
}

/// Starts a check unless one is under way; whoever asked gets its report.
pub(super) fn begin(state: &mut State, reply: Option<oneshot::Sender<HealthReport>>) {
    let now = state.hosts.clock.now();
    let asked = reply.is_some();
    state.checking.waiters.extend(reply);
    if state.checking.under_way.is_some()
        || (!asked && state.checking.next.is_some_and(|next| now < next))
    {
        return;
    }
    let Some(post) = state.hosted.post() else {
        return;
    };
    state.checking.under_way = Some(now);
    let (hosts, own) = (state.hosts.clone(), state.address().clone());
    tokio::spawn(async move {
        let patience = hosts.config.health.timeout.0;
        let found = match &post.adapter {
            None => Err("the agent's configuration makes no sense to this build".to_owned()),
            Some(adapter) => {
                let check = AssertUnwindSafe(adapter.check(patience)).catch_unwind();
                match tokio::time::timeout(patience, check).await {
                    Ok(Ok(found)) => found,
                    Ok(Err(_)) => Err("the adapter's check panicked".to_owned()),
                    Err(_) => Err(format!("no answer within {patience:?}")),
                }
            }
        };
        let ended = hosts.clock.now();
        let (status, detail) = match found {
            Ok(detail) => (Health::Healthy, detail),
            Err(detail) => (Health::Unhealthy, detail),
        };
        let report = HealthReport {
            status,
            latency_ms: u64::try_from(ended.since(now).as_millis()).unwrap_or(u64::MAX),
            checked_at: ended,
            detail: redact(&detail).into_owned(),
        };
        // A proxy that is gone checks anew when it is back.
        let _ = own.cast(Message::Checked(report));
    });
}

/// Publishes what was found, tells whoever asked, and sets the time of the next check.
pub(super) fn end(state: &mut State, myself: &ActorRef<Message>, report: &HealthReport) {
    state.checking.under_way = None;
    let healthy = report.status == Health::Healthy;
    state.checking.failures = if healthy {
        0
    } else {
        state.checking.failures.saturating_add(1)
    };
    let failures = state.checking.failures;
    state.hosted.change(|vitals| {
        vitals.health = Some(report.clone());
        vitals.failures = failures;
    });
    state.hosts.publish(&state.hosted);
    for waiter in state.checking.waiters.drain(..) {
        let _ = waiter.send(report.clone());
    }
    let wait = pause(state);
    state.checking.next = Some(state.hosts.clock.now().plus(wait));
    myself.send_after(wait, || Message::Check { reply: None });
}

/// Until the next check: the interval, or less while an agent that just failed is looked at again.
fn pause(state: &State) -> Duration {
    let config = &state.hosts.config.health;
    match state.checking.failures {
        failures @ 1.. if failures <= config.rechecks => {
            (Duration::from_secs(1) * 2_u32.pow((failures - 1).min(10))).min(config.interval.0)
        }
        _ => config.interval.0,
    }
}
