//! Health checks: at once, then by the interval, faster while they fail.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use protocol::{
    agent::{Event, Health},
    api::HealthReport,
    time::Timestamp,
};
use ractor::ActorProcessingErr;
use runtime::store::Delivery;
use tokio::sync::oneshot;

use super::{Cx, Message};

/// The kind of delivery that tells operators something.
pub(crate) const ALERT: &str = "alert";

/// Where a proxy stands with its checks.
#[derive(Debug, Default)]
pub(super) struct Checking {
    waiters: Vec<oneshot::Sender<HealthReport>>,
    under_way: Option<Timestamp>,
    failures: u32,
    next: Option<Timestamp>,
}

/// Starts a check unless one is under way; whoever asked gets its report.
pub(super) fn begin(cx: &mut Cx, reply: Option<oneshot::Sender<HealthReport>>) {
    let now = cx.services.clock.now();
    let asked = reply.is_some();
    cx.volatile.checking.waiters.extend(reply);
    if cx.volatile.checking.under_way.is_some()
        || (!asked && cx.volatile.checking.next.is_some_and(|next| now < next))
    {
        return;
    }
    let Some(adapter) = cx
        .volatile
        .agent
        .as_ref()
        .map(|agent| agent.facts().adapter.clone())
    else {
        return;
    };
    cx.volatile.checking.under_way = Some(now);
    let (services, id) = (cx.services.clone(), cx.id());
    tokio::spawn(async move {
        let patience = services.config.health.timeout.0;
        let found = match adapter {
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
        let ended = services.clock.now();
        let (status, detail) = match found {
            Ok(detail) => (Health::Healthy, detail),
            Err(detail) => (Health::Unhealthy, detail),
        };
        let report = HealthReport {
            status,
            latency_ms: u64::try_from(ended.since(now).as_millis()).unwrap_or(u64::MAX),
            checked_at: ended,
            detail,
        };
        services.agents.tell_active(id, Message::Checked(report));
    });
}

/// Records a change, tells whoever asked, and sets the time of the next check.
pub(super) async fn end(cx: &mut Cx, report: HealthReport) -> Result<(), ActorProcessingErr> {
    cx.volatile.checking.under_way = None;
    let Some(agent) = cx.volatile.agent.clone() else {
        return Ok(());
    };
    let healthy = report.status == Health::Healthy;
    cx.volatile.checking.failures = if healthy {
        0
    } else {
        cx.volatile.checking.failures + 1
    };
    let up = if healthy { 1.0 } else { 0.0 };
    metrics::gauge!(crate::metrics::AGENT_HEALTH, "agent" => agent.name.clone()).set(up);
    let outbox = alert(cx, &report);
    let known = cx.state.health.unwrap_or(Health::Healthy);
    if known != report.status || !outbox.is_empty() {
        cx.state.stage(&Event::HealthChanged {
            health: report.status,
            detail: report.detail.clone(),
        })?;
        super::commit(cx, "health", outbox).await?;
    }
    agent.change(|facts| {
        facts.known_health = Some(report.status);
        facts.health = Some(report.clone());
    });
    cx.services.allocator.changed();
    for waiter in cx.volatile.checking.waiters.drain(..) {
        let _ = waiter.send(report.clone());
    }
    let wait = pause(cx);
    cx.volatile.checking.next = Some(cx.services.clock.now().plus(wait));
    cx.tell_self_after(wait, Message::Check { reply: None });
    Ok(())
}

/// Until the next check: the interval, or less while an agent that just failed is looked at again.
fn pause(cx: &Cx) -> Duration {
    let config = &cx.services.config.health;
    match cx.volatile.checking.failures {
        failures @ 1.. if failures <= config.rechecks => {
            (Duration::from_secs(1) * 2_u32.pow((failures - 1).min(10))).min(config.interval.0)
        }
        _ => config.interval.0,
    }
}

/// The alert that goes out when the rechecks failed too.
fn alert(cx: &Cx, report: &HealthReport) -> Vec<Delivery> {
    if cx.volatile.checking.failures != cx.services.config.health.rechecks + 1 {
        return Vec::new();
    }
    let now = cx.services.clock.now();
    let name = cx
        .state
        .spec
        .as_ref()
        .map(|spec| spec.name.clone())
        .unwrap_or_default();
    let payload = serde_json::json!({
        "alert": "agent_error",
        "agent": name,
        "detail": report.detail,
        "at": report.checked_at,
    });
    vec![Delivery {
        id: cx.services.dice.uuid_v7(now),
        stream: cx.id(),
        kind: ALERT.to_owned(),
        payload: payload.to_string(),
        due: now,
        tries: 0,
    }]
}
