//! Agents that ask agents of other nodes.

use std::time::Duration;

use actors::adapter::{Adapter, Answer, Call, CallError, Colleagues};
use protocol::{
    access::Caller,
    api::Relation,
    id::TaskId,
    task::{AttemptStatus, TaskStatus},
    wire::Service,
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::town::Town;
use crate::support::within;

/// Asks whom its input names, and tells what it heard, or why it heard nothing.
#[derive(Debug)]
pub(super) struct Asks;

impl Adapter for Asks {
    fn call<'a>(
        &'a self,
        _: &'a Call,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        unreachable!("it is called with its colleagues")
    }

    fn call_among<'a>(
        &'a self,
        call: &'a Call,
        colleagues: &'a Colleagues,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async move {
            let whom = call.input["ask"].as_str().unwrap();
            Ok(
                match colleagues.ask(whom, call.input["with"].clone()).await {
                    Ok(heard) => json!({ "heard": heard }),
                    Err(error) => json!({ "error": error.code(), "says": error.to_string() }),
                },
            )
        })
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(std::future::ready(Ok("it asks".to_owned())))
    }
}

impl Town {
    /// An agent that asks others, hosted on the node `on`.
    pub(super) async fn asker(&self, at: &str, name: &str, on: &str) {
        let spec = json!({
            "name": name, "agent_type": "native", "capabilities": ["ask"],
            "placement": { "node": on }, "config": { "name": "asks" },
        });
        let spec = serde_json::from_value(spec).unwrap();
        self[at]
            .register_agent(&Caller::admin(), spec)
            .await
            .unwrap();
        self.knows(&self[at], name, 5).await;
    }

    /// A task of `at` in which `agent` asks what its input says.
    pub(super) async fn asking(
        &self,
        at: &str,
        agent: &str,
        timeout: &str,
        input: Value,
    ) -> TaskId {
        self.work(
            at,
            json!({ "agent": agent, "input": input, "timeout": timeout }),
        )
        .await
    }
}

#[tokio::test]
async fn an_agent_asks_one_of_another_node_by_name_and_hears_its_answer() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut town = Town::of(&["a", "b"]).await;
    let _first = town.hire("w1", one.path()).await;
    let second = town.hire("w2", two.path()).await;
    second.tool.answer(json!({ "price": 42 }));
    // One on each kind of node: another worker, another control node, the task's own.
    town["a"].tool.answer(json!("of a"));
    town["b"].tool.answer(json!("of b"));
    town.asker("a", "boss", "w1").await;
    for (name, on) in [("far", "w2"), ("near", "b"), ("own", "a")] {
        town.agent("a", name, on, 5).await;
    }
    for (whom, heard) in [
        ("far", json!({ "price": 42 })),
        ("near", json!("of b")),
        ("own", json!("of a")),
    ] {
        let input = json!({ "ask": whom, "with": { "item": 7 } });
        let id = town.asking("a", "boss", "10s", input).await;
        for tool in [&second.tool, &town["a"].tool, &town["b"].tool] {
            tool.release(1);
        }
        let task = town.settled("a", id).await;
        assert_eq!(task.result, json!({ "heard": heard }));
    }
    let asked = &second.tool.calls()[0];
    assert_eq!(asked.input, json!({ "item": 7 }));
    assert_eq!(*asked.task_input, json!({ "asked_by": ["boss"] }));
    // The time that the one who asks has left, and no more.
    assert!(asked.timeout <= Duration::from_secs(10));
}

#[tokio::test]
async fn who_asks_an_agent_whose_node_dies_hears_so_as_soon_as_that_is_known() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut town = Town::of(&["a"]).await;
    let _first = town.hire("w1", one.path()).await;
    let second = town.hire("w2", two.path()).await;
    town.asker("a", "boss", "w1").await;
    town.agent("a", "far", "w2", 5).await;
    let input = json!({ "ask": "far", "with": null });
    let id = town.asking("a", "boss", "10m", input).await;
    second.tool.is_called(1).await;
    town.board.cut(second.id);
    town.bury(second.id);
    let task = town.settled("a", id).await;
    assert_eq!(task.status, TaskStatus::Completed);
    assert_eq!(task.result["error"], "ask_lost", "{}", task.result);
    assert_eq!(town.attempts("a", id).await.len(), 1);
}

/// Long before its lease is over: a question is put once, whatever becomes of it.
#[tokio::test]
async fn who_asks_an_agent_whose_node_stays_out_of_reach_hears_so_within_three_seconds() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut town = Town::of(&["a"]).await;
    let _first = town.hire("w1", one.path()).await;
    let second = town.hire("w2", two.path()).await;
    town.asker("a", "boss", "w1").await;
    town.agent("a", "far", "w2", 5).await;
    let input = json!({ "ask": "far", "with": null });
    let id = town.asking("a", "boss", "10m", input).await;
    second.tool.is_called(1).await;
    town.part(second.id);
    let parted = Instant::now();
    let task = town.settled("a", id).await;
    assert_eq!(task.result["error"], "ask_lost", "{}", task.result);
    assert!(parted.elapsed() < Duration::from_secs(3));
    // What it says later is heard by nobody.
    second.tool.release(1);
    town.meet(second.id);
    assert_eq!(town.settled("a", id).await, task);
}

