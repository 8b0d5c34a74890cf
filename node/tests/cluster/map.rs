//! The map of the tree in `node/docs/architecture.md`, held against the trees of nodes that run.

use std::{collections::BTreeSet, fs, path::Path};

use super::{
    machines::Cluster,
    past::tree,
    process::{PATIENCE, until},
};

/// What stands below these depends on what a node has to do.
const FILLED_BY_WORK: [&str; 4] = ["/agents/", "/tasks/", "/holds/", "/hosts/"];

/// Asserts that the document's map shows what runs, and nothing else: of a node with a store and of one
/// without.
pub(crate) async fn holds_of(cluster: &Cluster) {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let document = fs::read_to_string(document).unwrap();
    let (_, section) = document.split_once("## The supervision tree").unwrap();
    let (_, rest) = section.split_once("```text\n").unwrap();
    let (map, rest) = rest.split_once("```").unwrap();
    let drawn = drawn(map);
    let (lines, layers) = rest.split_once("How the layers").unwrap();
    let without_store = told(lines);
    assert!(drawn.is_superset(&without_store), "{without_store:?}");
    for (node, expected) in [("c1", &drawn), ("w1", &without_store)] {
        until("its tree is as it is drawn", PATIENCE, async || {
            let stands = standing(cluster, node).await?;
            let is_fine = match node {
                "c1" => stands == *expected,
                // The supervisors above what is named are not.
                _ => stands.is_superset(expected) && drawn.is_superset(&stands),
            };
            if !is_fine {
                let missing: Vec<_> = expected.difference(&stands).collect();
                let undrawn: Vec<_> = stands.difference(&drawn).collect();
                println!("{node} has no {missing:?}, and {undrawn:?} are not drawn");
            }
            is_fine.then_some(())
        })
        .await;
    }
    let (layers, _) = layers.split_once("\n## ").unwrap();
    let places = told(layers);
    let nowhere: Vec<_> = places.difference(&drawn).collect();
    assert!(
        places.len() > 10 && nowhere.is_empty(),
        "layers name {nowhere:?}"
    );
}

/// Paths of a node's tree, but for those that work puts there.
async fn standing(cluster: &Cluster, node: &str) -> Option<BTreeSet<String>> {
    let (_, client) = cluster.clients().remove(0);
    // It may not be told of a node that has just joined.
    let tree = tree(&client, &format!("&node={node}")).await?;
    let paths = tree.nodes.into_iter().map(|row| row.path);
    let of_nodes = paths.filter(|path| !FILLED_BY_WORK.iter().any(|work| path.starts_with(work)));
    Some(of_nodes.collect())
}

/// Paths of a tree that is drawn with lines.
fn drawn(map: &str) -> BTreeSet<String> {
    let mut above: Vec<String> = Vec::new();
    let mut paths: BTreeSet<String> = ["/".to_owned()].into();
    for line in map.lines() {
        let Some((lines, words)) = line.split_once("─ ") else {
            continue;
        };
        let name = words.split_whitespace().next().unwrap();
        // `agents/NAME` stands for what work puts below `agents`.
        let name = name.split('/').next().unwrap();
        // Each level is drawn three wide, and begins with a branch.
        above.truncate((lines.chars().count() - 1) / 3);
        above.push(name.to_owned());
        paths.insert(format!("/{}", above.join("/")));
    }
    paths
}

/// Paths that a text names in quotes.
fn told(text: &str) -> BTreeSet<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let paths = quoted.filter(|it| {
        let is_path = it.starts_with('/') || it.starts_with("system/");
        is_path && !it.contains("NAME")
    });
    paths
        .map(|path| format!("/{}", path.trim_start_matches('/')))
        .collect()
}
