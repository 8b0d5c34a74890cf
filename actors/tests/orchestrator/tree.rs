//! The tree of the whole cluster: now, then, and what changed.

use std::sync::Arc;

use actors::Orchestrator;
use protocol::{
    access::Role,
    api::{Change, DiffQuery, LifeQuery, TreeQuery, TreeView},
    id::NodeId,
    time::Timestamp,
};
use runtime::{
    chronicle::{self, Retention, StoreArchive, chronicle},
    clock::Clock,
    supervision::{Spec, Strategy, Supervisor, SupervisorRef, Tree},
};

use crate::{
    net::Trouble,
    nodes::{Nodes, fresh, user, within},
};

fn rows(view: &TreeView) -> Vec<(String, String)> {
    let rows = view.nodes.iter();
    rows.map(|row| (row.node.clone(), row.path.clone()))
        .collect()
}

fn of(node: &str) -> TreeQuery {
    TreeQuery {
        node: Some(node.to_owned()),
        ..TreeQuery::default()
    }
}

impl Nodes {
    /// The past knows of a node that is no member any more.
    pub(crate) async fn outlives(&self, name: &str) {
        let ghost = Ghost::start(name, self).await;
        ghost.written(self).await;
        ghost.root.kill();
    }

    /// The same, and how it ended is written.
    pub(crate) async fn loses(&self, name: &str) {
        let ghost = Ghost::start(name, self).await;
        let lost = ghost.written(self).await;
        ghost.root.kill();
        chronicle::node_lost(&self.store, ghost.node, lost, "the node was lost")
            .await
            .unwrap();
    }

    async fn tree(&self, node: &Orchestrator, query: &TreeQuery) -> TreeView {
        within(node.tree(&self.admin, query)).await.unwrap()
    }
}

