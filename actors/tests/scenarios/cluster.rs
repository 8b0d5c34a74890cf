//! Agents and attempts across nodes.

mod asks;
mod board;
mod history;
mod homes;
mod large;
mod stopping;
mod town;
mod turns;
mod workers;

use actors::{adapter::Probe, cluster::Lease};
use protocol::{
    access::Caller,
    task::{AttemptStatus, TaskStatus},
    wire::Service,
};
use serde_json::{Value, json};

pub(crate) use self::town::Town;
use self::{board::Fate, town::LONG};
use crate::support::until;

fn by_capability() -> Value {
    json!({ "capability": "work" })
}

pub(crate) fn by(agent: &str) -> Value {
    json!({ "agent": agent })
}

#[tokio::test]
async fn a_step_runs_where_its_agent_is_hosted_and_its_result_comes_back() {
    let town = Town::of(&["a", "b"]).await;
    let agent = town.agent("a", "one", "b", 5).await;
    assert_eq!(agent.node, "b");
    let id = town.work("a", by_capability()).await;
    town["b"].tool.is_called(1).await;
    assert_eq!(town["a"].tool.begun(), 0);
    town["b"].tool.release(1);
    let task = town.settled("a", id).await;
    assert_eq!(task.status, TaskStatus::Completed);
    let attempts = town.attempts("a", id).await;
    assert_eq!(attempts[0].node, "b");
    town.knows(&town["a"], "one", 5).await;
}

#[tokio::test]
async fn a_node_that_refuses_is_passed_over_for_the_next() {
    let town = Town::of(&["a", "b", "c"]).await;
    town.agent("a", "first", "b", 1).await;
    // A hears nothing of how busy anybody is, so it takes the taken slot for free.
    town.board
        .harm(Service::AGENT, "loads", Fate::Dropped, usize::MAX);
    let own = town.work("b", by("first")).await;
    town["b"].tool.is_called(1).await;
    let waits = town.work("a", by("first")).await;
    until(async || (town.board.sent(Service::HOST, "reserve") > 0).then_some(())).await;
    assert_eq!(town["b"].tool.begun(), 1);
    // When the slot comes free, B tells who was refused.
    town.board.forgive();
    town["b"].tool.release(2);
    for (at, id) in [("b", own), ("a", waits)] {
        assert_eq!(town.settled(at, id).await.status, TaskStatus::Completed);
    }
    // With another agent to go to, a refusal costs no wait.
    town.agent("a", "second", "c", 5).await;
    town.board
        .harm(Service::AGENT, "loads", Fate::Dropped, usize::MAX);
    let own = town.work("b", by("first")).await;
    town["b"].tool.is_called(3).await;
    let all = [
        town.work("a", by_capability()).await,
        town.work("a", by_capability()).await,
    ];
    town["c"].tool.is_called(2).await;
    town["c"].tool.release(2);
    for id in all {
        assert_eq!(town.attempts("a", id).await[0].agent, "second");
        town.settled("a", id).await;
    }
    town["b"].tool.release(1);
    town.settled("b", own).await;
}

#[tokio::test]
async fn five_slots_are_five_however_many_nodes_want_them() {
    let town = Town::of(&["a", "b", "c"]).await;
    town.agent("a", "one", "b", 5).await;
    let mut tasks = Vec::new();
    for _ in 0..6 {
        for at in ["a", "b", "c"] {
            tasks.push((at, town.work(at, by("one")).await));
        }
    }
    let tool = &town["b"].tool;
    tool.is_called(5).await;
    for released in 1..=tasks.len() {
        assert!(
            tool.begun() < released + 5,
            "{} of {released}",
            tool.begun()
        );
        tool.release(1);
        tool.is_called((released + 5).min(tasks.len())).await;
    }
    assert_eq!(tool.most(), 5);
    for (at, id) in tasks {
        assert_eq!(town.settled(at, id).await.status, TaskStatus::Completed);
    }
}

