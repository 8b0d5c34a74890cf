//! The yardstick: what the same server commits for sqlx alone, with no node around it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use benches::{Goal, Result, figure, rate, stopwatch};
use futures_util::future::try_join_all;
use runtime::testkit::postgres::PrivatePostgres;
use sqlx::{Connection as _, PgConnection};

use super::{IN_FLIGHT, NODES};

/// Bytes of a row: about what an event of a no-op task weighs.
const ROW: usize = 600;
const ROWS: usize = 30_000;

pub(super) async fn report(server: &PrivatePostgres) -> Result<()> {
    server.sql("CREATE TABLE bare (id bigserial PRIMARY KEY, data text NOT NULL)")?;
    let url = server.url();
    let alone = inserted(&url, IN_FLIGHT, 1, ROWS / 4).await?;
    let name = format!("bare sqlx: rows by {IN_FLIGHT} connections, each committed alone");
    figure(&name, alone, "/s", Goal::None);
    let group = IN_FLIGHT / NODES;
    let grouped = inserted(&url, NODES, group, ROWS).await?;
    let name = format!("bare sqlx: rows by {NODES} connections, {group} a commit");
    figure(&name, grouped, "/s", Goal::None);
    server.sql("DROP TABLE bare")?;
    Ok(())
}

/// Rows a second.
async fn inserted(url: &str, width: usize, group: usize, rows: usize) -> Result<f64> {
    let mut connections = Vec::new();
    for _ in 0..width {
        connections.push(PgConnection::connect(url).await?);
    }
    let left = Arc::new(AtomicUsize::new(rows / group));
    let batch = vec!["x".repeat(ROW); group];
    let watch = stopwatch();
    let writing = connections.into_iter().map(|mut connection| {
        let (left, batch) = (left.clone(), &batch);
        async move {
            let more = |left: usize| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
                .is_ok()
            {
                sqlx::query("INSERT INTO bare (data) SELECT * FROM unnest($1::text[])")
                    .bind(batch)
                    .execute(&mut connection)
                    .await?;
            }
            connection.close().await
        }
    });
    try_join_all(writing).await?;
    Ok(rate(rows / group * group, watch.elapsed()))
}
