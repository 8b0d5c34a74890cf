//! Every rule, shown a fault, finds it; and what looks alike but is right passes.

use std::collections::BTreeSet;

use super::{
    LONGEST_FILE, TOP_LEVEL, rules,
    source::{Finding, Source},
};

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

/// Asserts that `rule` finds exactly as many faults as said.
#[track_caller]
fn finds(rule: fn(&[Source]) -> Vec<Finding>, expected: usize, path: &str, text: &str) {
    let findings = rule(&[source(path, text)]);
    assert_eq!(findings.len(), expected, "{path}: {text}\n{findings:?}");
}

#[test]
fn a_runtime_that_names_a_task_is_found() {
    let rule = rules::runtime_knows_a_domain;
    finds(
        rule,
        1,
        "runtime/src/journal.rs",
        "use protocol::task::Event;",
    );
    finds(
        rule,
        2,
        "runtime/src/a.rs",
        "use protocol::{agent, id::TaskId, plan::{Plan, StepSpec}};",
    );
    finds(
        rule,
        1,
        "runtime/src/a.rs",
        "use protocol::{\n    api::{Check, TaskView},\n};",
    );
    finds(
        rule,
        0,
        "runtime/src/a.rs",
        "use protocol::{api::{Check, TreeNode}, epoch::Epoch};",
    );
    finds(
        rule,
        0,
        "runtime/src/a.rs",
        "//! Not protocol::task.\n#[cfg(test)]\nuse protocol::task;",
    );
    finds(rule, 0, "actors/src/task.rs", "use protocol::task::Event;");
}

#[test]
fn a_door_beside_the_door_is_found() {
    let rule = rules::doors_left_open;
    finds(
        rule,
        1,
        "actors/src/task/view.rs",
        "let row = sqlx::query(text);",
    );
    finds(rule, 1, "node/src/node.rs", "use ractor::ActorRef;");
    finds(rule, 1, "node/src/edges.rs", "use warp::Filter;");
    finds(rule, 1, "examples/embed.rs", "reqwest::get(url)");
    finds(rule, 0, "runtime/src/store/sqlite.rs", "use sqlx::query;");
    finds(rule, 0, "node/src/edge.rs", "use warp::Filter;");
    finds(
        rule,
        0,
        "node/src/edge/tasks.rs",
        "use warp::Filter; // not sqlx::query",
    );
    finds(rule, 0, "benches/journal.rs", "sqlx::query(text)");
}

#[test]
fn an_actor_that_is_started_past_the_spawner_is_found() {
    let rule = rules::bare_spawns;
    for line in [
        "let (actor, _) = Actor::spawn(None, Counter, ()).await?;",
        "ractor::Actor::spawn_linked(None, Counter, (), parent).await?;",
        "<Counter as Actor>::spawn(Some(name), Counter, ()).await?;",
        "Counter::spawn(None, Counter, ()).await?;",
        "ractor::spawn_named::<Counter>(name, ()).await?;",
        "Counter::spawn_instant_linked(None, Counter, (), parent)?;",
    ] {
        finds(rule, 1, "actors/src/task/actor.rs", line);
        finds(rule, 1, "node/src/node.rs", line);
        finds(rule, 0, "runtime/src/supervision/handle/spawner.rs", line);
        finds(rule, 0, "benches/mailbox.rs", line);
        finds(rule, 0, "runtime/tests/mesh/links.rs", line);
    }
    for line in [
        "supervision::spawn(&tree, path, \"task\", actor, args, parent).await?;",
        "let child = tokio::spawn(async move { actor.await });",
        "let child = command.spawn()?;",
        "// Actor::spawn would show it nowhere.",
    ] {
        finds(rule, 0, "actors/src/task/actor.rs", line);
    }
}

