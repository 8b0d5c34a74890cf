//! What the past says of ends that people caused: whose they were, and why.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
};

use futures_util::future::join_all;
use protocol::{
    access::{Caller, Role},
    agent::StopMode,
    api::{Life, LifeEvent},
    id::TaskId,
};
use runtime::{store::EventLog, supervision::Changes};
use serde_json::{Value, json};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::support::{System, user, within};

/// How the first ended of what stood below a path, once it has.
pub(crate) async fn end_below(changes: &mut Changes, path: &str) -> LifeEvent {
    within(async {
        loop {
            let mut life = changes.take_life().life.into_iter();
            let is_it = |it: &LifeEvent| it.what == Life::Stopped && it.path.starts_with(path);
            if let Some(ended) = life.find(is_it) {
                return ended;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

fn operator(name: &str) -> Caller {
    Caller {
        role: Role::Operator,
        ..user(name)
    }
}

async fn two_at_work(system: &System) -> TaskId {
    system.native("one", 5).await;
    let id = system
        .submit_task(json!({ "description": "two", "steps": [
            { "id": "a", "agent": "one" }, { "id": "b", "agent": "one" },
        ] }))
        .await;
    system.tool("one").is_called(2).await;
    id
}

#[tokio::test]
async fn of_many_who_cancel_a_task_the_past_names_whose_command_was_decided() {
    let system = System::start(&["one"]).await;
    let id = two_at_work(&system).await;
    let mut changes = system.actors().changes();
    changes.take_life();
    let cancels = (0..8).map(async |number| {
        let by = operator(&format!("user-{number}"));
        system.cancel_task(&by, id, format!("S-{number}")).await
    });
    for cancelled in join_all(cancels).await {
        cancelled.unwrap();
    }
    let records = system.life.read(id.into(), 0, 1000).await.unwrap();
    let mut asked = Vec::new();
    for record in records {
        let events: Vec<Value> = serde_json::from_str(&record.data).unwrap();
        let cancels = events.iter().filter(|it| it["type"] == "cancel_requested");
        for event in cancels {
            let (user, reason) = (&event["user"], &event["reason"]);
            assert_eq!(*user, *record.actor, "the record and its event agree");
            let (user, reason) = (user.as_str().unwrap(), reason.as_str().unwrap());
            asked.push(format!("cancelled by {user}: {reason}"));
        }
    }
    let ended = end_below(&mut changes, &format!("/tasks/{id}")).await;
    assert_eq!(asked, [ended.reason.unwrap()]);
}

#[tokio::test]
async fn an_attempt_that_a_person_ended_says_whose_and_why() {
    let system = System::start(&["one"]).await;
    let id = two_at_work(&system).await;
    let ann = operator("ann");
    let mut changes = system.actors().changes();
    changes.take_life();
    let (at, why) = ("/agents/one/", "too dear".to_owned());
    let paused = system.pause_task(&ann, id, why, StopMode::Now).await;
    paused.unwrap();
    let ended = end_below(&mut changes, at).await;
    assert_eq!(ended.reason.as_deref(), Some("paused by ann: too dear"));
    system.resume_task(&ann, id).await.unwrap();
    system.tool("one").is_called(4).await;
    changes.take_life();
    let cancelled = system.cancel_task(&ann, id, "enough".to_owned()).await;
    cancelled.unwrap();
    let ended = end_below(&mut changes, at).await;
    assert_eq!(ended.reason.as_deref(), Some("cancelled by ann: enough"));
}

/// Keeps the lines of the target `audit`.
#[derive(Clone, Default)]
struct Audit(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

impl Subscriber for Audit {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "audit"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn who_pauses_resumes_or_cancels_a_task_is_named_in_the_audit_log() {
    let audit = Audit::default();
    let _kept = tracing::subscriber::set_default(audit.clone());
    let system = System::start(&["one"]).await;
    let id = two_at_work(&system).await;
    let ann = operator("ann");
    let why = "P-1".to_owned();
    let paused = system.pause_task(&ann, id, why, StopMode::Graceful).await;
    paused.unwrap();
    system.resume_task(&ann, id).await.unwrap();
    let cancelled = system.cancel_task(&ann, id, "C-1".to_owned()).await;
    cancelled.unwrap();
    let lines = audit.0.lock().unwrap().clone();
    let says = |what: &str, reason: &str| {
        let line = lines.iter().find(|line| line.contains(what));
        let line = line.unwrap_or_else(|| panic!("{what}: {lines:?}"));
        assert!(line.contains("ann"), "{line}");
        assert!(
            line.contains(&id.to_string()) && line.contains(reason),
            "{line}"
        );
    };
    says("a task is paused", "P-1");
    says("a task goes on", "");
    says("a task is cancelled", "C-1");
}
