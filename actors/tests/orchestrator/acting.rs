//! One actor: what it is, wherever it stands, and what operators do to it.

use actors::{Orchestrator, Rejection};
use futures_util::future::join_all;
use protocol::{
    access::Role,
    agent::AgentStatus,
    api::{ActionView, ActorAction, ActorView, Life},
    task::TaskStatus,
};

use crate::{
    net::Trouble,
    nodes::{Nodes, step_for, user, within},
};

impl Nodes {
    async fn actor(&self, node: &Orchestrator, path: &str) -> ActorView {
        within(node.actor(&self.admin, path, None)).await.unwrap()
    }

    async fn act(&self, path: &str, action: ActorAction) -> Result<ActionView, Rejection> {
        let reason = "a test".to_owned();
        within(self.c.act_on_actor(&self.admin, path, None, action, reason)).await
    }

    async fn refusal(&self, path: &str, action: ActorAction) -> &'static str {
        self.act(path, action).await.unwrap_err().code()
    }
}

#[tokio::test]
async fn an_entity_shows_what_is_recorded_of_it_on_every_node() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let path = format!("/tasks/{id}");
    for node in [&nodes.a, &nodes.b, &nodes.c] {
        let actor = nodes.actor(node, &path).await;
        assert_eq!(
            (actor.row.node.as_str(), actor.row.kind.as_str()),
            ("a", "task")
        );
        assert_eq!(actor.parent.as_deref(), Some("/tasks"));
        assert!(!actor.life.is_empty());
        let entity = actor.entity.unwrap();
        assert_eq!((entity.id, entity.events.is_empty()), (id.into(), false));
        assert!(entity.events.len() <= 10);
        assert_eq!(entity.events.last().unwrap().seq, entity.position);
        let agent = nodes.actor(node, "/agents/echo-b").await;
        assert_eq!(agent.row.node, "b");
        assert!(agent.entity.is_some());
    }
    // A user's tasks are not another one's to read.
    let other = user("other", Role::Developer);
    let seen = within(nodes.c.actor(&other, &path, None)).await.unwrap();
    assert_eq!(seen.entity, None);
}

#[tokio::test]
async fn no_event_that_is_shown_carries_the_token_of_an_attempt() {
    let nodes = Nodes::start().await;
    let wait = Some(std::time::Duration::from_secs(20));
    let made = nodes.a.submit(&nodes.admin, step_for("echo-a"), None, wait);
    let id = within(made).await.unwrap().task.id;
    let agent = nodes.actor(&nodes.c, "/agents/echo-a").await;
    let text = serde_json::to_string(&agent).unwrap();
    assert!(!text.contains("\"token\""), "{text}");
    // A settled task leaves memory; then it is no actor.
    let gone = within(nodes.c.actor(&nodes.admin, &format!("/tasks/{id}"), None)).await;
    if let Ok(actor) = gone {
        let text = serde_json::to_string(&actor).unwrap();
        assert!(!text.contains("\"token\""), "{text}");
    }
}

#[tokio::test]
async fn an_actor_of_several_nodes_is_asked_for_with_its_node() {
    let nodes = Nodes::start().await;
    let asked = async |node| within(nodes.c.actor(&nodes.admin, "/system", node)).await;
    let refused = asked(None).await.unwrap_err();
    assert_eq!(refused.code(), "ambiguous");
    assert!(refused.to_string().contains("a, b"), "{refused}");
    assert_eq!(asked(Some("b")).await.unwrap().row.node, "b");
    assert_eq!(asked(Some("x")).await.unwrap_err().code(), "not_found");
    assert_eq!(asked(Some("c")).await.unwrap_err().code(), "not_found");
}

