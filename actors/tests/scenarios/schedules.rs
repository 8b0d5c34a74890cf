//! What starts by the clock: when, how often, and who dies meanwhile.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actors::{
    Config, Orchestrator, Rejection, adapter::Adapter, cluster::Surroundings, firing::run_id,
    orchestrator::Setup,
};
use protocol::{
    access::Caller,
    api::{FiringState, FiringView, ScheduleQuery, ScheduleView, TaskQuery},
    id::{NodeId, ScheduleId, TaskId},
    schedule::{Cause, Passing},
    task::TaskStatus,
    time::Timestamp,
    trigger::TriggerSpec,
};
use runtime::{clock::Clock, store::Memory};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    cluster::Town,
    life::{Asked, Life},
    support::{System, until, user},
    tool::Tool,
    workflows::made,
};

fn spec(mut when: Value) -> protocol::schedule::ScheduleSpec {
    let fields = when.as_object_mut().unwrap();
    fields.entry("target").or_insert_with(|| {
        json!({ "task": { "description": "by the clock", "steps": [{ "id": "a", "agent": "one" }] } })
    });
    serde_json::from_value(when).unwrap()
}

pub(crate) fn soon(after: Duration) -> Timestamp {
    Clock::system().now().plus(after)
}

/// The run of a slot, as anybody can work it out.
fn run_of(schedule: ScheduleId, slot: Timestamp) -> TaskId {
    let mut occasion = [b's'; 9];
    occasion[1..].copy_from_slice(&slot.as_micros().to_be_bytes());
    run_id(schedule.uuid(), &occasion, slot)
}

/// A system whose days last a moment.
pub(crate) struct Day {
    memory: Arc<Memory>,
    life: Arc<Life>,
    pub(crate) tool: Arc<Tool>,
    clock: Clock,
    pub(crate) at: Orchestrator,
    pub(crate) admin: Caller,
}

impl Day {
    pub(crate) async fn begin(moment: &str) -> Self {
        let clock = Clock::paced(moment.parse().unwrap());
        let day = Self::live(Arc::new(Memory::new()), clock).await;
        let agent = json!({
            "name": "one", "agent_type": "native", "capabilities": ["work"], "max_tasks": 50,
        });
        let agent = serde_json::from_value(agent).unwrap();
        day.at.register_agent(&day.admin, agent).await.unwrap();
        day
    }

    async fn live(memory: Arc<Memory>, clock: Clock) -> Self {
        let (life, tool) = (
            Arc::new(Life::new(memory.clone())),
            Arc::new(Tool::default()),
        );
        tool.release(100_000);
        let setup = Setup {
            config: Config::default(),
            node: "here".to_owned(),
            store: life.clone(),
            data_dir: std::env::temp_dir().join("troupe-scenarios-none"),
            natives: HashMap::from([("one".to_owned(), tool.clone() as Arc<dyn Adapter>)]),
        };
        let around = Surroundings::alone(NodeId::from_uuid(Uuid::now_v7()), "here");
        let at = Orchestrator::start_by(setup, around, clock.clone());
        Self {
            at: at.await.unwrap(),
            memory,
            life,
            tool,
            clock,
            admin: Caller::admin(),
        }
    }

    async fn schedule(&self, when: Value) -> ScheduleView {
        let made = self.at.create_schedule(&self.admin, spec(when)).await;
        made.unwrap()
    }

    /// Lets time go on until a moment, with all that happens meanwhile.
    pub(crate) async fn until(&self, moment: &str) {
        let left = moment.parse::<Timestamp>().unwrap().since(self.clock.now());
        let nothing = tokio::time::timeout(left, std::future::pending::<()>());
        nothing.await.unwrap_err();
    }

    /// The process is gone, and another one begins at a later moment.
    async fn down_until(self, moment: &str) -> Self {
        self.life.end();
        self.at.kill();
        let left = moment.parse::<Timestamp>().unwrap().since(self.clock.now());
        tokio::time::advance(left).await;
        Self::live(self.memory, self.clock).await
    }

