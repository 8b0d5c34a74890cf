//! Agents started, stopped, paused and resumed.

use protocol::{
    agent::{AgentStatus, StopMode},
    allocation::Exclusion,
    task::{AttemptStatus, TaskStatus},
};
use serde_json::json;

use crate::support::{System, task, until, user};

#[tokio::test]
async fn starting_a_started_agent_changes_nothing() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let (agent, changed) = system.start_agent(&system.admin, "one").await.unwrap();
    assert_eq!((agent.status, changed), (AgentStatus::Active, false));
    let events = system.agent_events(&system.admin, "one", 0, 10).await;
    assert_eq!(events.unwrap().len(), 1);
}

#[tokio::test]
async fn a_graceful_stop_lets_steps_end_and_gives_no_new_ones() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let first = system.work("first").await;
    system.tool("one").is_called(1).await;
    let stopped = system
        .stop_agent(&system.admin, "one", StopMode::Graceful)
        .await;
    assert_eq!(stopped.unwrap().agent.status, AgentStatus::Inactive);
    let second = system.work("second").await;
    system.tool("one").release(2);
    let task = system.completed(first).await;
    assert_eq!(task.plan.unwrap().steps[0].attempts.len(), 1);
    let why = system.why_not(second).await;
    assert!(why.contains("stopped; start it"), "{why}");
    assert_eq!(system.tool("one").begun(), 1);
    system.start_agent(&system.admin, "one").await.unwrap();
    system.completed(second).await;
}

#[tokio::test]
async fn a_stop_now_ends_what_runs_and_it_is_tried_elsewhere() {
    let system = System::start(&["one", "two"]).await;
    system.native("one", 5).await;
    let id = system.work("moves").await;
    system.tool("one").is_called(1).await;
    let stopped = system.stop_agent(&system.admin, "one", StopMode::Now).await;
    let stopped = stopped.unwrap();
    assert_eq!(stopped.agent.status, AgentStatus::Inactive);
    assert_eq!((stopped.reach.ended, stopped.reach.running), (1, 0));
    // Not a moment later: it was gone before this was answered.
    assert_eq!(system.tool("one").stopped(), 1);
    system.native("two", 5).await;
    system.tool("two").release(1);
    let attempts = system.completed(id).await.plan.unwrap().steps.remove(0);
    let attempts: Vec<_> = attempts
        .attempts
        .into_iter()
        .map(|attempt| (attempt.agent, attempt.status))
        .collect();
    let expected = [
        ("one".to_owned(), AttemptStatus::Cancelled),
        ("two".to_owned(), AttemptStatus::Succeeded),
    ];
    assert_eq!(attempts, expected);
}

#[tokio::test]
async fn a_pause_keeps_the_queue_and_outlives_the_process() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let chain = json!({ "description": "chain", "steps": [
        { "id": "a", "agent": "one" },
        { "id": "b", "agent": "one", "needs": ["a"] },
    ] });
    let id = system.submit_task(chain).await;
    system.tool("one").is_called(1).await;
    system.pause_agent(&system.admin, "one").await.unwrap();
    system.tool("one").release(2);
    until(async || {
        let why = system.why_not(id).await;
        why.contains("step b waits for agent one; one is paused")
            .then_some(())
    })
    .await;
    let system = system.crash(|_| ()).await;
    assert_eq!(system.agent_view("one").await.status, AgentStatus::Paused);
    let task = system.task(&system.admin, id).await.unwrap();
    assert_eq!((task.status, task.progress), (TaskStatus::Executing, 50));
    system.resume_agent(&system.admin, "one").await.unwrap();
    system.tool("one").release(1);
    system.completed(id).await;
    let steps: Vec<_> = system
        .tool("one")
        .calls()
        .into_iter()
        .map(|call| call.step)
        .collect();
    assert_eq!(steps, ["b"], "what was recorded is not run again");
}

