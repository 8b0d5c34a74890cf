//! Log lines on standard error, for people or as JSON, at a level that can be changed while the node
//! runs.

mod gate;
mod line;

use std::{
    io::{self, IsTerminal, Write},
    sync::{Mutex, OnceLock, PoisonError},
};

use actors::orchestrator::LogDial;
use tracing_subscriber::{
    EnvFilter, Registry,
    filter::LevelFilter,
    fmt::{self, MakeWriter, format::JsonFields},
    layer::{Layer, SubscriberExt},
    reload,
    util::SubscriberInitExt,
};

use self::{gate::Gate, line::Lines};
use crate::config::{LogFormat, LogSection};

/// Held at `info` whatever is asked for: below that they write whole messages.
const QUIET: [&str; 2] = ["ractor_cluster=info", "ractor=info"];

/// The process has one subscriber, however many nodes it holds.
static DIAL: OnceLock<Dial> = OnceLock::new();

/// Whether `level` can be read; says why not.
pub(crate) fn check_level(level: &str) -> Result<(), String> {
    // The library takes a bare word for the name of a part, and lets nothing else through then.
    let mut words = level.split(',').map(str::trim);
    let wrong = |word: &&str| {
        let is_level = !word.is_empty() && word.parse::<LevelFilter>().is_ok();
        !is_level && !word.contains(['=', '[', ']'])
    };
    if let Some(wrong) = words.find(wrong) {
        return Err(format!(
            "`{wrong}` is neither `off`, `error`, `warn`, `info`, `debug` or `trace` nor a part with its \
             level, such as `actors=debug`"
        ));
    }
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
    let (filter, handle) = reload::Layer::new(Gate(filter));
    let lines = match log.format {
        LogFormat::Human => fmt::layer()
            .with_writer(Redacted)
            .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .boxed(),
        LogFormat::Json => fmt::layer()
            .with_writer(Redacted)
            .fmt_fields(JsonFields::new())
            .event_format(Lines::new(log.fields))
            .boxed(),
    };
    let subscriber = Registry::default().with(filter).with(lines);
    // A second node of the process keeps to the first one's subscriber.
    if subscriber.try_init().is_ok() {
        let _ = DIAL.set(Dial {
            handle,
            level: Mutex::new(log.level.clone()),
        });
    }
}

/// The level of this process, where its lines are this program's to decide on.
pub(crate) fn dial() -> Option<&'static dyn LogDial> {
    DIAL.get().map(|dial| dial as &dyn LogDial)
}

/// The level in force.
#[derive(Debug)]
struct Dial {
    handle: reload::Handle<Gate, Registry>,
    level: Mutex<String>,
}

impl LogDial for Dial {
    fn level(&self) -> String {
        let level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        level.clone()
    }

    fn set(&self, level: &str) -> Result<(), String> {
        check_level(level)?;
        let filter = filter(level).ok_or("is not a level")?;
        let mut now = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let turned = self.handle.reload(Gate(filter));
        turned.map_err(|error| error.to_string())?;
        level.clone_into(&mut now);
        Ok(())
    }
}

/// Standard error, without secrets.
#[derive(Debug, Clone, Copy)]
struct Redacted;

impl<'a> MakeWriter<'a> for Redacted {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for Redacted {
    /// The subscriber writes a line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(line) {
            Ok(text) => io::stderr().write_all(runtime::redact::redact(text).as_bytes())?,
            Err(_) => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused_and_not_taken_for_a_part() {
        for level in [
            "off",
            "info,actors=debug",
            "WARN,audit=info",
            "info,[task{id}]=trace",
        ] {
            assert_eq!(check_level(level), Ok(()), "{level}");
        }
        for level in ["nonsense", "", "info,", "info,actors", "info,actors=loud"] {
            let refused = check_level(level).unwrap_err();
            assert!(refused.contains("level"), "{refused}");
        }
    }

    #[test]
    fn libraries_are_held_at_info_and_never_raised_to_it() {
        for (level, held) in [("warn", false), ("info", false), ("debug", true)] {
            let said = filter(level).unwrap().to_string();
            assert_eq!(said.contains("ractor_cluster=info"), held, "{said}");
        }
    }
}
