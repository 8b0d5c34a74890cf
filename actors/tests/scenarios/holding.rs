//! Scopes stopped, paused and resumed; dependencies held.

use std::time::Duration;

use actors::Rejection;
use protocol::{
    access::{Caller, Role},
    agent::StopMode,
    api::ActorAction,
    hold::Target,
    id::TaskId,
    task::{StepStatus, TaskStatus},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    life::Asked,
    support::{System, task, until, user, within},
};

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

impl System {
    async fn of_session(&self, session: &str) -> TaskId {
        self.submit_task(json!({
            "description": session, "session_id": session,
            "steps": [{ "id": "a", "capability": "work" }],
        }))
        .await
    }

    async fn status(&self, id: TaskId) -> TaskStatus {
        self.task(&self.admin, id).await.unwrap().status
    }

    async fn pauses(&self, scope: &str, running: StopMode) {
        let paused = self.pause_scope(&self.admin, target(scope), "audit".to_owned(), running);
        let view = paused.await.unwrap();
        assert_eq!(view.reach.unconfirmed, []);
    }

    async fn resumes(&self, scope: &str) {
        let resumed = self.resume_scope(&self.admin, target(scope)).await;
        assert_eq!(resumed.unwrap().reach.unconfirmed, []);
    }

    async fn steps_of(&self, description: &str, step: Value) -> TaskId {
        let mut step = step;
        step["id"] = json!("a");
        self.submit_task(json!({ "description": description, "steps": [step] }))
            .await
    }
}

#[tokio::test]
async fn a_paused_session_keeps_what_is_there_and_what_comes_until_it_is_resumed() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    let first = system.of_session("s1").await;
    system.tool("one").is_called(1).await;
    system.pauses("session:s1", StopMode::Graceful).await;
    let later = system.of_session("s1").await;
    assert_eq!(system.status(later).await, TaskStatus::Paused);
    let why = system.why(&system.admin, later).await.unwrap();
    assert!(
        why.summary.contains("session:s1 is held by admin"),
        "{why:?}"
    );
    assert_eq!(why.steps[0].holds[0].reason, "audit");
    // Others go on, and so does what ran.
    let other = system.of_session("s2").await;
    system.tool("one").release(2);
    for id in [first, other] {
        system.completed(id).await;
    }
    let system = system.crash(|tool| tool.release(9)).await;
    assert_eq!(system.status(later).await, TaskStatus::Paused);
    let even_later = system.of_session("s1").await;
    assert_eq!(system.status(even_later).await, TaskStatus::Paused);
    let resumed = Instant::now();
    system.resumes("session:s1").await;
    for id in [later, even_later] {
        system.completed(id).await;
    }
    assert!(resumed.elapsed() < Duration::from_secs(1));
    assert_eq!(system.holds(&system.admin).await.unwrap().items, []);
}

#[tokio::test]
async fn who_lifts_what_kept_a_task_is_told_with_it() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    let id = system.of_session("s1").await;
    system.tool("one").is_called(1).await;
    system.pauses("session:s1", StopMode::Graceful).await;
    let zed = Caller {
        role: Role::Operator,
        ..user("zed")
    };
    let resumed = system.resume_scope(&zed, target("session:s1")).await;
    assert_eq!(resumed.unwrap().reach.tasks, 1);
    let path = format!("/tasks/{id}");
    let actor = system.actor(&system.admin, &path, None).await.unwrap();
    let events = actor.entity.unwrap().events.into_iter();
    let mut resumed = events.filter(|it| it.event["type"] == "resumed");
    let resumed = resumed.next().unwrap();
    assert_eq!(resumed.event["user"], "zed");
    assert_eq!(resumed.actor, "zed");
}

#[tokio::test]
async fn a_pause_of_everything_now_is_acknowledged_when_its_attempts_are_gone() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(system.work("busy").await);
    }
    system.tool("one").is_called(5).await;
    let reason = "fire".to_owned();
    let paused = system
        .pause_scope(&system.admin, Target::Cluster, reason, StopMode::Now)
        .await
        .unwrap();
    let reach = paused.reach;
    assert_eq!(
        (reach.nodes, reach.tasks, reach.ended),
        (1, 5, 5),
        "{reach:?}"
    );
    assert_eq!(reach.unconfirmed, []);
    system.tool("one").is_stopped(5).await;
    system.tool("one").release(5);
    system.resumes("cluster").await;
    for id in ids {
        system.completed(id).await;
    }
    assert_eq!(system.tool("one").begun(), 10);
}

