//! How fast appends become durable through the writer, beside a bare group commit of the same rows.
//!
//! Both have 128 callers that each wait for their append before the next: they make a task's
//! stream, extend it, and start over. The yardstick checks nothing and answers no verdicts.

#![expect(clippy::disallowed_methods, reason = "a bench measures time")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::{
    error::Error,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use protocol::{
    entity::{EntityId, EntityKind},
    epoch::Epoch,
    id::{CommandId, NodeId},
    record::{ChainHash, Record, Summary},
    time::Timestamp,
};
use runtime::store::{Append, Shared, Sqlite, Writer};
use sqlx::{
    ConnectOptions, QueryBuilder, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

const CALLERS: u32 = 128;
const ROUND: Duration = Duration::from_secs(4);
const ROUNDS: u32 = 3;

/// Of the bare group commit.
const GOAL: f64 = 0.8;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut ours = Vec::new();
    let mut bare = Vec::new();
    let mut bare_rows = Vec::new();
    let mut bytes = 0.0;
    for _ in 0..ROUNDS {
        let (figures, size) = through_the_writer(CALLERS).await?;
        ours.push(figures);
        bytes = size;
        bare.push(through_sqlx(Shape::ManyRows).await?);
        bare_rows.push(through_sqlx(Shape::RowByRow).await?);
    }
    println!("journal: {CALLERS} callers, SQLite, synchronous=FULL, median of {ROUNDS} rounds");
    let ours = median(ours, "writer");
    let many = median(bare, "bare sqlx, many rows a statement");
    let single = median(bare_rows, "bare sqlx, a row a statement");
    let share = ours / many.max(single);
    println!(
        "share of the faster bare one: {:.0} %, goal {:.0} %: {}",
        share * 100.0,
        GOAL * 100.0,
        if share >= GOAL { "held" } else { "MISSED" }
    );
    let (alone, _) = through_the_writer(1).await?;
    median(vec![alone], "writer, one caller");
    println!("bytes on disk a record, index of streams included: {bytes:.0}");
    Ok(())
}

struct Figures {
    rate: f64,
    cpu: f64,
    p50: Duration,
    p99: Duration,
}

fn median(mut rounds: Vec<Figures>, what: &str) -> f64 {
    rounds.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let Figures {
        rate,
        cpu,
        p50,
        p99,
    } = &rounds[rounds.len() / 2];
    println!(
        "{what}: {rate:.0} appends/s, {cpu:.1} us of CPU each, p50 {:.2} ms, p99 {:.2} ms",
        p50.as_secs_f64() * 1e3,
        p99.as_secs_f64() * 1e3,
    );
    *rate
}

/// One append of a task's life: odd ones make a stream, even ones settle it.
fn append(stream: EntityId, seq: u64, at: i64) -> Append {
    let goal = "summarise the changes since the last release and say which of them break callers";
    let (status, progress, data) = if seq == 1 {
        let data = format!(
            r#"[{{"type":"submitted","spec":{{"description":"{goal}","priority":"normal","user_id":"ann","metadata":{{"ticket":"OPS-{at}"}},"steps":[{{"id":"s1","agent":"echo","input":{{"text":"hello"}},"needs":[],"effect":"pure","timeout":"30s","retry":{{"max_attempts":3}}}}]}}}},{{"type":"planned","source":"explicit"}}]"#
        );
        ("executing", 0, data)
    } else {
        let data = format!(
            r#"[{{"type":"attempt_started","step":"s1","number":1,"agent":"agent_01980000000070008000000000000001","node":"one","token":"{at:032x}"}},{{"type":"attempt_succeeded","step":"s1","number":1,"output":{{"text":"hello"}},"took_ms":1}},{{"type":"completed","result":{{"text":"hello"}}}}]"#
        );
        ("completed", 100, data)
    };
    let body = format!(
        r#"{{"id":"{stream}","task_id":"{stream}","description":"{goal}","status":"{status}","progress":{progress},"priority":"normal","user_id":"ann","parent_id":null,"created_at":"2026-11-21T03:00:00.000000Z","completed_at":null,"error":null}}"#
    );
    Append {
        record: Record {
            stream,
            seq,
            count: if seq == 1 { 2 } else { 3 },
            epoch: Epoch::new(1, 1),
            owner: NodeId::from_uuid(Uuid::from_u128(1)),
            cmd_id: CommandId::from_uuid(Uuid::now_v7()),
            tenant: "default".into(),
            actor: "ann".into(),
            at: Timestamp::from_micros(at),
            version: 1,
            data,
            hash: ChainHash([7; 32]),
        },
        summary: Summary {
            status: status.into(),
            open: seq == 1,
            user: "ann".into(),
            body,
            ..Summary::default()
        },
        idempotency: None,
        reminders: Vec::new(),
        outbox: Vec::new(),
    }
}