#[tokio::test]
async fn what_a_dead_node_ran_is_lost_and_tried_where_its_agent_goes() {
    let town = Town::of(&["a", "b", "c"]).await;
    let role = json!({ "role": "worker" });
    let agent = town.register("a", "one", role, 5).await;
    // The agent's lot falls on any of the three; it is moved away from A, which is to see the end.
    if agent.node == "a" {
        let update = serde_json::from_value(json!({ "placement": { "node": "b" } })).unwrap();
        let admin = Caller::admin();
        town["a"].update_agent(&admin, "one", update).await.unwrap();
        until(async || {
            let agent = town["a"].agent(&admin, "one").await.ok()?;
            (agent.node == "b" && agent.capacity == 5).then_some(())
        })
        .await;
        let update = serde_json::from_value(json!({ "placement": {} })).unwrap();
        town["a"].update_agent(&admin, "one", update).await.unwrap();
    }
    let first = town["a"].agent(&Caller::admin(), "one").await.unwrap().node;
    let id = town.work("a", by("one")).await;
    town[&first].tool.is_called(1).await;
    town.vanish(&town[&first]);
    for name in ["a", "b", "c"] {
        if name != first {
            town[name].tool.release(1);
        }
    }
    town.bury(town[&first].id);
    let task = town.settled("a", id).await;
    assert_eq!(task.status, TaskStatus::Completed);
    let attempts = town.attempts("a", id).await;
    let statuses: Vec<_> = attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [AttemptStatus::Lost, AttemptStatus::Succeeded]);
    assert_eq!(attempts[0].node, first);
    assert_ne!(attempts[1].node, first);
}

#[tokio::test]
async fn an_attempt_that_is_sent_again_runs_once() {
    for fate in [Fate::Dropped, Fate::Unanswered] {
        let town = Town::of(&["a", "b"]).await;
        town.agent("a", "one", "b", 5).await;
        town.board.harm(Service::HOST, "{\"run\"", fate, 2);
        town["b"].tool.release(3);
        let id = town.work("a", by("one")).await;
        assert_eq!(town.settled("a", id).await.status, TaskStatus::Completed);
        until(async || (town.board.sent(Service::HOST, "{\"run\"") >= 3).then_some(())).await;
        assert_eq!(town["b"].tool.begun(), 1, "{fate:?}");
        assert_eq!(town.attempts("a", id).await.len(), 1);
        town.knows(&town["b"], "one", 5).await;
    }
}

#[tokio::test]
async fn a_result_that_is_sent_again_counts_once() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("a", "one", "b", 5).await;
    town.board.harm(Service::TASK, "token", Fate::Unanswered, 2);
    town["b"].tool.release(1);
    let id = town.work("a", by("one")).await;
    assert_eq!(town.settled("a", id).await.status, TaskStatus::Completed);
    until(async || (town.board.sent(Service::TASK, "token") == 3).then_some(())).await;
    assert_eq!(town.attempts("a", id).await.len(), 1);
}

#[tokio::test]
async fn a_result_reaches_whoever_owns_its_task_then() {
    let town = Town::of(&["a", "b", "c"]).await;
    town.agent("b", "one", "c", 5).await;
    let id = town.work("a", by("one")).await;
    town["c"].tool.is_called(1).await;
    town.vanish(&town["a"]);
    town.give(id, town["b"].id);
    town.bury(town["a"].id);
    let running = town.attempts("b", id).await;
    assert_eq!(running[0].status, AttemptStatus::Running);
    town["c"].tool.release(1);
    let task = town.settled("b", id).await;
    assert_eq!(task.status, TaskStatus::Completed);
    let attempts = town.attempts("b", id).await;
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert_eq!(town["c"].tool.begun(), 1);
}

#[tokio::test]
async fn an_attempt_that_never_reached_its_host_is_tried_again_whatever_it_may_do_twice() {
    let town = Town::of(&["a", "b", "c"]).await;
    town.agent("b", "one", "c", 5).await;
    town.board.harm(Service::HOST, "{\"run\"", Fate::Dropped, 1);
    let step = json!({ "agent": "one", "effect": "irreversible" });
    let id = town.work("a", step).await;
    until(async || (town.board.sent(Service::HOST, "{\"run\"") > 0).then_some(())).await;
    town.vanish(&town["a"]);
    town.give(id, town["b"].id);
    town.bury(town["a"].id);
    town["c"].tool.release(1);
    let task = town.settled("b", id).await;
    assert_eq!(task.status, TaskStatus::Completed, "{:?}", task.error);
    assert_eq!(town["c"].tool.begun(), 1);
}