    async fn view(&self, id: ScheduleId) -> ScheduleView {
        self.at.schedule(&self.admin, id).await.unwrap()
    }

    async fn runs(&self, id: ScheduleId) -> Vec<FiringView> {
        self.at.schedule_runs(&self.admin, id).await.unwrap().items
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_of_schedules_with_two_hours_down_decides_each_slot_once() {
    // In Berlin the clocks go forward in the night.
    let day = Day::begin("2025-03-29T12:00:00Z").await;
    let all = json!({ "name": "quarters", "cron": "*/15 * * * *", "missed": "all" });
    let all = day.schedule(all).await.id;
    let once = day
        .schedule(json!({ "name": "sevens", "every": "7m" }))
        .await
        .id;
    let skip = json!({ "name": "hours", "cron": "0 * * * *", "missed": "skip" });
    let skip = day.schedule(skip).await.id;
    let night = json!({ "name": "night", "cron": "30 2 * * *", "tz": "Europe/Berlin" });
    let night = day.schedule(night).await.id;
    let single = json!({ "name": "single", "at": "2025-03-29T18:00:00Z" });
    let single = day.schedule(single).await.id;
    let jittered = json!({ "name": "loose", "every": "1h", "jitter": "10m", "missed": "all" });
    let jittered = day.schedule(jittered).await.id;
    day.until("2025-03-29T20:10:00Z").await;
    let before = day.tool.begun();
    let day = day.down_until("2025-03-29T22:20:00Z").await;
    day.until("2025-03-30T12:11:00Z").await;

    let decided = async |id| {
        let view = day.view(id).await;
        assert_eq!(view.failed, 0, "{view:?}");
        (view.fired, view.passed)
    };
    assert_eq!(decided(all).await, (96, 0));
    assert_eq!(decided(skip).await, (22, 2));
    assert_eq!(decided(night).await, (1, 0));
    assert_eq!(decided(single).await, (1, 0));
    assert_eq!(decided(jittered).await, (24, 0));
    let (fired, passed) = decided(once).await;
    assert_eq!(fired + passed, 207);
    assert!(
        (17..=18).contains(&passed),
        "one makes up for the rest: {passed}"
    );

    let [only] = &day.runs(night).await[..] else {
        panic!("it fired once");
    };
    // Half past two does not exist there: the first moment after it does.
    assert_eq!(only.slot, Some("2025-03-30T01:00:00Z".parse().unwrap()));
    assert_eq!(day.view(single).await.status, "finished");
    let mut runs = 0;
    for id in [all, once, skip, night, single, jittered] {
        for firing in day.runs(id).await {
            match firing.state {
                FiringState::Started => {
                    assert_eq!(firing.outcome, Some(TaskStatus::Completed), "{firing:?}");
                    assert!(firing.at >= firing.slot.unwrap(), "never early: {firing:?}");
                }
                FiringState::Passed => assert_eq!(firing.why, Some(Passing::Missed)),
                other => panic!("{other:?}: {firing:?}"),
            }
        }
        runs += day.view(id).await.fired;
    }
    assert_eq!(
        (before + day.tool.begun()) as u64,
        runs,
        "each run ran once"
    );
}

#[tokio::test]
async fn a_slot_fires_within_a_second_of_its_time() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let slot = soon(Duration::from_millis(700));
    let made = system.create_schedule(&system.admin, spec(json!({ "name": "x", "at": slot })));
    let schedule = made.await.unwrap();
    assert_eq!(schedule.next_at, Some(slot));
    system.tool("one").is_called(1).await;
    let runs = system
        .schedule_runs(&system.admin, schedule.id)
        .await
        .unwrap();
    let fired = runs.items[0].at;
    assert!(
        fired >= slot && fired.since(slot) < Duration::from_secs(1),
        "{fired}"
    );
    system.tool("one").release(1);
    let run = run_of(schedule.id, slot);
    let task = system.completed(run).await;
    assert_eq!(task.metadata["schedule"]["id"], json!(schedule.id));
    let view = until(async || {
        let view = system.schedule(&system.admin, schedule.id).await.unwrap();
        (view.status == "finished").then_some(view)
    });
    assert_eq!((view.await.fired, system.tool("one").begun()), (1, 1));
}

#[tokio::test]
async fn a_slot_whose_owner_dies_before_its_run_is_made_has_one_run_all_the_same() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let slot = soon(Duration::from_millis(700));
    let made = system.create_schedule(&system.admin, spec(json!({ "name": "x", "at": slot })));
    let id = made.await.unwrap().id;
    let run = run_of(id, slot);
    // It is recorded that it fires; whether the run is there is being looked up.
    let gate = system.life.keep(Asked::Row, run);
    gate.is_reached().await;
    let system = system.crash(|tool| tool.release(5)).await;
    gate.open();
    let firing = until(async || {
        let runs = system.schedule_runs(&system.admin, id).await.ok()?.items;
        let firing = runs.into_iter().next()?;
        (firing.outcome == Some(TaskStatus::Completed)).then_some(firing)
    })
    .await;
    assert_eq!((firing.run, firing.slot), (Some(run), Some(slot)));
    let tasks = system
        .tasks(&system.admin, &TaskQuery::default())
        .await
        .unwrap();
    assert_eq!((tasks.items.len(), system.tool("one").begun()), (1, 1));
}

