//! What supervision costs: spawns, casts and calls, beside the same through bare ractor.
//!
//! Bare and supervised take turns, and the figure is the median of what the pairs say: the speed of a
//! machine that others use, too, changes more from one second to the next than supervision costs.

#![expect(
    clippy::disallowed_methods,
    reason = "bare actors are what supervised ones are measured against"
)]

use std::{fs, time::Duration};

use benches::{Goal, figure, say, stopwatch};
use metrics_exporter_prometheus::PrometheusBuilder;
use protocol::api::TreeQuery;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort};
use runtime::{
    clock::Clock,
    supervision::{Address, Changes, Message, Reply, Spec, Supervisor, Tree, spawn},
};

const ACTORS: u32 = 50_000;
/// Few enough that their memory is at hand: getting it from the kernel costs more than a spawn.
const SPAWNS: u32 = 2_000;
const CASTS: u32 = 300_000;
const CALLS: u32 = 50_000;
const ROUNDS: usize = 25;

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

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> benches::Result<()> {
    // On a task of the runtime, as all of Troupe runs: the main thread is none of its workers.
    tokio::spawn(run()).await?
}

async fn run() -> benches::Result<()> {
    // As a node has one: actors are counted by kind.
    PrometheusBuilder::new().install_recorder()?;
    let tree = Tree::new("bench", Clock::system());
    let root = Supervisor::start(&tree, "/", Spec::root(), Vec::new(), None).await?;
    let parent = root.cell().ok_or("the root has ended")?;

    // As a node's chronicle does: who changes the tree pays for being read.
    let mut changes = tree.changes();
    memory(&tree, &parent, &mut changes).await?;
    tokio::spawn(async move {
        loop {
            changes.take();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    spawns(&tree, &parent).await?;
    casts(&tree, &parent).await?;
    calls(&tree, &parent).await?;
    Ok(())
}

/// What an actor keeps. Its reader looks afterwards: what a look makes of fifty thousand new actors
/// at once is more than they keep, and is given back.
async fn memory(tree: &Tree, parent: &ActorCell, changes: &mut Changes) -> benches::Result<()> {
    let before = resident()?;
    let bare = bare_actors(ACTORS, parent).await?;
    let between = resident()?;
    let supervised = supervised_actors(ACTORS, tree, parent).await?;
    let after = resident()?;

    let per_actor = |bytes: i64| bytes as f64 / f64::from(ACTORS);
    let (base, more) = (per_actor(between - before), per_actor(after - between));
    figure("memory of a bare actor", base, "B", Goal::None);
    figure("memory of a supervised actor", more, "B", Goal::None);
    let more = more - base;
    figure(
        "what supervision keeps of it",
        more,
        "B",
        Goal::Under(500.0),
    );

    changes.take();
    let read = per_actor(resident()? - after);
    figure(
        "what a look at all as new takes on top",
        read,
        "B",
        Goal::None,
    );

    let started = stopwatch();
    let page = tree.view(&TreeQuery::default());
    let first = started.elapsed().as_secs_f64() * 1e3;
    let name = format!("first page of the tree, {} rows", page.nodes.len());
    figure(&name, first, "ms", Goal::Under(200.0));
    let started = stopwatch();
    let view = tree.snapshot("/", None);
    let all = started.elapsed().as_secs_f64();
    let name = format!("the whole tree, {} rows", view.total);
    figure(&name, all, "s", Goal::Under(2.0));
    stop(bare, supervised).await;
    Ok(())
}

async fn spawns(tree: &Tree, parent: &ActorCell) -> benches::Result<()> {
    let mut pairs = Pairs::default();
    for _ in 0..20 * ROUNDS {
        let started = stopwatch();
        let bare = bare_actors(SPAWNS, parent).await?;
        let first = started.elapsed();
        stop(bare, Vec::new()).await;

        let started = stopwatch();
        let supervised = supervised_actors(SPAWNS, tree, parent).await?;
        pairs.add(first, started.elapsed());
        stop(Vec::new(), supervised).await;
    }
    pairs.tell("spawn", SPAWNS, Wanted::Times(Goal::Under(1.5)));
    Ok(())
}

async fn casts(tree: &Tree, parent: &ActorCell) -> benches::Result<()> {
    let (bare, _) = Actor::spawn_linked(None, Counter, (), parent.clone()).await?;
    let address = spawn(tree, "/counter", "bench", Counter, (), parent).await?;
    let mut pairs = Pairs::default();
    for _ in 0..ROUNDS {
        let started = stopwatch();
        for number in 0..CASTS {
            bare.send_message(Ask::Add(number.into()))
                .map_err(|error| error.to_string())?;
        }
        bare_total(&bare).await?;
        let first = started.elapsed();

        let started = stopwatch();
        for number in 0..CASTS {
            address.cast(Ask::Add(number.into()))?;
        }
        address.call(Duration::from_secs(60), Ask::Total).await?;
        pairs.add(first, started.elapsed());
    }
    pairs.tell("cast", CASTS, Wanted::Share(Goal::AtLeast(80.0)));
    Ok(())
}

async fn calls(tree: &Tree, parent: &ActorCell) -> benches::Result<()> {
    let (bare, _) = Actor::spawn_linked(None, Counter, (), parent.clone()).await?;
    let address = spawn(tree, "/callee", "bench", Counter, (), parent).await?;
    let mut pairs = Pairs::default();
    for _ in 0..ROUNDS {
        let started = stopwatch();
        for _ in 0..CALLS {
            bare_total(&bare).await?;
        }
        let first = started.elapsed();

        let started = stopwatch();
        for _ in 0..CALLS {
            address.call(Duration::from_secs(60), Ask::Total).await?;
        }
        pairs.add(first, started.elapsed());
    }
    pairs.tell("call", CALLS, Wanted::Times(Goal::None));
    Ok(())
}

/// How long the same took bare and supervised, one right after the other.
#[derive(Default)]
struct Pairs(Vec<(Duration, Duration)>);

/// How a figure of pairs is put.
#[derive(Clone, Copy)]
enum Wanted {
    /// Supervised takes so many times as long.
    Times(Goal),
    /// Supervised does so many percent of what is done bare.
    Share(Goal),
}

impl Pairs {
    fn add(&mut self, bare: Duration, supervised: Duration) {
        self.0.push((bare, supervised));
    }

    fn tell(&self, what: &str, count: u32, wanted: Wanted) {
        let each = |took: &Duration| took.as_secs_f64() * 1e9 / f64::from(count);
        let bare = quartiles(self.0.iter().map(|(bare, _)| each(bare)));
        let supervised = quartiles(self.0.iter().map(|(_, supervised)| each(supervised)));
        let [low, times, high] = quartiles(
            self.0
                .iter()
                .map(|(bare, supervised)| supervised.as_secs_f64() / bare.as_secs_f64()),
        );
        figure(&format!("{what}, bare"), bare[1], "ns", Goal::None);
        figure(
            &format!("{what}, supervised"),
            supervised[1],
            "ns",
            Goal::None,
        );
        let median = format!("{what}, median of {} pairs", self.0.len());
        match wanted {
            Wanted::Times(goal) => {
                figure(&median, times, "times", goal);
                say(&format!(
                    "  half of the pairs between {low:.2} and {high:.2}"
                ));
            }
            Wanted::Share(goal) => {
                figure(&median, 100.0 / times, "%", goal);
                let (low, high) = (100.0 / high, 100.0 / low);
                say(&format!(
                    "  half of the pairs between {low:.0} and {high:.0}"
                ));
            }
        }
    }
}

/// The first quartile, the median and the third.
fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    [last / 4, last / 2, last * 3 / 4].map(|place| sorted.get(place).copied().unwrap_or(0.0))
}

async fn bare_total(actor: &ActorRef<Ask>) -> benches::Result<u64> {
    let timeout = Some(Duration::from_secs(60));
    let called = ractor::rpc::call(actor, Ask::BareTotal, timeout).await;
    let called = called.map_err(|error| error.to_string())?;
    called.success_or("no answer".into())
}

async fn bare_actors(count: u32, parent: &ActorCell) -> benches::Result<Vec<ActorRef<Ask>>> {
    let mut actors = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let (actor, _) = Actor::spawn_linked(None, Counter, (), parent.clone()).await?;
        actors.push(actor);
    }
    Ok(actors)
}

async fn supervised_actors(
    count: u32,
    tree: &Tree,
    parent: &ActorCell,
) -> benches::Result<Vec<Address<Ask>>> {
    let mut actors = Vec::with_capacity(count as usize);
    for number in 0..count {
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
fn resident() -> benches::Result<i64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.ok_or("no VmRSS")?.parse::<i64>()? * 1024)
}