#[tokio::test]
async fn what_a_zombie_brings_is_late() {
    let town = Town::of(&["a", "b", "c"]).await;
    town.agent("a", "one", "b", 5).await;
    let id = town.work("a", by_capability()).await;
    town["b"].tool.is_called(1).await;
    town.board.cut(town["b"].id);
    town.agent_unseen("a", "two", "c").await;
    town["c"].tool.release(1);
    town.bury(town["b"].id);
    let task = town.settled("a", id).await;
    assert_eq!(task.status, TaskStatus::Completed);
    town["b"].tool.release(1);
    town.board.heal(town["b"].id);
    let late = until(async || {
        let events = town.events(id).await;
        events
            .into_iter()
            .find(|event| event["type"] == "result_came_late")
    })
    .await;
    assert_eq!(late["number"], 1);
    let attempts = town.attempts("a", id).await;
    assert_eq!(attempts[0].status, AttemptStatus::Lost);
}

#[tokio::test]
async fn a_slot_that_was_kept_in_vain_is_free_again_when_its_node_is_gone() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("b", "one", "b", 1).await;
    town.board
        .harm(Service::HOST, "{\"run\"", Fate::Dropped, usize::MAX);
    town.work("a", by("one")).await;
    until(async || (town.board.sent(Service::HOST, "{\"run\"") > 0).then_some(())).await;
    let capacity = async || {
        let agent = town["b"].agent(&Caller::admin(), "one").await.unwrap();
        agent.capacity
    };
    assert_eq!(capacity().await, 0);
    town.vanish(&town["a"]);
    town.bury(town["a"].id);
    town.knows(&town["b"], "one", 1).await;
}

#[tokio::test]
async fn a_cancelled_task_stops_what_runs_elsewhere() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("a", "one", "b", 5).await;
    let id = town.work("a", by("one")).await;
    town["b"].tool.is_called(1).await;
    town.cancel("a", id).await;
    town["b"].tool.is_stopped(1).await;
    assert_eq!(town.settled("a", id).await.status, TaskStatus::Cancelled);
}

#[tokio::test]
async fn a_lost_guarded_step_is_probed_where_its_agent_is_now() {
    let town = Town::of(&["a", "b", "c"]).await;
    town.agent("a", "one", "b", 5).await;
    let step = json!({ "agent": "one", "effect": "guarded" });
    let id = town.work("a", step).await;
    town["b"].tool.is_called(1).await;
    town["c"].tool.set_finding(Probe::Done(json!("it was")));
    town.vanish(&town["b"]);
    town.bury(town["b"].id);
    let update = serde_json::from_value(json!({ "placement": { "node": "c" } })).unwrap();
    let admin = Caller::admin();
    town["a"].update_agent(&admin, "one", update).await.unwrap();
    let task = town.settled("a", id).await;
    assert_eq!(task.result, json!("it was"));
    assert_eq!(town["c"].tool.probes(), 1);
}

#[tokio::test]
async fn an_agent_leaves_a_node_that_drains_and_what_ran_there_ends_there() {
    let town = Town::of(&["a", "b", "c"]).await;
    let agent = town.register("a", "one", json!({}), 5).await;
    let id = town.work("a", by("one")).await;
    let first = &town[&agent.node];
    first.tool.is_called(1).await;
    town.drain(first.id);
    let admin = Caller::admin();
    until(async || {
        let now = town["a"].agent(&admin, "one").await.ok()?;
        // The slot of the attempt that goes on is not opened twice.
        (now.node != agent.node && now.capacity == 4).then_some(())
    })
    .await;
    first.tool.release(1);
    until(async || {
        let now = town["a"].agent(&admin, "one").await.ok()?;
        (now.node != agent.node && now.capacity == 5).then_some(())
    })
    .await;
    town.settled("a", id).await;
    let attempts = town.attempts("a", id).await;
    assert_eq!(
        (attempts.len(), attempts[0].node.as_str()),
        (1, &*agent.node)
    );
}

