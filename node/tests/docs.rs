//! The documents: their links lead somewhere, and they name the metrics that there are.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const METRICS_PAGE: &str = "node/docs/operations.md";

#[test]
fn every_link_to_a_file_leads_to_one() {
    let mut broken = Vec::new();
    for (path, text) in files("md") {
        let folder = path.parent().unwrap_or(&path);
        for link in links(&text) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !folder.join(file).exists() {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn the_metrics_page_names_every_metric_and_no_other() {
    let page = fs::read_to_string(root().join(METRICS_PAGE));
    let page = page.unwrap_or_else(|error| panic!("{METRICS_PAGE}: {error}"));
    let told = names(&page, "| `");
    let sources = files("rs").into_iter();
    let recorded: BTreeSet<_> = sources
        .filter(|(path, _)| path.iter().any(|part| part == "src"))
        .flat_map(|(_, text)| names(&text, "\""))
        .collect();
    let missing: Vec<_> = recorded.difference(&told).collect();
    let invented: Vec<_> = told.difference(&recorded).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "{METRICS_PAGE} does not name {missing:?}, and names {invented:?}, which nothing records"
    );
}

/// What stands in the round brackets of `[text](link)`, links to other machines aside.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(link, _)| link)
        .filter(|link| !link.contains("://"))
}

/// Names of metrics that stand right behind `before` and end with a quote of either kind.
fn names(text: &str, before: &str) -> BTreeSet<String> {
    let candidates = text.split(before).skip(1);
    let names = candidates.filter_map(|rest| rest.split(['`', '"']).next());
    names
        .filter(|name| is_metric(name))
        .map(str::to_owned)
        .collect()
}

fn is_metric(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let whole = !name.ends_with('_');
    plain
        && whole
        && (name.starts_with("troupe_") || ["agent_health", "queue_depth"].contains(&name))
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize()
        .unwrap_or_else(|error| panic!("no workspace root: {error}"))
}

/// Every file of a kind, but for what builds and runs leave.
fn files(extension: &str) -> Vec<(PathBuf, String)> {
    let mut folders = vec![root()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let skipped = [".git", "target", "troupe-data"].map(Some);
            if path.is_dir() {
                let name = path.file_name().map(|name| name.to_string_lossy());
                if !skipped.contains(&name.as_deref()) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                files.push((path, text));
            }
        }
    }
    files
}

#[test]
fn links_and_names_are_found_where_they_stand() {
    let text = "[a](b/c.md#d), [e](https://f) and [g](h)";
    assert_eq!(links(text).collect::<Vec<_>>(), ["b/c.md#d", "h"]);
    let row = "| `troupe_actors` | gauge | `kind` | `troupe_not_in_front` |";
    assert_eq!(
        names(row, "| `"),
        ["troupe_actors", "troupe_not_in_front"]
            .map(str::to_owned)
            .into()
    );
    let source = "gauge!(\"troupe_actors\"); \"troupe_data/\"; \"other\"";
    assert_eq!(names(source, "\""), ["troupe_actors".to_owned()].into());
}
