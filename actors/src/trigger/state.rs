//! What a trigger's events say.

use protocol::{
    api::{FiringView, TriggerView},
    id::{TaskId, TriggerId},
    record::Summary,
    task::Failure,
    time::Timestamp,
    trigger::{EVENT_VERSION, Event, Happening, MAX_DEPTH, Occasion, TriggerSpec},
};
use runtime::journal::EventSourced;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Plan;
use crate::firing::{Entry, Ledger, State, run_id};

/// A trigger as its events say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// What was asked for.
    pub spec: TriggerSpec,
    /// Who made it.
    pub user: String,
    /// When it was made; never before the first event.
    pub created_at: Option<Timestamp>,
    /// What happened before is let pass.
    pub since: Timestamp,
    /// Everything in the journal up to here was looked at.
    pub place: i64,
    /// What is to be started, and was.
    pub ledger: Ledger,
    /// Who paused it, and why.
    pub paused: Option<(String, String)>,
    /// Whether a client removed it.
    pub deleted: bool,
}

impl Trigger {
    /// What it waits for in the journal, if it does.
    #[must_use]
    pub fn waits_for(&self) -> Option<Happening> {
        let stands = !self.deleted && self.paused.is_none();
        self.spec.on.event.filter(|_| stands)
    }

    /// What is recorded when something happens that it may wait for; nothing when it is not meant.
    #[must_use]
    pub fn decide(
        &self,
        id: TriggerId,
        plan: &Plan,
        what: Occasion,
        scope: &Value,
        at: Timestamp,
        (depth, place): (u32, Option<i64>),
    ) -> Option<Event> {
        let refused = |code: &str, message: String| Event::Refused {
            occasion: what.clone(),
            error: Failure::new(code, message),
            place,
        };
        let target = match plan.apply(scope) {
            Ok(None) => return None,
            Ok(Some(target)) => target,
            Err(why) => return Some(refused("template", why)),
        };
        if depth > MAX_DEPTH {
            let message = format!(
                "{MAX_DEPTH} starts led to this one: a run whose end starts the next would go on for ever; narrow `on.filter`"
            );
            return Some(refused("loop_limit", message));
        }
        Some(Event::Fired {
            run: run_of(id, &what, at),
            occasion: what,
            target: Box::new(target),
            depth,
            place,
        })
    }

    /// The run that was started for something already.
    #[must_use]
    pub fn run_for(&self, occasion: &Occasion) -> Option<TaskId> {
        let mut entries = self.ledger.entries();
        entries
            .find(|entry| entry.occasion.as_ref() == Some(occasion))?
            .run
    }

    /// As clients see it.
    #[must_use]
    pub fn view(&self, id: TriggerId, version: u64) -> Option<TriggerView> {
        let created_at = self.created_at.filter(|_| !self.deleted)?;
        let hooked = self.spec.on.webhook.is_some();
        Some(TriggerView {
            id,
            name: self.spec.name.clone(),
            status: self.status().to_owned(),
            user_id: self.user.clone(),
            created_at,
            url: hooked.then(|| format!("/api/v1/hooks/{id}")),
            last_at: self.ledger.last_at,
            fired: self.ledger.fired,
            failed: self.ledger.failed,
            paused: self
                .paused
                .as_ref()
                .map(|(user, reason)| match reason.as_str() {
                    "" => format!("by {user}"),
                    reason => format!("by {user}: {reason}"),
                }),
            spec: self.spec.clone(),
            version,
        })
    }

    const fn status(&self) -> &'static str {
        match (self.deleted, &self.paused) {
            (true, _) => "deleted",
            (false, Some(_)) => "paused",
            (false, None) => "active",
        }
    }

    /// What it started, the newest first.
    #[must_use]
    pub fn firings(&self) -> Vec<FiringView> {
        self.ledger.entries().map(Entry::view).collect()
    }

    fn looked(&mut self, place: Option<i64>) {
        self.place = self.place.max(place.unwrap_or(0));
    }
}

fn run_of(id: TriggerId, occasion: &Occasion, at: Timestamp) -> TaskId {
    let name = match occasion {
        Occasion::Event { entity, seq } => format!("e{entity}:{seq}"),
        Occasion::Delivery(id) => format!("d{id}"),
    };
    run_id(id.uuid(), name.as_bytes(), at)
}

