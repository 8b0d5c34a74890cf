//! A client's key makes a repeated request harmless.

use futures_util::future::join_all;
use protocol::api::ExecuteRequest;
use serde_json::json;

use crate::{
    support::{System, task},
    workflows::made,
};

#[tokio::test]
async fn the_same_key_and_body_give_the_same_task() {
    let system = System::start(&[]).await;
    system
        .agent(json!({ "name": "echo", "agent_type": "echo" }))
        .await;
    let spec = task(json!({ "description": "x", "steps": [{ "id": "a", "agent": "echo" }] }));
    let key = || Some(("key".to_owned(), [1; 32]));
    let all = join_all((0..20).map(|_| {
        let (system, spec) = (&system, spec.clone());
        async move {
            system
                .submit(&system.admin, spec, key(), None)
                .await
                .unwrap()
        }
    }))
    .await;
    assert_eq!(all.iter().filter(|made| made.fresh).count(), 1);
    assert!(all.iter().all(|made| made.task.id == all[0].task.id));
    let listed = system.tasks(&system.admin, &Default::default()).await;
    assert_eq!(listed.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_repeat_is_found_before_anything_is_placed_for_it() {
    let system = System::start(&[]).await;
    let admin = system.admin.clone();
    system
        .agent(json!({ "name": "echo", "agent_type": "echo" }))
        .await;
    let flow = json!({ "name": "n", "nodes": [{ "id": "a", "type": "agent", "agent": "echo" }] });
    made(&system, &admin, &flow).await;
    let spec = task(json!({ "description": "x", "steps": [{ "id": "a", "agent": "echo" }] }));
    let key = |name: &str| Some((name.to_owned(), [1; 32]));
    let (mut tasks, mut runs) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let submitted = system.submit(&admin, spec.clone(), key("task"), None);
        tasks.push(submitted.await.unwrap());
        let request = ExecuteRequest::default();
        let begun = system.execute_workflow(&admin, "n", request, key("run"), None);
        runs.push(begun.await.unwrap());
    }
    assert_eq!(tasks[0].task.id, tasks[1].task.id);
    assert_eq!(runs[0].run.id, runs[1].run.id);
    assert_eq!((tasks[1].fresh, runs[1].fresh), (false, false));
    assert_eq!(system.life.refused(), 0);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_a_mistake() {
    let system = System::start(&[]).await;
    system
        .agent(json!({ "name": "echo", "agent_type": "echo" }))
        .await;
    let spec = task(json!({ "description": "x", "steps": [{ "id": "a", "agent": "echo" }] }));
    let submit = async |body| {
        let key = Some(("key".to_owned(), [body; 32]));
        system.submit(&system.admin, spec.clone(), key, None).await
    };
    submit(1).await.unwrap();
    assert_eq!(submit(2).await.unwrap_err().code(), "idempotency_mismatch");
}
