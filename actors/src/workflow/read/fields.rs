//! Which fields the parts of a definition have, where their types alone do not refuse others.

use serde_json::Value;

use crate::{
    planner::nearest,
    workflow::check::{Problem, element, field},
};

/// Fields of every node.
pub const COMMON: [&str; 12] = [
    "id",
    "name",
    "type",
    "needs",
    "when",
    "input",
    "set",
    "on_error",
    "retry",
    "timeout",
    "effect",
    "compensate",
];

/// Fields of every node that are an editor's own: kept with the text, and not looked at.
const EDITORS: [&str; 2] = ["metadata", "position"];

const WORKER: [&str; 4] = ["agent", "capability", "prompt", "with"];
const DIRECTOR: [&str; 7] = [
    "agent",
    "capability",
    "prompt",
    "with",
    "workers",
    "max_workers",
    "max_rounds",
];
const EXPERT: [&str; 5] = ["id", "agent", "capability", "prompt", "with"];

/// A type of node with the fields that it adds.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// As `type` says it.
    pub name: &'static str,
    /// Its own fields.
    pub fields: &'static [&'static str],
}

/// All types of nodes.
pub const KINDS: [Kind; 12] = [
    kind("task", &WORKER),
    kind("agent", &WORKER),
    kind("condition", &["condition"]),
    kind("parallel", &[]),
    kind("join", &["wait_for"]),
    kind("map", &["over", "each", "mode", "max_parallel"]),
    kind(
        "human",
        &[
            "question", "schema", "role", "deadline", "escalate", "default",
        ],
    ),
    kind("subworkflow", &["workflow", "version"]),
    kind("wait", &["for", "until"]),
    kind("transform", &["output"]),
    kind("direct", &DIRECTOR),
    kind("mixture", &["experts", "choose"]),
];

const fn kind(name: &'static str, fields: &'static [&'static str]) -> Kind {
    Kind { name, fields }
}

/// Ways to choose, each with its fields.
const CHOICES: [Kind; 4] = [
    kind("vote", &["of"]),
    kind("best_of", &["score"]),
    kind("concat", &["separator"]),
    kind("judge", &WORKER),
];

/// Every field that is nobody's, and every type that does not exist.
pub(super) fn unknown(definition: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, it) in listed(definition, "nodes") {
        let mut found = Vec::new();
        node(it, &element("nodes", at), &mut found);
        let id = it.get("id").and_then(Value::as_str);
        problems.extend(found.into_iter().map(|problem| problem.of_node(id)));
    }
    only(
        definition,
        "director",
        &DIRECTOR,
        "a director",
        &mut problems,
    );
    inner(definition.get("director"), "director", &mut problems);
    mixture(definition, "", &mut problems);
    problems
}

fn listed<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (usize, &'a Value)> + use<'a> {
    let list = value.get(key).and_then(Value::as_array);
    list.into_iter().flatten().enumerate()
}

fn node(it: &Value, path: &str, problems: &mut Vec<Problem>) {
    if it.is_array() {
        return no_array(it, path, problems);
    }
    let Some(name) = it.get("type").and_then(Value::as_str) else {
        return problems.push(Problem::new(path, "a node has a `type`"));
    };
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        let names = KINDS.iter().map(|kind| kind.name);
        let hint = nearest(name, names.clone()).map_or_else(
            || format!("it is one of {}", names.collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("there is no type of node `{name}`; {hint}");
        return problems.push(Problem::new(field(path, "type"), message));
    };
    let known = COMMON.iter().chain(&EDITORS).chain(kind.fields);
    let known: Vec<&str> = known.copied().collect();
    refuse(it, path, &known, &format!("a `{name}` node"), problems);
    for key in ["each", "workers"] {
        if known.contains(&key) {
            let path = field(path, key);
            refuse_in(it.get(key), &path, &WORKER, &format!("`{key}`"), problems);
        }
    }
    if kind.name == "mixture" {
        mixture(it, path, problems);
    }
}

fn inner(director: Option<&Value>, path: &str, problems: &mut Vec<Problem>) {
    let workers = director.and_then(|director| director.get("workers"));
    refuse_in(
        workers,
        &field(path, "workers"),
        &WORKER,
        "`workers`",
        problems,
    );
}

fn only(whole: &Value, key: &str, known: &[&str], what: &str, problems: &mut Vec<Problem>) {
    refuse_in(whole.get(key), key, known, what, problems);
}

fn mixture(it: &Value, path: &str, problems: &mut Vec<Problem>) {
    let experts = field(path, "experts");
    for (at, expert) in listed(it, "experts") {
        refuse(
            expert,
            &element(&experts, at),
            &EXPERT,
            "an expert",
            problems,
        );
    }
    let choose = it.get("choose");
    if let Some(choose) = choose {
        no_array(choose, &field(path, "choose"), problems);
    }
    let by = choose.and_then(|choose| choose.get("by"));
    if by.is_some_and(|by| !by.is_string()) {
        let names = CHOICES.map(|kind| kind.name).join(", ");
        let path = field(&field(path, "choose"), "by");
        problems.push(Problem::new(
            path,
            format!("is no text; it is one of {names}"),
        ));
    }
    let by = by.and_then(Value::as_str);
    let kind = CHOICES.iter().find(|kind| Some(kind.name) == by);
    if let (Some(choose), Some(kind)) = (choose, kind) {
        let known: Vec<&str> = std::iter::once("by")
            .chain(kind.fields.iter().copied())
            .collect();
        let what = format!("a choice by `{}`", kind.name);
        refuse(choose, &field(path, "choose"), &known, &what, problems);
    }
}

fn refuse_in(
    it: Option<&Value>,
    path: &str,
    known: &[&str],
    what: &str,
    problems: &mut Vec<Problem>,
) {
    if let Some(it) = it {
        refuse(it, path, known, what, problems);
    }
}

/// Of an array, the parser would take the elements for fields, by their places.
fn no_array(it: &Value, path: &str, problems: &mut Vec<Problem>) {
    if it.is_array() {
        let message = "is an array, where an object is expected";
        problems.push(Problem::new(path, message));
    }
}

fn refuse(it: &Value, path: &str, known: &[&str], what: &str, problems: &mut Vec<Problem>) {
    no_array(it, path, problems);
    let fields = it.as_object().into_iter().flat_map(|fields| fields.keys());
    for name in fields.filter(|name| !known.contains(&name.as_str())) {
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("; did you mean `{near}`?"),
            None => String::new(),
        };
        let message = format!("{what} has no field `{name}`{hint}");
        problems.push(Problem::new(field(path, name), message));
    }
}
