//! The past of the trees: how much of it is kept, what stands behind it in the store, and how far who
//! follows 50,000 actors is behind.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actors::{Orchestrator, orchestrator::Setup};
use benches::{Goal, Latencies, Result, bytes_below, figure, say, say_load, scratch, stopwatch};
use futures_util::StreamExt;
use protocol::{access::Caller, api::LifeQuery, id::NodeId, time::Timestamp};
use runtime::{
    chronicle::{Archive, Retention, StoreArchive, Tidied},
    store::{Memory, Segment, SegmentKind, Shared, Sqlite},
};
use tokio::time::timeout;
use uuid::Uuid;

const ACTORS: usize = 50_000;
/// Actors that begin in each second while somebody follows, and as many that end.
const CHURN: usize = 1_000;
const SECONDS: usize = 20;

const MIB: f64 = 1_048_576.0;
/// What `[history]` says.
const MAX_BYTES: u64 = 16 << 20;
/// How many times as much is written.
const TIMES: u64 = 6;
/// Bytes of one second's changes, and of a base in pieces.
const CHANGES: usize = 24 << 10;
const BASE: usize = 2 << 20;
const PIECE: usize = 128 << 10;
/// Seconds of a chapter, and those after which what is spent is dropped.
const CHAPTER: u64 = 80;
const MINUTE: u64 = 60;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        say("history: SQLite with synchronous=FULL; trees in this process");
        bounded().await?;
        followed().await?;
        say_load();
        Ok(())
    })
}

/// A node as its chronicle writes, a second after the other without waiting for them.
struct Scribe {
    archive: StoreArchive,
    chapter: u64,
    second: u64,
    number: u64,
}

impl Scribe {
    async fn write(&mut self, kind: SegmentKind, bytes: usize) -> Result<()> {
        self.number += 1;
        let segment = Segment {
            node: NodeId::from_uuid(Uuid::from_u128(1)),
            name: "one".to_owned(),
            chapter: self.chapter,
            number: self.number,
            kind,
            until: Timestamp::from_micros(i64::try_from(self.second)? * 1_000_000),
            data: vec![7; bytes],
        };
        Ok(self.archive.keep(&segment).await?)
    }

    async fn second(&mut self) -> Result<()> {
        self.second += 1;
        if !self.second.is_multiple_of(CHAPTER) && self.second > 1 {
            return self.write(SegmentKind::Changes, CHANGES).await;
        }
        self.chapter = self.number + 1;
        for _ in 1..BASE / PIECE {
            self.write(SegmentKind::Part, PIECE).await?;
        }
        self.write(SegmentKind::Base, PIECE).await
    }
}

async fn bounded() -> Result<()> {
    let folder = scratch()?;
    let store: Shared = Arc::new(Sqlite::open(&folder.path().join("troupe.db")).await?);
    let retention = Retention {
        max_bytes: MAX_BYTES,
        ..Retention::default()
    };
    let mut scribe = Scribe {
        archive: StoreArchive::new(store.clone(), retention),
        chapter: 0,
        second: 0,
        number: 0,
    };
    let (mut written, mut most) = (0, 0);
    while written < TIMES * MAX_BYTES {
        let before = scribe.number;
        scribe.second().await?;
        let pieces = scribe.number - before;
        written += if pieces > 1 {
            BASE as u64
        } else {
            CHANGES as u64
        };
        if scribe.second.is_multiple_of(MINUTE) {
            let now = Timestamp::from_micros(i64::try_from(scribe.second)? * 1_000_000);
            while scribe.archive.tidy(now).await? == Tidied::Some {}
            let ever = (
                Timestamp::from_micros(i64::MIN),
                Timestamp::from_micros(i64::MAX),
            );
            let chapters = store.chapters(ever.0, ever.1).await?;
            most = most.max(chapters.iter().map(|it| it.bytes).sum());
        }
    }
    let name = format!("kept after each tidying, of {} MiB written", written >> 20);
    let allowed = MAX_BYTES as f64 / MIB + 0.01;
    figure(&name, most as f64 / MIB, "MiB", Goal::Under(allowed));
    // What a minute adds before it is tidied, and pages that are free again.
    let minute = MINUTE as f64 * CHANGES as f64 / MIB + BASE as f64 / MIB;
    let allowed = 1.25 * (allowed + minute);
    let disk = bytes_below(folder.path()) as f64 / MIB;
    figure(
        "the database with its log, on disk",
        disk,
        "MiB",
        Goal::Under(allowed),
    );
    let small = writing_behind(store).await?;
    let slowest = small.percentile(1.0);
    figure(
        "a small write while 16 MiB of it are dropped, slowest",
        slowest,
        "ms",
        Goal::Under(250.0),
    );
    Ok(())
}