#[test]
fn rules_that_wait_or_look_at_the_clock_are_found() {
    let rule = rules::impure_rules;
    for line in [
        "pub async fn decide() {}",
        "let moment = Instant::now();",
        "use tokio::sync::mpsc;",
        "fastrand::u64(..)",
        "impl ractor::Message for Message {}",
    ] {
        finds(rule, 1, "actors/src/task/rules.rs", line);
        finds(rule, 0, "actors/src/task/actor.rs", line);
        finds(rule, 0, "runtime/src/store/sqlite.rs", line);
        finds(rule, 0, "node/src/node.rs", line);
    }
    finds(rule, 0, "actors/src/task/tests.rs", "fastrand::u64(..)");
    finds(
        rule,
        0,
        "actors/src/task/rules.rs",
        "/// Never tokio::spawn here.",
    );
    finds(
        rule,
        0,
        "actors/src/task/rules.rs",
        "#[cfg(test)]\nmod tests { tokio::pin!(a) }",
    );
}

#[test]
fn a_sleep_in_a_test_is_found() {
    let rule = rules::sleeping_tests;
    finds(
        rule,
        1,
        "node/tests/rest.rs",
        "tokio::time::sleep(pause).await;",
    );
    finds(
        rule,
        1,
        "runtime/src/clock.rs",
        "#[cfg(test)]\nmod tests {\n    sleep(pause).await;\n}",
    );
    finds(
        rule,
        0,
        "runtime/src/clock/handle.rs",
        "tokio::time::sleep(pause).await;",
    );
    finds(rule, 0, "node/tests/rest.rs", "let agent = Agent::sleep();");
}

#[test]
fn drawers_long_files_and_nameless_files_are_found() {
    let rule = rules::misnamed_or_long_files;
    let long = "//! Long.\n".repeat(LONGEST_FILE + 1);
    finds(rule, 1, "actors/src/task/mod.rs", "//! A task.");
    finds(rule, 0, "node/tests/support/mod.rs", "//! A node.");
    finds(rule, 1, "actors/src/util.rs", "//! Things.");
    finds(rule, 1, "actors/src/task.rs", &long);
    finds(rule, 1, "actors/src/task.rs", "pub mod rules;");
    finds(rule, 0, "actors/src/task.rs", "//! A task.");
}

#[test]
fn words_that_must_not_be_left_are_found() {
    let rule = rules::words_left_in;
    finds(rule, 1, "actors/src/task.rs", "unsafe { libc::fork() }");
    finds(rule, 1, "actors/src/task.rs", "    #[ignore = \"slow\"]");
    finds(rule, 1, "actors/src/task.rs", "let plan = todo!();");
    finds(
        rule,
        0,
        "actors/src/task.rs",
        "// unsafe is forbidden\nlet unsafe_code = 1;",
    );
}

#[test]
fn a_manifest_that_aborts_or_has_no_lints_is_found() {
    let lints = "[lints]\nworkspace = true\n";
    let rule = rules::loose_manifests;
    finds(
        rule,
        1,
        "Cargo.toml",
        "[profile.release]\npanic = \"abort\"",
    );
    finds(
        rule,
        1,
        ".cargo/config.toml",
        "[profile.dev]\npanic=\"abort\"",
    );
    finds(
        rule,
        1,
        "node/Cargo.toml",
        "[package]\nname = \"troupe-node\"",
    );
    finds(rule, 0, "node/Cargo.toml", lints);
    finds(
        rule,
        0,
        "Cargo.toml",
        "# panic = \"abort\"\npanic = \"unwind\"",
    );
}

#[test]
fn a_stranger_or_a_gap_at_the_top_is_found() {
    let all: BTreeSet<_> = TOP_LEVEL.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(rules::strangers_at_the_top(&all), []);
    let mut more = all.clone();
    more.extend(["scripts", "target", ".ci"].map(str::to_owned));
    assert_eq!(rules::strangers_at_the_top(&more).len(), 1);
    let mut fewer = all;
    fewer.remove("cluster.toml");
    assert_eq!(rules::strangers_at_the_top(&fewer).len(), 1);
}
