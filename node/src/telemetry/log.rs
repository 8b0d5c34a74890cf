//! Log lines on standard error, for people or as JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::config::{LogFormat, LogSection};

/// Held at `info` whatever is asked for: below that they write whole messages.
const QUIET: [&str; 2] = ["ractor_cluster=info", "ractor=info"];

/// Whether `level` can be read; says why not.
pub(crate) fn check_level(level: &str) -> Result<(), String> {
    EnvFilter::try_new(level)
        .map(drop)
        .map_err(|error| format!("`{level}` is not a level: {error}"))
}

/// What is let through.
fn filter(level: &str) -> Option<EnvFilter> {
    let mut filter = EnvFilter::try_new(level).ok()?;
    // Where nothing beyond `info` was asked for, a directive would raise what it is to hold down.
    let most = filter.max_level_hint();
    if most.is_none_or(|most| most > LevelFilter::INFO) {
        for quiet in QUIET {
            if let Ok(directive) = quiet.parse() {
                filter = filter.add_directive(directive);
            }
        }
    }
    Some(filter)
}

/// Logs to standard error from now on, once a process.
pub(crate) fn start_logging(log: &LogSection) {
    let Some(filter) = filter(&log.level) else {
        return;
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_held_at_info_and_never_raised_to_it() {
        for (level, held) in [("warn", false), ("info", false), ("debug", true)] {
            let said = filter(level).unwrap().to_string();
            assert_eq!(said.contains("ractor_cluster=info"), held, "{said}");
        }
    }
}