#[tokio::test]
async fn a_slot_at_which_its_node_is_lost_has_one_run_on_another() {
    let town = Town::of(&["a", "b", "c"]).await;
    town.agent("b", "one", "c", 5).await;
    let admin = Caller::admin();
    let slot = soon(Duration::from_millis(700));
    let made = town["a"].create_schedule(&admin, spec(json!({ "name": "x", "at": slot })));
    let id = made.await.unwrap().id;
    let run = run_of(id, slot);
    let gate = town["a"].life.keep(Asked::Row, run);
    gate.is_reached().await;
    town.vanish(&town["a"]);
    town.give(id, town["b"].id);
    town.give(run, town["b"].id);
    town.bury(town["a"].id);
    town["c"].tool.release(5);
    let firing = until(async || {
        let runs = town["b"].schedule_runs(&admin, id).await.ok()?.items;
        let firing = runs.into_iter().next()?;
        (firing.outcome == Some(TaskStatus::Completed)).then_some(firing)
    })
    .await;
    assert_eq!(firing.run, Some(run));
    // It was only away, and goes on where it stood: nobody hears it any more.
    town["a"].life.back();
    gate.open();
    let tasks = town["b"]
        .tasks(&admin, &TaskQuery::default())
        .await
        .unwrap();
    assert_eq!((tasks.items.len(), town["c"].tool.begun()), (1, 1));
}

#[tokio::test]
async fn a_run_that_cannot_be_started_is_tried_again_and_that_is_seen() {
    let system = System::start(&["one"]).await;
    let slot = soon(Duration::from_millis(200));
    let when =
        json!({ "name": "x", "at": slot, "retry": { "max_attempts": 20, "backoff": "100ms" } });
    let made = system.create_schedule(&system.admin, spec(when)).await;
    let id = made.unwrap().id;
    let first = || async {
        let runs = system.schedule_runs(&system.admin, id).await.unwrap().items;
        runs.into_iter().next()
    };
    let failed = until(async || first().await.filter(|firing| firing.tries > 0)).await;
    assert_eq!(failed.state, FiringState::Retrying);
    let error = failed.error.unwrap();
    assert!(error.message.contains("one"), "{error:?}");
    system.native("one", 5).await;
    system.tool("one").release(1);
    let made = until(async || {
        first()
            .await
            .filter(|firing| firing.state == FiringState::Started)
    })
    .await;
    assert_eq!(
        (made.state, made.run),
        (FiringState::Started, Some(run_of(id, slot)))
    );
}

