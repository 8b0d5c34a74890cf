//! Which agent gets a step, and when.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use protocol::{
    access::{Caller, Role},
    api::TaskPatch,
    task::{Priority, TaskStatus},
};
use serde_json::json;

use crate::support::{System, task, until};

#[tokio::test]
async fn five_slots_run_five_steps_and_the_sixth_starts_when_one_ends() {
    let system = System::start(&["one"]).await;
    let agent = json!({ "name": "one", "agent_type": "native", "capabilities": ["work"] });
    system.agent(agent).await;
    let mut tasks = Vec::new();
    for number in 0..7 {
        tasks.push(system.work(&number.to_string()).await);
    }
    let tool = system.tool("one");
    tool.is_called(5).await;
    let view = system.agent_view("one").await;
    assert_eq!(
        (view.max_tasks, view.running_tasks, view.capacity),
        (5, 5, 0)
    );
    for id in &tasks[5..] {
        let why = system.why_not(*id).await;
        assert!(why.contains("all slots of one are taken"), "{why}");
    }
    assert_eq!(tool.begun(), 5);
    tool.release(1);
    tool.is_called(6).await;
    assert_eq!(tool.called_for()[5], "5");
    tool.release(6);
    for id in tasks {
        system.completed(id).await;
    }
    assert_eq!(tool.begun(), 7);
}

async fn with_priority(system: &System, priority: u8) -> protocol::id::TaskId {
    let spec = json!({
        "description": format!("p{priority}"), "priority": priority,
        "steps": [{ "id": "a", "capability": "work" }],
    });
    system.submit_task(spec).await
}

#[tokio::test]
async fn the_more_urgent_of_waiting_steps_starts_first() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    with_priority(&system, 5).await;
    system.tool("one").is_called(1).await;
    let mut last = None;
    for priority in [1, 9, 3] {
        last = Some(with_priority(&system, priority).await);
    }
    system.tool("one").release(4);
    system.tool("one").is_called(4).await;
    assert_eq!(system.tool("one").called_for(), ["p5", "p9", "p3", "p1"]);
    system.completed(last.unwrap()).await;
}

#[tokio::test]
async fn a_new_priority_moves_a_waiting_step_and_a_settled_task_keeps_its_own() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    let first = with_priority(&system, 5).await;
    system.tool("one").is_called(1).await;
    let lowly = with_priority(&system, 1).await;
    with_priority(&system, 4).await;
    let patch = TaskPatch {
        priority: Some(Priority::MAX),
        ..TaskPatch::default()
    };
    let amended = system.amend_task(&system.admin, lowly, patch.clone()).await;
    assert_eq!(amended.unwrap().priority, Priority::MAX);
    system.tool("one").release(3);
    system.tool("one").is_called(3).await;
    assert_eq!(system.tool("one").called_for(), ["p5", "p1", "p4"]);
    system.completed(first).await;
    let late = system.amend_task(&system.admin, first, patch).await;
    assert_eq!(late.unwrap_err().code(), "already_settled");
}

#[tokio::test]
async fn a_step_that_finds_no_agent_in_time_fails_its_task() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    system.work("first").await;
    system.tool("one").is_called(1).await;
    let spec = json!({
        "description": "impatient", "budget": { "queue_time": "300ms" },
        "steps": [{ "id": "a", "capability": "work" }],
    });
    let task = system.settled(system.submit_task(spec).await).await;
    assert_eq!(task.status, TaskStatus::Failed);
    assert_eq!(task.error.unwrap().code, "queue_timeout");
    let waited = task.completed_at.unwrap().since(task.created_at);
    assert!((300..1300).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(system.tool("one").begun(), 1);
}

#[tokio::test]
async fn a_task_that_takes_longer_than_its_wall_time_is_stopped() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    let spec = json!({
        "description": "long", "budget": { "wall_time": "300ms" },
        "steps": [{ "id": "a", "capability": "work" }],
    });
    let id = system.submit_task(spec).await;
    system.tool("one").is_called(1).await;
    let task = system.settled(id).await;
    assert_eq!(task.error.unwrap().code, "timeout");
    system.tool("one").is_stopped(1).await;
    let took = task.completed_at.unwrap().since(task.created_at);
    assert!((300..1300).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test]
async fn a_required_tool_keeps_a_task_from_agents_without_it() {
    let system = System::start(&["one", "two"]).await;
    system.native("one", 5).await;
    let spec = json!({
        "description": "needs a tool", "requirements": { "tools": ["claude_code"] },
        "steps": [{ "id": "a", "capability": "work" }],
    });
    let id = system.submit_task(spec).await;
    let why = system.why_not(id).await;
    assert!(why.contains("one lacks a tool"), "{why}");
    let agent = json!({
        "name": "two", "agent_type": "native", "capabilities": ["work"],
        "metadata": { "tools": ["claude_code"] },
    });
    system.agent(agent).await;
    system.tool("two").release(1);
    system.completed(id).await;
    assert_eq!(system.tool("one").begun(), 0);
}