#[tokio::test]
async fn why_names_the_first_filter_in_the_way_and_the_step_runs_when_it_is_gone() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    system.pause_agent(&system.admin, "one").await.unwrap();
    let id = system.work("waits").await;
    let why = system.why(&system.admin, id).await.unwrap();
    assert!(why.summary.contains("one is paused; resume it"), "{why:?}");
    let card = why.steps[0].card.clone().unwrap();
    assert_eq!(card.candidates[0].excluded.unwrap().as_str(), "paused");
    system.tool("one").release(1);
    let resumed = system.resume_agent(&system.admin, "one").await.unwrap();
    let task = system.completed(id).await;
    let waited = task.started_at.unwrap().since(resumed.updated_at);
    assert!(waited.as_millis() < 1000, "{waited:?}");
}

#[tokio::test]
async fn why_names_what_is_in_the_way_of_a_step_that_was_tried_before_too() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let id = system.work("again").await;
    system.tool("one").is_called(1).await;
    system.pause_agent(&system.admin, "one").await.unwrap();
    let system = system.crash(|tool| tool.release(1)).await;
    // Its next attempt is due in a moment.
    let why = until(async || {
        let why = system.why(&system.admin, id).await.unwrap();
        why.summary
            .contains("one is paused; resume it")
            .then_some(why)
    })
    .await;
    let lost = "; attempt 1 was lost: the process that ran it ended before its result was recorded \
        (node_lost)";
    assert!(why.summary.ends_with(lost), "{why:?}");
    let step = &why.steps[0];
    let candidates = &step.card.as_ref().unwrap().candidates;
    assert_eq!(candidates[0].excluded, Some(Exclusion::Paused));
    assert_eq!(step.remedies[0].agent, "one");
    system.resume_agent(&system.admin, "one").await.unwrap();
    system.completed(id).await;
}

#[tokio::test]
async fn an_agents_log_ends_with_its_newest_lines_and_goes_on_after_any_of_them() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    for _ in 0..105 {
        system.pause_agent(&system.admin, "one").await.unwrap();
        system.resume_agent(&system.admin, "one").await.unwrap();
    }
    let read = async |since: Option<String>| {
        let lines = system.agent_logs(&system.admin, "one", since.as_deref());
        lines.await.unwrap()
    };
    let lines = read(None).await;
    assert_eq!(lines.len(), 200);
    assert!(lines[199].message.contains("started"), "{:?}", lines[199]);
    assert_eq!(read(Some(lines[199].cursor.clone())).await, []);
    let rest = read(Some(lines[150].cursor.clone())).await;
    assert_eq!(rest, lines[151..]);
    system.tool("one").release(1);
    let id = system.work("count to ten").await;
    system.completed(id).await;
    let rest = read(Some(lines[199].cursor.clone())).await;
    let events: Vec<&str> = rest.iter().map(|line| line.event.as_str()).collect();
    assert_eq!(events, ["attempt_started", "attempt_succeeded"]);
    let wrong = system.agent_logs(&system.admin, "one", Some("x,y")).await;
    assert_eq!(wrong.unwrap_err().code(), "invalid");
}

#[tokio::test]
async fn a_user_reads_in_an_agents_log_what_others_tasks_did_but_not_what_they_are() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    system.tool("one").release(1);
    let spec = task(json!({
        "description": "sell the house", "steps": [{ "id": "a", "agent": "one" }],
    }));
    let (ann, bob) = (user("ann"), user("bob"));
    let made = system.submit(&ann, spec, None, None).await.unwrap();
    system.completed(made.task.id).await;
    for (caller, is_told) in [(&ann, true), (&bob, false), (&system.admin, true)] {
        let lines = system.agent_logs(caller, "one", None).await.unwrap();
        let text = format!("{lines:?}");
        assert!(text.contains("attempt_succeeded"), "{text}");
        assert_eq!(text.contains("sell the house"), is_told, "{caller} {text}");
        assert_eq!(
            text.contains(&made.task.id.to_string()),
            is_told,
            "{caller}"
        );
    }
}