#[tokio::test]
async fn a_run_that_is_given_up_is_shown_as_such() {
    let system = System::start(&["one"]).await;
    let nothing = json!({ "name": "gone", "nodes": [{ "id": "a", "type": "parallel" }] });
    made(&system, &system.admin, &nothing).await;
    let slot = soon(Duration::from_millis(200));
    let when = json!({
        "name": "x", "at": slot, "retry": { "max_attempts": 1 }, "target": { "workflow": "gone" },
    });
    let schedule = system.create_schedule(&system.admin, spec(when)).await;
    let id = schedule.unwrap().id;
    system.delete_workflow(&system.admin, "gone").await.unwrap();
    let view = until(async || {
        let view = system.schedule(&system.admin, id).await.unwrap();
        (view.status == "finished").then_some(view)
    })
    .await;
    assert_eq!((view.fired, view.failed), (1, 1));
    let runs = system.schedule_runs(&system.admin, id).await.unwrap().items;
    assert_eq!(
        (runs[0].state, runs[0].outcome),
        (FiringState::NotStarted, None)
    );
    assert_eq!(runs[0].error.as_ref().unwrap().code, "not_found");
}

#[tokio::test]
async fn what_is_to_be_started_must_be_there() {
    let system = System::start(&["one"]).await;
    let admin = &system.admin;
    let nothing = json!({ "name": "n", "nodes": [{ "id": "a", "type": "parallel" }] });
    made(&system, admin, &nothing).await;
    let good =
        json!({ "name": "good", "every": "1h", "target": { "workflow": "n", "version": 1 } });
    let id = system.create_schedule(admin, spec(good)).await.unwrap().id;
    for (target, field) in [
        (json!({ "workflow": "none" }), "target.workflow"),
        (json!({ "workflow": "n", "version": 2 }), "target.version"),
        (json!({ "template": "none" }), "target.template"),
    ] {
        let wrong = spec(json!({ "name": "x", "every": "1h", "target": target }));
        let on = json!({ "name": "x", "on": { "event": "task.failed" }, "target": target });
        let on: TriggerSpec = serde_json::from_value(on).unwrap();
        for refused in [
            system.create_schedule(admin, wrong.clone()).await.err(),
            system.change_schedule(admin, id, wrong).await.err(),
            system.create_trigger(admin, on).await.err(),
        ] {
            match refused {
                Some(Rejection::Invalid { errors, .. }) => assert_eq!(errors[0].field, field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_previous_run_is_cancelled_or_waited_for_as_the_schedule_says() {
    for overlap in ["cancel_previous", "queue"] {
        let system = System::start(&["one"]).await;
        system.native("one", 5).await;
        let when = json!({ "name": "x", "every": "1s", "overlap": overlap });
        let made = system.create_schedule(&system.admin, spec(when)).await;
        let id = made.unwrap().id;
        system.tool("one").is_called(1).await;
        let runs = async || system.schedule_runs(&system.admin, id).await.unwrap().items;
        if overlap == "cancel_previous" {
            system.tool("one").is_stopped(1).await;
            system.tool("one").is_called(2).await;
        } else {
            until(async || {
                let waits = runs()
                    .await
                    .iter()
                    .any(|firing| firing.state == FiringState::Queued);
                waits.then_some(())
            })
            .await;
            assert_eq!(system.tool("one").begun(), 1);
            system.tool("one").release(1);
            system.tool("one").is_called(2).await;
            let second = runs().await;
            let queued = second
                .iter()
                .any(|firing| firing.cause == Some(Cause::Queued));
            assert!(queued, "{second:?}");
        }
        system.delete_schedule(&system.admin, id).await.unwrap();
    }
}

#[tokio::test]
async fn a_schedule_starts_tasks_of_a_template_as_it_is_then() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    system.tool("one").release(10);
    let template = |greeting: &str| {
        serde_json::from_value(json!({
            "name": "greet",
            "params": [{ "name": "who" }, { "name": "times", "default": 2 }],
            "task": {
                "description": format!("{greeting} ${{params.who}}"),
                "steps": [{ "id": "a", "agent": "one", "input": "${params.times}" }],
            },
        }))
        .unwrap()
    };
    let made = system.create_template(&system.admin, template("Hi"));
    let made = made.await.unwrap();
    let target = json!({ "template": "greet", "params": { "who": "Ann" } });
    let when = spec(json!({ "name": "x", "cron": "0 0 1 1 *", "target": target }));
    let id = system
        .create_schedule(&system.admin, when)
        .await
        .unwrap()
        .id;
    let fired = async || system.fire_schedule(&system.admin, id).await.unwrap().1;
    let task = system.completed(fired().await.unwrap()).await;
    assert_eq!(task.description, "Hi Ann");
    assert_eq!(system.tool("one").calls()[0].input, json!(2));
    let changed = system.update_template(&system.admin, &made.name, template("Hello"));
    changed.await.unwrap();
    let task = system.completed(fired().await.unwrap()).await;
    assert_eq!(task.description, "Hello Ann");

    let target = json!({ "template": "greet", "params": { "whom": "Ann" } });
    let when = spec(json!({ "name": "y", "cron": "0 0 1 1 *", "target": target }));
    let id = system
        .create_schedule(&system.admin, when)
        .await
        .unwrap()
        .id;
    system.fire_schedule(&system.admin, id).await.unwrap();
    let error = until(async || {
        let runs = system.schedule_runs(&system.admin, id).await.ok()?.items;
        runs.first()?.error.clone()
    })
    .await;
    assert!(error.message.contains("params.whom"), "{error:?}");
}

#[tokio::test]
async fn a_schedule_is_its_makers_and_turned_by_hand() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let (ann, bob) = (user("ann"), user("bob"));
    let when = || spec(json!({ "name": "x", "cron": "0 0 1 1 *" }));
    let made = system.create_schedule(&ann, when()).await.unwrap();
    assert_eq!(
        (made.user_id.as_str(), made.status.as_str()),
        ("ann", "active")
    );
    let taken = system.create_schedule(&ann, when()).await.unwrap_err();
    assert_eq!(taken.code(), "name_taken");
    let hidden = system.schedule(&bob, made.id).await.unwrap_err();
    assert!(matches!(hidden, Rejection::NotFound { .. }));
    let paused = system.pause_schedule(&ann, made.id, "fire".to_owned());
    let paused = paused.await.unwrap();
    assert_eq!((paused.status.as_str(), paused.next_at), ("paused", None));
    assert_eq!(paused.paused.as_deref(), Some("by ann: fire"));
    let (_, run) = system.fire_schedule(&ann, made.id).await.unwrap();
    system.tool("one").release(1);
    let task = system.completed(run.unwrap()).await;
    assert_eq!(task.user_id, "ann");
    let resumed = system.resume_schedule(&ann, made.id).await.unwrap();
    assert_eq!(resumed.status, "active");
    assert!(resumed.next_at.is_some());
    let page = system
        .schedules(&ann, ScheduleQuery::default())
        .await
        .unwrap();
    assert_eq!(page.items[0].id, made.id);
    assert_eq!(page.items[0].next_at, resumed.next_at);
    system.delete_schedule(&ann, made.id).await.unwrap();
    let gone = system.schedule(&ann, made.id).await.unwrap_err();
    assert!(matches!(gone, Rejection::NotFound { .. }));
    // Its name is free again.
    system.create_schedule(&ann, when()).await.unwrap();
    let wrong = spec(json!({ "name": "y", "cron": "0 0 30 2 *" }));
    let Err(Rejection::Invalid { errors, .. }) = system.create_schedule(&ann, wrong).await else {
        panic!("that never comes");
    };
    assert_eq!(errors[0].field, "cron");
}
