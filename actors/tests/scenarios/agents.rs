//! Agents: registration, lists, health.

use actors::Rejection;
use futures_util::future::join_all;
use protocol::{
    agent::{AgentStatus, AgentType},
    api::{AgentQuery, Consistency, TreeQuery},
    task::TaskStatus,
};
use serde_json::json;

use crate::support::{System, quick, until};

#[tokio::test]
async fn a_second_agent_of_a_name_is_refused_and_the_first_has_its_proxy_in_the_tree() {
    let system = System::start(&[]).await;
    let spec = json!({ "name": "echo", "agent_type": "echo" });
    let agent = system.agent(spec.clone()).await;
    assert_eq!(agent.status, AgentStatus::Active);
    let spec = serde_json::from_value(spec).unwrap();
    let again = system.register_agent(&system.admin, spec).await;
    assert_eq!(again.unwrap_err().code(), "name_taken");
    let tree = system.tree(&system.admin, &TreeQuery::default()).await;
    let paths: Vec<String> = tree.unwrap().nodes.into_iter().map(|n| n.path).collect();
    assert!(paths.contains(&"/agents/echo".to_owned()), "{paths:?}");
}

#[tokio::test]
async fn a_thousand_agents_are_paged_filtered_and_counted() {
    let system = System::start(&[]).await;
    let all = (0..1000).map(|number| {
        let kind = if number % 2 == 0 { "echo" } else { "sleep" };
        let team = number % 10;
        system.agent(json!({
            "name": format!("a{number:04}"), "agent_type": kind,
            "capabilities": [format!("c{team}")], "metadata": { "team": team },
        }))
    });
    join_all(all).await;
    let mut query = AgentQuery {
        agent_type: Some(AgentType::Echo),
        limit: Some(150),
        ..AgentQuery::default()
    };
    let mut names = Vec::new();
    loop {
        let page = system.agents(&system.admin, &query).await.unwrap();
        assert_eq!(page.total, Some(500));
        names.extend(page.items.into_iter().map(|agent| agent.name));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (0..1000).step_by(2).map(|n| format!("a{n:04}")).collect();
    assert_eq!(names, expected);
    for (query, total) in [
        (
            AgentQuery {
                capability: Some("c3".to_owned()),
                ..AgentQuery::default()
            },
            100,
        ),
        (
            AgentQuery {
                meta: vec![("team".to_owned(), "4".to_owned())],
                ..AgentQuery::default()
            },
            100,
        ),
        (
            AgentQuery {
                status: Some(AgentStatus::Error),
                ..AgentQuery::default()
            },
            0,
        ),
    ] {
        let page = system.agents(&system.admin, &query).await.unwrap();
        assert_eq!(page.total, Some(total), "{query:?}");
    }
}

#[tokio::test]
async fn a_step_that_runs_keeps_the_configuration_that_it_started_with() {
    let system = System::start(&["one", "other"]).await;
    system.native("one", 5).await;
    let first = system.work("first").await;
    system.tool("one").is_called(1).await;
    let update = serde_json::from_value(json!({ "config": { "name": "other" } })).unwrap();
    let before = system.agent_view("one").await.updated_at;
    let updated = system.update_agent(&system.admin, "one", update).await;
    assert!(updated.unwrap().updated_at > before);
    let second = system.work("second").await;
    system.tool("other").is_called(1).await;
    system.tool("one").release(1);
    system.tool("other").release(1);
    system.completed(first).await;
    system.completed(second).await;
    assert_eq!(system.tool("one").called_for(), ["first"]);
    assert_eq!(system.tool("other").called_for(), ["second"]);
}

#[tokio::test]
async fn what_waits_for_a_removed_agent_goes_to_another_and_its_history_stays() {
    let system = System::start(&["one", "two"]).await;
    let removed = system.native("one", 1).await;
    let tasks = [system.work("first").await, system.work("second").await];
    system.tool("one").is_called(1).await;
    system.delete_agent(&system.admin, "one").await.unwrap();
    system.native("two", 1).await;
    system.tool("two").release(2);
    for id in tasks {
        let task = system.completed(id).await;
        let steps = task.plan.unwrap().steps;
        assert_eq!(steps[0].agent.as_deref(), Some("two"));
    }
    let id = removed.id.to_string();
    let history = system.agent_events(&system.admin, &id, 0, 100).await;
    let last = history.unwrap().pop().unwrap();
    assert_eq!(last.event["type"], "deleted");
    assert!(system.agent_of("one").await.is_err());
}

#[tokio::test]
async fn an_ill_agent_is_in_error_gets_nothing_and_comes_back_by_itself() {
    let system = System::start_with(&["one"], quick()).await;
    system.native("one", 5).await;
    let tool = system.tool("one");
    let status = async || system.agent_view("one").await.status;
    tool.set_healthy(false);
    until(async || (status().await == AgentStatus::Error).then_some(())).await;
    let able = AgentQuery {
        capability: Some("work".to_owned()),
        ..AgentQuery::default()
    };
    let page = system.agents(&system.admin, &able).await.unwrap();
    assert_eq!(page.total, Some(0));
    let id = system.work("waits").await;
    let why = system.why_not(id).await;
    assert!(why.contains("fails its health checks"), "{why}");
    assert_eq!(tool.begun(), 0);
    tool.set_healthy(true);
    tool.release(1);
    let task = system.completed(id).await;
    assert_eq!(task.status, TaskStatus::Completed);
    until(async || (status().await == AgentStatus::Active).then_some(())).await;
    let events = system.agent_events(&system.admin, "one", 0, 100).await;
    let health: Vec<_> = events
        .unwrap()
        .into_iter()
        .filter(|event| event.event["type"] == "health_changed")
        .map(|event| event.event["health"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(health.first().unwrap(), "unhealthy");
    assert_eq!(health.last().unwrap(), "healthy");
}

#[tokio::test]
async fn a_check_on_demand_tells_what_it_found_and_sets_the_status() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    system.tool("one").set_healthy(false);
    // The check at registration may be under way still: then this one shares its answer.
    until(async || {
        let report = system.check_agent(&system.admin, "one").await.unwrap();
        (report.detail == "told to be ill").then_some(())
    })
    .await;
    assert_eq!(system.agent_view("one").await.status, AgentStatus::Error);
}

#[tokio::test]
async fn statistics_count_agents_and_what_became_of_their_attempts() {
    let system = System::start(&[]).await;
    system
        .agent(json!({ "name": "echo", "agent_type": "echo" }))
        .await;
    system
        .agent(json!({ "name": "fail", "agent_type": "fail" }))
        .await;
    for agent in ["echo", "echo", "fail"] {
        let retry = json!({ "max_attempts": 2, "backoff": "1ms" });
        let step = json!({ "id": "a", "agent": agent, "retry": retry });
        let spec = json!({ "description": "count", "steps": [step] });
        system.settled(system.submit_task(spec).await).await;
    }
    // The view is folded now and then; who asks for all of it waits until that is done.
    let stats = system.agent_stats(&system.admin, Consistency::Strong);
    let stats = stats.await.unwrap();
    assert_eq!((stats.total, stats.succeeded, stats.failed), (2, 2, 2));
    assert_eq!(stats.by_type["echo"], 1);
    assert_eq!(stats.by_status["active"], 2);
    assert_eq!(stats.agents["fail"].failed, 2);
    assert_eq!(stats.duration.count, 4);
}

#[tokio::test]
async fn reading_agents_does_not_touch_the_store() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let before = system.life.asked();
    for _ in 0..100 {
        system.agent_view("one").await;
        let all = AgentQuery::default();
        system.agents(&system.admin, &all).await.unwrap();
        system.agent_config(&system.admin, "one").await.unwrap();
    }
    assert_eq!(system.life.asked(), before);
}

#[tokio::test]
async fn who_wants_all_that_is_committed_is_told_when_that_cannot_be_had() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    let strong = AgentQuery {
        consistency: Consistency::Strong,
        ..AgentQuery::default()
    };
    let all = system.agents(&system.admin, &strong).await.unwrap();
    assert_eq!(all.items.len(), 1);
    system.agent_caught_up(&system.admin, "one").await.unwrap();
    system.life.fold_no_more();
    let spec = json!({ "name": "two", "agent_type": "echo" });
    system.agent(spec).await;
    let stats = system.agent_stats(&system.admin, Consistency::Strong);
    let Err(Rejection::Unavailable { message, .. }) = stats.await else {
        panic!("totals are told that lack something");
    };
    assert!(message.contains("`agent_totals` is behind"), "{message}");
    let now = system.agent_stats(&system.admin, Consistency::Eventual);
    assert_eq!(now.await.unwrap().total, 2);
    // Lists of agents do not need the view.
    let all = system.agents(&system.admin, &strong).await.unwrap();
    assert_eq!(all.items.len(), 2);
}
