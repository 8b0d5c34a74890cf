//! What an actor has to do with others, and what is left of its limits, as every node tells.

use actors::Orchestrator;
use protocol::{
    access::Role,
    api::{ActorLink, ActorView, Relation, TreeQuery},
    id::TaskId,
};
use serde_json::{Value, json};

use crate::nodes::{Nodes, spec, user, within};

impl Nodes {
    /// The tree shows of each row what it has to do with others, on every node and in what changes.
    async fn rows_are_linked(&self, whole: TaskId, part: TaskId) {
        let row = |id| format!("/agents/slow/{id}:one:1");
        let (whole_at, part_at) = (format!("/tasks/{whole}"), format!("/tasks/{part}"));
        let runs = |id| attempt(Relation::Attempt, row(id), Some("b"));
        let works_for = |at: &String| attempt(Relation::WorksFor, at.clone(), None);
        let named = |relation, path: &str, node| other(relation, path.to_owned(), node);
        let expected = [
            (whole_at.clone(), vec![runs(whole)]),
            (
                part_at.clone(),
                vec![named(Relation::PartOf, &whole_at, None), runs(part)],
            ),
            (row(whole), vec![works_for(&whole_at)]),
            (row(part), vec![works_for(&part_at)]),
            (
                "/agents/slow/proxy".to_owned(),
                vec![named(Relation::Agent, "/agents/slow", None)],
            ),
            (
                "/agents/slow".to_owned(),
                vec![named(Relation::Proxy, "/agents/slow/proxy", Some("b"))],
            ),
        ];
        for node in [&self.a, &self.b, &self.c] {
            let query = TreeQuery::default();
            let tree = node.tree(&self.admin, &query);
            let rows = within(tree).await.unwrap().nodes;
            for (path, links) in &expected {
                let row = rows.iter().find(|row| row.path == *path).unwrap();
                assert_eq!(row.links, *links, "{path}");
            }
            // A row does not say whose task it is.
            let stranger = user("other", Role::Developer);
            let tree = node.tree(&stranger, &query);
            let rows = within(tree).await.unwrap().nodes;
            let mut tasks = rows.iter().filter(|row| row.kind == "task");
            assert!(tasks.all(|row| row.links.is_empty()));
        }
    }

    async fn links_of(&self, node: &Orchestrator, path: &str) -> ActorView {
        within(node.actor(&self.admin, path, None)).await.unwrap()
    }

    /// A task that runs for long, at `b`.
    async fn long(&self, more: &Value) -> TaskId {
        let mut what = json!({
            "description": "long", "steps": [{ "id": "one", "agent": "slow" }],
        });
        let fields = what.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let made = self.b.submit(&self.admin, spec(what), None, None).await;
        let id = made.unwrap().task.id;
        let runs = async {
            let path = format!("/agents/slow/{id}:one:1");
            while self.b.actor(&self.admin, &path, None).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        within(runs).await;
        id
    }
}

fn attempt(relation: Relation, path: String, node: Option<&str>) -> ActorLink {
    ActorLink {
        relation,
        path,
        node: node.map(str::to_owned),
        step: Some("one".to_owned()),
        attempt: Some(1),
    }
}

fn other(relation: Relation, path: String, node: Option<&str>) -> ActorLink {
    ActorLink {
        step: None,
        attempt: None,
        ..attempt(relation, path, node)
    }
}

#[tokio::test]
async fn a_task_its_parts_its_attempts_and_its_agent_are_linked_the_same_on_every_node() {
    let nodes = Nodes::start().await;
    let slow = json!({
        "name": "slow", "agent_type": "sleep", "config": { "for": "10m" }, "max_tasks": 5,
    });
    let slow = serde_json::from_value(slow).unwrap();
    nodes.b.register_agent(&nodes.admin, slow).await.unwrap();
    let budget = json!({ "budget": { "max_attempts": 3, "wall_time": "1h" } });
    let whole = nodes.long(&budget).await;
    let part = nodes.long(&json!({ "parent_id": whole })).await;
    let (whole_at, part_at) = (format!("/tasks/{whole}"), format!("/tasks/{part}"));
    let row = |id| format!("/agents/slow/{id}:one:1");
    for node in [&nodes.a, &nodes.b, &nodes.c] {
        let actor = nodes.links_of(node, &whole_at).await;
        let expected = [
            other(Relation::Part, part_at.clone(), None),
            attempt(Relation::Attempt, row(whole), Some("b")),
        ];
        assert_eq!(actor.row.links, expected);
        let left = actor.budget.unwrap();
        assert_eq!(left.attempts, Some(2));
        let wall = left.wall_time.unwrap().0.as_secs();
        assert!((3_500..3_600).contains(&wall), "{wall}");

        let actor = nodes.links_of(node, &part_at).await;
        let expected = [
            other(Relation::PartOf, whole_at.clone(), None),
            attempt(Relation::Attempt, row(part), Some("b")),
        ];
        assert_eq!((&actor.row.links[..], actor.budget), (&expected[..], None));

        let works_for = |path: &String| attempt(Relation::WorksFor, path.clone(), None);
        let actor = nodes.links_of(node, &row(part)).await;
        assert_eq!(actor.row.links, [works_for(&part_at)]);
        assert_eq!(actor.row.current.as_deref(), Some("step one, attempt 1"));

        let actor = nodes.links_of(node, "/agents/slow/proxy").await;
        let mut expected = vec![works_for(&whole_at), works_for(&part_at)];
        expected.sort();
        let agent = "/agents/slow".to_owned();
        expected.push(other(Relation::Agent, agent, None));
        assert_eq!(actor.row.links, expected);

        let actor = nodes.links_of(node, "/agents/slow").await;
        let mut expected = vec![
            attempt(Relation::Attempt, row(whole), Some("b")),
            attempt(Relation::Attempt, row(part), Some("b")),
        ];
        expected.sort();
        let proxy = "/agents/slow/proxy".to_owned();
        expected.push(other(Relation::Proxy, proxy, Some("b")));
        assert_eq!(actor.row.links, expected);
    }
    nodes.rows_are_linked(whole, part).await;
    // A user's tasks are not another one's to read.
    let stranger = user("other", Role::Developer);
    let seen = within(nodes.c.actor(&stranger, &whole_at, None)).await;
    let seen = seen.unwrap();
    assert_eq!((seen.row.links, seen.budget), (Vec::new(), None));
}
