//! A client's key makes a repeated request harmless.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{System, task};

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