#[tokio::test]
async fn agents_of_another_tenant_are_neither_seen_nor_used() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let stranger = Caller {
        tenant: "other".to_owned(),
        user: "b".to_owned(),
        role: Role::Admin,
    };
    let listed = system.agents(&stranger, &Default::default()).await.unwrap();
    assert_eq!(listed.total, Some(0));
    let unseen = system.orchestrator.agent(&stranger, "one").await;
    assert_eq!(unseen.unwrap_err().code(), "not_found");
    let spec = json!({ "description": "x", "steps": [{ "id": "a", "agent": "one" }] });
    let refused = system.submit(&stranger, task(spec), None, None).await;
    assert!(refused.is_err());
    assert_eq!(system.tool("one").begun(), 0);
}

#[tokio::test]
async fn the_score_card_of_an_attempt_is_kept() {
    let system = System::start(&[]).await;
    for name in ["x", "y"] {
        let agent = json!({ "name": name, "agent_type": "echo", "capabilities": ["work"] });
        system.agent(agent).await;
    }
    let id = system.work("scored").await;
    let task = system.completed(id).await;
    let cards = system.allocation(&system.admin, id).await.unwrap();
    let card = &cards[0].card;
    let ran_on = task.plan.unwrap().steps.remove(0).agent;
    assert_eq!((cards.len(), cards[0].attempt), (1, Some(1)));
    assert_eq!(card.chosen, ran_on);
    assert_eq!(card.candidates.len(), 2);
    let weights = card.weights.unwrap();
    for candidate in &card.candidates {
        let scores = candidate.scores.unwrap();
        let sum = weights.fit * scores.fit
            + weights.availability * scores.availability
            + weights.balance * scores.balance
            + weights.affinity * scores.affinity;
        assert!((sum - scores.total).abs() < 1e-9);
    }
}

#[tokio::test]
async fn equal_tasks_spread_evenly_over_equal_agents() {
    let system = System::start(&[]).await;
    for number in 0..4 {
        let name = format!("e{number}");
        let agent = json!({ "name": name, "agent_type": "echo", "capabilities": ["work"] });
        system.agent(agent).await;
    }
    let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let ids = join_all(names.iter().map(|name| system.work(name))).await;
    let mut shares: BTreeMap<String, usize> = BTreeMap::new();
    for task in join_all(ids.into_iter().map(|id| system.completed(id))).await {
        let agent = task.plan.unwrap().steps.remove(0).agent.unwrap();
        *shares.entry(agent).or_default() += 1;
    }
    assert_eq!(shares.len(), 4);
    assert!(
        shares.values().all(|share| (22..=28).contains(share)),
        "{shares:?}"
    );
}

#[tokio::test]
async fn the_next_task_of_a_session_goes_to_the_agent_that_served_it() {
    let system = System::start(&[]).await;
    for number in 0..4 {
        let name = format!("e{number}");
        let agent = json!({ "name": name, "agent_type": "echo", "capabilities": ["work"] });
        system.agent(agent).await;
    }
    let mut served = Vec::new();
    for _ in 0..6 {
        let spec = json!({
            "description": "talk", "session_id": "s",
            "steps": [{ "id": "a", "capability": "work" }],
        });
        let task = system.completed(system.submit_task(spec).await).await;
        served.push(task.plan.unwrap().steps.remove(0).agent.unwrap());
    }
    served.dedup();
    assert_eq!(served.len(), 1, "{served:?}");
}

#[tokio::test]
async fn twenty_five_agents_work_at_the_same_time() {
    let names: Vec<String> = (0..25).map(|number| format!("n{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let system = System::start(&names).await;
    let mut tasks = Vec::new();
    for name in &names {
        system.native(name, 1).await;
        let spec = json!({ "description": name, "steps": [{ "id": "a", "agent": name }] });
        tasks.push(system.submit_task(spec).await);
    }
    for name in &names {
        system.tool(name).is_called(1).await;
    }
    for name in &names {
        system.tool(name).release(1);
    }
    for id in tasks {
        system.completed(id).await;
    }
}

#[tokio::test]
async fn a_hundred_and_fifty_tasks_execute_at_once_and_none_is_lost() {
    let system = System::start(&["one"]).await;
    system.native("one", 200).await;
    let names: Vec<String> = (0..150).map(|number| number.to_string()).collect();
    let ids = join_all(names.iter().map(|name| system.work(name))).await;
    system.tool("one").is_called(150).await;
    assert_eq!(system.agent_view("one").await.running_tasks, 150);
    system.tool("one").release(150);
    join_all(ids.into_iter().map(|id| system.completed(id))).await;
    assert_eq!(system.tool("one").begun(), 150);
    until(async || (system.agent_view("one").await.running_tasks == 0).then_some(())).await;
}
