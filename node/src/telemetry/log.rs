//! Log lines on standard error, for people or as JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSection};

/// Held at `info` whatever is asked for: below that they write whole messages.
const QUIET: [&str; 2] = ["ractor_cluster=info", "ractor=info"];

/// Whether `level` can be read; says why not.
pub(crate) fn check_level(level: &str) -> Result<(), String> {
    EnvFilter::try_new(level)
        .map(drop)
        .map_err(|error| format!("`{level}` is not a level: {error}"))
}

/// Logs to standard error from now on, once a process.
pub(crate) fn start_logging(log: &LogSection) {
    let Ok(mut filter) = EnvFilter::try_new(&log.level) else {
        return;
    };
    for quiet in QUIET {
        if let Ok(directive) = quiet.parse() {
            filter = filter.add_directive(directive);
        }
    }
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // A second node of the process keeps to the first one's subscriber.
    let _ = match log.format {
        LogFormat::Human => builder
            .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