#[tokio::test]
async fn every_node_shows_the_same_tree_of_all_nodes_page_by_page() {
    let nodes = Nodes::start().await;
    let _edge = nodes.c.actors().enter("/edge/listener", "edge");
    let whole = nodes.tree(&nodes.a, &TreeQuery::default()).await;
    let expected = rows(&whole);
    assert!(expected.is_sorted(), "{expected:?}");
    for row in [
        ("a", "/system"),
        ("b", "/agents/echo-b"),
        ("c", "/edge/listener"),
    ] {
        let row = (row.0.to_owned(), row.1.to_owned());
        assert!(expected.contains(&row), "{row:?} {expected:?}");
    }
    assert_eq!((whole.total, whole.next), (expected.len() as u64, None));
    for node in [&nodes.b, &nodes.c] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let query = TreeQuery {
                after,
                limit: Some(7),
                ..TreeQuery::default()
            };
            let page = nodes.tree(node, &query).await;
            assert_eq!(page.total, whole.total);
            assert_eq!(page.silent, [""; 0]);
            seen.extend(rows(&page));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected);
        let one = nodes.tree(node, &of("c")).await;
        assert_eq!(rows(&one), [("c".to_owned(), "/edge/listener".to_owned())]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_named_and_the_others_are_shown() {
    let nodes = Nodes::start().await;
    for trouble in [Trouble::Cut, Trouble::Frozen] {
        nodes.net.trouble(nodes.id(&nodes.b), trouble);
        for node in [&nodes.a, &nodes.c] {
            let started = tokio::time::Instant::now();
            let view = nodes.tree(node, &TreeQuery::default()).await;
            assert_eq!(view.silent, ["b"], "{trouble:?}");
            assert!(view.nodes.iter().any(|row| row.node == "a"));
            assert!(view.nodes.iter().all(|row| row.node != "b"));
            assert!(started.elapsed().as_secs() < 5);
        }
        let view = nodes.tree(&nodes.a, &of("b")).await;
        assert_eq!((view.total, view.silent), (0, vec!["b".to_owned()]));
        nodes.net.heal(nodes.id(&nodes.b));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_store_asks_the_next_one_when_the_first_is_frozen() {
    let nodes = Nodes::start().await;
    nodes.net.trouble(nodes.id(&nodes.a), Trouble::Frozen);
    let view = nodes.tree(&nodes.c, &TreeQuery::default()).await;
    assert_eq!(view.silent, ["a"]);
    assert!(view.nodes.iter().any(|row| row.node == "b"));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_reaches_no_store_shows_itself_and_names_the_others() {
    let nodes = Nodes::start().await;
    let _edge = nodes.c.actors().enter("/edge", "edge");
    for node in [&nodes.a, &nodes.b] {
        nodes.net.trouble(nodes.id(node), Trouble::Cut);
    }
    let view = nodes.tree(&nodes.c, &TreeQuery::default()).await;
    assert_eq!(rows(&view), [("c".to_owned(), "/edge".to_owned())]);
    assert_eq!(view.silent, ["a", "b"]);
}

#[tokio::test]
async fn what_cannot_be_shown_is_refused_with_the_field_that_is_wrong() {
    let nodes = Nodes::start().await;
    let refused = async |query: TreeQuery| {
        let asked = nodes.c.tree(&nodes.admin, &query);
        within(asked).await.unwrap_err()
    };
    let future = Timestamp::from_micros(Clock::system().now().as_micros() + 60_000_000);
    let query = TreeQuery {
        at: Some(future),
        ..TreeQuery::default()
    };
    assert!(refused(query).await.to_string().starts_with("at: "));
    let query = TreeQuery {
        path: Some("agents".to_owned()),
        ..TreeQuery::default()
    };
    assert!(refused(query).await.to_string().starts_with("path: "));
    assert_eq!(refused(of("nowhere")).await.code(), "not_found");
    let query = DiffQuery::default();
    let missing = within(nodes.c.tree_diff(&nodes.admin, &query)).await;
    assert!(missing.unwrap_err().to_string().starts_with("from: "));
    let nobody = user("nobody", Role::Viewer);
    assert!(within(nodes.c.tree(&nobody, &of("b"))).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_of_a_node_that_never_was_is_not_found_and_of_one_that_was_is_told() {
    let nodes = Nodes::start().await;
    let ghost = Ghost::start("ghost", &nodes).await;
    let from = Clock::system().now();
    ghost.written(&nodes).await;
    let from = Timestamp::from_micros(from.as_micros() + 1_500_000);
    let at = ghost.written(&nodes).await;
    for node in [&nodes.a, &nodes.c] {
        let by = &nodes.admin;
        let asked = async |name: &str| {
            let tree = TreeQuery {
                at: Some(at),
                ..of(name)
            };
            let diff = DiffQuery {
                node: Some(name.to_owned()),
                from: Some(from.min(at)),
                to: Some(at),
                ..DiffQuery::default()
            };
            let life = LifeQuery {
                node: Some(name.to_owned()),
                ..LifeQuery::default()
            };
            [
                within(node.tree(by, &tree)).await.map(drop),
                within(node.tree_diff(by, &diff)).await.map(drop),
                within(node.life(by, &life)).await.map(drop),
            ]
        };
        for told in asked("ghost").await {
            told.unwrap();
        }
        for told in asked("zz").await {
            let refused = told.unwrap_err();
            assert_eq!(refused.code(), "not_found");
            assert!(refused.to_string().contains("zz"), "{refused}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_at_which_nothing_stands_or_stood_is_not_found() {
    let nodes = Nodes::start().await;
    let ghost = Ghost::start("ghost", &nodes).await;
    let _stands = ghost.tree.enter("/x/1", "tool");
    let at = ghost.written(&nodes).await;
    for node in [&nodes.a, &nodes.c] {
        for at in [None, Some(at)] {
            let query = TreeQuery {
                at,
                path: Some("/nope".to_owned()),
                ..TreeQuery::default()
            };
            let refused = within(node.tree(&nodes.admin, &query)).await.unwrap_err();
            assert_eq!(refused.code(), "not_found", "{at:?}");
            assert!(refused.to_string().contains("/nope"), "{refused}");
        }
        let query = TreeQuery {
            at: Some(at),
            path: Some("/x".to_owned()),
            ..TreeQuery::default()
        };
        assert_eq!(nodes.tree(node, &query).await.total, 1);
        for path in ["/nope", "/x", "/noise"] {
            let stood = path != "/nope";
            let diff = DiffQuery {
                path: Some(path.to_owned()),
                from: Some(at),
                ..DiffQuery::default()
            };
            let told = [
                within(node.tree_diff(&nodes.admin, &diff)).await.map(drop),
                within(node.follow_tree(&nodes.admin, Some(path), None))
                    .await
                    .map(drop),
            ];
            for told in told {
                match told {
                    Ok(()) => assert!(stood, "{path}"),
                    Err(refused) => {
                        assert!(!stood, "{path}: {refused}");
                        assert_eq!(refused.code(), "not_found");
                        assert!(refused.to_string().contains(path), "{refused}");
                    }
                }
            }
        }
        // Who comes back was told of it before.
        let again = node.follow_tree(&nodes.admin, Some("/nope"), Some("a=1"));
        assert!(within(again).await.is_ok());
    }
    // Who does not answer may have it.
    nodes.net.trouble(nodes.id(&nodes.b), Trouble::Cut);
    let query = TreeQuery {
        path: Some("/nope".to_owned()),
        ..TreeQuery::default()
    };
    assert_eq!(nodes.tree(&nodes.a, &query).await.silent, ["b"]);
    let feed = nodes.a.follow_tree(&nodes.admin, Some("/nope"), None);
    assert!(within(feed).await.is_ok());
}

/// A node of which the store keeps the past.
struct Ghost {
    node: NodeId,
    tree: Tree,
    root: SupervisorRef,
}

impl Ghost {
    async fn start(name: &str, nodes: &Nodes) -> Self {
        let (node, tree) = (fresh(), Tree::new(name, Clock::system()));
        let setup = chronicle::Setup {
            tree: tree.clone(),
            node,
            name: name.to_owned(),
            archive: Arc::new(StoreArchive::new(nodes.store.clone(), Retention::default())),
            retention: Retention::default(),
        };
        let spec = Spec::infrastructure(Strategy::OneForOne);
        let root = Supervisor::start(&tree, "/", spec, vec![chronicle(setup)], None);
        let root = root.await.unwrap();
        Self { node, tree, root }
    }

    /// A moment at which all that is so now can be read.
    async fn written(&self, nodes: &Nodes) -> Timestamp {
        let now = Clock::system().now();
        within(async {
            loop {
                let chapter = nodes.store.last_chapter(self.node).await.unwrap();
                if chapter.is_some_and(|it| it.until > now) {
                    return Clock::system().now();
                }
                // What is quiet is not written: something has to happen.
                let _noise = self.tree.enter("/noise", "noise");
                tokio::time::advance(std::time::Duration::from_millis(500)).await;
            }
        })
        .await
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_node_is_shown_as_it_was_and_what_went_on_elsewhere_has_moved() {
    let nodes = Nodes::start().await;
    let (dying, other) = (
        Ghost::start("dying", &nodes).await,
        Ghost::start("other", &nodes).await,
    );
    let moving = dying.tree.enter("/tasks/1", "task");
    let _ending = dying.tree.enter("/tools/1", "tool");
    let before = dying.written(&nodes).await;
    dying.root.kill();
    drop(moving);
    let lost = Clock::system().now();
    chronicle::node_lost(&nodes.store, dying.node, lost, "killed")
        .await
        .unwrap();
    let moved = other.tree.enter("/tasks/1", "task");
    moved.moved_from("dying");
    let after = other.written(&nodes).await;
    for node in [&nodes.a, &nodes.c] {
        let at = |at, path: &str| TreeQuery {
            at: Some(at),
            path: Some(path.to_owned()),
            ..TreeQuery::default()
        };
        let tasks = nodes.tree(node, &at(before, "/tasks/1")).await;
        let expected = [("dying".to_owned(), "/tasks/1".to_owned())];
        assert_eq!(rows(&tasks), expected);
        let tasks = nodes.tree(node, &at(after, "/tasks/1")).await;
        assert_eq!(tasks.nodes[0].node, "other");
        assert_eq!(tasks.nodes[0].restored_from.as_deref(), Some("dying"));
        let query = DiffQuery {
            path: Some("/tasks/1".to_owned()),
            from: Some(before),
            to: Some(after),
            ..DiffQuery::default()
        };
        let diff = within(node.tree_diff(&nodes.admin, &query)).await.unwrap();
        let [change] = diff.changes.as_slice() else {
            panic!("{diff:?}");
        };
        assert_eq!(
            (change.change, change.path.as_str()),
            (Change::Moved, "/tasks/1")
        );
        assert_eq!(change.reason.as_deref(), Some("killed"));
        let backwards = DiffQuery {
            from: Some(after),
            to: Some(before),
            ..DiffQuery::default()
        };
        let refused = within(node.tree_diff(&nodes.admin, &backwards)).await;
        assert!(refused.unwrap_err().to_string().starts_with("from: "));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_before_the_past_that_is_kept_is_not_told_as_nothing() {
    let before = Clock::system().now();
    let nodes = Nodes::start().await;
    let ghost = Ghost::start("ghost", &nodes).await;
    let now = ghost.written(&nodes).await;
    let first = nodes.store.chapters(before, now).await.unwrap();
    let first = first.iter().map(|it| it.since).min().unwrap();
    let expected = format!("the past is kept from {first} on");
    for node in [&nodes.a, &nodes.c] {
        let query = TreeQuery {
            at: Some(before),
            ..TreeQuery::default()
        };
        let refused = within(node.tree(&nodes.admin, &query)).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("at: {expected}"));
        let query = DiffQuery {
            from: Some(before),
            to: Some(now),
            ..DiffQuery::default()
        };
        let refused = within(node.tree_diff(&nodes.admin, &query)).await;
        assert_eq!(
            refused.unwrap_err().to_string(),
            format!("from: {expected}")
        );
    }
}
