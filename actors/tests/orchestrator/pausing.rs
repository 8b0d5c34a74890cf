//! Tasks that are paused with their parts, whichever nodes own these.

use std::time::Duration;

use actors::Orchestrator;
use futures_util::{StreamExt, future::join_all};
use protocol::{
    access::Caller,
    agent::StopMode,
    api::{ActorAction, TaskChange, TaskPatch},
    id::TaskId,
    task::TaskStatus::{self, Executing, Paused},
};
use serde_json::{Value, json};

use crate::{
    net::Trouble,
    nodes::{Nodes, spec, within},
};

impl Nodes {
    async fn part(&self, at: &Orchestrator, of: TaskId, agent: &str) -> TaskId {
        let part = spec(json!({
            "description": "a part", "parent_id": of, "steps": [{ "id": "s", "agent": agent }],
        }));
        let submitted = at.submit(&self.admin, part, None, None).await;
        submitted.unwrap().task.id
    }

    async fn paused(&self, id: TaskId) -> TaskChange {
        let reason = "a test".to_owned();
        let paused = self
            .c
            .pause_task(&self.admin, id, reason, StopMode::Graceful);
        within(paused).await.unwrap()
    }

    async fn resumed(&self, id: TaskId) -> TaskChange {
        within(self.c.resume_task(&self.admin, id)).await.unwrap()
    }

    async fn stand<const N: usize>(&self, ids: [TaskId; N]) -> [TaskStatus; N] {
        let mut all = [TaskStatus::Pending; N];
        for (status, id) in all.iter_mut().zip(ids) {
            *status = self.c.task(&self.admin, id).await.unwrap().status;
        }
        all
    }

    /// As every node shows it.
    async fn shown(&self, path: &str) -> [String; 3] {
        let mut states = Vec::new();
        for node in [&self.a, &self.b, &self.c] {
            let actor = within(node.actor(&self.admin, path, None)).await;
            states.push(actor.unwrap().row.state);
        }
        states.try_into().unwrap()
    }
}

#[tokio::test]
async fn every_node_shows_which_tasks_and_agents_are_paused() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let path = format!("/tasks/{id}");
    assert_eq!(nodes.shown(&path).await, ["running"; 3]);
    nodes.paused(id).await;
    assert_eq!(nodes.shown(&path).await, ["paused"; 3]);
    nodes.resumed(id).await;
    assert_eq!(nodes.shown(&path).await, ["running"; 3]);
    assert_eq!(nodes.shown("/agents/held-b").await, ["paused"; 3]);
    assert_eq!(nodes.shown("/agents/echo-b").await, ["running"; 3]);
}

#[tokio::test]
async fn a_pause_reaches_parts_on_other_nodes_and_a_resume_just_those_that_it_paused() {
    let nodes = Nodes::start().await;
    let root = nodes.held().await;
    let part = nodes.part(&nodes.b, root, "held-b").await;
    let below = nodes.part(&nodes.a, part, "held-a").await;
    let own = nodes.part(&nodes.b, root, "held-b").await;
    let of_own = nodes.part(&nodes.a, own, "held-a").await;
    nodes.paused(own).await;
    let change = nodes.paused(root).await;
    assert_eq!(change.task.status, Paused);
    assert_eq!(change.reach.tasks, 5);
    assert_eq!(change.reach.unconfirmed, []);
    let late = nodes.part(&nodes.b, below, "held-b").await;
    let all = [root, part, below, own, of_own, late];
    assert_eq!(nodes.stand(all).await, [Paused; 6]);
    assert_eq!(nodes.paused(root).await.reach.tasks, 0, "it was before");
    let change = nodes.resumed(root).await;
    assert_eq!(change.reach.tasks, 6, "also those that rest on");
    let stand = nodes.stand(all).await;
    assert_eq!(
        stand,
        [Executing, Executing, Executing, Paused, Paused, Executing]
    );
    nodes.resumed(own).await;
    assert_eq!(nodes.stand(all).await, [Executing; 6]);
}