#[tokio::test]
async fn the_next_owner_of_an_agent_finds_it_where_it_was_and_its_word_counts() {
    let town = Town::of(&["a", "b", "c"]).await;
    let agent = town.agent("a", "one", "c", 5).await;
    let id = town.work("b", by("one")).await;
    town["c"].tool.is_called(1).await;
    town.vanish(&town["a"]);
    town.give(agent.id, town["b"].id);
    town.bury(town["a"].id);
    let update = serde_json::from_value(json!({ "max_tasks": 7 })).unwrap();
    let admin = Caller::admin();
    let updated = town["b"].update_agent(&admin, "one", update).await.unwrap();
    assert_eq!(updated.node, "c");
    for name in ["b", "c"] {
        town.knows(&town[name], "one", 6).await;
    }
    town["c"].tool.release(1);
    assert_eq!(town.settled("b", id).await.status, TaskStatus::Completed);
    town.knows(&town["b"], "one", 7).await;
}

#[tokio::test]
async fn a_node_without_its_lease_ends_what_it_runs_and_takes_nothing() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("a", "one", "b", 5).await;
    let id = town.work("a", by("one")).await;
    town["b"].tool.is_called(1).await;
    town["b"].lease.send_replace(Lease::Lost);
    town["b"].tool.is_stopped(1).await;
    let capacity = town["b"].agent(&Caller::admin(), "one").await.unwrap();
    assert_eq!(capacity.capacity, 0);
    town["b"].lease.send_replace(Lease::Held);
    town["b"].tool.release(1);
    let task = town.settled("a", id).await;
    assert_eq!(task.status, TaskStatus::Completed);
    let attempts = town.attempts("a", id).await;
    assert_eq!(attempts.len(), 2);
    let why = attempts[0].error.as_ref().map(|error| error.code.as_str());
    assert_eq!(
        (attempts[0].status, why),
        (AttemptStatus::Lost, Some("lease"))
    );
}

#[tokio::test]
async fn what_a_host_took_over_is_not_said_to_have_never_begun_when_it_is_sent_again() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("a", "one", "b", 5).await;
    let run = "{\"run\"";
    town.board.harm(Service::HOST, run, Fate::Unanswered, 1);
    town.board
        .harm(Service::TASK, "token", Fate::Dropped, usize::MAX);
    let id = town.work("a", by("one")).await;
    town["b"].tool.is_called(1).await;
    town["b"].lease.send_replace(Lease::Lost);
    until(async || (town.board.sent(Service::HOST, run) > 1).then_some(())).await;
    town["b"].tool.is_stopped(1).await;
    town.board.forgive();
    town["b"].lease.send_replace(Lease::Held);
    town["b"].tool.release(1);
    assert_eq!(town.settled("a", id).await.status, TaskStatus::Completed);
    let attempts = town.attempts("a", id).await;
    assert_eq!(attempts[0].status, AttemptStatus::Lost, "{attempts:#?}");
}

#[tokio::test]
async fn an_attempt_that_was_sent_before_a_lease_was_lost_does_not_begin_when_it_is_back() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("a", "one", "b", 5).await;
    let run = "{\"run\"";
    town.board
        .harm(Service::HOST, run, Fate::Dropped, usize::MAX);
    let id = town.work("a", by("one")).await;
    until(async || (town.board.sent(Service::HOST, run) > 0).then_some(())).await;
    let admin = Caller::admin();
    for (lease, capacity) in [(Lease::Lost, 0), (Lease::Held, 5)] {
        town["b"].lease.send_replace(lease);
        until(async || {
            let agent = town["b"].agent(&admin, "one").await.ok()?;
            (agent.capacity == capacity).then_some(())
        })
        .await;
    }
    town.board.forgive();
    town["b"].tool.release(1);
    assert_eq!(town.settled("a", id).await.status, TaskStatus::Completed);
    assert_eq!(town.attempts("a", id).await.len(), 2);
    assert_eq!(town["b"].tool.begun(), 1);
}

#[tokio::test]
async fn a_node_that_slept_begins_nothing_before_it_hears_that_its_lease_is_over() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("a", "one", "b", 5).await;
    town["b"].fence.lower();
    let id = town.work("a", by("one")).await;
    until(async || {
        let attempts = town["a"].attempts(&Caller::admin(), id).await.ok()?;
        attempts.first()?.ended_at
    })
    .await;
    assert_eq!(town["b"].tool.begun(), 0);
    town["b"].fence.extend(LONG);
    town["b"].tool.release(1);
    let task = town.settled("a", id).await;
    assert_eq!(task.status, TaskStatus::Completed);
}

