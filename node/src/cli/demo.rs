//! `troupe demo`: shows on this machine, and offline, what is promised.

use std::{convert::Infallible, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use protocol::member::{NodeRole, Roles};
use runtime::store::Address;
use tokio::{sync::watch, time::Instant};

use super::{
    Global,
    exit::{Exit, Failure, Outcome},
    output::Output,
    start::Signals,
};
use crate::client::Client;

mod cluster;
mod load;
mod node;
mod postgres;
mod report;
mod verdict;

use cluster::{Cluster, Plan};
use load::{Acknowledged, Ledger};
use postgres::{Postgres, Programs};
use report::{Member, Report};
use verdict::{Kept, Kill, Verdict, milliseconds};

#[derive(Debug, Subcommand)]
pub(super) enum Demo {
    /// Start three nodes, run tasks, kill a node with SIGKILL, and count what was lost or done twice
    ///
    /// Everything happens in a temporary directory and on loopback, and is gone afterwards. Three
    /// nodes share a PostgreSQL server of their own where PostgreSQL is installed; elsewhere one keeps
    /// everything in SQLite and the others work for it.
    Chaos(Chaos),
    /// One node of a demonstration
    #[command(hide = true)]
    Node(node::DemoNode),
}

#[derive(Debug, Args)]
pub(super) struct Chaos {
    /// What kind of node is killed: the one of that kind that runs most. A control node on SQLite,
    /// which nobody can stand in for, is started again
    #[arg(long, value_enum, default_value_t)]
    kill: Victim,
    /// Tasks of three steps each
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tasks: u32,
    /// Nodes; with PostgreSQL, the first three are control nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=20))]
    nodes: u32,
    /// `sqlite`, or the address of an empty database, `postgres://…`, that nobody else uses
    #[arg(long, value_name = "sqlite|URL")]
    store: Option<String>,
}

/// What is killed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Victim {
    /// A node that hosts agents
    #[default]
    Worker,
    /// A node that owns tasks
    Control,
}

/// Where control nodes keep everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Sqlite,
    Postgres,
}

/// The part of all effects after which the node is killed: half of them, so that steps of every class run.
const PART: usize = 2;

/// Attempts that must run where the kill is to meet them.
const ENOUGH: u32 = 3;

/// Requests under way at once.
const AT_ONCE: usize = 16;

/// Between two looks at what runs.
const LOOK: Duration = Duration::from_millis(25);

/// How long all of it may take, beside a second for each task.
const PATIENCE: Duration = Duration::from_secs(90);

impl Demo {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        match self {
            Self::Chaos(chaos) => {
                global.start_logging()?;
                crate::node::prepare_process();
                chaos.run(output).await
            }
            Self::Node(node) => node.run(global).await,
        }
    }
}

impl Chaos {
    /// Whatever happens, Ctrl-C included, nothing stays behind.
    async fn run(self, output: &Output) -> Outcome {
        let mut signals = Signals::listen()?;
        let mut cluster = Cluster::new().map_err(|error| {
            Failure::new(Exit::Failed, "there is no temporary directory").because(error)
        })?;
        let mut server = None;
        let outcome = tokio::select! {
            outcome = self.play(&mut cluster, &mut server, output) => outcome,
            () = signals.next() => Err(Failure::new(Exit::Interrupted, "interrupted")),
        };
        if let Err(failure) = &outcome
            && failure.exit != Exit::Interrupted
        {
            output.note(&cluster.logs());
        }
        cluster.close().await;
        if let Some(server) = server {
            Postgres::stop(server).await;
        }
        outcome
    }

