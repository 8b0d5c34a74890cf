//! The architecture, as a test: what the runtime knows, who talks to the world, which files are pure.
//!
//! That crates import only downwards needs no test: Cargo refuses cycles. What is allowed stands here;
//! `rules` finds what breaks it, and `planted` shows each rule a fault that it must find.

#[path = "layers/planted.rs"]
mod planted;
#[path = "layers/rules.rs"]
mod rules;
#[path = "layers/source.rs"]
mod source;

use std::fs;

use source::{Finding, files, root, sources};

/// All that `runtime` may know of `protocol`; tasks and agents are not among it.
const MACHINERY: &[&str] = &[
    "entity", "epoch", "id", "json", "member", "record", "shard", "time", "version", "wire",
];

/// Beyond [`MACHINERY`]: bodies about actors and health that the runtime itself fills in.
const MACHINERY_BODIES: &[&str] = &[
    "ActorLink",
    "ActorMessages",
    "ActorView",
    "Change",
    "Check",
    "FailureView",
    "HandledMessage",
    "Life",
    "LifeEvent",
    "Relation",
    "Stale",
    "TreeChange",
    "TreeDelta",
    "TreeDiff",
    "TreeNode",
    "TreeQuery",
    "TreeView",
];

/// Libraries that open a door, and the only places that name them.
const DOORS: &[(&str, &[&str])] = &[
    ("sqlx::", &["runtime/src/store"]),
    ("ractor_cluster::", &["runtime/src/cluster"]),
    ("reqwest::", &["actors/src/adapter", "node/src/client"]),
    ("warp::", &["node/src/edge"]),
    ("rmcp::", &["node/src/edge"]),
    ("crossterm::", &["node/src/cli/top/terminal"]),
    ("ractor::", &["runtime/src", "actors/src"]),
];

/// The one file that starts actors by ractor's own means: what starts there stands in the tree.
const SPAWNER: &str = "runtime/src/supervision/handle/spawner.rs";

/// The list of what other nodes may ask for.
const SERVED: &str = "actors/src/orchestrator/handle/serve.rs";

/// Those means, as code would say them.
const SPAWNS: &[&str] = &[
    "Actor::spawn",
    "Actor>::spawn",
    "ActorRuntime::spawn",
    "ractor::spawn",
    "::spawn_linked(",
    "::spawn_instant",
    "::spawn(None",
    "::spawn(Some(",
];

/// Files and folders that may wait: an actor's wiring, an async handle, a door.
const SHELLS: &[&str] = &["actor", "handle", "store", "cluster", "adapter", "testkit"];

/// Files that may wait though their name does not say so, and why.
const OTHER_SHELLS: &[(&str, &str)] = &[
    (
        "runtime/src/entity.rs",
        "says what an entity's handler gives back to its actor",
    ),
    (
        "runtime/src/journal/feed.rs",
        "hands committed records to watchers without waiting for them",
    ),
];

/// What all other files of `runtime` and `actors` do not say.
const IMPURE: &[&str] = &[
    "async ",
    ".await",
    "tokio::",
    "tokio_util::",
    "ractor::",
    "::now()",
    "rand::",
];

/// Tests that may pause between two looks at another process, and why a reply cannot tell them.
const POLLING_TESTS: &[(&str, &str)] = &[
    (
        "node/tests/support/process.rs",
        "processes, files and ports of a killed node tell nobody when they change",
    ),
    (
        "node/tests/top.rs",
        "a terminal tells nobody when its picture changes",
    ),
    (
        "node/tests/stopping.rs",
        "a model that streams does so in time, and processes tell nobody when they end",
    ),
];

/// Sleeping, as a test would say it.
const SLEEPS: &[&str] = &["time::sleep(", "thread::sleep(", " sleep("];

/// All that stands at the top level beside dotfiles.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "actors",
    "benches",
    "cluster.toml",
    "examples",
    "node",
    "protocol",
    "runtime",
];

/// What builds and runs leave there; `.gitignore` names them.
const LEFT_BY_RUNS: &[&str] = &["target", "troupe-data"];

/// Names that say nothing about what a file holds.
const DRAWERS: &[&str] = &[
    "util", "utils", "helper", "helpers", "misc", "common", "types",
];

/// Lines beyond which a file surely holds a second noun.
const LONGEST_FILE: usize = 600;

/// What no source of ours says, tests included, and why.
const UNSAID: &[(&str, &str)] = &[
    (
        "unsafe ",
        "is forbidden: the machine's guarantees end where it begins",
    ),
    ("#[ignore", "hides a failing test; mend it or take it out"),
    ("todo!(", "is a stub"),
    ("unimplemented!(", "is a stub"),
];

fn assert_none(findings: &[Finding]) {
    let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn runtime_knows_no_domain() {
    assert_none(&rules::runtime_knows_a_domain(&sources()));
}

#[test]
fn only_doors_talk_to_the_world() {
    assert_none(&rules::doors_left_open(&sources()));
}

#[test]
fn every_actor_is_started_by_the_spawner() {
    let sources = sources();
    assert_none(&rules::bare_spawns(&sources));
    assert!(sources.iter().any(|file| file.path == SPAWNER));
}

/// What another node asks for has to be in the list of what this one answers.
#[test]
fn every_use_case_is_answered_to_other_nodes() {
    let sources = sources();
    let served = sources.iter().find(|file| file.path == SERVED).unwrap();
    let cases = sources
        .iter()
        .filter(|file| file.is_below("actors/src"))
        .flat_map(|file| file.text.split("impl UseCase for ").skip(1));
    let cases: Vec<&str> = cases
        .filter_map(|rest| rest.split_whitespace().next())
        .collect();
    assert!(cases.len() > 50, "{cases:?}");
    for case in cases {
        let entry = format!("entry::<{case}>()");
        assert!(served.text.contains(&entry), "{case} is not in {SERVED}");
    }
}

#[test]
fn rules_are_pure() {
    assert_none(&rules::impure_rules(&sources()));
}

#[test]
fn tests_do_not_sleep() {
    assert_none(&rules::sleeping_tests(&sources()));
}

#[test]
fn every_file_has_one_noun() {
    assert_none(&rules::misnamed_or_long_files(&sources()));
}

#[test]
fn nothing_unsafe_or_unfinished_is_left() {
    assert_none(&rules::words_left_in(&sources()));
}

#[test]
fn manifests_unwind_and_take_the_lints() {
    assert_none(&rules::loose_manifests(&files(&["toml"])));
}

#[test]
fn the_top_level_holds_what_belongs_there() {
    let entries = fs::read_dir(root()).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    assert_none(&rules::strangers_at_the_top(&names.collect()));
}

#[test]
fn exceptions_name_files_that_exist() {
    assert_none(&rules::stale_exceptions(&sources()));
}