#[tokio::test]
async fn a_task_that_was_paused_itself_stays_so_when_its_scope_is_resumed() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    let id = system.work("twice").await;
    let own = system.pause_task(&system.admin, id, String::new(), StopMode::Graceful);
    own.await.unwrap();
    system.pauses("user:admin", StopMode::Graceful).await;
    system.resumes("user:admin").await;
    assert_eq!(system.status(id).await, TaskStatus::Paused);
    system.resume_task(&system.admin, id).await.unwrap();
    assert_eq!(system.status(id).await, TaskStatus::Executing);
}

#[tokio::test]
async fn a_stopped_user_has_no_task_left_and_others_have_theirs() {
    let system = System::start(&["one"]).await;
    system.native("one", 3).await;
    let (ada, bob) = (user("ada"), user("bob"));
    let work =
        || task(json!({ "description": "w", "steps": [{ "id": "a", "capability": "work" }] }));
    let mut ids = Vec::new();
    for who in [&ada, &ada, &ada, &bob] {
        let made = system.submit(who, work(), None, None).await.unwrap();
        ids.push(made.task.id);
    }
    system.tool("one").is_called(3).await;
    let refused = system
        .stop_scope(&ada, target("user:ada"), String::new())
        .await;
    assert!(matches!(refused, Err(Rejection::Forbidden { .. })));
    let begun = Instant::now();
    let stopped = system
        .stop_scope(&system.admin, target("user:ada"), "enough".to_owned())
        .await
        .unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    let reach = stopped.reach;
    assert_eq!((reach.tasks, reach.running), (3, 0), "{reach:?}");
    assert_eq!(reach.unconfirmed, []);
    for id in &ids[..3] {
        assert_eq!(system.status(*id).await, TaskStatus::Cancelled);
    }
    system.tool("one").release(1);
    system.completed(ids[3]).await;
}

#[tokio::test]
async fn a_stopped_session_is_not_taken_for_one_that_reads_like_it() {
    let system = System::start(&["one"]).await;
    system.native("one", 3).await;
    let (stopped, other) = (system.of_session("s1").await, system.of_session("S1").await);
    let view = system
        .stop_scope(&system.admin, target("session:s1"), String::new())
        .await;
    assert_eq!(view.unwrap().reach.tasks, 1);
    assert_eq!(system.status(stopped).await, TaskStatus::Cancelled);
    system.tool("one").release(1);
    system.completed(other).await;
}

#[tokio::test]
async fn a_stopped_agent_runs_nothing_and_what_it_ran_is_tried_elsewhere() {
    let system = System::start(&["one", "two"]).await;
    system.native("one", 5).await;
    let id = system.work("moves").await;
    system.tool("one").is_called(1).await;
    let stopped = system
        .stop_scope(&system.admin, target("agent:one"), String::new())
        .await
        .unwrap();
    assert_eq!(
        (stopped.reach.ended, &stopped.reach.unconfirmed[..]),
        (1, &[][..])
    );
    system.native("two", 5).await;
    system.tool("two").release(1);
    system.completed(id).await;
}

