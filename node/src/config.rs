//! The sections of `cluster.toml`, each the type of the part that it tells.
//!
//! Values come from the defaults, then the file, then the environment, then the command line; each
//! overrules the ones before it. [`Config::check`] says what must hold between them.

use std::{path::PathBuf, time::Duration};

use protocol::time::Span;
use serde::{Deserialize, Serialize};

mod check;
mod cluster;
#[cfg(feature = "cli")]
mod edit;
#[cfg(feature = "cli")]
mod env;
#[cfg(feature = "cli")]
mod file;
mod telemetry;

pub use check::Finding;
#[cfg(feature = "cli")]
pub(crate) use check::is_address;
pub use cluster::ClusterSection;
#[cfg(feature = "cli")]
pub use edit::set;
#[cfg(feature = "cli")]
pub use file::{DEFAULT_FILE, Error};
pub use telemetry::TelemetrySection;
#[cfg(feature = "cli")]
pub(crate) use telemetry::address as metrics_address;

/// Everything that a node can be told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[node]`
    pub node: NodeSection,
    /// `[cluster]`
    pub cluster: ClusterSection,
    /// `[store]`
    pub store: StoreSection,
    /// `[log]`
    pub log: LogSection,
    /// `[telemetry]`
    pub telemetry: TelemetrySection,
    /// `[edge]`
    #[cfg(feature = "edge")]
    pub edge: crate::edge::EdgeConfig,
    /// `[tasks]`
    pub tasks: actors::config::Tasks,
    /// `[health]`
    pub health: actors::config::Health,
    /// `[breaker]`
    pub breaker: actors::config::Breaker,
    /// `[allocator]`
    pub allocator: actors::config::Allocator,
    /// `[command]`
    pub command: actors::config::Command,
    /// `[egress]`
    pub egress: actors::config::Egress,
    /// `[history]`
    pub history: actors::config::History,
    /// `[supervision]`
    pub supervision: actors::config::Supervision,
}

impl Config {
    /// The sections that the orchestrator takes.
    #[must_use]
    pub fn actors(&self) -> actors::Config {
        actors::Config {
            tasks: self.tasks.clone(),
            health: self.health.clone(),
            breaker: self.breaker.clone(),
            allocator: self.allocator.clone(),
            command: self.command.clone(),
            egress: self.egress.clone(),
            history: self.history.clone(),
            supervision: self.supervision.clone(),
        }
    }
}

/// `[node]`: this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSection {
    /// The node's name, the same after a restart: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Where everything is kept; made when it is not there.
    pub data_dir: PathBuf,
    /// How long a node that is told to stop waits for attempts that run. It ends them then, and they
    /// are lost; the process is gone 25 s later at the latest.
    pub grace: Span,
}

impl Default for NodeSection {
    fn default() -> Self {
        Self {
            name: "local".to_owned(),
            data_dir: PathBuf::from("troupe-data"),
            grace: Span(Duration::from_secs(30)),
        }
    }
}

/// `[store]`: the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSection {
    /// `sqlite:FILE` or `postgres://…`; when absent what `DATABASE_URL` says, else the file
    /// `troupe.db` in the data directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `postgres://…` of a streaming standby of that database: lists that may be a little behind are read
    /// there. Reads of one task or agent, and all writes, go to `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_url: Option<String>,
}

/// `[log]`: what the node writes to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`, or by part, as `info,actors=debug`.
    pub level: String,
    /// For people or for programs.
    pub format: LogFormat,
    /// What programs find the parts of a line under.
    pub fields: LogFields,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Human,
            fields: LogFields::Plain,
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line for people.
    #[default]
    #[serde(alias = "text")]
    Human,
    /// One JSON object a line.
    Json,
}

/// What the parts of a JSON line are called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFields {
    /// `timestamp`, `level`, `target`, `message`, and the fields of the event.
    #[default]
    Plain,
    /// As the Elastic Common Schema has them, beside the fields of the event below `troupe`.
    Ecs,
}
