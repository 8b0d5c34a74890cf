//! What a step waits for, and that it starts within a second of that going away: nobody submits anew.

use std::time::Duration;

use protocol::{access::Caller, id::TaskId, time::Span};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    cluster::{Town, by},
    support::{System, until},
};

const SOON: Duration = Duration::from_secs(1);

impl System {
    /// When `why` says so, and names a remedy for each agent that is out of the question.
    async fn waits_for(&self, id: TaskId, cause: &str) {
        let why = until(async || {
            let why = self.why(&self.admin, id).await.unwrap();
            why.summary.contains(cause).then_some(why)
        })
        .await;
        let step = &why.steps[0];
        let candidates = &step.card.as_ref().unwrap().candidates;
        for candidate in candidates {
            let mut remedies = step.remedies.iter();
            let has_remedy = remedies.any(|remedy| remedy.agent == candidate.agent);
            assert_eq!(has_remedy, candidate.excluded.is_some(), "{why:?}");
            assert_ne!(has_remedy, candidate.scores.is_some(), "{why:?}");
        }
    }

    async fn starts_soon(&self, id: TaskId, since: Instant) {
        until(async || {
            let task = self.task(&self.admin, id).await.unwrap();
            task.started_at.map(drop)
        })
        .await;
        assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    }

    async fn of_resources(&self, name: &str, resources: Value) {
        self.agent(json!({
            "name": name, "agent_type": "native", "capabilities": ["work"], "max_tasks": 5,
            "resources": resources,
        }))
        .await;
    }
}

/// The tests' own checks come every minute, as in production.
fn patient() -> actors::Config {
    let mut config = actors::Config::default();
    config.health.interval = Span(Duration::from_secs(60));
    config
}

#[tokio::test]
async fn a_step_starts_when_an_agent_is_registered() {
    let system = System::start(&["one", "two"]).await;
    system.native("one", 5).await;
    system.pause_agent(&system.admin, "one").await.unwrap();
    let id = system.work("waits").await;
    system.delete_agent(&system.admin, "one").await.unwrap();
    until(async || {
        let why = system.why_not(id).await;
        why.contains("none is registered").then_some(())
    })
    .await;
    let since = Instant::now();
    system.native("two", 5).await;
    system.starts_soon(id, since).await;
}

#[tokio::test]
async fn a_step_starts_when_its_agent_is_resumed() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    system.pause_agent(&system.admin, "one").await.unwrap();
    let id = system.work("waits").await;
    system.waits_for(id, "one is paused").await;
    let since = Instant::now();
    system.resume_agent(&system.admin, "one").await.unwrap();
    system.starts_soon(id, since).await;
}

#[tokio::test]
async fn a_step_starts_when_a_slot_is_free() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    system.work("first").await;
    system.tool("one").is_called(1).await;
    let id = system.work("second").await;
    system.waits_for(id, "all slots of one are taken").await;
    let since = Instant::now();
    system.tool("one").release(1);
    system.starts_soon(id, since).await;
}

#[tokio::test]
async fn a_step_starts_when_its_agent_is_well_again_long_before_the_next_check_by_the_interval() {
    let system = System::start_with(&["one"], patient()).await;
    system.native("one", 5).await;
    system.tool("one").set_healthy(false);
    until(async || {
        let checked = system.check_agent(&system.admin, "one").await.unwrap();
        (checked.status == protocol::agent::Health::Unhealthy).then_some(())
    })
    .await;
    let id = system.work("waits").await;
    system.waits_for(id, "one fails its health checks").await;
    let since = Instant::now();
    system.tool("one").set_healthy(true);
    system.starts_soon(id, since).await;
}

#[tokio::test]
async fn a_step_starts_when_what_it_takes_of_the_node_is_free() {
    let system = System::start(&["one"]).await;
    let cores = u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    system
        .of_resources("one", json!({ "cpu": f64::from(cores) }))
        .await;
    system.work("first").await;
    system.tool("one").is_called(1).await;
    let id = system.work("second").await;
    system
        .waits_for(id, "the node of one is short of processor or memory")
        .await;
    let since = Instant::now();
    system.tool("one").release(1);
    system.starts_soon(id, since).await;
}

#[tokio::test]
async fn a_step_starts_when_the_measured_load_of_its_node_falls() {
    let system = System::start(&["one"]).await;
    system.of_resources("one", json!({ "cpu": 0.1 })).await;
    system.observe(1.0, 1.0);
    let id = system.work("waits").await;
    system
        .waits_for(id, "the node of one is short of processor or memory")
        .await;
    let since = Instant::now();
    system.observe(0.1, 0.1);
    system.starts_soon(id, since).await;
}

impl Town {
    async fn starts_soon(&self, at: &str, id: TaskId, since: Instant) {
        until(async || {
            let task = self[at].task(&Caller::admin(), id).await.unwrap();
            task.started_at.map(drop)
        })
        .await;
        assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    }

    async fn waits_for(&self, at: &str, id: TaskId, cause: &str) {
        until(async || {
            let why = self[at].why(&Caller::admin(), id).await.unwrap();
            why.summary.contains(cause).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_step_starts_when_a_node_joins_that_its_agent_fits() {
    let mut town = Town::of(&["a"]).await;
    town.agent_unseen("a", "one", "b").await;
    let id = town.work("a", by("one")).await;
    town.waits_for("a", id, "no node hosts one").await;
    town.start("b").await;
    // It is a member from here on.
    let since = Instant::now();
    town.starts_soon("a", id, since).await;
}

#[tokio::test]
async fn a_step_of_one_node_starts_when_what_it_waits_for_on_another_is_there() {
    let town = Town::of(&["a", "b", "c"]).await;
    // It is owned by B and hosted by C; whose steps want it is A.
    town.agent("b", "one", "c", 1).await;
    let admin = Caller::admin();
    let first = town.work("c", by("one")).await;
    town["c"].tool.is_called(1).await;
    let id = town.work("a", by("one")).await;
    town.waits_for("a", id, "all slots of one are taken").await;
    let since = Instant::now();
    town["c"].tool.release(1);
    town.starts_soon("a", id, since).await;
    town["c"].tool.release(1);
    town.settled("c", first).await;
    town.settled("a", id).await;

    town["b"].pause_agent(&admin, "one").await.unwrap();
    let id = town.work("a", by("one")).await;
    town.waits_for("a", id, "one is paused").await;
    let since = Instant::now();
    town["b"].resume_agent(&admin, "one").await.unwrap();
    town.starts_soon("a", id, since).await;
    town["c"].tool.release(1);
    town.settled("a", id).await;

    town["c"].tool.set_healthy(false);
    town.waits_for_illness("a").await;
    let id = town.work("a", by("one")).await;
    town.waits_for("a", id, "one fails its health checks").await;
    let since = Instant::now();
    town["c"].tool.set_healthy(true);
    town.starts_soon("a", id, since).await;
}

impl Town {
    async fn waits_for_illness(&self, at: &str) {
        until(async || {
            let agent = self[at].agent(&Caller::admin(), "one").await.unwrap();
            (agent.status == protocol::agent::AgentStatus::Error).then_some(())
        })
        .await;
    }
}