#[tokio::test]
async fn a_held_dependency_keeps_just_the_steps_that_need_it_and_they_start_when_it_is_lifted() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    system
        .agent(json!({ "name": "echo", "agent_type": "echo", "capabilities": ["talk"] }))
        .await;
    for text in ["agent:one", "agent_type:native", "tool:git", "node:here"] {
        let waits = match text {
            // What requires a tool that is held waits, whoever could do it.
            "tool:git" => {
                system
                    .agent(json!({
                        "name": "coder", "agent_type": "echo", "capabilities": ["code"],
                        "metadata": { "tools": ["git"] },
                    }))
                    .await;
                json!({ "capability": "code" })
            }
            _ => json!({ "agent": "one" }),
        };
        let scope = text.starts_with("node");
        let hold = if scope {
            let view = system
                .pause_scope(
                    &system.admin,
                    target(text),
                    "broken".to_owned(),
                    StopMode::Graceful,
                )
                .await;
            view.unwrap().hold.unwrap()
        } else {
            let held = system.hold(&system.admin, target(text), "broken".to_owned());
            held.await.unwrap().hold
        };
        let mut spec = json!({ "description": text, "steps": [{ "id": "a" }] });
        for (key, value) in waits.as_object().unwrap() {
            spec["steps"][0][key] = value.clone();
        }
        if text == "tool:git" {
            spec["requirements"] = json!({ "tools": ["git"] });
        }
        let id = system.submit_task(spec).await;
        if !scope {
            let other = system.steps_of("other", json!({ "agent": "echo" })).await;
            system.completed(other).await;
        }
        let why = until(async || {
            let why = system.why(&system.admin, id).await.unwrap();
            why.summary.contains("is held by").then_some(why)
        })
        .await;
        for part in [text, "admin", "broken", &hold.id.to_string()] {
            assert!(why.summary.contains(part), "{part}: {why:?}");
        }
        let step = &why.steps[0];
        assert_eq!(step.status, StepStatus::Queued);
        assert_eq!(step.holds, std::slice::from_ref(&hold));
        assert!(
            step.remedies
                .iter()
                .any(|remedy| remedy.what.contains("is held by"))
        );
        system.tool("one").release(1);
        let lifted = Instant::now();
        system.lift(&system.admin, hold.id).await.unwrap();
        system.completed(id).await;
        assert!(lifted.elapsed() < Duration::from_secs(1), "{text}");
    }
}

#[tokio::test]
async fn only_operators_hold_and_only_what_can_be_held() {
    let system = System::start(&[]).await;
    let refused = system
        .hold(&user("dev"), target("tool:git"), String::new())
        .await;
    assert!(matches!(refused, Err(Rejection::Forbidden { .. })));
    let wrong = system
        .hold(&system.admin, Target::Cluster, String::new())
        .await;
    assert!(matches!(wrong, Err(Rejection::Invalid { .. })));
    let wrong = system.stop_scope(&system.admin, target("tool:git"), String::new());
    assert!(matches!(wrong.await, Err(Rejection::Invalid { .. })));
    let first = system
        .hold_ahead(&system.admin, target("tool:git"), "x".to_owned())
        .await;
    let again = system
        .hold(&system.admin, target("tool:git"), "y".to_owned())
        .await;
    assert_eq!(first.unwrap().hold, again.unwrap().hold);
}

#[tokio::test]
async fn what_has_no_name_is_no_scope_and_a_name_that_is_too_long_is_called_so() {
    let system = System::start(&["one"]).await;
    let admin = &system.admin;
    let long = "n".repeat(2000);
    for (name, wrong) in [("", "has no name"), (&*long, "1,000 characters")] {
        for scope in [
            Target::User(name.to_owned()),
            Target::Session(name.to_owned()),
        ] {
            let stopped = system.stop_scope(admin, scope.clone(), String::new()).await;
            let paused = system.pause_scope(admin, scope, String::new(), StopMode::Graceful);
            for refused in [stopped, paused.await] {
                let Err(Rejection::Invalid { errors, .. }) = refused else {
                    panic!("{refused:?}");
                };
                assert_eq!(errors[0].field, "scope");
                assert!(errors[0].message.contains(wrong), "{errors:?}");
            }
        }
    }
    assert_eq!(system.holds(admin).await.unwrap().items, []);
}

#[tokio::test]
async fn a_name_that_nothing_has_is_held_only_ahead_and_the_answer_says_so() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    let spec = json!({
        "name": "coder", "agent_type": "command", "capabilities": ["code"],
        "config": { "argv": ["/usr/bin/git"] }, "metadata": { "tools": ["patch"] },
    });
    system.agent(spec).await;
    let reason = String::new;
    for (text, code) in [
        ("agent:noe", "not_found"),
        ("tool:gti", "invalid"),
        ("provider:api.example.com", "invalid"),
    ] {
        let refused = system.hold(&system.admin, target(text), reason()).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), code);
        let name = text.split_once(':').unwrap().1;
        assert!(refused.to_string().contains(name), "{refused}");
        assert_eq!(system.holds(&system.admin).await.unwrap().items, []);
        let held = system.hold_ahead(&system.admin, target(text), reason());
        let held = held.await.unwrap();
        assert!(held.note.unwrap().contains(text));
        system.lift(&system.admin, held.hold.id).await.unwrap();
    }
    for text in ["agent:one", "tool:git", "tool:patch", "agent_type:http"] {
        let held = system.hold(&system.admin, target(text), reason()).await;
        assert_eq!(held.unwrap().note, None, "{text}");
    }
}

