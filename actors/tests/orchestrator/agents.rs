//! Agents, asked for on another node than theirs.

use protocol::{
    access::Role,
    agent::{AgentStatus, StopMode},
    api::{AgentQuery, AgentUpdate, Consistency},
};
use serde_json::json;

use crate::nodes::{Nodes, user};

#[tokio::test]
async fn agents_of_all_nodes_stand_in_one_list_page_by_page() {
    let nodes = Nodes::start().await;
    for node in [&nodes.a, &nodes.b, &nodes.c] {
        let mut query = AgentQuery {
            limit: Some(3),
            ..AgentQuery::default()
        };
        let first = node.agents(&nodes.admin, &query).await.unwrap();
        assert_eq!(first.total, Some(4));
        query.cursor = first.next_cursor;
        let second = node.agents(&nodes.admin, &query).await.unwrap();
        assert_eq!((second.items.len(), second.next_cursor), (1, None));
        let listed: Vec<_> = first.items.into_iter().chain(second.items).collect();
        let names: Vec<_> = listed.iter().map(|agent| &*agent.name).collect();
        assert_eq!(names, ["echo-a", "echo-b", "held-a", "held-b"]);
        let hosts: Vec<_> = listed.iter().map(|agent| &*agent.node).collect();
        assert_eq!(hosts, ["a", "b", "a", "b"]);
        let stats = node
            .agent_stats(&nodes.admin, Consistency::Eventual)
            .await
            .unwrap();
        assert_eq!((stats.total, stats.by_status["paused"]), (4, 2));
    }
}

#[tokio::test]
async fn every_node_finds_an_agent_by_name_and_by_id_and_changes_it() {
    let nodes = Nodes::start().await;
    let admin = &nodes.admin;
    let id = nodes.a.agent(admin, "echo-a").await.unwrap().id.to_string();
    for node in [&nodes.b, &nodes.c] {
        for agent in ["echo-a", &id] {
            assert_eq!(node.agent(admin, agent).await.unwrap().node, "a");
            let paused = node.pause_agent(admin, agent).await.unwrap();
            assert_eq!(paused.status, AgentStatus::Paused);
            let resumed = node.resume_agent(admin, agent).await.unwrap();
            assert_eq!(resumed.status, AgentStatus::Active);
            node.stop_agent(admin, agent, StopMode::Graceful)
                .await
                .unwrap();
            let (_, changed) = node.start_agent(admin, agent).await.unwrap();
            assert!(changed);
            let update = AgentUpdate {
                description: Some("new words".to_owned()),
                ..AgentUpdate::default()
            };
            let updated = node.update_agent(admin, agent, update).await.unwrap();
            assert_eq!(updated.description, "new words");
            node.check_agent(admin, agent).await.unwrap();
            node.agent_config(admin, agent).await.unwrap();
            let events = node.agent_events(admin, agent, 0, 2).await.unwrap();
            assert_eq!(events[0].event["type"], "registered");
        }
    }
}

#[tokio::test]
async fn an_agent_that_a_node_without_a_store_registers_and_removes_is_everybodys() {
    let nodes = Nodes::start().await;
    nodes.agent(&nodes.c, "new").await;
    let agent = nodes.b.agent(&nodes.admin, "new").await.unwrap();
    assert_eq!(agent.node, "a");
    nodes.c.delete_agent(&nodes.admin, "new").await.unwrap();
    for node in [&nodes.a, &nodes.b, &nodes.c] {
        let gone = node.agent(&nodes.admin, "new").await.unwrap_err();
        assert_eq!(gone.code(), "not_found");
        let id = agent.id.to_string();
        let events = node.agent_events(&nodes.admin, &id, 0, 10).await.unwrap();
        assert_eq!(events.last().unwrap().event["type"], "deleted");
    }
}

#[tokio::test]
async fn a_name_is_taken_on_all_nodes() {
    let nodes = Nodes::start().await;
    let spec = json!({ "name": "echo-a", "agent_type": "echo" });
    let spec = serde_json::from_value(spec).unwrap();
    let taken = nodes.b.register_agent(&nodes.admin, spec).await;
    assert_eq!(taken.unwrap_err().code(), "name_taken");
}

#[tokio::test]
async fn who_may_only_look_sees_no_secret_of_an_agent() {
    let nodes = Nodes::start().await;
    let (admin, viewer) = (&nodes.admin, user("looks", Role::Viewer));
    let config = json!({ "argv": ["true"], "env": { "DB_PASSWORD": "hunter2" } });
    let agent = json!({ "name": "teller", "agent_type": "command", "config": config });
    let agent = serde_json::from_value(agent).unwrap();
    nodes.b.register_agent(admin, agent).await.unwrap();
    let own = nodes.b.agent(admin, "teller").await.unwrap();
    assert_eq!(own.config["env"], config["env"]);
    for node in [&nodes.a, &nodes.b, &nodes.c] {
        let query = AgentQuery::default();
        let seen = [
            json!(node.agent(&viewer, "teller").await.unwrap()),
            json!(node.agents(&viewer, &query).await.unwrap()),
            json!(node.agent_config(&viewer, "teller").await.unwrap()),
            json!(node.agent_events(&viewer, "teller", 0, 100).await.unwrap()),
        ];
        for seen in seen {
            let seen = seen.to_string();
            assert!(seen.contains("DB_PASSWORD"), "{seen}");
            assert!(!seen.contains("hunter2"), "{seen}");
        }
    }
}