    async fn play(
        &self,
        cluster: &mut Cluster,
        server: &mut Option<Postgres>,
        output: &Output,
    ) -> Outcome {
        let began = Instant::now();
        let (engine, store) = self.store(server).await?;
        let plans = self.plans(engine);
        cluster.start(&plans, store).await?;
        let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
        output.note(&format!(
            "{} nodes run over {} after {:.1} s: {}",
            plans.len(),
            engine.name(),
            began.elapsed().as_secs_f64(),
            names.join(", ")
        ));

        let until = Instant::now() + PATIENCE + Duration::from_secs(u64::from(self.tasks));
        let ledger = Ledger::new(cluster.folder()).map_err(|error| {
            Failure::new(Exit::Failed, "the ledger cannot be written").because(error)
        })?;
        let bar = self.bar(output);
        let clients = watch::Sender::new(cluster.clients());
        let at = clients.subscribe();
        let work = async {
            let (tasks, kill) = tokio::try_join!(
                self.submit_all(at, &ledger, until),
                self.kill(cluster, &clients, &ledger, engine, until)
            )?;
            bar.suspend(|| output.note(&told(&kill)));
            let clients = clients.borrow().clone();
            Ok::<_, Failure>((await_all(&clients, tasks, until).await, kill))
        };
        let (seen, kill) = tokio::select! {
            done = work => done?,
            never = follow(&ledger, &bar) => match never {},
        };
        bar.finish_and_clear();

        let verdict = Verdict::of(&seen, &ledger.lines(), &kill);
        let member = |plan: &Plan| Member {
            name: plan.name.clone(),
            roles: plan.roles.to_string(),
        };
        let report = Report {
            store: engine.name(),
            nodes: plans.iter().map(member).collect(),
            restarted_after_ms: kill.back.map(|back| milliseconds(back.since(kill.at))),
            killed: kill.node,
            verdict,
            took_ms: milliseconds(began.elapsed()),
        };
        output.show(&report)?;
        judge(&report.verdict)
    }

    /// Which engine, and where it is.
    async fn store(
        &self,
        server: &mut Option<Postgres>,
    ) -> Result<(Engine, Option<String>), Failure> {
        match self.store.as_deref() {
            Some("sqlite") => return Ok((Engine::Sqlite, None)),
            Some(url) => {
                let wrong = |cause: &str| {
                    Failure::new(
                        Exit::Usage,
                        "--store is neither `sqlite` nor `postgres://…`",
                    )
                    .because(cause)
                };
                return match url.parse::<Address>() {
                    Ok(Address::Postgres(_)) => Ok((Engine::Postgres, Some(url.to_owned()))),
                    Ok(Address::Sqlite(_)) => {
                        Err(wrong("the demonstration makes a SQLite file itself"))
                    }
                    Err(error) => Err(wrong(&error.to_string())),
                };
            }
            None => {}
        }
        let Some(programs) = Programs::find().await else {
            return Ok((Engine::Sqlite, None));
        };
        let started = Postgres::start(&programs).await.map_err(|error| {
            Failure::new(
                Exit::Failed,
                "PostgreSQL, which is installed, did not start",
            )
            .because(error)
            .help("`--store sqlite` does without")
        })?;
        let url = started.url();
        *server = Some(started);
        Ok((Engine::Postgres, Some(url)))
    }

    fn plans(&self, engine: Engine) -> Vec<Plan> {
        let plan = |number: u32| match (engine, number) {
            (Engine::Postgres, 1..=3) => (format!("node-{number}"), Roles::all()),
            (Engine::Sqlite, 1) => (
                "control".to_owned(),
                vec![NodeRole::Control, NodeRole::Edge].into(),
            ),
            (Engine::Postgres | Engine::Sqlite, number) => (
                format!("worker-{}", number - 1),
                vec![NodeRole::Worker].into(),
            ),
        };
        (1..=self.nodes)
            .map(plan)
            .map(|(name, roles)| Plan { name, roles })
            .collect()
    }

    /// Registers the agents and submits all tasks, through every edge in turn.
    async fn submit_all(
        &self,
        clients: watch::Receiver<Vec<(String, Client)>>,
        ledger: &Ledger,
        until: Instant,
    ) -> Result<Vec<Acknowledged>, Failure> {
        let first = clients.borrow().first().cloned();
        if let Some((_, client)) = first {
            ledger.register(&client).await?;
        }
        let submissions = stream::iter(0..self.tasks as usize).map(|number| {
            let clients = clients.clone();
            load::submit(move || clients.borrow().clone(), number, until)
        });
        let acknowledged: Vec<_> = submissions.buffer_unordered(AT_ONCE).collect().await;
        acknowledged.into_iter().collect()
    }