/// Small writes while all that is kept is dropped.
async fn writing_behind(store: Shared) -> Result<Latencies> {
    let ever = (
        Timestamp::from_micros(i64::MIN),
        Timestamp::from_micros(i64::MAX),
    );
    let chapters = store.chapters(ever.0, ever.1).await?;
    let chapters: Vec<_> = chapters.iter().map(|it| (it.node, it.chapter)).collect();
    let dropping = {
        let store = store.clone();
        tokio::spawn(async move { store.forget(&chapters).await })
    };
    let mut latencies = Latencies::default();
    let mut number = 1 << 40;
    while !dropping.is_finished() {
        number += 1;
        let segment = Segment {
            node: NodeId::from_uuid(Uuid::from_u128(3)),
            name: "three".to_owned(),
            chapter: 1 << 40,
            number,
            kind: SegmentKind::Base,
            until: Timestamp::from_micros(1),
            data: Vec::new(),
        };
        let watch = stopwatch();
        store.inscribe(&segment).await?;
        latencies.add(watch.elapsed());
    }
    dropping.await??;
    Ok(latencies)
}

async fn followed() -> Result<()> {
    let folder = scratch()?;
    let orchestrator = Orchestrator::start(Setup {
        config: actors::Config::default(),
        node: "bench".to_owned(),
        store: Arc::new(Memory::new()),
        data_dir: folder.path().to_owned(),
        natives: HashMap::new(),
    })
    .await?;
    let (tree, caller) = (orchestrator.actors().clone(), Caller::admin());
    let path = |number: usize| format!("/bench/task_01980000-0000-7000-8000-{number:012}");
    let mut crowd: std::collections::VecDeque<_> = (0..ACTORS)
        .map(|number| tree.enter(path(number), "task"))
        .collect();
    let mut feed = orchestrator.follow_tree(&caller, None, None).await?;
    let watch = stopwatch();
    let mut told = 0;
    while told < ACTORS {
        let frame = timeout(Duration::from_secs(30), feed.next()).await?;
        told += frame.ok_or("the feed has ended")?.what.rows.len();
    }
    let all = watch.elapsed().as_secs_f64();
    figure(
        "50,000 actors: all rows told to who follows",
        all,
        "s",
        Goal::Under(2.0),
    );
    let mut behind = Latencies::default();
    for second in 0..SECONDS {
        let began = stopwatch();
        let marker = path(ACTORS + (second + 1) * CHURN - 1);
        for number in 0..CHURN {
            crowd.push_back(tree.enter(path(ACTORS + second * CHURN + number), "task"));
            crowd.pop_front();
        }
        let changed = stopwatch();
        loop {
            let frame = timeout(Duration::from_secs(30), feed.next()).await?;
            let frame = frame.ok_or("the feed has ended")?;
            if frame.what.rows.iter().any(|row| row.path == marker) {
                break;
            }
        }
        behind.add(changed.elapsed());
        // Never in step with whoever asks.
        let pause = Duration::from_millis(700 + 37 * second as u64);
        tokio::time::sleep(pause.saturating_sub(began.elapsed())).await;
    }
    let slowest = behind.percentile(1.0);
    figure(
        "50,000 actors, 2,000 changes a second: deltas behind, most",
        slowest,
        "ms",
        Goal::Under(1000.0),
    );
    figure("  median", behind.percentile(0.5), "ms", Goal::None);
    past(&orchestrator, &caller).await?;
    orchestrator.stop(Duration::from_secs(5)).await;
    Ok(())
}

/// What a reader of the past waits for.
async fn past(orchestrator: &Orchestrator, caller: &Caller) -> Result<()> {
    let query = LifeQuery {
        from: Some(Timestamp::from_micros(0)),
        limit: Some(20),
        ..LifeQuery::default()
    };
    let watch = stopwatch();
    let page = orchestrator.life(caller, &query).await?;
    let took = watch.elapsed().as_secs_f64() * 1e3;
    let name = format!("the last {} turns of all that is kept", page.items.len());
    figure(&name, took, "ms", Goal::Under(500.0));
    Ok(())
}