impl EventSourced for Trigger {
    type Event = Event;
    const EVENT_VERSION: u16 = EVENT_VERSION;
    const STATE_VERSION: u16 = 1;

    fn apply(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::Created { spec, user, after } => {
                self.spec = (**spec).clone();
                self.user.clone_from(user);
                (self.created_at, self.since, self.place) = (Some(at), at, *after);
            }
            Event::Changed { spec, .. } => self.spec = (**spec).clone(),
            Event::Fired {
                occasion,
                run,
                target,
                depth,
                place,
            } => {
                self.looked(*place);
                let mut entry = Entry::new(at, State::Pending(None));
                (entry.occasion, entry.run) = (Some(occasion.clone()), Some(*run));
                (entry.target, entry.depth) = (Some(target.clone()), *depth);
                self.ledger.add(entry);
            }
            Event::Started { run } => self.ledger.started(*run),
            Event::NotStarted {
                run,
                error,
                retry_at,
            } => self.ledger.not_started(*run, error, *retry_at),
            Event::Refused {
                occasion,
                error,
                place,
            } => {
                self.looked(*place);
                let mut entry = Entry::new(at, State::NotStarted);
                (entry.occasion, entry.error) = (Some(occasion.clone()), Some(error.clone()));
                self.ledger.add(entry);
            }
            Event::Looked { place } => self.looked(Some(*place)),
            Event::Paused { user, reason } => self.paused = Some((user.clone(), reason.clone())),
            Event::Resumed { after, .. } => {
                self.paused = None;
                self.since = at;
                self.looked(Some(*after));
            }
            Event::Deleted { .. } => self.deleted = true,
        }
    }

    fn summary(&self) -> Summary {
        let view = self.view(TriggerId::from_uuid(uuid::Uuid::nil()), 0);
        Summary {
            status: self.status().to_owned(),
            open: self.waits_for().is_some() || self.ledger.pending().next().is_some(),
            hidden: self.deleted,
            user: self.user.clone(),
            name: (!self.deleted).then(|| self.spec.name.clone()),
            // Strings, numbers and times always can be written.
            body: view
                .and_then(|view| serde_json::to_string(&view).ok())
                .unwrap_or_default(),
            ..Summary::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn id() -> TriggerId {
        TriggerId::from_uuid(Uuid::from_u128(9))
    }

    fn made() -> (Trigger, Plan) {
        let spec: TriggerSpec = serde_json::from_value(json!({
            "name": "x", "on": { "event": "task.completed" },
            "target": { "workflow": "w", "input": "$.n" },
        }))
        .unwrap();
        let plan = Plan::of(&spec).unwrap();
        let mut trigger = Trigger::default();
        let (spec, user) = (Box::new(spec), "ann".to_owned());
        trigger.apply(
            &Event::Created {
                spec,
                user,
                after: 5,
            },
            Timestamp::from_micros(1),
        );
        (trigger, plan)
    }

    fn decided(depth: u32) -> Event {
        let (trigger, plan) = made();
        let occasion = Occasion::Delivery("d".to_owned());
        let scope = json!({ "n": 3 });
        let at = Timestamp::from_micros(7);
        let event = trigger.decide(id(), &plan, occasion, &scope, at, (depth, Some(8)));
        event.unwrap()
    }

    #[test]
    fn what_happens_starts_one_run_whoever_decides() {
        let (mut trigger, _) = made();
        let event = decided(1);
        assert_eq!(event, decided(1));
        trigger.apply(&event, Timestamp::from_micros(7));
        assert_eq!(trigger.place, 8);
        let Event::Fired { run, target, .. } = event else {
            panic!("{event:?}");
        };
        assert_eq!(target.input, json!(3));
        let occasion = Occasion::Delivery("d".to_owned());
        assert_eq!(trigger.run_for(&occasion), Some(run));
    }

    #[test]
    fn starts_that_follow_from_each_other_are_bounded() {
        assert!(matches!(decided(MAX_DEPTH), Event::Fired { .. }));
        let Event::Refused { error, .. } = decided(MAX_DEPTH + 1) else {
            panic!("it goes on for ever");
        };
        assert_eq!(error.code, "loop_limit");
    }
}