#[tokio::test]
async fn tasks_and_agents_are_paused_resumed_and_stopped_by_their_paths() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let path = format!("/tasks/{id}");
    let status = async || nodes.b.task(&nodes.admin, id).await.unwrap().status;
    // Who names another node than the one on which it stands means something else.
    for action in [ActorAction::Pause, ActorAction::Resume, ActorAction::Stop] {
        let (by, node) = (&nodes.admin, Some("zz"));
        let acted = nodes.c.act_on_actor(by, &path, node, action, String::new());
        assert_eq!(within(acted).await.unwrap_err().code(), "not_found");
    }
    nodes.act(&path, ActorAction::Pause).await.unwrap();
    assert_eq!(status().await, TaskStatus::Paused);
    let resumed = nodes.act(&path, ActorAction::Resume).await.unwrap();
    assert_eq!(resumed.actor.row.state, "running");
    assert_ne!(status().await, TaskStatus::Paused);
    let mut changes = nodes.a.actors().changes();
    changes.take_life();
    nodes.act(&path, ActorAction::Stop).await.unwrap();
    assert_eq!(status().await, TaskStatus::Cancelled);
    let stopped = async {
        loop {
            let mut life = changes.take_life().life.into_iter();
            let stopped = life.find(|it| it.path == path && it.what == Life::Stopped);
            if let Some(stopped) = stopped {
                return stopped.reason;
            }
            tokio::task::yield_now().await;
        }
    };
    let by = &nodes.admin.user;
    let why = format!("cancelled by {by}: a test");
    assert_eq!(within(stopped).await, Some(why));

    let agent = async || {
        let agent = nodes.b.agent(&nodes.admin, "echo-b").await;
        agent.unwrap().status
    };
    let path = "/agents/echo-b";
    nodes.act(path, ActorAction::Pause).await.unwrap();
    assert_eq!(agent().await, AgentStatus::Paused);
    let resumed = nodes.act(path, ActorAction::Resume).await.unwrap();
    assert_eq!(resumed.actor.row.state, "running");
    assert_eq!(agent().await, AgentStatus::Active);
}

#[tokio::test]
async fn an_entity_that_is_restarted_or_killed_begins_again_from_its_records() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let path = format!("/tasks/{id}");
    let before = nodes.actor(&nodes.c, &path).await.row.started_at;
    for action in [ActorAction::Restart, ActorAction::Kill] {
        let done = nodes.act(&path, action).await.unwrap();
        assert_eq!(
            (done.action, done.actor.row.path.as_str()),
            (action, path.as_str())
        );
        let row = nodes.actor(&nodes.c, &path).await.row;
        assert!(row.started_at > before);
    }
    nodes
        .act("/agents/held-a", ActorAction::Kill)
        .await
        .unwrap();
    nodes
        .act("/agents/held-a", ActorAction::Resume)
        .await
        .unwrap();
    let wait = std::time::Duration::from_secs(20);
    let settled = within(nodes.c.await_task(&nodes.admin, id, wait)).await;
    assert_eq!(settled.unwrap().status, TaskStatus::Completed);
}

#[tokio::test]
async fn acts_of_many_operators_on_one_actor_are_each_done_and_each_told() {
    let nodes = Nodes::start().await;
    let task = nodes.held().await;
    for path in [format!("/tasks/{task}"), "/agents/held-a".to_owned()] {
        let mut changes = nodes.a.actors().changes();
        changes.take_life();
        let acts = (0..12).map(async |number| {
            let node = [&nodes.a, &nodes.b, &nodes.c][number % 3];
            let (action, done) = match number % 4 {
                0 => (ActorAction::Kill, "killed"),
                _ => (ActorAction::Restart, "restarted"),
            };
            let reason = format!("act {number}");
            let why = format!("{done} by {}: {reason}", nodes.admin.user);
            let acted = node.act_on_actor(&nodes.admin, &path, None, action, reason);
            within(acted).await.map(|_| why)
        });
        let mut asked: Vec<String> = (join_all(acts).await.into_iter())
            .collect::<Result<_, _>>()
            .unwrap();
        let life = changes.take_life().life.into_iter();
        let ends = life.filter(|it| it.path == path && it.what == Life::Stopped);
        let mut told: Vec<String> = ends.filter_map(|it| it.reason).collect();
        asked.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, asked, "{path}");
    }
}

#[tokio::test]
async fn acts_of_many_operators_on_what_runs_below_system_are_each_done_and_each_told() {
    let nodes = Nodes::start().await;
    let path = "/system/reminders";
    let mut changes = nodes.b.actors().changes();
    changes.take_life();
    let acts = (0..12).map(async |number| {
        let (action, done) = match number % 2 {
            0 => (ActorAction::Kill, "killed"),
            _ => (ActorAction::Restart, "restarted"),
        };
        let (by, reason) = (&nodes.admin, format!("act {number}"));
        let why = format!("{done} by {}: {reason}", by.user);
        let acted = nodes.c.act_on_actor(by, path, Some("b"), action, reason);
        within(acted).await.map(|_| why)
    });
    let mut asked: Vec<String> = (join_all(acts).await.into_iter())
        .collect::<Result<_, _>>()
        .unwrap();
    let life = changes.take_life().life.into_iter();
    let turns = life.filter(|it| it.path == path).filter_map(|it| it.reason);
    let mut told: Vec<String> = turns.collect();
    asked.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, asked);
    // That many crashes would have been too many for what supervises it.
    let system = within(nodes.c.actor(&nodes.admin, "/system", Some("b"))).await;
    assert_eq!(system.unwrap().row.restarts, 0);
}

