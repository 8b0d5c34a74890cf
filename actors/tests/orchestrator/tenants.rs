//! What callers of a second tenant see of the tree, and what they may do to it.

use actors::Orchestrator;
use actors::orchestrator::LifeFrame;
use futures_util::StreamExt;
use protocol::{
    access::{Caller, Role},
    api::{ActorAction, DiffQuery, LifeEvent, LifeQuery, TreeDelta, TreeNode, TreeQuery},
    id::TaskId,
    time::Timestamp,
};
use runtime::clock::Clock;
use serde_json::json;

use crate::nodes::{Nodes, step_for, within};

fn of(tenant: &str, user: &str) -> Caller {
    Caller {
        tenant: tenant.to_owned(),
        user: user.to_owned(),
        role: Role::Admin,
    }
}

/// What two tenants run, each with an agent of the same name that is paused and a task that waits for it.
struct Two {
    nodes: Nodes,
    acme: Caller,
    of_acme: TaskId,
    of_default: TaskId,
    since: Timestamp,
}

impl Two {
    async fn start() -> Self {
        let since = Clock::system().now();
        let nodes = Nodes::start().await;
        let acme = of("acme", "ann");
        let mut tasks = Vec::new();
        for caller in [&nodes.admin, &acme] {
            let spec = json!({ "name": "reviewer", "agent_type": "echo" });
            let spec = serde_json::from_value(spec).unwrap();
            nodes.a.register_agent(caller, spec).await.unwrap();
            nodes.a.pause_agent(caller, "reviewer").await.unwrap();
            let made = nodes
                .a
                .submit(caller, step_for("reviewer"), None, None)
                .await;
            tasks.push(made.unwrap().task.id);
        }
        Self {
            nodes,
            acme,
            of_acme: tasks[1],
            of_default: tasks[0],
            since,
        }
    }

    /// Nodes of every sort: whichever is asked, the answer is the same.
    fn all(&self) -> [&Orchestrator; 2] {
        [&self.nodes.b, &self.nodes.c]
    }

    fn is_strange(&self, text: &str) -> bool {
        let default = self.of_default.to_string();
        [
            "/agents/reviewer",
            "/agents/echo",
            "/agents/held",
            default.as_str(),
        ]
        .iter()
        .any(|strange| text.contains(strange))
    }

    /// Its own tasks and agents are there, the machinery is, and nothing else.
    fn is_right(&self, rows: &[TreeNode]) {
        let own = format!("/tasks/acme~{}", self.of_acme);
        for path in [
            "/system",
            "/tasks",
            "/agents",
            "/agents/acme~reviewer",
            own.as_str(),
        ] {
            assert!(rows.iter().any(|row| row.path == path), "{path} {rows:?}");
        }
        let text = format!("{rows:?}");
        assert!(!self.is_strange(&text), "{text}");
    }

