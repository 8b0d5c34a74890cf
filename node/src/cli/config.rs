//! `troupe config`: check, read, change.

use std::path::PathBuf;

use clap::Subcommand;

use super::{
    Global,
    exit::{Exit, Failure, Outcome},
    output::Output,
};
use crate::{
    config::{DEFAULT_FILE, set},
    node::write_atomically,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say whether a file, with the environment over it, is right
    Check {
        /// The file; the one in force when absent
        file: Option<PathBuf>,
    },
    /// Print the value in force of a key such as tasks.max_steps, of a section, or of everything
    Get {
        /// The key
        key: Option<String>,
    },
    /// Change one value in the file
    Set {
        /// The key, such as tasks.max_steps
        key: String,
        /// The value: TOML, or a text
        value: String,
    },
}

impl Command {
    pub(super) fn run(self, global: &Global, output: &Output) -> Outcome {
        match self {
            Self::Check { file } => {
                let mut global = global.clone();
                if file.is_some() {
                    global.config = file;
                }
                global.checked()?;
                output.text("OK\n")
            }
            Self::Get { key } => get(global, key.as_deref(), output),
            Self::Set { key, value } => change(global, &key, &value, output),
        }
    }
}

fn get(global: &Global, key: Option<&str>, output: &Output) -> Outcome {
    let config = global.load()?;
    let Some(key) = key else {
        return if output.is_for_programs() {
            output.data(&config)
        } else {
            output.text(&toml::to_string(&config).map_err(unprintable)?)
        };
    };
    let value = config.get(key)?;
    if output.is_for_programs() {
        return output.data(&value);
    }
    match value {
        toml::Value::String(text) => output.text(&format!("{text}\n")),
        toml::Value::Table(table) => output.text(&toml::to_string(&table).map_err(unprintable)?),
        value => output.text(&format!("{value}\n")),
    }
}

fn unprintable(error: toml::ser::Error) -> Failure {
    Failure::new(Exit::Failed, "the configuration cannot be printed").because(error)
}

fn change(global: &Global, key: &str, value: &str, output: &Output) -> Outcome {
    let path = global
        .config
        .clone()
        .unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(crate::config::Error::Read { path, source }.into()),
    };
    let changed = set(&text, &path, key, value)?;
    let findings = crate::Config::parse(&changed, &path)?.check();
    if !findings.is_empty() {
        return Err(crate::config::Error::Check(findings).into());
    }
    write_atomically(&path, changed.as_bytes()).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot write {}", path.display())).because(error)
    })?;
    output.note(&format!(
        "{} is changed; a node reads it when it starts",
        path.display()
    ));
    Ok(Exit::Ok)
}