    /// Kills the node that runs most once there is something to lose.
    async fn kill(
        &self,
        cluster: &mut Cluster,
        clients: &watch::Sender<Vec<(String, Client)>>,
        ledger: &Ledger,
        engine: Engine,
        until: Instant,
    ) -> Result<Kill, Failure> {
        let role = match self.kill {
            Victim::Worker => NodeRole::Worker,
            Victim::Control => NodeRole::Control,
        };
        let alone = engine == Engine::Sqlite && self.kill == Victim::Control;
        let half = self.tasks as usize * load::STEPS / PART;
        let node = loop {
            let client = clients.borrow().first().cloned();
            let running = match client {
                Some((_, client)) => load::running(&client).await,
                None => Vec::new(),
            };
            let chosen = choose(&cluster.nodes, role, alone, &running);
            if let Some((node, _)) = chosen.filter(|(_, running)| *running >= ENOUGH)
                && ledger.lines().len() >= half
            {
                break node;
            }
            if Instant::now() > until || ledger.lines().len() >= self.tasks as usize * load::STEPS {
                return Err(unmet());
            }
            tokio::time::sleep(LOOK).await;
        };
        let unkilled =
            |error| Failure::new(Exit::Failed, "a node could not be killed").because(error);
        let at = cluster.kill(&node).await.map_err(unkilled)?;
        let (noticed, back) = if alone {
            (None, Some(cluster.restart(&node).await?))
        } else {
            clients.send_replace(cluster.clients());
            (load::noticed(&cluster.clients(), &node, until).await, None)
        };
        clients.send_replace(cluster.clients());
        Ok(Kill {
            node,
            at,
            noticed,
            back,
        })
    }

    fn bar(&self, output: &Output) -> ProgressBar {
        let quiet = output.is_quiet() || output.is_for_programs();
        // Elsewhere than on a terminal it draws nothing.
        let bar = if quiet {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(u64::from(self.tasks) * load::STEPS as u64)
        };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} effects  {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }
}

impl Engine {
    const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// The node with this role that runs most; a control node that is alone has all that runs.
fn choose(
    nodes: &[cluster::DemoNode],
    role: NodeRole,
    alone: bool,
    running: &[(String, u32)],
) -> Option<(String, u32)> {
    let fitting = nodes.iter().filter(|node| node.plan.roles.has(role));
    let counted = fitting.map(|node| {
        let here = |(name, _): &&(String, u32)| alone || *name == node.plan.name;
        let count = running.iter().filter(here).map(|(_, count)| count).sum();
        (node.plan.name.clone(), count)
    });
    counted.max_by_key(|(_, count)| *count)
}

/// Shows how many effects there are.
async fn follow(ledger: &Ledger, bar: &ProgressBar) -> Infallible {
    loop {
        bar.set_position(ledger.lines().len() as u64);
        tokio::time::sleep(LOOK * 4).await;
    }
}

fn told(kill: &Kill) -> String {
    match kill.back {
        None => format!("{} was killed", kill.node),
        Some(back) => format!(
            "{} was killed, and serves again after {:.1} s",
            kill.node,
            back.since(kill.at).as_secs_f64()
        ),
    }
}

async fn await_all(
    clients: &[(String, Client)],
    tasks: Vec<Acknowledged>,
    until: Instant,
) -> Vec<Kept> {
    let ends = stream::iter(tasks).map(async |asked| {
        let seen = load::settled(clients, &asked, until).await;
        Kept {
            id: asked.task.id,
            owner: asked.owner,
            seen,
        }
    });
    ends.buffer_unordered(AT_ONCE).collect().await
}

fn unmet() -> Failure {
    Failure::new(
        Exit::Conflict,
        "the kill met no running attempt, so nothing was shown",
    )
    .help("run it again with more --tasks")
}

fn judge(verdict: &Verdict) -> Outcome {
    if !verdict.is_good() {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "lost tasks: {}, double effects: {}, ignored dependencies: {}",
                verdict.lost_tasks.len(),
                verdict.double_effects.len(),
                verdict.ignored_dependencies.len()
            ),
        ));
    }
    if verdict.running_at_kill == 0 {
        return Err(unmet());
    }
    Ok(Exit::Ok)
}
