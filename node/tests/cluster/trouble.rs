//! Agents that are stuck, fail again and again, or cannot be read: each is named, and mended by hand.

use std::time::Instant;

use protocol::{
    api::{ActorView, Life},
    entity::EntityId,
    record::{ChainHash, Record},
};
use serde_json::json;

use super::{
    machines::Cluster,
    operators::{NAMED_WITHIN, actor, employ, rows, terminal},
    process::{Client, PATIENCE, until},
    terminal::Terminal,
};

/// Lets each append wait that changes the agent whose name stands in `hang`.
const HANG: &str = "
    CREATE TABLE hang (name text);
    CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        WHILE EXISTS (SELECT FROM hang WHERE name = NEW.name) LOOP PERFORM pg_sleep(0.02); END LOOP;
        RETURN NEW;
    END $$;
    CREATE TRIGGER hang BEFORE UPDATE ON stream FOR EACH ROW EXECUTE FUNCTION hang();
    INSERT INTO hang VALUES ('slow')";

/// How long a handler may have a message in hand.
const LIMIT_MS: u64 = 5_000;

pub(crate) async fn a_stuck_agent_is_named_and_killed(cluster: &Cluster) {
    let (_, other) = employ(cluster, &agent("slow")).await;
    let (_, client) = cluster.clients().remove(0);
    let (operator, path) = (terminal(cluster, other), "/agents/slow");
    cluster.postgres.sql(HANG).unwrap();
    let since = Instant::now();
    let asking = {
        let client = client.clone();
        tokio::spawn(async move {
            client
                .post("/api/v1/actors/agents/slow/pause", &json!({}))
                .await
        })
    };
    let row = until("it is named", NAMED_WITHIN, async || {
        let row = rows(&client, path).await.into_iter().next()?;
        (row.state == "stuck").then_some(row)
    })
    .await;
    println!(
        "   it is seen to be stuck after {:?}: {row:?}",
        since.elapsed()
    );
    assert_eq!(row.current.as_deref(), Some("Change"));
    // The age is told in whole milliseconds.
    assert!(row.current_ms.is_some_and(|age| age >= LIMIT_MS), "{row:?}");
    let seen = operator.ok(&["inspect", path]);
    assert!(seen.contains("stuck") && seen.contains("Change"), "{seen}");
    let told = until("its life tells of it", NAMED_WITHIN, async || {
        let life = actor(&client, path).await.life.into_iter();
        life.rev().find(|event| event.what == Life::Stuck)
    })
    .await;
    println!("   {:?}, told after {:?}", told.reason, since.elapsed());
    assert!(since.elapsed() < NAMED_WITHIN);
    assert!(told.reason.unwrap().starts_with("Change in hand for "));

    operator.ok(&["actor", "kill", path, "--reason", "it is stuck"]);
    let killed = actor(&client, path).await;
    assert_eq!(killed.row.state, "running", "{killed:?}");
    cluster
        .postgres
        .sql("DROP TRIGGER hang ON stream; DROP FUNCTION hang; DROP TABLE hang")
        .unwrap();
    // Whoever waited is answered, one way or the other.
    asking.await.unwrap().unwrap();
    it_works(&client, &operator, "slow").await;
}

/// A newer build wrote to it, which this one does not understand: it tries again and again.
pub(crate) async fn a_crash_loop_is_shown_and_ends_with_a_restart(cluster: &Cluster) {
    let (_, other) = employ(cluster, &agent("newer")).await;
    let (_, client) = cluster.clients().remove(0);
    let (operator, path) = (terminal(cluster, other), "/agents/newer");
    let was = rewrite(cluster, &client, "newer", |record| record.version += 1).await;
    let since = Instant::now();
    let restarted = operator.run(&["actor", "restart", path]);
    assert!(restarted.code != Some(0), "{restarted:?}");
    let row = until("it is shown as a loop", NAMED_WITHIN, async || {
        let row = rows(&client, path).await.into_iter().next()?;
        (row.state == "crash_loop").then_some(row)
    })
    .await;
    println!("   it is seen to loop after {:?}: {row:?}", since.elapsed());
    let shown: ActorView = serde_json::from_value(operator.json(&["inspect", path])).unwrap();
    assert_eq!(shown.failures.len(), 3, "{shown:?}");
    for failure in &shown.failures {
        assert!(failure.error.contains("newer build"), "{failure:?}");
    }
    let drawn = operator.ok(&["inspect", path]);
    assert!(drawn.contains("FAILED AT"), "{drawn}");
    let wide = operator.ok(&["inspect", path, "-o", "wide"]);
    assert!(wide.matches("upgrade this node").count() >= 3, "{wide}");

    put_back(cluster, &was);
    operator.ok(&["actor", "restart", path]);
    assert_eq!(actor(&client, path).await.row.state, "running");
    it_works(&client, &operator, "newer").await;
}

