//! Stops across nodes: what is not certain is named.

use std::time::Duration;

use protocol::{
    access::Role,
    api::Reach,
    hold::Target,
    id::TaskId,
    task::{TaskSpec, TaskStatus},
};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    net::Trouble,
    nodes::{Nodes, spec, step_for, user},
};

/// The longest that a stop may take: its time, and what an answer may take.
const LONGEST: Duration = Duration::from_secs(12);

fn part(parent: TaskId, agent: &str) -> TaskSpec {
    spec(json!({
        "description": "part", "parent_id": parent, "steps": [{ "id": "s", "agent": agent }],
    }))
}

impl Nodes {
    /// A task that waits, owned by the node that is asked.
    async fn waits(&self, at: &actors::Orchestrator, spec: TaskSpec) -> TaskId {
        let made = at.submit(&self.admin, spec, None, None).await;
        made.unwrap().task.id
    }

    async fn status(&self, id: TaskId) -> TaskStatus {
        self.b.task(&self.admin, id).await.unwrap().status
    }

    async fn stops(&self, at: &actors::Orchestrator, scope: &str) -> Reach {
        let scope: Target = scope.parse().unwrap();
        let begun = Instant::now();
        let stopped = at.stop_scope(&self.admin, scope, "enough".to_owned()).await;
        assert!(begun.elapsed() <= LONGEST, "{:?}", begun.elapsed());
        stopped.unwrap().reach
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_of_a_scope_names_each_task_whose_owner_does_not_answer() {
    for trouble in [Trouble::Cut, Trouble::Frozen] {
        let nodes = Nodes::start().await;
        let mine = nodes.waits(&nodes.a, step_for("held-a")).await;
        let mut others = Vec::new();
        for _ in 0..70 {
            others.push(nodes.waits(&nodes.b, step_for("held-b")).await);
        }
        let late = nodes.waits(&nodes.a, step_for("held-a")).await;
        let b = nodes.id(&nodes.b);
        nodes.net.trouble(b, trouble);
        for (at, newly) in [(&nodes.a, 2), (&nodes.c, 0)] {
            let reach = nodes.stops(at, "user:admin").await;
            assert_eq!(reach.tasks, newly, "{trouble:?}: each is counted once");
            assert_eq!(reach.unconfirmed.len(), others.len(), "{trouble:?}");
            for id in &others {
                let id = id.to_string();
                let mut named = reach.unconfirmed.iter();
                let open = named.find(|open| open.what.contains(&id)).unwrap();
                assert!(open.what.len() > id.len() + "task : ".len(), "{open:?}");
            }
        }
        for id in [mine, late] {
            assert_eq!(nodes.status(id).await, TaskStatus::Cancelled);
        }
        nodes.net.heal(b);
        let reach = nodes.stops(&nodes.c, "cluster").await;
        assert_eq!((reach.tasks, &reach.unconfirmed[..]), (70, &[][..]));
        for id in others {
            assert_eq!(nodes.status(id).await, TaskStatus::Cancelled);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_comes_in_while_its_scope_is_stopped_ends_too_or_is_named() {
    let nodes = Nodes::start().await;
    let first = nodes.waits(&nodes.b, step_for("held-b")).await;
    nodes.net.trouble(nodes.id(&nodes.b), Trouble::Frozen);
    let asked = nodes.net.asked();
    let submitting = async {
        // The one that does not answer was told to end.
        while nodes.net.asked() == asked {
            tokio::task::yield_now().await;
        }
        nodes.waits(&nodes.a, step_for("held-a")).await
    };
    let (reach, second) = tokio::join!(nodes.stops(&nodes.a, "user:admin"), submitting);
    assert_eq!(reach.unconfirmed.len(), 2, "{reach:?}");
    for id in [first, second] {
        let id = id.to_string();
        let mut named = reach.unconfirmed.iter();
        assert!(named.any(|open| open.what.contains(&id)), "{reach:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_walks_on_below_a_part_whose_owner_does_not_answer() {
    let nodes = Nodes::start().await;
    let root = nodes.waits(&nodes.a, step_for("held-a")).await;
    let middle = nodes.waits(&nodes.b, part(root, "held-b")).await;
    let leaf = nodes.waits(&nodes.a, part(middle, "held-a")).await;
    nodes.net.trouble(nodes.id(&nodes.b), Trouble::Cut);
    let begun = Instant::now();
    let ended = nodes.a.end_task(&nodes.admin, root, String::new(), None);
    let reach = ended.await.unwrap().reach;
    assert!(begun.elapsed() <= LONGEST, "{:?}", begun.elapsed());
    assert_eq!(reach.tasks, 2);
    assert_eq!(reach.unconfirmed.len(), 1, "{reach:?}");
    assert!(reach.unconfirmed[0].what.contains(&middle.to_string()));
    assert_eq!(nodes.status(leaf).await, TaskStatus::Cancelled);
}

#[tokio::test]
async fn who_may_stop_a_task_may_stop_parts_that_others_made_of_it() {
    let nodes = Nodes::start().await;
    let ada = user("ada", Role::Developer);
    let root = nodes.a.submit(&ada, step_for("held-a"), None, None).await;
    let root = root.unwrap().task.id;
    let part = nodes.waits(&nodes.b, part(root, "held-b")).await;
    let ended = nodes.c.end_task(&ada, root, String::new(), None).await;
    let reach = ended.unwrap().reach;
    assert_eq!((reach.tasks, &reach.unconfirmed[..]), (2, &[][..]));
    assert_eq!(nodes.status(part).await, TaskStatus::Cancelled);
}

#[tokio::test]
async fn a_stop_of_the_cluster_reaches_every_tenant_and_is_the_default_ones_to_ask_for() {
    let nodes = Nodes::start().await;
    let mut acme = user("root", Role::Admin);
    acme.tenant = "acme".to_owned();
    let agent = json!({ "name": "echo", "agent_type": "echo", "capabilities": ["work"] });
    let agent = serde_json::from_value(agent).unwrap();
    nodes.b.register_agent(&acme, agent).await.unwrap();
    nodes.b.pause_agent(&acme, "echo").await.unwrap();
    let theirs = nodes.b.submit(&acme, step_for("echo"), None, None).await;
    let theirs = theirs.unwrap().task.id;
    let ours = nodes.held().await;
    for scope in ["cluster", "node:a"] {
        let scope: Target = scope.parse().unwrap();
        let refused = nodes.a.stop_scope(&acme, scope, String::new()).await;
        assert_eq!(refused.unwrap_err().code(), "forbidden");
    }
    let reach = nodes.stops(&nodes.c, "cluster").await;
    assert_eq!((reach.tasks, &reach.unconfirmed[..]), (2, &[][..]));
    let theirs = nodes.b.task(&acme, theirs).await.unwrap();
    assert_eq!(theirs.status, TaskStatus::Cancelled);
    assert_eq!(nodes.status(ours).await, TaskStatus::Cancelled);
}

#[tokio::test]
async fn a_name_that_nothing_has_is_refused_wherever_it_is_turned() {
    let nodes = Nodes::start().await;
    let admin = &nodes.admin;
    for at in [&nodes.a, &nodes.c] {
        for text in ["node:tpyo", "agent:tpyo"] {
            let scope = || text.parse::<Target>().unwrap();
            let reason = String::new;
            let paused = at.pause_scope(admin, scope(), reason(), Default::default());
            let answers = [
                paused.await.unwrap_err(),
                at.stop_scope(admin, scope(), reason()).await.unwrap_err(),
                at.resume_scope(admin, scope()).await.unwrap_err(),
            ];
            for answer in answers {
                assert_eq!(answer.code(), "not_found", "{text}");
                assert!(answer.to_string().contains("tpyo"), "{answer}");
            }
        }
    }
    assert_eq!(nodes.a.holds(admin).await.unwrap().items, []);
}
