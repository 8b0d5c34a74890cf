//! What starts when something happens: once for each event and each signed delivery.

use actors::trigger::Delivery;
use protocol::{
    api::{FiringView, TaskQuery, TaskView, TriggerView},
    id::{TaskId, TriggerId},
    task::TaskStatus,
};
use runtime::clock::Clock;
use serde_json::{Value, json};

use crate::{
    support::{System, until, within},
    workflows::made,
};

impl System {
    async fn trigger_on(&self, name: &str, on: Value, target: Value) -> TriggerView {
        let spec = json!({ "name": name, "on": on, "target": target });
        let spec = serde_json::from_value(spec).unwrap();
        self.create_trigger(&self.admin, spec).await.unwrap()
    }

    async fn started(&self, id: TriggerId, count: usize) -> Vec<FiringView> {
        until(async || {
            let runs = self.trigger_runs(&self.admin, id).await.ok()?.items;
            let over = runs
                .iter()
                .filter(|run| run.outcome == Some(TaskStatus::Completed));
            (over.count() == count).then_some(runs)
        })
        .await
    }

    async fn all_tasks(&self) -> usize {
        let query = TaskQuery {
            limit: Some(200),
            ..TaskQuery::default()
        };
        let page = self.tasks(&self.admin, &query).await.unwrap();
        page.items.len()
    }
}

fn after() -> Value {
    json!({ "task": {
        "description": "after", "steps": [{ "id": "a", "agent": "two", "input": "$.task.result" }],
        "input": { "of": "$.task.id", "event": "${event}" },
    } })
}

#[tokio::test]
async fn an_event_starts_one_run_with_what_the_event_says() {
    let system = System::start(&["one", "two"]).await;
    system.native("one", 5).await;
    system.native("two", 5).await;
    system.tool("one").release(10);
    system.tool("two").release(10);
    let before = system
        .submit_task(json!({ "description": "before", "steps": [{ "id": "a", "agent": "one" }] }));
    system.completed(before.await).await;
    let on = json!({ "event": "task.completed", "filter": "task.description == 'mine'" });
    let trigger = system.trigger_on("x", on, after()).await;
    let other = json!({ "description": "other", "steps": [{ "id": "a", "agent": "one" }] });
    let mine = json!({ "description": "mine", "steps": [{ "id": "a", "agent": "one" }] });
    system.completed(system.submit_task(other).await).await;
    let cause = system.completed(system.submit_task(mine).await).await;
    let runs = system.started(trigger.id, 1).await;
    assert_eq!(runs.len(), 1, "{runs:?}");
    let run: TaskView = system
        .task(&system.admin, runs[0].run.unwrap())
        .await
        .unwrap();
    assert_eq!(
        run.input,
        json!({ "of": cause.id, "event": "task.completed" })
    );
    assert_eq!(system.tool("two").calls()[0].input, cause.result);
    assert_eq!(run.metadata["trigger"]["depth"], json!(1));
    // Whoever reads the journal again, from where it was recorded, starts nothing again.
    let system = system.crash(|tool| tool.release(10)).await;
    let mine = json!({ "description": "mine", "steps": [{ "id": "a", "agent": "one" }] });
    system.completed(system.submit_task(mine).await).await;
    let runs = system.started(trigger.id, 2).await;
    assert_eq!((runs.len(), system.all_tasks().await), (2, 6));
}

#[tokio::test]
async fn runs_that_start_each_other_come_to_an_end() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    system.tool("one").release(100);
    let on = json!({ "event": "task.completed" });
    let target =
        json!({ "task": { "description": "again", "steps": [{ "id": "a", "agent": "one" }] } });
    let trigger = system.trigger_on("x", on, target).await;
    system.work("first").await;
    let last = until(async || {
        let runs = system
            .trigger_runs(&system.admin, trigger.id)
            .await
            .ok()?
            .items;
        runs.into_iter().find(|run| run.error.is_some())
    })
    .await;
    assert_eq!(last.error.unwrap().code, "loop_limit");
    assert_eq!(system.all_tasks().await, 17);
    let view = system.trigger(&system.admin, trigger.id).await.unwrap();
    assert_eq!((view.fired, view.failed), (16, 1));
}

#[tokio::test]
async fn what_happens_while_a_trigger_is_paused_is_let_pass() {
    let system = System::start(&["one", "two"]).await;
    system.native("one", 5).await;
    system.native("two", 5).await;
    system.tool("one").release(10);
    system.tool("two").release(10);
    let on = json!({ "event": "task.completed", "filter": "task.description != 'after'" });
    let trigger = system.trigger_on("x", on, after()).await;
    let admin = &system.admin;
    let work = || json!({ "description": "w", "steps": [{ "id": "a", "agent": "one" }] });
    system
        .pause_trigger(admin, trigger.id, String::new())
        .await
        .unwrap();
    system.completed(system.submit_task(work()).await).await;
    system.resume_trigger(admin, trigger.id).await.unwrap();
    let second = system.completed(system.submit_task(work()).await).await;
    let runs = system.started(trigger.id, 1).await;
    let run = system.task(admin, runs[0].run.unwrap()).await.unwrap();
    assert_eq!((runs.len(), &run.input["of"]), (1, &json!(second.id)));
}