#[tokio::test]
async fn agents_that_ask_each_other_come_to_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut town = Town::of(&["a", "b"]).await;
    let _worker = town.hire("w", folder.path()).await;
    for (name, on) in [("first", "w"), ("second", "b"), ("third", "a")] {
        town.asker("a", name, on).await;
    }
    let back = json!({ "ask": "first", "with": null });
    let third = json!({ "ask": "third", "with": back });
    let input = json!({ "ask": "second", "with": third });
    let id = town.asking("a", "first", "10s", input).await;
    let result = town.settled("a", id).await.result;
    let end = &result["heard"]["heard"];
    assert_eq!(end["error"], "ask_cycle", "{result}");
    let path = "first asks second asks third";
    assert!(end["says"].as_str().unwrap().ends_with(path), "{end}");
}

#[tokio::test]
async fn the_one_who_is_asked_has_no_more_time_than_the_one_who_asks_and_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut town = Town::of(&["a"]).await;
    let worker = town.hire("w", folder.path()).await;
    town.asker("a", "boss", "a").await;
    town.asker("a", "middle", "w").await;
    town.agent("a", "slow", "w", 5).await;
    let slow = json!({ "ask": "slow", "with": null });
    let input = json!({ "ask": "middle", "with": slow });
    let id = town.asking("a", "boss", "1s", input).await;
    worker.tool.is_stopped(1).await;
    assert!(worker.tool.calls()[0].timeout <= Duration::from_secs(1));
    let attempts = town.settled("a", id).await;
    assert!(attempts.status.is_terminal());
}

#[tokio::test]
async fn nobody_is_asked_that_is_not_there_or_does_not_run() {
    let town = Town::of(&["a"]).await;
    let admin = Caller::admin();
    town.asker("a", "boss", "a").await;
    town.agent("a", "idle", "a", 5).await;
    town["a"].pause_agent(&admin, "idle").await.unwrap();
    for (whom, why) in [("ghost", "ask_not_found"), ("idle", "ask_unavailable")] {
        let input = json!({ "ask": whom, "with": null });
        let id = town.asking("a", "boss", "10s", input).await;
        assert_eq!(town.settled("a", id).await.result["error"], why);
    }
}

#[tokio::test]
async fn only_the_node_that_runs_an_attempt_asks_in_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut town = Town::of(&["a", "b"]).await;
    let worker = town.hire("w", folder.path()).await;
    town.agent("a", "one", "b", 5).await;
    town.agent("a", "two", "a", 5).await;
    let id = town.work("a", json!({ "agent": "one" })).await;
    town["b"].tool.is_called(1).await;
    let put = json!({
        "of": { "task": id, "step": "a", "number": 1 },
        "agent": "two", "input": null, "within": 1000,
    });
    let answer = within(town.ask(worker.id, "a", Service::ASK, &put)).await;
    let answer = String::from_utf8(answer.unwrap()).unwrap();
    assert!(
        answer.contains("the attempt that asks is not one"),
        "{answer}"
    );
    assert_eq!(town["a"].tool.begun(), 0);
    town["b"].tool.release(1);
    town.settled("a", id).await;
    let attempts = town.attempts("a", id).await;
    assert_eq!(attempts[0].status, AttemptStatus::Succeeded);
}

#[tokio::test]
async fn what_is_asked_for_a_task_is_linked_to_it_and_to_who_asks() {
    let town = Town::of(&["a"]).await;
    town.asker("a", "boss", "a").await;
    town.agent("a", "one", "a", 5).await;
    let input = json!({ "ask": "one", "with": null });
    let id = town.asking("a", "boss", "10m", input).await;
    town["a"].tool.is_called(1).await;
    let question = town["a"].tool.calls()[0].step.clone();
    let asked_at = format!("/agents/one/{id}:{question}:1");
    let links = async |path: &str| {
        let actor = town["a"].actor(&Caller::admin(), path, None).await;
        let links = actor.unwrap().row.links.into_iter();
        links
            .map(|link| (link.relation, link.path))
            .collect::<Vec<_>>()
    };
    let boss = format!("/agents/boss/{id}:a:1");
    let task = links(&format!("/tasks/{id}")).await;
    let expected = [
        (Relation::Attempt, boss.clone()),
        (Relation::Asks, asked_at.clone()),
    ];
    assert_eq!(task, expected);
    let by = links(&boss).await;
    let works_for = (Relation::WorksFor, format!("/tasks/{id}"));
    assert_eq!(by, [(Relation::Asks, asked_at.clone()), works_for.clone()]);
    let asked = links(&asked_at).await;
    assert_eq!(asked, [(Relation::AskedBy, boss), works_for]);
    town["a"].tool.release(1);
    town.settled("a", id).await;
}