#[tokio::test]
async fn a_tenants_holds_keep_its_own_and_nobody_elses() {
    let system = System::start(&["one"]).await;
    let acme = Caller {
        tenant: "acme".to_owned(),
        ..system.admin.clone()
    };
    let spec = json!({
        "name": "one", "agent_type": "native", "capabilities": ["work"], "max_tasks": 9,
    });
    let work = || {
        task(json!({
            "description": "w", "session_id": "s", "steps": [{ "id": "a", "agent": "one" }],
        }))
    };
    let mut ids = Vec::new();
    for who in [&system.admin, &acme] {
        let spec = serde_json::from_value(spec.clone()).unwrap();
        system.register_agent(who, spec).await.unwrap();
        ids.push(
            system
                .submit(who, work(), None, None)
                .await
                .unwrap()
                .task
                .id,
        );
    }
    system.tool("one").is_called(2).await;
    // Who placed it and on what is the same; whose it is, is not.
    for text in ["user:admin", "session:s", "agent:one"] {
        let paused = system.pause_scope(&acme, target(text), "x".to_owned(), StopMode::Now);
        let reach = paused.await.unwrap().reach;
        assert_eq!(
            (reach.ended, &reach.unconfirmed[..]),
            (1, &[][..]),
            "{text}"
        );
        assert_eq!(
            system.holds(&system.admin).await.unwrap().items,
            [],
            "{text}"
        );
        assert_eq!(system.status(ids[0]).await, TaskStatus::Executing);
        if let [hold] = &system.holds(&acme).await.unwrap().items[..] {
            let foreign = system.lift(&system.admin, hold.id).await;
            assert_eq!(foreign.unwrap_err().code(), "not_found");
            let task = system.task(&acme, ids[1]).await.unwrap();
            assert_eq!(task.status, TaskStatus::Paused, "{text}");
        }
        let begun = system.tool("one").begun();
        system.resume_scope(&acme, target(text)).await.unwrap();
        system.tool("one").is_called(begun + 1).await;
    }
    let held = system.hold(&acme, target("agent_type:native"), "x".to_owned());
    held.await.unwrap();
    let theirs = system.submit(&acme, work(), None, None).await.unwrap();
    let why = system.why(&acme, theirs.task.id).await.unwrap();
    assert!(why.summary.contains("agent_type:native is held"), "{why:?}");
    let begun = system.tool("one").begun();
    system
        .submit_task(json!({
            "description": "ours", "steps": [{ "id": "a", "agent": "one" }],
        }))
        .await;
    system.tool("one").is_called(begun + 1).await;
    // What is everybody's is the default tenant's to pause, and then keeps all.
    let refused = system.pause_scope(&acme, Target::Cluster, String::new(), StopMode::Now);
    assert_eq!(refused.await.unwrap_err().code(), "forbidden");
    system.pauses("cluster", StopMode::Graceful).await;
    for (who, id) in [(&system.admin, ids[0]), (&acme, ids[1])] {
        let task = system.task(who, id).await.unwrap();
        assert_eq!(task.status, TaskStatus::Paused);
    }
}

#[tokio::test]
async fn an_interrupt_reaches_a_task_that_is_being_loaded_and_names_it_until_then() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    let id = system.work("busy").await;
    system.tool("one").is_called(1).await;
    let gate = system.life.keep(Asked::Events, id);
    let restarting = tokio::spawn({
        let (at, admin) = (system.orchestrator.clone(), system.admin.clone());
        let path = format!("/tasks/{id}");
        async move {
            let restart = ActorAction::Restart;
            at.act_on_actor(&admin, &path, None, restart, String::new())
                .await
        }
    });
    gate.is_reached().await;
    let reason = "fire".to_owned();
    let paused = system.pause_scope(&system.admin, Target::Cluster, reason, StopMode::Now);
    let reach = paused.await.unwrap().reach;
    assert_eq!(reach.unconfirmed.len(), 1, "{reach:?}");
    assert!(reach.unconfirmed[0].what.contains("1 tasks"), "{reach:?}");
    assert_eq!(system.tool("one").stopped(), 0);
    gate.open();
    system.tool("one").is_stopped(1).await;
    within(restarting).await.unwrap().unwrap();
    system.resumes("cluster").await;
    system.tool("one").release(1);
    system.completed(id).await;
    assert_eq!(system.tool("one").begun(), 2);
}
