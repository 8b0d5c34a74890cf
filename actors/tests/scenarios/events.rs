//! What happens in the cluster, as it happens.

use actors::orchestrator::{Feed, HappeningFrame, Told};
use futures_util::StreamExt;
use protocol::{
    access::Caller,
    api::{EventsQuery, ExecuteRequest, WorkerChange},
};

use crate::{
    support::{System, task, user, within},
    workflows::made,
};
use serde_json::json;

impl System {
    async fn happenings(
        &self,
        caller: &Caller,
        types: &str,
        since: Option<&str>,
    ) -> Feed<HappeningFrame> {
        let query = EventsQuery {
            types: Some(types.to_owned()),
            since: since.map(str::to_owned),
        };
        self.follow_events(caller, &query).await.unwrap()
    }
}

/// Names of what is told up to the first of this name.
async fn names(feed: &mut Feed<HappeningFrame>, until: &str) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        if let Told {
            what: HappeningFrame::Recorded(name, _),
            ..
        } = within(feed.next()).await.unwrap()
        {
            names.push(name);
            if names.last().is_some_and(|name| name == until) {
                return names;
            }
        }
    }
}

#[tokio::test]
async fn events_of_all_tasks_and_agents_come_by_name_in_the_order_of_the_journal() {
    let system = System::start(&["one"]).await;
    let mut now = system
        .happenings(&system.admin, "task.*,agent.registered", None)
        .await;
    system.native("one", 5).await;
    let id = system.work("x").await;
    system.tool("one").release(1);
    system.completed(id).await;
    let told = names(&mut now, "task.settled").await;
    assert_eq!(told[..2], ["agent.registered", "task.submitted"]);
    let mut again = system
        .happenings(&system.admin, "task.*,agent.registered", Some("0"))
        .await;
    assert_eq!(names(&mut again, "task.settled").await, told);
    let mut few = system
        .happenings(&system.admin, "task.settled", Some("0"))
        .await;
    assert_eq!(names(&mut few, "task.settled").await, ["task.settled"]);
}

#[tokio::test]
async fn what_happens_to_nodes_of_runs_comes_under_names_of_its_own() {
    let system = System::start(&[]).await;
    let echo = json!({ "name": "echo", "agent_type": "echo" });
    system.agent(echo).await;
    let definition = json!({
        "name": "n", "type": "sequential", "nodes": [
            { "id": "a", "type": "agent", "agent": "echo" },
            { "id": "b", "type": "transform", "output": "$.nodes.a.output" },
        ],
    });
    let admin = system.admin.clone();
    made(&system, &admin, &definition).await;
    let begun = system.execute_workflow(&admin, "n", ExecuteRequest::default(), None, None);
    let id = begun.await.unwrap().run.id;
    system.completed(id).await;
    let mut feed = system.happenings(&admin, "workflow.*", Some("0")).await;
    let told = names(&mut feed, "workflow.completed").await;
    assert_eq!(
        told,
        [
            "workflow.started",
            "workflow.node.started",
            "workflow.node.attempt",
            "workflow.node.completed",
            "workflow.node.completed",
            "workflow.completed",
        ]
    );
    let mut feed = system
        .happenings(&admin, "workflow.node.*", Some("0"))
        .await;
    let first = within(feed.next()).await.unwrap();
    let HappeningFrame::Recorded(_, view) = first.what else {
        panic!("{first:?}");
    };
    assert_eq!(
        (view.entity, &view.event["type"], &view.event["node"]),
        (id.into(), &json!("workflow.node.started"), &json!("a"))
    );
    // Those who follow tasks are told of it as of any other; nothing comes twice after a position.
    let mut both = system
        .happenings(&admin, "task.*,workflow.*", Some("0"))
        .await;
    let mut all = Vec::new();
    let mut cursors = Vec::new();
    while all.last().is_none_or(|name| name != "workflow.completed") {
        let told = within(both.next()).await.unwrap();
        if let HappeningFrame::Recorded(name, _) = told.what {
            all.push(name);
            cursors.push(told.cursor);
        }
    }
    assert!(all.contains(&"task.settled".to_owned()), "{all:?}");
    assert!(!all.contains(&"task.run".to_owned()), "{all:?}");
    let types = "task.*,workflow.*";
    for (at, cursor) in cursors.iter().enumerate() {
        let mut rest = system.happenings(&admin, types, Some(cursor)).await;
        let left = &all[at + 1..];
        if !left.is_empty() {
            assert_eq!(names(&mut rest, "workflow.completed").await, left);
        }
    }
}

#[tokio::test]
async fn nobody_is_told_of_tasks_that_are_not_theirs_to_see() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let (ann, bob) = (user("ann"), user("bob"));
    let spec =
        || task(json!({ "description": "x", "steps": [{ "id": "a", "capability": "work" }] }));
    let of_ann = system
        .submit(&ann, spec(), None, None)
        .await
        .unwrap()
        .task
        .id;
    system.tool("one").release(2);
    system.completed(of_ann).await;
    let of_bob = system
        .submit(&bob, spec(), None, None)
        .await
        .unwrap()
        .task
        .id;
    system.completed(of_bob).await;
    let mut feed = system.happenings(&bob, "*", Some("0")).await;
    loop {
        let told = within(feed.next()).await.unwrap();
        if let HappeningFrame::Recorded(name, view) = told.what {
            assert_ne!(view.entity, of_ann.into(), "{name}");
            if view.entity == of_bob.into() && name == "task.settled" {
                break;
            }
        }
    }
    let mut stranger = Caller::admin();
    stranger.tenant = "other".to_owned();
    let spec = serde_json::from_value(json!({ "name": "theirs", "agent_type": "echo" })).unwrap();
    let theirs = system.register_agent(&stranger, spec).await.unwrap().id;
    let mut feed = system
        .happenings(&stranger, "task.*,agent.*", Some("0"))
        .await;
    let HappeningFrame::Recorded(_, view) = within(feed.next()).await.unwrap().what else {
        panic!("nothing is told of their own agent");
    };
    assert_eq!(view.entity, theirs.into(), "the first that they hear of");
}

#[tokio::test]
async fn a_reader_hears_first_how_each_node_is() {
    let system = System::start(&[]).await;
    let mut feed = system
        .happenings(&system.admin, "worker.status", None)
        .await;
    let HappeningFrame::Worker(worker) = within(feed.next()).await.unwrap().what else {
        panic!("it is no worker");
    };
    assert_eq!(
        (worker.change, worker.node.name.as_str()),
        (WorkerChange::Known, "here")
    );
    assert_eq!(worker.was, None);
}
