//! Where agents are hosted: where their code is, and nowhere too many.

use protocol::{access::Caller, agent::AgentStatus, task::TaskStatus};
use serde_json::json;

use super::{by, town::Town};
use crate::support::until;

async fn register(town: &Town, name: &str, native: &str) {
    let spec = json!({
        "name": name, "agent_type": "native", "max_tasks": 2, "config": { "name": native },
    });
    let spec = serde_json::from_value(spec).unwrap();
    let registered = town["a"].register_agent(&Caller::admin(), spec).await;
    registered.unwrap();
}

async fn hosted_by(town: &Town, name: &str) -> (String, u32) {
    let agent = town["a"].agent(&Caller::admin(), name).await.unwrap();
    (agent.node, agent.capacity)
}

#[tokio::test]
async fn a_native_agent_is_hosted_where_its_code_is_and_the_node_that_is_asked_needs_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut town = Town::of(&["a"]).await;
    let worker = town.hire_with("w", folder.path(), &["rare"]).await;
    register(&town, "odd", "rare").await;
    until(async || (hosted_by(&town, "odd").await == ("w".to_owned(), 2)).then_some(())).await;
    worker.tool.release(1);
    let id = town.work("a", by("odd")).await;
    assert_eq!(town.settled("a", id).await.status, TaskStatus::Completed);
    assert_eq!(worker.tool.begun(), 1);
}

#[tokio::test]
async fn an_agent_may_name_a_node_of_which_nobody_has_heard_yet() {
    let folder = tempfile::tempdir().unwrap();
    let mut town = Town::of(&["a"]).await;
    let spec = json!({
        "name": "odd", "agent_type": "native", "max_tasks": 2, "config": { "name": "rare" },
        "placement": { "node": "w" },
    });
    let spec = serde_json::from_value(spec).unwrap();
    let registered = town["a"].register_agent(&Caller::admin(), spec).await;
    registered.unwrap();
    let unhosted = async || {
        let agent = town["a"].agent(&Caller::admin(), "odd").await.unwrap();
        serde_json::to_value(agent).unwrap()["unhosted"].clone()
    };
    assert_eq!(unhosted().await, true, "it takes nothing");
    let worker = town.hire_with("w", folder.path(), &["rare"]).await;
    worker.tool.release(1);
    let id = town.work("a", by("odd")).await;
    assert_eq!(town.settled("a", id).await.status, TaskStatus::Completed);
    let agent = town["a"].agent(&Caller::admin(), "odd").await.unwrap();
    let agent = serde_json::to_value(agent).unwrap();
    assert!(agent.get("unhosted").is_none(), "{agent}");
}

#[tokio::test]
async fn an_agent_whose_code_is_nowhere_says_so_until_a_node_has_it() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut town = Town::of(&["a"]).await;
    let _worker = town.hire_with("w", folders[0].path(), &[]).await;
    register(&town, "odd", "ghost").await;
    let admin = Caller::admin();
    let health = until(async || {
        let agent = town["a"].agent(&admin, "odd").await.unwrap();
        agent.health.filter(|_| agent.status == AgentStatus::Error)
    })
    .await;
    for word in ["`ghost`", "a, w lack it"] {
        assert!(health.detail.contains(word), "{health:?}");
    }
    let waits = town.work("a", by("odd")).await;
    let why = town["a"].why(&admin, waits).await.unwrap();
    let why = serde_json::to_string(&why).unwrap();
    assert!(
        why.contains("`ghost`") && why.contains("a, w lack it"),
        "{why}"
    );
    let later = town.hire_with("x", folders[1].path(), &["ghost"]).await;
    later.tool.release(1);
    let task = town.settled("a", waits).await;
    assert_eq!(task.status, TaskStatus::Completed);
    until(async || {
        let agent = town["a"].agent(&admin, "odd").await.unwrap();
        (agent.status == AgentStatus::Active).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_joins_gets_its_share_of_idle_agents_and_busy_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mut town = Town::of(&["a"]).await;
    let names: Vec<String> = (0..12).map(|number| format!("agent-{number:02}")).collect();
    for name in &names {
        register(&town, name, "one").await;
        town.knows(&town["a"], name, 2).await;
    }
    let busy = town.work("a", by("agent-00")).await;
    let same = town.work("a", by("agent-01")).await;
    town["a"].tool.is_called(2).await;
    let _worker = town.hire("w", folder.path()).await;
    until(async || {
        let mut moved = 0;
        for name in &names {
            moved += usize::from(hosted_by(&town, name).await == ("w".to_owned(), 2));
        }
        (moved == 6).then_some(())
    })
    .await;
    for name in ["agent-00", "agent-01"] {
        assert_eq!(hosted_by(&town, name).await, ("a".to_owned(), 1));
    }
    town["a"].tool.release(2);
    for id in [busy, same] {
        assert_eq!(town.settled("a", id).await.status, TaskStatus::Completed);
    }
}