/// Nobody can read it: it is taken out of service, and comes back when it is mended and released.
pub(crate) async fn a_damaged_agent_is_parked_and_released(cluster: &Cluster) {
    let (_, other) = employ(cluster, &agent("torn")).await;
    let (_, client) = cluster.clients().remove(0);
    let (operator, path) = (terminal(cluster, other), "/agents/torn");
    let was = rewrite(cluster, &client, "torn", |_| ()).await;
    let killed = operator.run(&["actor", "kill", path]);
    assert!(killed.code != Some(0), "{killed:?}");
    let parked = until("it is parked", NAMED_WITHIN, async || {
        let row = rows(&client, path).await.into_iter().next()?;
        (row.state == "parked").then_some(row)
    })
    .await;
    assert!(parked.last_error.is_some(), "{parked:?}");
    let shown: ActorView = serde_json::from_value(operator.json(&["inspect", path])).unwrap();
    assert_eq!(shown.failures.len(), 3, "{shown:?}");
    let refused = until("the store knows it", NAMED_WITHIN, async || {
        let refused = operator.run(&["actor", "restart", path]);
        refused.err.contains("release it").then_some(refused)
    })
    .await;
    assert_eq!(refused.code, Some(6), "{refused:?}");

    put_back(cluster, &was);
    operator.ok(&["actor", "release", path, "--reason", "it is mended"]);
    assert_eq!(actor(&client, path).await.row.state, "running");
    it_works(&client, &operator, "torn").await;
}

fn agent(name: &str) -> serde_json::Value {
    json!({ "name": name, "agent_type": "echo", "capabilities": ["work"] })
}

/// It takes what it is told, and does what it is for.
async fn it_works(client: &Client, operator: &Terminal<'_>, name: &str) {
    let path = format!("/agents/{name}");
    until("it takes what it is told", PATIENCE, async || {
        let paused = operator.run(&["actor", "pause", &path]);
        (paused.code == Some(0)).then_some(())
    })
    .await;
    assert_eq!(operator.json(&["agent", "get", name])["status"], "paused");
    operator.ok(&["actor", "resume", &path]);
    let task = super::operators::task(client, name, &json!({ "say": "hello" })).await;
    let task = client.settled(&task).await;
    assert_eq!(task.status.as_str(), "completed", "{task:?}");
}

/// Puts something else in the place of an agent's last record that hashes as it should; answers what
/// stood there.
async fn rewrite(
    cluster: &Cluster,
    client: &Client,
    agent: &str,
    change: impl FnOnce(&mut Record),
) -> Record {
    let answer = client
        .get(&format!("/api/v1/agents/{agent}"))
        .await
        .unwrap();
    let id: EntityId = answer.body["id"].as_str().unwrap().parse().unwrap();
    let mut records = cluster.records(id).await;
    let was = records.pop().unwrap();
    let before = records
        .last()
        .map_or(ChainHash::default(), |record| record.hash);
    let mut other = was.clone();
    r#"[{"type":"of_another_world"}]"#.clone_into(&mut other.data);
    change(&mut other);
    other.hash = other.chain(before);
    put_back(cluster, &other);
    was
}

fn put_back(cluster: &Cluster, record: &Record) {
    let hash: String = record
        .hash
        .0
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let Record {
        stream,
        seq,
        version,
        data,
        ..
    } = record;
    let key = stream.key().simple();
    let changed = cluster.postgres.sql(&format!(
        "SET session_replication_role = replica;
         UPDATE event SET version = {version}, data = $json${data}$json$, hash = '\\x{hash}'
         WHERE substr(stream, 2) = '\\x{key}' AND seq = {seq} RETURNING 1"
    ));
    assert_eq!(changed.unwrap().trim(), "1");
}