    /// When what happened until now can be read.
    async fn written(&self) -> Timestamp {
        let now = Clock::system().now();
        let ids = [&self.nodes.a, &self.nodes.b].map(|node| self.nodes.id(node));
        within(async {
            loop {
                let mut is_written = true;
                for id in ids {
                    let chapter = self.nodes.store.last_chapter(id).await.unwrap();
                    is_written &= chapter.is_some_and(|it| it.until > now);
                }
                if is_written {
                    return Clock::system().now();
                }
                // What is quiet is not written.
                let _noise = [&self.nodes.a, &self.nodes.b]
                    .map(|node| node.actors().enter("/system/noise", "noise"));
                tokio::time::advance(std::time::Duration::from_millis(500)).await;
            }
        })
        .await
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_tenant_sees_its_own_and_what_belongs_to_nobody() {
    let two = Two::start().await;
    let broken = two.nodes.a.actors().enter("/system/broken", "system");
    broken.failed("the row of /tasks/other");
    // What began before a node's first entry is not told as a turn.
    let kept = two.written().await;
    let late = ["/agents/acme~late", "/agents/echo-late"];
    let _late = late.map(|path| two.nodes.a.actors().enter(path, "agent"));
    let at = two.written().await;
    for node in two.all() {
        let now = within(node.tree(&two.acme, &TreeQuery::default()))
            .await
            .unwrap();
        two.is_right(&now.nodes);
        assert_eq!(now.total, now.nodes.len() as u64);
        let row = now.nodes.iter().find(|row| row.path == "/system/broken");
        assert_eq!(row.unwrap().last_error, None);
        let tasks = now
            .nodes
            .iter()
            .find(|row| (row.node.as_str(), row.path.as_str()) == ("a", "/tasks"));
        assert_eq!(tasks.unwrap().children, 1);

        let query = TreeQuery {
            at: Some(at),
            ..TreeQuery::default()
        };
        let past = within(node.tree(&two.acme, &query)).await.unwrap();
        two.is_right(&past.nodes);

        let query = DiffQuery {
            from: Some(kept),
            to: Some(at),
            ..DiffQuery::default()
        };
        let diff = within(node.tree_diff(&two.acme, &query)).await.unwrap();
        let text = format!("{diff:?}");
        assert!(
            text.contains("/agents/acme~late") && !two.is_strange(&text),
            "{text}"
        );

        let query = LifeQuery {
            from: Some(two.since),
            ..LifeQuery::default()
        };
        let life = within(node.life(&two.acme, &query)).await.unwrap().items;
        let text = format!("{life:?}");
        assert!(
            text.contains("/agents/acme~late") && !two.is_strange(&text),
            "{text}"
        );
        assert!(!text.contains("/tasks/other"), "{text}");

        // Its own tenant may be left out.
        for path in ["/agents/reviewer", "/agents/acme~reviewer"] {
            let own = within(node.actor(&two.acme, path, None)).await.unwrap();
            assert_eq!(own.row.path, "/agents/acme~reviewer");
            assert!(own.entity.is_some());
        }
        let tasks = within(node.actor(&two.acme, "/tasks", Some("a")))
            .await
            .unwrap();
        assert_eq!(tasks.child_paths, [format!("/tasks/acme~{}", two.of_acme)]);
        let evil = of("evil", "eve");
        for (caller, path) in [
            (&two.acme, "/agents/echo-a".to_owned()),
            (&two.acme, format!("/tasks/{}", two.of_default)),
            (&evil, format!("/tasks/acme~{}", two.of_acme)),
            (&evil, "/agents/acme~reviewer".to_owned()),
        ] {
            let refused = within(node.actor(caller, &path, None)).await;
            assert_eq!(refused.unwrap_err().code(), "not_found", "{path}");
        }
    }
    // Who runs the cluster sees all of it, and the two agents of one name apart.
    let whole = within(two.nodes.c.tree(&two.nodes.admin, &TreeQuery::default()))
        .await
        .unwrap();
    for path in [
        "/agents/reviewer",
        "/agents/acme~reviewer",
        "/agents/reviewer/proxy",
        "/agents/acme~reviewer/proxy",
    ] {
        assert!(whole.nodes.iter().any(|row| row.path == path), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn streams_tell_a_second_tenant_no_more_than_pages() {
    let two = Two::start().await;
    for node in two.all() {
        let mut rows = within(node.follow_tree(&two.acme, None, None))
            .await
            .unwrap();
        let mut seen: Vec<TreeDelta> = Vec::new();
        while seen.len() < 3 {
            seen.push(within(rows.next()).await.unwrap().what);
        }
        let all: Vec<TreeNode> = seen.into_iter().flat_map(|delta| delta.rows).collect();
        two.is_right(&all);

        let query = LifeQuery::default();
        let mut turns = within(node.follow_life(&two.acme, &query, None))
            .await
            .unwrap();
        let told = async {
            let mut told: Vec<LifeEvent> = Vec::new();
            loop {
                // Those that listened from here on hear of it, and of the other one not.
                let tree = two.nodes.a.actors();
                let _begun = ["/tasks/strange", "/tasks/acme~own"].map(|it| tree.enter(it, "task"));
                let step = tokio::time::timeout(std::time::Duration::from_secs(2), turns.next());
                if let Ok(Some(turn)) = step.await
                    && let LifeFrame::Turn(turn) = turn.what
                {
                    told.push(turn);
                }
                if told.iter().any(|turn| turn.path == "/tasks/acme~own") {
                    return told;
                }
            }
        };
        let told = within(told).await;
        assert!(
            told.iter().all(|turn| turn.path != "/tasks/strange"),
            "{told:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_tenants_operators_act_on_their_own_and_on_no_machinery() {
    let two = Two::start().await;
    let act = async |caller: &Caller, path: &str, action| {
        let why = String::new();
        within(
            two.nodes
                .c
                .act_on_actor(caller, path, Some("a"), action, why),
        )
        .await
    };
    for (path, action, code) in [
        ("/agents/echo-a".to_owned(), ActorAction::Stop, "not_found"),
        (
            format!("/tasks/{}", two.of_default),
            ActorAction::Stop,
            "not_found",
        ),
        (
            format!("/tasks/{}", two.of_default),
            ActorAction::Kill,
            "not_found",
        ),
        (
            "/system/reminders".to_owned(),
            ActorAction::Kill,
            "forbidden",
        ),
        ("/tasks".to_owned(), ActorAction::Restart, "forbidden"),
    ] {
        let refused = act(&two.acme, &path, action).await.unwrap_err();
        assert_eq!(refused.code(), code, "{path} {refused}");
    }
    let of_acme = format!("/tasks/acme~{}", two.of_acme);
    let refused = act(&two.nodes.admin, &of_acme, ActorAction::Stop).await;
    assert_eq!(refused.unwrap_err().code(), "forbidden");
    let own = format!("/tasks/{}", two.of_acme);
    for path in [own.as_str(), "/agents/reviewer"] {
        act(&two.acme, path, ActorAction::Restart).await.unwrap();
    }
    act(&two.acme, &own, ActorAction::Stop).await.unwrap();
}