/// Lets every caller append until the round is over, each waiting for its own answer.
async fn drive<F>(
    callers: u32,
    commit: impl Fn(Append) -> F + Clone + Send + 'static,
) -> Outcome<Figures>
where
    F: Future<Output = Outcome<()>> + Send,
{
    let started = Instant::now();
    let cpu = cpu();
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let commit = commit.clone();
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while started.elapsed() < ROUND {
                    let stream = EntityId::new(EntityKind::Task, Uuid::now_v7());
                    for seq in [1, 3] {
                        let asked = Instant::now();
                        let at = 1_795_000_000_000_000 + i64::try_from(waits.len())?;
                        commit(append(stream, seq, at)).await?;
                        waits.push(asked.elapsed());
                    }
                }
                Outcome::Ok(waits)
            })
        })
        .collect();
    let mut waits = Vec::new();
    for caller in callers {
        waits.extend(caller.await??);
    }
    let count = waits.len() as f64;
    let taken = started.elapsed();
    waits.sort_unstable();
    Ok(Figures {
        rate: count / taken.as_secs_f64(),
        cpu: (self::cpu() - cpu) * 1e6 / count,
        p50: waits[waits.len() / 2],
        p99: waits[waits.len() * 99 / 100],
    })
}

/// Seconds of CPU that this process has used; 0 where the kernel does not say.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.flat_map(str::parse::<f64>).sum::<f64>() / 100.0
}

async fn through_the_writer(callers: u32) -> Outcome<(Figures, f64)> {
    let folder = tempfile::tempdir()?;
    let store: Shared = Arc::new(Sqlite::open(&folder.path().join("troupe.db")).await?);
    let writer = Writer::start(Arc::clone(&store));
    let figures = drive(callers, move |append| {
        let writer = writer.clone();
        async move {
            writer.append(append).await?;
            Ok(())
        }
    })
    .await?;
    let records = store.census().await?.records;
    store.close().await?;
    let bytes = std::fs::metadata(folder.path().join("troupe.db"))?.len();
    Ok((figures, bytes as f64 / records as f64))
}

#[derive(Clone, Copy)]
enum Shape {
    ManyRows,
    RowByRow,
}

async fn through_sqlx(shape: Shape) -> Outcome<Figures> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("troupe.db");
    let made: Shared = Arc::new(Sqlite::open(&file).await?);
    made.close().await?;
    let connection = connect(&file).await?;
    let (sender, receiver) = mpsc::channel(1024);
    let committing = tokio::spawn(group_commit(connection, receiver, shape));
    let figures = drive(CALLERS, move |append| {
        let sender = sender.clone();
        async move {
            let (reply, done) = oneshot::channel();
            sender.send((append, reply)).await?;
            Ok(done.await?)
        }
    })
    .await?;
    committing.await??;
    Ok(figures)
}

async fn connect(file: &Path) -> Outcome<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", "-16384")
        .statement_cache_capacity(1024)
        .disable_statement_logging();
    Ok(options.connect().await?)
}