#[tokio::test]
async fn a_parked_entity_is_released_and_goes_on() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let path = format!("/tasks/{id}");
    assert_eq!(
        nodes.refusal(&path, ActorAction::Release).await,
        "not_parked"
    );
    let parked = nodes.store.park(id.into(), Some("it broke thrice"));
    parked.await.unwrap();
    assert_eq!(nodes.refusal(&path, ActorAction::Restart).await, "parked");
    nodes.act(&path, ActorAction::Release).await.unwrap();
    let row = nodes.store.stream(id.into()).await.unwrap().unwrap();
    assert_eq!(row.parked, None);
    assert_eq!(nodes.actor(&nodes.c, &path).await.row.state, "running");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_what_helps() {
    let nodes = Nodes::start().await;
    for (path, action, code, word) in [
        (
            "/agents/echo-b/proxy",
            ActorAction::Stop,
            "not_applicable",
            "its agent",
        ),
        ("/agents", ActorAction::Restart, "ambiguous", "node"),
        ("/nothing", ActorAction::Kill, "not_found", "/nothing"),
        (
            "/agents/nobody",
            ActorAction::Release,
            "not_found",
            "nobody",
        ),
        ("agents", ActorAction::Stop, "invalid", "slash"),
    ] {
        let refused = nodes.act(path, action).await.unwrap_err();
        assert_eq!(refused.code(), code, "{path} {refused}");
        assert!(refused.to_string().contains(word), "{path} {refused}");
    }
    let viewer = user("looks", Role::Viewer);
    let asked = nodes.a.act_on_actor(
        &viewer,
        "/agents/echo-b",
        None,
        ActorAction::Stop,
        String::new(),
    );
    assert_eq!(within(asked).await.unwrap_err().code(), "forbidden");
}

#[tokio::test]
async fn what_runs_below_system_is_killed_on_the_node_that_is_named_and_begins_again() {
    let nodes = Nodes::start().await;
    let path = "/system/reminders";
    let admin = &nodes.admin;
    let act = async |action| {
        let reason = "a test".to_owned();
        within(nodes.c.act_on_actor(admin, path, Some("b"), action, reason)).await
    };
    let done = act(ActorAction::Kill).await.unwrap();
    assert_eq!(done.actor.row.node, "b");
    let restarted = async {
        loop {
            let actor = nodes.c.actor(admin, path, Some("b")).await.unwrap();
            if actor.row.restarts > 0 && actor.row.state == "running" {
                return actor;
            }
            tokio::task::yield_now().await;
        }
    };
    let life = within(restarted).await.life;
    let failed = life.iter().find(|it| it.what == Life::Failed).unwrap();
    let why = format!("killed by {}: a test", admin.user);
    assert_eq!(failed.reason, Some(why));
    let other = within(nodes.c.actor(admin, path, Some("a"))).await.unwrap();
    assert_eq!(other.row.restarts, 0);
    assert_eq!(
        act(ActorAction::Pause).await.unwrap_err().code(),
        "not_applicable"
    );
}

#[tokio::test]
async fn what_may_stand_on_a_silent_node_too_is_killed_only_where_it_is_named() {
    let nodes = Nodes::start().await;
    let id = nodes.held_at(&nodes.b, "held-b").await;
    nodes.net.trouble(nodes.id(&nodes.a), Trouble::Cut);
    let path = "/system/reminders";
    let act = async |path: &str, node, action| {
        let reason = String::new();
        within(
            nodes
                .b
                .act_on_actor(&nodes.admin, path, node, action, reason),
        )
        .await
    };
    // It can be looked at: `a` has one as well, but does not say so.
    let seen = within(nodes.b.actor(&nodes.admin, path, None)).await;
    assert_eq!(seen.unwrap().row.node, "b");
    let refused = act(path, None, ActorAction::Kill).await.unwrap_err();
    assert_eq!(refused.code(), "unavailable");
    let text = refused.to_string();
    assert!(
        text.contains("a did not answer") && text.contains("`node`"),
        "{text}"
    );
    let row = within(nodes.b.actor(&nodes.admin, path, Some("b"))).await;
    assert_eq!(row.unwrap().row.restarts, 0);
    let done = act(path, Some("b"), ActorAction::Kill).await.unwrap();
    assert_eq!(done.actor.row.node, "b");
    // There is one task of an id, whoever is silent.
    let path = format!("/tasks/{id}");
    act(&path, None, ActorAction::Pause).await.unwrap();
    let status = nodes.b.task(&nodes.admin, id).await.unwrap().status;
    assert_eq!(status, TaskStatus::Paused);
}
