//! The views for people with a SQL shell.

use std::sync::Arc;

use sqlx::Row;
use tempfile::TempDir;

use super::open;
use crate::store::{
    Shared,
    conformance::{agent, all, append, named, task},
};

#[tokio::test]
async fn people_can_read_it_with_a_sql_shell() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(open(&folder).await.unwrap());
    let shared: Shared = store.clone();
    let mut bob = named(agent(1), "bob");
    bob.summary.status = "active".into();
    bob.summary.body = r#"{"description":"helps","agent_type":"echo","capabilities":["a"],
        "config":{"x":1},"metadata":{}}"#
        .into();
    let mut failed = append(task(1), 1);
    failed.summary.status = "failed".into();
    failed.summary.body = r#"{"description":"tidy","error":{"code":"x","message":"broke"},
        "completed_at":"2026-01-01T00:00:00Z"}"#
        .into();
    failed.record.data = r#"[{"type":"submitted","spec":{"description":"tidy up"}},{"type":"planned","plan":{"steps":[]}},
        {"type":"settled","result":{"half":1}}]"#
        .into();
    failed.record.count = 3;
    let mut hidden = append(task(2), 1);
    hidden.summary.hidden = true;
    all(&shared, &[bob, failed, hidden]).await.unwrap();
    let read = |sql: &'static str| {
        let store = Arc::clone(&store);
        async move {
            let row = sqlx::query(sql).fetch_all(&store.readers).await.unwrap();
            assert_eq!(row.len(), 1, "{sql}");
            let cell = |index| {
                row[0]
                    .try_get_unchecked::<Option<String>, _>(index)
                    .unwrap()
            };
            let cells: Vec<_> = (0..row[0].len()).map(cell).collect();
            cells
                .into_iter()
                .map(Option::unwrap_or_default)
                .collect::<Vec<_>>()
        }
    };
    let hex = "00000000000000000000000000000001";
    assert_eq!(
        read("SELECT * FROM agents").await,
        [
            &format!("agent_{hex}"),
            "bob",
            "helps",
            "echo",
            "",
            "[\"a\"]",
            "active",
            "{\"x\":1}",
            "{}",
            "1970-01-01T00:00:00.001Z",
            "1970-01-01T00:00:00.001Z"
        ]
    );
    assert_eq!(
        read("SELECT * FROM tasks").await,
        [
            &format!("task_{hex}"),
            "",
            "ann",
            "tidy up",
            "failed",
            "{\"steps\":[]}",
            "{\"half\":1}",
            "broke",
            "1970-01-01T00:00:00.001Z",
            "2026-01-01T00:00:00Z"
        ]
    );
    let last = read("SELECT max(seq), type FROM event_each WHERE type IS NOT NULL").await;
    assert_eq!(last, ["3", "settled"]);
    let stream = read("SELECT stream FROM event_text WHERE stream LIKE 'agent%'").await;
    assert_eq!(stream, [format!("agent_{hex}")]);
}

/// Names and columns of source 003's tables.
const TABLES: [(&str, &str); 5] = [
    (
        "agents",
        "id name description agent_type endpoint capabilities status config metadata created_at \
         updated_at",
    ),
    (
        "tasks",
        "id session_id user_id description status plan result error created_at completed_at",
    ),
    (
        "conversation_contexts",
        "id session_id user_id metadata created_at last_activity",
    ),
    (
        "messages",
        "id context_id agent_id role content metadata created_at",
    ),
    (
        "agent_config_templates",
        "id name display_name description framework request_mapping response_mapping auth_config \
         example_request example_response is_builtin is_active created_at updated_at",
    ),
];

#[tokio::test]
async fn the_promised_views_have_the_promised_columns() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await.unwrap();
    for (view, columns) in TABLES {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT group_concat(name, ' ') FROM pragma_table_info('{view}')"
        ));
        let found: String = sqlx::query_scalar(sql)
            .fetch_one(&store.readers)
            .await
            .unwrap();
        assert_eq!(found, columns, "{view}");
        let sql = sqlx::AssertSqlSafe(format!("SELECT * FROM {view}"));
        sqlx::query(sql).fetch_all(&store.readers).await.unwrap();
        let write = sqlx::AssertSqlSafe(format!("DELETE FROM {view}"));
        assert!(sqlx::query(write).execute(&store.readers).await.is_err());
    }
}
