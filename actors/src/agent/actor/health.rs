//! What checks find, as the agent's record keeps it, and the alert when it stays bad.

use protocol::{
    agent::{Event, Health},
    api::HealthReport,
};
use ractor::ActorProcessingErr;
use runtime::store::Delivery;
use tokio::sync::oneshot;

use super::{Cx, hosting};

/// The kind of delivery that tells operators something.
pub(crate) const ALERT: &str = "alert";

/// Whether operators were told that the agent's checks fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Alarm {
    #[default]
    Silent,
    Raised,
}

/// Asks whichever node hosts the agent. Without an answer, whoever asked is not answered either.
pub(super) fn check(cx: &Cx, reply: Option<oneshot::Sender<HealthReport>>) {
    let (Some(agent), Some(reply)) = (cx.volatile.entry.clone(), reply) else {
        return;
    };
    let hosts = cx.services.hosts.clone();
    tokio::spawn(async move {
        if let Ok(report) = hosts.check(&agent).await {
            // Whoever gave up needs no answer.
            let _ = reply.send(report);
        }
    });
}

/// Records what is new.
pub(super) async fn checked(
    cx: &mut Cx,
    report: &HealthReport,
    failures: u32,
) -> Result<(), ActorProcessingErr> {
    let Some(spec) = cx.state.spec.clone().filter(|_| !cx.state.deleted) else {
        return Ok(());
    };
    let healthy = report.status == Health::Healthy;
    let up = if healthy { 1.0 } else { 0.0 };
    metrics::gauge!(crate::metrics::AGENT_HEALTH, "agent" => spec.name.clone()).set(up);
    let outbox = alert(cx, &spec.name, report, failures);
    let known = cx.state.health.unwrap_or(Health::Healthy);
    if known != report.status || !outbox.is_empty() {
        cx.state.stage(&Event::HealthChanged {
            health: report.status,
            detail: report.detail.clone(),
        })?;
        super::commit(cx, "health", outbox).await?;
        hosting::announce(cx);
    }
    Ok(())
}

/// Says so when the agent's code is on no node.
pub(super) async fn lacking(cx: &mut Cx) -> Result<(), ActorProcessingErr> {
    let Some(detail) = hosting::lacking(cx) else {
        return Ok(());
    };
    let report = HealthReport {
        status: Health::Unhealthy,
        latency_ms: 0,
        detail,
        checked_at: cx.services.clock.now(),
    };
    checked(cx, &report, 0).await?;
    if let Some(entry) = &cx.volatile.entry {
        entry.change(|facts| facts.health = Some(report));
    }
    Ok(())
}

/// The alert that goes out when the rechecks failed too.
fn alert(cx: &mut Cx, name: &str, report: &HealthReport, failures: u32) -> Vec<Delivery> {
    if failures == 0 {
        cx.volatile.alarm = Alarm::Silent;
    }
    if failures <= cx.services.config.health.rechecks || cx.volatile.alarm == Alarm::Raised {
        return Vec::new();
    }
    cx.volatile.alarm = Alarm::Raised;
    let now = cx.services.clock.now();
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
