//! `troupe start`: a node of its own, until it is told to stop.

use std::{net::SocketAddr, process, time::Duration};

use clap::Args;
use protocol::member::NodeRole;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    Global,
    exit::{Exit, Failure, Outcome},
    patience,
};
use crate::{
    config::{LogFormat, is_address, metrics_address},
    node::{Node, TOKEN_FILE},
    telemetry,
};

/// Time for all that follows when attempts had theirs; the process ends then, whatever happens.
const HARD_STOP: Duration = Duration::from_secs(25);

#[derive(Debug, Args)]
pub(super) struct Start {
    /// Where to serve HTTP; port 0 picks one [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Serves no plain HTTP, not even on loopback; takes `cert` and `key` under `[edge.tls]`
    #[arg(long)]
    require_tls: bool,
    /// The node's name, the same after a restart [default: local]
    #[arg(long)]
    name: Option<String>,
    /// Joins the cluster of the node whose mesh is there; the first time with the one-time --token
    /// that `troupe token create`, or the first node's start, printed
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    join: Option<String>,
    /// What this node does: control, worker, edge [default: all that its cluster allows]
    #[arg(long, value_name = "ROLE,...", value_delimiter = ',', value_parser = super::task::word::<NodeRole>)]
    roles: Option<Vec<NodeRole>>,
    /// Where other nodes reach this one; port 0 picks one [default: 127.0.0.1:4697]
    #[arg(long, value_name = "ADDR:PORT")]
    mesh: Option<SocketAddr>,
    /// Where they do, when that is another address, as behind 0.0.0.0
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Where this node stands, such as eu-west
    #[arg(long)]
    region: Option<String>,
    /// Where measurements are served beside, without a token: an address, or a port of the loopback
    /// [default: nowhere; callers with a token read them at /metrics where HTTP is served]
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = metrics_address)]
    metrics_addr: Option<SocketAddr>,
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
        if self.require_tls {
            config.edge.require_tls = true;
        }
        if let Some(name) = self.name {
            config.node.name = name;
        }
        if let Some(roles) = self.roles {
            config.cluster.roles = roles.into();
        }
        if let Some(mesh) = self.mesh {
            config.cluster.listen = mesh;
        }
        if self.advertise.is_some() {
            config.cluster.advertise = self.advertise;
        }
        if let Some(region) = self.region {
            config.cluster.region = region;
        }
        if self.metrics_addr.is_some() {
            config.telemetry.metrics_listen = self.metrics_addr;
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
        let mut signals = Signals::listen()?;
        let grace = config.node.grace.0;
        let dir = config.node.data_dir.clone();
        let to = self.join.map(|address| (address, global.token.clone()));
        let start = || {
            let mesh = config.cluster.listen;
            let mut node = Node::builder().config(config.clone()).mesh(mesh);
            if let Some((address, token)) = to.clone() {
                node = node.join(address, token);
            }
            node.start()
        };
        let Some(node) = patience::outlast(start, &dir, signals.next()).await? else {
            return Ok(Exit::Ok);
        };
        announce(&node).await;
        tokio::select! {
            () = signals.next() => stop(node, grace, signals, Exit::Ok).await,
            reason = node.gave_up() => {
                let failure = node.expelled().map_or_else(|| gave_up(reason), expelled);
                stop(node, Duration::ZERO, signals, failure.exit).await?;
                Err(failure)
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

/// An address that can be dialled.
fn address(text: &str) -> Result<String, String> {
    if is_address(text) {
        Ok(text.to_owned())
    } else {
        Err("not of the form HOST:PORT; copy it from the other node's `mesh` line".to_owned())
    }
}

/// A process that is a member of its cluster no more; the next one would not be let in either.
fn expelled(reason: String) -> Failure {
    Failure::new(Exit::Forbidden, "the node is a member of its cluster no more")
        .because(reason)
        .help("to let it in again, make a token with `troupe token create` and join from an empty data directory")
}

/// Commands run behind this very program, wherever it lies.
pub(super) fn use_this_program(config: &mut crate::Config) {
    if config.command.runner.is_none() {
        config.command.runner = std::env::current_exe().ok();
    }
}

async fn announce(node: &Node) {
    let member = node.member();
    let mut lines = format!("node    {} ({})\n", node.name(), member.roles);
    let mut line = |name: &str, what: &str| lines.push_str(&format!("{name:<8}{what}\n"));
    if let Some(url) = node.store_url() {
        line("store", &without_password(url));
    }
    if let Some(url) = node.url() {
        line("serving", url);
        line(
            "token",
            &node.data_dir().join(TOKEN_FILE).display().to_string(),
        );
    }
    if let Some(metrics) = node.metrics() {
        line("metrics", &format!("http://{metrics}/metrics"));
    }
    if let Some(mesh) = &member.mesh {
        line("mesh", mesh);
        match node.join_token().await {
            Ok(token) => {
                line(
                    "join",
                    &format!("troupe start --join {mesh} --token {token} --data-dir DIR"),
                );
                line(
                    "",
                    "lets one node in, within an hour; `troupe token create` makes more",
                );
            }
            // Only control nodes let others in.
            Err(error) => tracing::debug!(%error, "no token was made"),
        }
    }
    lines.push_str("Ctrl-C stops it; a second one at once.\n");
    // The node serves as well when nobody reads this.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), lines.as_bytes());
}

/// The address of a database for people to read.
fn without_password(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else {
        return url.to_owned();
    };
    if parsed.password().is_some() && parsed.set_password(Some("...")).is_ok() {
        return parsed.to_string();
    }
    url.to_owned()
}

/// Stops a node politely; a second signal, or too long a wait, ends the process at once. Correctness
/// never depends on a polite end.
pub(super) async fn stop(node: Node, grace: Duration, mut signals: Signals, exit: Exit) -> Outcome {
    tokio::select! {
        () = node.stop(grace) => Ok(exit),
        () = signals.next() => process::exit(i32::from(Exit::Interrupted.code())),
        () = tokio::time::sleep(grace + HARD_STOP) => {
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
