//! Definitions of workflows: the published schema, the examples, the guide, and the commands that need
//! no node.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use actors::{
    schema::Schema,
    workflow::{draw, expression::FUNCTIONS, read},
};
use serde_json::{Value, json};

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/workflow.schema.json");
const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/workflows.md");
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/workflows");
/// Set it to write the golden file again.
const WRITE: &str = "TROUPE_WRITE_GOLDEN";

fn examples() -> Vec<(PathBuf, String)> {
    let files = fs::read_dir(EXAMPLES)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|it| it == "yaml"))
        .collect();
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    files.into_iter().map(read).collect()
}

fn told(problems: &[actors::workflow::check::Problem]) -> String {
    let lines = problems
        .iter()
        .map(|problem| format!("{:?}: {problem}\n", problem.line));
    lines.collect()
}

#[test]
fn the_published_schema_is_that_of_definitions() {
    let schema = serde_json::to_string_pretty(&protocol::workflow::schema()).unwrap() + "\n";
    if std::env::var_os(WRITE).is_some() {
        fs::write(SCHEMA, &schema).unwrap();
    }
    let golden = fs::read_to_string(SCHEMA).unwrap_or_default();
    assert!(
        schema == golden,
        "{SCHEMA} is not that of definitions any more; if clients can live with the change, write it \
         with `{WRITE}=1 cargo test -p troupe-node --test workflows`"
    );
}

#[test]
fn the_fields_that_are_known_are_those_of_the_schema() {
    let schema = protocol::workflow::schema();
    let node = &schema["$defs"]["Node"];
    let names = |it: &Value| -> BTreeSet<String> {
        it["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect()
    };
    let mut common = names(node);
    common.insert("type".to_owned());
    let known = read::COMMON.iter().map(|name| (*name).to_owned());
    assert_eq!(common, known.collect());
    for variant in node["oneOf"].as_array().unwrap() {
        let name = variant["properties"]["type"]["const"].as_str().unwrap();
        let kind = read::KINDS.iter().find(|kind| kind.name == name).unwrap();
        let mut fields = names(variant);
        if let Some(part) = variant["$ref"].as_str() {
            let part = part.rsplit('/').next().unwrap();
            fields.extend(names(&schema["$defs"][part]));
        }
        fields.remove("type");
        let known = kind.fields.iter().map(|name| (*name).to_owned());
        assert_eq!(fields, known.collect(), "{name}");
    }
    assert_eq!(node["oneOf"].as_array().unwrap().len(), read::KINDS.len());
}

#[test]
fn every_example_holds_and_fits_the_schema() {
    let examples = examples();
    assert!(examples.len() >= 7);
    let schema = Schema::compile(&protocol::workflow::schema()).unwrap();
    for (path, text) in examples {
        let definition = read::checked(&text)
            .unwrap_or_else(|problems| panic!("{}\n{}", path.display(), told(&problems)));
        let written = serde_json::to_value(&definition).unwrap();
        assert_eq!(schema.check(&written), Ok(()), "{}", path.display());
        assert_eq!(
            read::definition(&written).unwrap(),
            definition,
            "{}",
            path.display()
        );
        assert!(draw::text(&definition, |_| None).lines().count() > 2);
    }
}

#[test]
fn every_definition_in_the_guide_holds() {
    let guide = fs::read_to_string(GUIDE).unwrap();
    let blocks = guide
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let whole: Vec<_> = blocks.filter(|text| text.starts_with("name:")).collect();
    assert!(whole.len() >= 5, "{} definitions", whole.len());
    for text in whole {
        if let Err(problems) = read::checked(text) {
            panic!("{text}\n{}", told(&problems));
        }
    }
}

#[test]
fn the_guide_names_every_function_kind_and_example() {
    let guide = fs::read_to_string(GUIDE).unwrap();
    for function in FUNCTIONS {
        let row = format!(
            "| `{}({})` | {} |",
            function.name, function.takes, function.about
        );
        assert!(guide.contains(&row), "{GUIDE} lacks the line\n{row}");
    }
    for kind in read::KINDS {
        assert!(
            guide.contains(&format!("type: {}", kind.name)),
            "{}",
            kind.name
        );
    }
    for (path, _) in examples() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(guide.contains(&name), "{name}");
    }
}

fn troupe(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_troupe"));
    command.current_dir(folder).args(arguments);
    command.output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn check_names_file_line_and_node_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let good = "name: good\nnodes:\n  - { id: a, type: parallel }\n";
    let bad = "name: bad\nnodes:\n  - { id: a, type: parallel, needs: [b] }\n  - { id: b, type: parallel, needs: [a] }\n";
    fs::write(folder.path().join("good.yaml"), good).unwrap();
    fs::write(folder.path().join("bad.yaml"), bad).unwrap();
    let well = troupe(folder.path(), &["workflow", "check", "good.yaml"]);
    assert_eq!(
        (well.status.code(), printed(&well).as_str()),
        (Some(0), "good.yaml: OK\n")
    );
    let both = troupe(
        folder.path(),
        &["workflow", "check", "good.yaml", "bad.yaml"],
    );
    assert_eq!(both.status.code(), Some(1));
    assert_eq!(
        printed(&both),
        "good.yaml: OK\nbad.yaml:3: node a: a → b → a is a circle; an edge that goes back has a `loop` (nodes[0].needs[0])\n"
    );
    let data = troupe(
        folder.path(),
        &["-o", "json", "workflow", "check", "bad.yaml"],
    );
    assert_eq!(data.status.code(), Some(1));
    let data: Value = serde_json::from_slice(&data.stdout).unwrap();
    assert_eq!(data["files"][0]["problems"][0]["line"], json!(3));
    assert_eq!(data["files"][0]["problems"][0]["node"], json!("a"));
    let none = troupe(folder.path(), &["workflow", "check", "none.yaml"]);
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn graph_draws_in_three_ways() {
    let folder = Path::new(EXAMPLES);
    for (format, begins) in [
        ("text", "  "),
        ("dot", "digraph \"review-loop\" {\n"),
        ("mermaid", "flowchart TD\n"),
    ] {
        let drawn = troupe(
            folder,
            &["workflow", "graph", "review_loop.yaml", "--format", format],
        );
        assert_eq!(drawn.status.code(), Some(0));
        assert!(printed(&drawn).starts_with(begins), "{}", printed(&drawn));
        assert!(printed(&drawn).contains("generate"), "{}", printed(&drawn));
    }
    let plain = troupe(folder, &["workflow", "graph", "review_loop.yaml"]);
    assert!(
        printed(&plain).contains("fix ↺ both  again, at most 5 times"),
        "{}",
        printed(&plain)
    );
}