async fn group_commit(
    mut connection: SqliteConnection,
    mut waiting: mpsc::Receiver<(Append, oneshot::Sender<()>)>,
    shape: Shape,
) -> Outcome<()> {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, 256).await > 0 {
        let (appends, replies): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await?;
        let (new, old): (Vec<_>, Vec<_>) =
            appends.iter().partition(|append| append.record.seq == 1);
        match shape {
            Shape::ManyRows => {
                make_streams(&mut connection, &new).await?;
                extend_streams(&mut connection, &old).await?;
                insert_events(&mut connection, &appends).await?;
            }
            Shape::RowByRow => {
                for append in new {
                    make_streams(&mut connection, &[append]).await?;
                }
                extend_streams(&mut connection, &old).await?;
                for append in &appends {
                    insert_events(&mut connection, std::slice::from_ref(append)).await?;
                }
            }
        }
        sqlx::query("COMMIT").execute(&mut connection).await?;
        for reply in replies {
            let _ = reply.send(());
        }
    }
    Ok(())
}

fn key(stream: EntityId) -> Vec<u8> {
    let mut key = vec![2];
    key.extend_from_slice(stream.key().as_bytes());
    key
}

async fn make_streams(connection: &mut SqliteConnection, appends: &[&Append]) -> Outcome<()> {
    if appends.is_empty() {
        return Ok(());
    }
    let mut sql = QueryBuilder::new(
        "INSERT INTO stream (stream, kind, slot, tenant, created_at, head, epoch, owner, updated_at,
             status, open, hidden, user_id, body) ",
    );
    sql.push_values(appends, |mut row, append| {
        let Append {
            record, summary, ..
        } = append;
        row.push_bind(key(record.stream))
            .push_bind(2)
            .push_bind(0)
            .push_bind(record.tenant.clone())
            .push_bind(record.at.as_micros())
            .push_bind(record.head().cast_signed())
            .push_bind(record.epoch.to_i64())
            .push_bind(record.owner.uuid().as_bytes().to_vec())
            .push_bind(record.at.as_micros())
            .push_bind(summary.status.clone())
            .push_bind(summary.open)
            .push_bind(summary.hidden)
            .push_bind(summary.user.clone())
            .push_bind(summary.body.clone());
    });
    sql.build().execute(connection).await?;
    Ok(())
}

async fn extend_streams(connection: &mut SqliteConnection, appends: &[&Append]) -> Outcome<()> {
    for append in appends {
        let Append {
            record, summary, ..
        } = append;
        sqlx::query(
            "UPDATE stream SET head = ?, updated_at = ?, status = ?, open = ?, body = ?
             WHERE stream = ?",
        )
        .bind(record.head().cast_signed())
        .bind(record.at.as_micros())
        .bind(summary.status.clone())
        .bind(summary.open)
        .bind(summary.body.clone())
        .bind(key(record.stream))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn insert_events(connection: &mut SqliteConnection, appends: &[Append]) -> Outcome<()> {
    let mut sql = QueryBuilder::new(
        "INSERT INTO event (stream, seq, count, epoch, owner, cmd_id, tenant, actor, at, version,
             data, hash) ",
    );
    sql.push_values(appends, |mut row, Append { record, .. }| {
        row.push_bind(key(record.stream))
            .push_bind(record.seq.cast_signed())
            .push_bind(record.count)
            .push_bind(record.epoch.to_i64())
            .push_bind(record.owner.uuid().as_bytes().to_vec())
            .push_bind(record.cmd_id.uuid().as_bytes().to_vec())
            .push_bind(record.tenant.clone())
            .push_bind(record.actor.clone())
            .push_bind(record.at.as_micros())
            .push_bind(record.version)
            .push_bind(record.data.clone())
            .push_bind(record.hash.0.to_vec());
    });
    sql.build().execute(connection).await?;
    Ok(())
}
