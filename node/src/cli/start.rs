//! `troupe start`: a node of its own, until it is told to stop.

use std::{net::SocketAddr, process, time::Duration};

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    Global,
    exit::{Exit, Failure, Outcome},
};
use crate::{
    config::LogFormat,
    node::{Node, TOKEN_FILE},
    telemetry,
};

/// Time for attempts that run; the process ends within a minute, whatever happens.
const GRACE: Duration = Duration::from_secs(30);
const HARD_STOP: Duration = Duration::from_secs(55);

#[derive(Debug, Args)]
pub(super) struct Start {
    /// Where to serve HTTP; port 0 picks one [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// The node's name, the same after a restart [default: local]
    #[arg(long)]
    name: Option<String>,
    /// Log lines for people or for programs [default: human]
    #[arg(long, value_name = "human|json", value_parser = super::task::word::<LogFormat>)]
    log_format: Option<LogFormat>,
}

impl Start {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let mut config = global.load()?;
        if let Some(listen) = self.listen {
            config.edge.listen = listen;
        }
        if let Some(name) = self.name {
            config.node.name = name;
        }
        if let Some(format) = self.log_format {
            config.log.format = format;
        }
        // Before the first log line: its level may be what is wrong.
        let findings = config.check();
        if !findings.is_empty() {
            return Err(crate::config::Error::Check(findings).into());
        }
        telemetry::start_logging(&config.log);
        use_this_program(&mut config);
        let engine = config.store.url.clone();
        let mut signals = Signals::listen()?;
        let node = Node::builder().config(config).start().await?;
        announce(&node, engine.as_deref());
        tokio::select! {
            () = signals.next() => stop(node, GRACE, signals, Exit::Ok).await,
            reason = node.gave_up() => {
                stop(node, Duration::ZERO, signals, Exit::GaveUp).await?;
                Err(gave_up(reason))
            }
        }
    }
}

/// A node that can do nothing any more ends its process: what started it starts another.
pub(super) fn gave_up(reason: String) -> Failure {
    Failure::new(Exit::GaveUp, "the node gave up")
        .because(reason)
        .help("start it again: nothing acknowledged is lost; `--log info` shows what fails")
}

/// Commands run behind this very program, wherever it lies.
pub(super) fn use_this_program(config: &mut crate::Config) {
    if config.command.runner.is_none() {
        config.command.runner = std::env::current_exe().ok();
    }
}

fn announce(node: &Node, url: Option<&str>) {
    let dir = node.data_dir();
    let store = url.map_or_else(
        || format!("sqlite:{}", dir.join("troupe.db").display()),
        str::to_owned,
    );
    let lines = format!(
        "node    {}\nstore   {store}\nserving {}\ntoken   {}\nCtrl-C stops it; a second one at once.\n",
        node.name(),
        node.url().unwrap_or("-"),
        dir.join(TOKEN_FILE).display(),
    );
    // The node serves as well when nobody reads this.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), lines.as_bytes());
}

/// Stops a node politely; a second signal, or too long a wait, ends the process at once. Correctness
/// never depends on a polite end.
pub(super) async fn stop(node: Node, grace: Duration, mut signals: Signals, exit: Exit) -> Outcome {
    tokio::select! {
        () = node.stop(grace) => Ok(exit),
        () = signals.next() => process::exit(i32::from(Exit::Interrupted.code())),
        () = tokio::time::sleep(HARD_STOP) => {
            tracing::error!("the node did not stop in time; what runs is recovered at the next start");
            process::exit(i32::from(exit.code()))
        }
    }
}

/// Requests to stop: SIGINT and SIGTERM.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Exit::Failed, "cannot listen for signals").because(error)
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The next request to stop.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