#[tokio::test]
async fn a_pause_reaches_what_is_part_of_a_part_that_is_over() {
    let nodes = Nodes::start().await;
    let root = nodes.held().await;
    nodes.b.pause_agent(&nodes.admin, "echo-b").await.unwrap();
    let part = nodes.part(&nodes.b, root, "echo-b").await;
    let below = nodes.part(&nodes.a, part, "held-a").await;
    nodes.b.resume_agent(&nodes.admin, "echo-b").await.unwrap();
    let wait = Duration::from_secs(20);
    let over = within(nodes.c.await_task(&nodes.admin, part, wait)).await;
    assert_eq!(over.unwrap().status, TaskStatus::Completed);
    assert_eq!(nodes.paused(root).await.reach.tasks, 2);
    assert_eq!(nodes.stand([below]).await, [Paused]);
    nodes.resumed(root).await;
    assert_eq!(nodes.stand([below]).await, [Executing]);
}

#[tokio::test(start_paused = true)]
async fn a_part_whose_owner_is_silent_is_named_and_stands_as_it_must_where_it_goes() {
    let nodes = Nodes::start().await;
    let root = nodes.held_at(&nodes.b, "held-b").await;
    let part = nodes.part(&nodes.a, root, "held-a").await;
    let other = nodes.part(&nodes.a, root, "held-a").await;
    nodes.net.trouble(nodes.id(&nodes.a), Trouble::Cut);
    let change = nodes.paused(root).await;
    let named = |change: &TaskChange, id: TaskId| {
        let mut open = change.reach.unconfirmed.iter();
        open.any(|open| open.what.contains(&id.to_string()))
    };
    assert!(named(&change, part) && named(&change, other), "{change:?}");
    assert_eq!(change.task.status, Paused);
    // Its next owner was told nothing either, and looks.
    let b = nodes.id(&nodes.b);
    nodes.owners.give(part, Some(b));
    let touched = nodes.b.amend_task(&nodes.admin, part, TaskPatch::default());
    assert_eq!(within(touched).await.unwrap().status, Paused);
    // And so it does when it is not told that it goes on.
    nodes.net.heal(nodes.id(&nodes.a));
    nodes.paused(root).await;
    assert_eq!(nodes.stand([part, other]).await, [Paused; 2]);
    nodes.net.trouble(nodes.id(&nodes.a), Trouble::Cut);
    let change = nodes.resumed(root).await;
    assert!(!named(&change, part) && named(&change, other), "{change:?}");
    nodes.owners.give(other, Some(b));
    let touched = nodes
        .b
        .amend_task(&nodes.admin, other, TaskPatch::default());
    assert_eq!(within(touched).await.unwrap().status, Executing);
}

impl Nodes {
    /// Who paused and resumed a task that is over, and why, in order.
    async fn turns(&self, id: TaskId) -> Vec<(String, String, String)> {
        let told = self.c.task_events(&self.admin, id, 0).await.unwrap();
        let events: Vec<_> = within(told.collect()).await;
        let events = events.into_iter().map(|event| event.unwrap().event);
        let text =
            |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let turns = events.filter(|event| ["paused", "resumed"].contains(&&*text(event, "type")));
        let turns = turns.map(|it| (text(&it, "type"), text(&it, "user"), text(&it, "reason")));
        turns.collect()
    }
}

#[tokio::test]
async fn operators_who_turn_one_branch_at_one_moment_turn_all_of_it_one_after_the_other() {
    let nodes = Nodes::start().await;
    let root = nodes.held().await;
    let parts = [
        nodes.part(&nodes.b, root, "held-b").await,
        nodes.part(&nodes.a, root, "held-a").await,
    ];
    let path = format!("/tasks/{root}");
    let acts = (0..12).map(async |number| {
        let node = [&nodes.a, &nodes.b, &nodes.c][number % 3];
        let operator = Caller {
            user: format!("operator-{number}"),
            ..nodes.admin.clone()
        };
        let action = match number % 2 {
            0 => ActorAction::Pause,
            _ => ActorAction::Resume,
        };
        let reason = format!("act {number}");
        let acted = node.act_on_actor(&operator, &path, None, action, reason);
        within(acted).await.unwrap();
    });
    join_all(acts).await;
    let (stop, over) = (ActorAction::Stop, "it is enough".to_owned());
    let stopped = nodes.c.act_on_actor(&nodes.admin, &path, None, stop, over);
    within(stopped).await.unwrap();
    let turns = nodes.turns(root).await;
    assert!(turns.len() > 1, "{turns:?}");
    for part in parts {
        assert_eq!(nodes.turns(part).await, turns);
    }
}
