//! What comes to a trigger's webhook: believed only if it is signed, started for only once.

use protocol::{
    api::HookView,
    id::TriggerId,
    trigger::{Event, Occasion},
};
use ractor::ActorProcessingErr;
use serde_json::json;

use super::{Cx, commit, plan, trigger_id};
use crate::{
    Config, Rejection, metrics,
    trigger::{Delivery, verified},
};

/// What a delivery came to.
#[derive(Debug)]
pub(crate) enum Hooked {
    /// It is believed.
    Taken(HookView),
    /// It is not.
    Unsigned,
    /// It is, and nothing can be done with it.
    Rejected(Rejection),
}

/// The secret of a webhook: in the environment, if triggers may name that variable.
pub(crate) fn hook_secret(config: &Config, name: &str) -> Result<String, String> {
    let permitted = &config.egress.credentials;
    let open = permitted.iter().any(|entry| entry == "*") && !name.starts_with("TROUPE_");
    if !open && !permitted.iter().any(|entry| entry == name) {
        return Err(format!(
            "{name} is not in `[egress] credentials`; add it there, or choose another"
        ));
    }
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.ok_or_else(|| {
        format!("{name} is not set in the environment of the node; set it and start the node anew")
    })
}

/// What makes the run of a delivery the only one, however long ago it came first.
pub(super) fn key(trigger: TriggerId, occasion: &Occasion) -> Option<String> {
    match occasion {
        Occasion::Event { .. } => None,
        Occasion::Delivery(id) => Some(format!("{trigger}/{id}")),
    }
}

pub(super) async fn hooked(cx: &mut Cx, delivery: &Delivery) -> Result<Hooked, ActorProcessingErr> {
    let (id, now) = (trigger_id(cx), cx.services.clock.now());
    let Some(webhook) = cx
        .state
        .spec
        .on
        .webhook
        .clone()
        .filter(|_| !cx.state.deleted)
    else {
        return Ok(Hooked::Unsigned);
    };
    let secret = match hook_secret(&cx.services.config, &webhook.secret_env) {
        Ok(secret) => secret,
        Err(why) => {
            tracing::error!(trigger = %id, why, "a webhook cannot be checked");
            return Ok(Hooked::Unsigned);
        }
    };
    let delivered = match verified(webhook.scheme, &secret, delivery, now) {
        Ok(delivered) => delivered,
        Err(why) => {
            tracing::warn!(target: "audit", trigger = %id, %why, "a webhook was refused");
            ::metrics::counter!(metrics::HOOKS_REFUSED).increment(1);
            return Ok(Hooked::Unsigned);
        }
    };
    let taken = |run, repeated| Ok(Hooked::Taken(HookView { run, repeated }));
    let occasion = Occasion::Delivery(delivered.clone());
    if let Some(run) = cx.state.run_for(&occasion) {
        return taken(Some(run), true);
    }
    if let Some(key) = key(id, &occasion) {
        let store = cx.journal().store();
        let made = store.made_by(cx.state.tenant(), &key).await?;
        if let Some((stream, _)) = made {
            let run = protocol::id::TaskId::from_uuid(stream.key());
            return taken(Some(run), true);
        }
    }
    if cx.state.paused.is_some() {
        return taken(None, false);
    }
    let body = match protocol::json::read(delivery.body.as_bytes()) {
        Ok(body) => body,
        Err(error) => {
            let wrong = match error.is_data() {
                true => format!("cannot be taken: {error}"),
                false => "is no JSON; let the sender send `application/json`".to_owned(),
            };
            return Ok(Hooked::Rejected(Rejection::field("body", wrong)));
        }
    };
    let headers = delivery
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)));
    let scope = json!({
        "event": "webhook", "id": delivered, "at": now, "body": body,
        "headers": headers.collect::<serde_json::Map<_, _>>(),
    });
    let plan = plan(cx)?;
    let Some(event) = cx.state.decide(id, &plan, occasion, &scope, now, (1, None)) else {
        return taken(None, false);
    };
    let answer = match &event {
        Event::Refused { error, .. } => {
            Hooked::Rejected(Rejection::field(error.code.clone(), error.message.clone()))
        }
        Event::Fired { run, .. } => Hooked::Taken(HookView {
            run: Some(*run),
            repeated: false,
        }),
        Event::Created { .. }
        | Event::Changed { .. }
        | Event::Started { .. }
        | Event::NotStarted { .. }
        | Event::Looked { .. }
        | Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::Deleted { .. } => Hooked::Unsigned,
    };
    cx.state.stage(&event)?;
    commit(cx, "webhook").await?;
    Ok(answer)
}
