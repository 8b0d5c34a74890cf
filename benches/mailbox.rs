//! What supervision costs: spawns, casts and calls, beside the same through bare ractor.

#![expect(
    clippy::disallowed_methods,
    reason = "a bench measures time, and here what supervision adds to bare actors"
)]
#![expect(
    clippy::print_stdout,
    reason = "the figures are what this program is for"
)]

use std::{
    fs,
    time::{Duration, Instant},
};

use protocol::api::TreeQuery;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort};
use runtime::{
    clock::Clock,
    supervision::{Address, Message, Reply, Spec, Supervisor, Tree, spawn},
};

const ACTORS: u32 = 50_000;
const CASTS: u64 = 300_000;
const CALLS: u32 = 50_000;
const ROUNDS: usize = 15;

struct Counter;

enum Ask {
    Add(u64),
    Total(Reply<u64>),
    BareTotal(RpcReplyPort<u64>),
}

impl ractor::Message for Ask {}

impl Message for Ask {
    fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "Add",
            Self::Total(_) => "Total",
            Self::BareTotal(_) => "BareTotal",
        }
    }
}

impl Actor for Counter {
    type Msg = Ask;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Ask>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Ask>,
        ask: Ask,
        total: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match ask {
            Ask::Add(number) => *total += number,
            Ask::Total(reply) => reply.send(*total),
            Ask::BareTotal(reply) => reply.send(*total)?,
        }
        Ok(())
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    // On a task of the runtime, as all of Troupe runs: the main thread is none of its workers.
    tokio::spawn(run()).await?
}

async fn run() -> Result<(), Failure> {
    let tree = Tree::new("bench", Clock::system());
    let root = Supervisor::start(&tree, "/", Spec::root(), Vec::new(), None).await?;
    let parent = root.cell().ok_or("the root has ended")?;

    // As a node's chronicle does: who changes the tree pays for being read.
    let mut changes = tree.changes();
    tokio::spawn(async move {
        loop {
            changes.take();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    memory(&tree, &parent).await?;
    spawns(&tree, &parent).await?;
    casts(&tree, &parent).await?;
    calls(&tree, &parent).await?;
    Ok(())
}

async fn memory(tree: &Tree, parent: &ActorCell) -> Result<(), Failure> {
    let before = resident()?;
    let bare = bare_actors(parent).await?;
    let between = resident()?;
    let supervised = supervised_actors(tree, parent).await?;
    let after = resident()?;

    let (base, more) = (between - before, after - between);
    let per_actor = |bytes: i64| bytes / i64::from(ACTORS);
    println!(
        "memory per actor    bare {:>8} B     supervised {:>8} B     {:+} B (goal: at most +500 B)",
        per_actor(base),
        per_actor(more),
        per_actor(more - base)
    );
    let started = Instant::now();
    let page = tree.view(&TreeQuery::default());
    let first = started.elapsed();
    let view = tree.snapshot("/", None);
    println!(
        "tree                first page of {} in {:.1} ms (goal: 200 ms), all {} in {:.1} ms (goal: 2 s)",
        page.nodes.len(),
        first.as_secs_f64() * 1e3,
        view.total,
        (started.elapsed() - first).as_secs_f64() * 1e3
    );
    stop(bare, supervised).await;
    Ok(())
}

async fn spawns(tree: &Tree, parent: &ActorCell) -> Result<(), Failure> {
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let bare = bare_actors(parent).await?;
        best[0] = best[0].min(started.elapsed());
        stop(bare, Vec::new()).await;

        let started = Instant::now();
        let supervised = supervised_actors(tree, parent).await?;
        best[1] = best[1].min(started.elapsed());
        stop(Vec::new(), supervised).await;
    }
    let [bare, supervised] = best.map(|best| best / ACTORS);
    println!(
        "spawn               bare {bare:>10.2?}   supervised {supervised:>10.2?}   {:.2} x (goal: at most 1.5 x)",
        supervised.as_secs_f64() / bare.as_secs_f64()
    );
    Ok(())
}

async fn casts(tree: &Tree, parent: &ActorCell) -> Result<(), Failure> {
    let (bare, _) = Actor::spawn_linked(None, Counter, (), parent.clone()).await?;
    let address = spawn(tree, "/counter", "bench", Counter, (), parent).await?;
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for number in 0..CASTS {
            bare.send_message(Ask::Add(number))
                .map_err(|error| error.to_string())?;
        }
        bare_total(&bare).await?;
        best[0] = best[0].min(started.elapsed());

        let started = Instant::now();
        for number in 0..CASTS {
            address.cast(Ask::Add(number))?;
        }
        address.call(Duration::from_secs(60), Ask::Total).await?;
        best[1] = best[1].min(started.elapsed());
    }
    let [bare, supervised] = best.map(|best| CASTS as f64 / best.as_secs_f64());
    println!(
        "cast                bare {:>8.2} M/s   address {:>8.2} M/s      {:.0} % (goal: at least 80 %)",
        bare / 1e6,
        supervised / 1e6,
        supervised / bare * 100.0
    );
    Ok(())
}

async fn calls(tree: &Tree, parent: &ActorCell) -> Result<(), Failure> {
    let (bare, _) = Actor::spawn_linked(None, Counter, (), parent.clone()).await?;
    let address = spawn(tree, "/callee", "bench", Counter, (), parent).await?;
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..CALLS {
            bare_total(&bare).await?;
        }
        best[0] = best[0].min(started.elapsed());

        let started = Instant::now();
        for _ in 0..CALLS {
            address.call(Duration::from_secs(60), Ask::Total).await?;
        }
        best[1] = best[1].min(started.elapsed());
    }
    let [bare, supervised] = best.map(|best| best / CALLS);
    println!(
        "call                bare {bare:>10.2?}   address {supervised:>10.2?}      {:.2} x",
        supervised.as_secs_f64() / bare.as_secs_f64()
    );
    Ok(())
}

