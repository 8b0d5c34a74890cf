//! The rules: each a function from sources to what breaks it.

use std::collections::BTreeSet;

use super::{
    DOORS, DRAWERS, IMPURE, LEFT_BY_RUNS, LONGEST_FILE, MACHINERY, MACHINERY_BODIES, OTHER_SHELLS,
    POLLING_TESTS, SHELLS, SLEEPS, SPAWNER, SPAWNS, TOP_LEVEL, UNSAID,
    source::{Finding, Source},
};

pub(crate) fn runtime_knows_a_domain(sources: &[Source]) -> Vec<Finding> {
    let known = |name: &str| match name.strip_prefix("api::") {
        Some(body) => MACHINERY_BODIES.contains(&body),
        None => MACHINERY.contains(&name),
    };
    let in_runtime = sources.iter().filter(|file| file.is_below("runtime/src"));
    in_runtime
        .flat_map(|file| file.names_of_protocol().into_iter().map(move |n| (file, n)))
        .filter(|(_, (_, name))| !known(name))
        .map(|(file, (line, name))| {
            let what = format!(
                "runtime names protocol::{name}; it is generic over the domain and knows only \
                 {MACHINERY:?} and of api {MACHINERY_BODIES:?}"
            );
            file.found(line, what)
        })
        .collect()
}

pub(crate) fn doors_left_open(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in sources.iter().filter(|file| is_production(file)) {
        for (line, code) in file.code() {
            for (library, doors) in DOORS {
                let at_door = doors.iter().any(|door| file.is_below(door));
                if !at_door && names(code, library) {
                    let what = format!("names {library}, which only {doors:?} may");
                    findings.push(file.found(line, what));
                }
            }
        }
    }
    findings
}

/// Whether a line names a library, and not another whose name ends alike.
fn names(code: &str, library: &str) -> bool {
    code.match_indices(library).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

pub(crate) fn bare_spawns(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let others = sources.iter().filter(|file| file.path != SPAWNER);
    for file in others.filter(|file| is_production(file)) {
        for (line, code) in file.code() {
            // Chains are broken where they are long.
            let code: String = code.split_whitespace().collect();
            if let Some(spawn) = SPAWNS.iter().find(|spawn| code.contains(**spawn)) {
                let what = format!(
                    "says `{spawn}`: what starts so is in no tree; use `supervision::spawn`, or a \
                     child of a supervisor"
                );
                findings.push(file.found(line, what));
            }
        }
    }
    findings
}

pub(crate) fn impure_rules(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rules = sources.iter().filter(|file| {
        (file.is_below("runtime/src") || file.is_below("actors/src")) && !is_shell(&file.path)
    });
    for file in rules {
        for (line, code) in file.code() {
            for word in IMPURE.iter().filter(|word| code.contains(**word)) {
                let what = format!(
                    "says `{}`; waiting, clocks and chance belong in files named {SHELLS:?}, and \
                     `now` and seeds come in as arguments",
                    word.trim()
                );
                findings.push(file.found(line, what));
            }
        }
    }
    findings
}

fn is_shell(path: &str) -> bool {
    let named = path
        .split('/')
        .any(|part| SHELLS.contains(&part.strip_suffix(".rs").unwrap_or(part)));
    named || OTHER_SHELLS.iter().any(|(other, _)| path == *other)
}

fn is_production(file: &Source) -> bool {
    let crates = [
        "protocol/src",
        "runtime/src",
        "actors/src",
        "node/src",
        "examples",
    ];
    crates.iter().any(|place| file.is_below(place))
}

pub(crate) fn sleeping_tests(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in sources {
        if POLLING_TESTS.iter().any(|(path, _)| file.path == *path) {
            continue;
        }
        for (line, code) in file.test_code() {
            if !code.contains('"') && SLEEPS.iter().any(|sleep| code.contains(sleep)) {
                let what =
                    "a test sleeps; wait for the reply, the event or the end, under a timeout";
                findings.push(file.found(line, what));
            }
        }
    }
    findings
}

pub(crate) fn misnamed_or_long_files(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in sources {
        let stem = file
            .path
            .rsplit('/')
            .next()
            .and_then(|name| name.strip_suffix(".rs"));
        // Cargo makes a test of each file beside a test; what tests share has no other name.
        let shared_by_tests = file.path.contains("/tests/");
        if stem == Some("mod") && !shared_by_tests {
            findings.push(file.found(1, "a front page is `part.rs` beside the folder `part/`"));
        }
        if stem.is_some_and(|stem| DRAWERS.contains(&stem)) {
            findings.push(file.found(1, "the name is a drawer; say which one thing it holds"));
        }
        let lines = file.text.lines().count();
        if lines > LONGEST_FILE {
            let what =
                format!("{lines} lines, more than {LONGEST_FILE}: which second noun is in it?");
            findings.push(file.found(lines, what));
        }
        if !file.text.starts_with("//!") {
            findings.push(file.found(1, "does not open with `//!` and one sentence"));
        }
    }
    findings
}

pub(crate) fn words_left_in(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in sources
        .iter()
        .filter(|file| !file.is_below("node/tests/layers"))
    {
        for (line, code) in file.lines_outside_comments() {
            for (word, why) in UNSAID.iter().filter(|(word, _)| names(code, word)) {
                findings.push(file.found(line, format!("`{}` {why}", word.trim())));
            }
        }
    }
    findings
}

pub(crate) fn loose_manifests(manifests: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in manifests {
        for (line, code) in (1..).zip(file.text.lines()) {
            let setting: String = code
                .split('#')
                .next()
                .unwrap_or_default()
                .split(' ')
                .collect();
            if setting.starts_with("panic=") && setting != "panic=\"unwind\"" {
                let what = "a panic must unwind: supervision turns it into an event";
                findings.push(file.found(line, what));
            }
        }
        let is_member = file.path.contains('/') && file.path.ends_with("Cargo.toml");
        if is_member && !file.text.contains("[lints]\nworkspace = true") {
            findings.push(file.found(1, "does not take the workspace's lints"));
        }
    }
    findings
}

pub(crate) fn strangers_at_the_top(entries: &BTreeSet<String>) -> Vec<Finding> {
    let is_expected = |name: &str| {
        name.starts_with('.') || TOP_LEVEL.contains(&name) || LEFT_BY_RUNS.contains(&name)
    };
    let found = |name: &str, what: &str| Finding {
        place: name.to_owned(),
        what: what.to_owned(),
    };
    let strangers = entries.iter().filter(|name| !is_expected(name));
    let missing = TOP_LEVEL.iter().filter(|name| !entries.contains(**name));
    strangers
        .map(|name| found(name, "does not belong at the top level"))
        .chain(missing.map(|name| found(name, "is missing at the top level")))
        .collect()
}

/// Exceptions that no longer name a file, so that the lists above stay short.
pub(crate) fn stale_exceptions(sources: &[Source]) -> Vec<Finding> {
    let lists = [
        ("OTHER_SHELLS", OTHER_SHELLS),
        ("POLLING_TESTS", POLLING_TESTS),
    ];
    let mut findings = Vec::new();
    for (list, exceptions) in lists {
        for (path, _) in exceptions {
            if !sources.iter().any(|file| file.path == *path) {
                let what = format!("stands in {list}, but there is no such file");
                findings.push(Finding {
                    place: (*path).to_owned(),
                    what,
                });
            }
        }
    }
    findings
}