/// Something that every environment has stands in for a secret.
const SECRET_ENV: &str = "PATH";

fn signed(id: &str, body: &str) -> Delivery {
    let secret = std::env::var(SECRET_ENV).unwrap();
    let stamp = Clock::system().now().as_micros() / 1_000_000;
    let text = format!("{id}.{stamp}.{body}");
    let signature = actors::trigger::signature_of(&secret, &text).unwrap();
    let headers = [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", stamp.to_string()),
        ("webhook-signature", signature),
    ];
    Delivery {
        headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
        body: body.to_owned(),
    }
}

#[tokio::test]
async fn a_delivery_starts_one_run_however_often_it_comes_and_only_if_it_is_signed() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    system.tool("one").release(10);
    let on = json!({ "webhook": { "secret_env": SECRET_ENV }, "filter": "body.go == true" });
    let target = json!({ "task": {
        "description": "hooked", "steps": [{ "id": "a", "agent": "one" }], "input": "$.body.n",
    } });
    let trigger = system.trigger_on("x", on, target).await;
    assert_eq!(trigger.url, Some(format!("/api/v1/hooks/{}", trigger.id)));
    let deliver = async |delivery| {
        within(system.deliver_hook(trigger.id, delivery))
            .await
            .unwrap()
    };
    let first = deliver(signed("d1", r#"{"go":true,"n":7}"#)).await.unwrap();
    assert!(!first.repeated);
    let run = first.run.unwrap();
    assert_eq!(system.completed(run).await.input, json!(7));
    let again = deliver(signed("d1", r#"{"go":true,"n":7}"#)).await.unwrap();
    assert_eq!((again.run, again.repeated), (Some(run), true));
    let not_meant = deliver(signed("d2", r#"{"go":false}"#)).await.unwrap();
    assert_eq!((not_meant.run, not_meant.repeated), (None, false));
    let mut forged = signed("d3", r#"{"go":true,"n":7}"#);
    forged.body = forged.body.replace('7', "8");
    assert_eq!(deliver(forged).await, None);
    // Neither does it say whether there is such a trigger.
    let nobody = TriggerId::from_uuid(uuid::Uuid::now_v7());
    let nobody = system.deliver_hook(nobody, signed("d4", "{}")).await;
    assert_eq!(nobody.unwrap(), None);
    let system = system.crash(|tool| tool.release(10)).await;
    let delivery = signed("d1", r#"{"go":true,"n":7}"#);
    let later = system
        .deliver_hook(trigger.id, delivery)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((later.run, later.repeated), (Some(run), true));
    assert_eq!(system.all_tasks().await, 1);
    let _: TaskId = run;
}

#[tokio::test]
async fn a_delivery_starts_one_run_of_a_workflow_also_when_its_trigger_forgot_it() {
    let system = System::start(&[]).await;
    let definition = json!({
        "name": "n", "nodes": [{ "id": "a", "type": "transform", "output": 1 }],
    });
    made(&system, &system.admin, &definition).await;
    let on = json!({ "webhook": { "secret_env": SECRET_ENV } });
    let trigger = system.trigger_on("x", on, json!({ "workflow": "n" })).await;
    let first = system.deliver_hook(trigger.id, signed("d0", "{}")).await;
    let run = first.unwrap().unwrap().run.unwrap();
    // It keeps a hundred.
    for number in 1..=101 {
        let delivery = signed(&format!("d{number}"), "{}");
        system.deliver_hook(trigger.id, delivery).await.unwrap();
    }
    until(async || (system.all_tasks().await == 102).then_some(())).await;
    let again = system.deliver_hook(trigger.id, signed("d0", "{}")).await;
    let again = again.unwrap().unwrap();
    assert_eq!((again.run, again.repeated), (Some(run), true));
    let system = system.crash(|_| {}).await;
    let later = system.deliver_hook(trigger.id, signed("d0", "{}")).await;
    let later = later.unwrap().unwrap();
    assert_eq!((later.run, later.repeated), (Some(run), true));
    assert_eq!(system.all_tasks().await, 102);
}

#[tokio::test]
async fn a_trigger_whose_secret_is_not_there_is_refused() {
    let system = System::start(&["one"]).await;
    let spec = json!({
        "name": "x", "on": { "webhook": { "secret_env": "NOBODY_SETS_THIS" } },
        "target": { "task": { "description": "x" } },
    });
    let spec = serde_json::from_value(spec).unwrap();
    let refused = system
        .create_trigger(&system.admin, spec)
        .await
        .unwrap_err();
    let message = refused.to_string();
    assert!(
        message.starts_with("on.webhook.secret_env: NOBODY_SETS_THIS is not set"),
        "{message}"
    );
}