async fn bare_total(actor: &ActorRef<Ask>) -> Result<u64, Failure> {
    let timeout = Some(Duration::from_secs(60));
    let called = ractor::rpc::call(actor, Ask::BareTotal, timeout).await;
    let called = called.map_err(|error| error.to_string())?;
    called.success_or("no answer".into())
}

async fn bare_actors(parent: &ActorCell) -> Result<Vec<ActorRef<Ask>>, Failure> {
    let mut actors = Vec::with_capacity(ACTORS as usize);
    for _ in 0..ACTORS {
        let (actor, _) = Actor::spawn_linked(None, Counter, (), parent.clone()).await?;
        actors.push(actor);
    }
    Ok(actors)
}

async fn supervised_actors(tree: &Tree, parent: &ActorCell) -> Result<Vec<Address<Ask>>, Failure> {
    let mut actors = Vec::with_capacity(ACTORS as usize);
    for number in 0..ACTORS {
        // As long as the path of a task.
        let path = format!("/tasks/task_01980000-0000-7000-8000-{number:012}");
        actors.push(spawn(tree, path, "bench", Counter, (), parent).await?);
    }
    Ok(actors)
}

async fn stop(bare: Vec<ActorRef<Ask>>, supervised: Vec<Address<Ask>>) {
    let supervised = supervised.iter().filter_map(Address::cell);
    let cells: Vec<ActorCell> = bare
        .iter()
        .map(ActorRef::get_cell)
        .chain(supervised)
        .collect();
    for cell in &cells {
        cell.stop(None);
    }
    for cell in &cells {
        // Without a limit there is no timeout to report.
        let _ = cell.wait(None).await;
    }
}

/// Bytes of this process in memory, as Linux counts them.
fn resident() -> Result<i64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.ok_or("no VmRSS")?.parse::<i64>()? * 1024)
}