#[tokio::test]
async fn a_word_on_an_agent_that_was_lost_is_made_good() {
    let town = Town::of(&["a", "b"]).await;
    town.board
        .harm(Service::AGENT, "{\"changed\"", Fate::Dropped, usize::MAX);
    town.agent("a", "one", "a", 5).await;
    town.board
        .harm(Service::AGENT, "{\"removed\"", Fate::Dropped, usize::MAX);
    let admin = Caller::admin();
    town["a"].delete_agent(&admin, "one").await.unwrap();
    until(async || town["b"].agent(&admin, "one").await.err()).await;
}

#[tokio::test]
async fn what_an_owner_without_its_lease_does_not_list_is_not_forgotten() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("a", "one", "b", 5).await;
    let lists = || town.board.sent(Service::AGENT, "\"list\"");
    let before = lists();
    town.fence(town["a"].id);
    // The second list is asked for when the first was taken in.
    until(async || (lists() > before + 1).then_some(())).await;
    let known = town["b"].agent(&Caller::admin(), "one").await;
    assert_eq!(known.map(|agent| agent.name).unwrap(), "one");
}

#[tokio::test]
async fn what_a_host_says_before_its_owner_does_is_not_forgotten() {
    let town = Town::of(&["a", "b", "c"]).await;
    // C hears from the owner only by digest, long after the host told how the agent does.
    town.board
        .harm(Service::AGENT, "{\"changed\"", Fate::Dropped, usize::MAX);
    town.agent_unseen("a", "one", "b").await;
    town.knows(&town["c"], "one", 5).await;
    let id = town.work("c", by("one")).await;
    town["b"].tool.is_called(1).await;
    town["b"].tool.release(1);
    assert_eq!(town.settled("c", id).await.status, TaskStatus::Completed);
}

#[tokio::test]
async fn what_a_node_said_of_an_agent_before_it_died_does_not_keep_the_agent_from_moving() {
    let folder = tempfile::tempdir().unwrap();
    let mut town = Town::of(&["a", "b", "c"]).await;
    let worker = town.hire("w", folder.path()).await;
    let agent = town.agent("a", "one", "b", 5).await;
    let figures = json!({
        "agent": agent.id, "serial": 1000, "limit": 5, "taken": 0, "assigned": 0,
        "success_rate": 1.0, "circuit": "closed", "admits": "passable",
    });
    let loads = json!({ "loads": { "agents": [figures], "node": null } });
    let told = town.ask(worker.id, "a", Service::AGENT, &loads).await;
    told.unwrap();
    town.bury(worker.id);
    let update = serde_json::from_value(json!({ "placement": { "node": "c" } })).unwrap();
    let admin = Caller::admin();
    town["a"].update_agent(&admin, "one", update).await.unwrap();
    for name in ["a", "b", "c"] {
        until(async || {
            let now = town[name].agent(&admin, "one").await.ok()?;
            (now.node == "c" && now.capacity == 5).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn who_comes_later_learns_of_every_agent() {
    let mut town = Town::of(&["a", "b"]).await;
    for number in 0..200 {
        town.agent_unseen("a", &format!("agent-{number}"), "b")
            .await;
    }
    town.start("c").await;
    let admin = Caller::admin();
    until(async || {
        let page = town["c"].agents(&admin, &Default::default()).await.ok()?;
        (page.total == Some(200)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn health_that_a_host_finds_is_recorded_by_the_owner_and_known_to_all() {
    let town = Town::of(&["a", "b", "c"]).await;
    town.agent("a", "one", "b", 5).await;
    town["b"].tool.set_healthy(false);
    let admin = Caller::admin();
    for name in ["a", "c"] {
        until(async || {
            let agent = town[name].agent(&admin, "one").await.ok()?;
            (agent.status == protocol::agent::AgentStatus::Error).then_some(())
        })
        .await;
    }
    let events = town["a"].agent_events(&admin, "one", 0, 10).await.unwrap();
    assert_eq!(events.last().unwrap().event["health"], "unhealthy");
    town["b"].tool.set_healthy(true);
    until(async || {
        let report = town["a"].check_agent(&admin, "one").await.ok()?;
        (report.detail == "as told").then_some(())
    })
    .await;
}
