//! A program of the machine, called without a shell, and ended with all that it started.
//!
//! Between the node and each program stands a runner ([`run_tool`]). It ends the program and every
//! descendant, also one that left its group and session, when the call is over or the node dies. A
//! runner that is killed itself takes the program along, but not what that started.
//! Without a runner programs are started directly: then a node that is killed leaves them running
//! until [`sweep`] ends them at its next start.

pub mod capture;
pub mod config;
pub mod environment;
pub mod family;
mod job;
mod launch;
mod output;
mod process;
pub mod program;
mod runner;
mod workdir;

use std::{
    env, ffi::OsString, future::ready, path::Path, path::PathBuf, sync::Arc, time::Duration,
};

use protocol::api::FieldError;
use runtime::membership::Fence;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Adapter, Answer, Call, CallError};
use config::Config;
pub use runner::run_tool;

/// How programs are run on this node.
#[derive(Debug)]
pub(super) struct Settings {
    allow: Vec<String>,
    inherited: Vec<(String, String)>,
    search_path: OsString,
    max_output: u64,
    limits: job::Limits,
    runner: Option<PathBuf>,
    data_dir: PathBuf,
    fence: Fence,
}

impl Settings {
    /// Below it lie working directories and artifacts.
    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub(super) fn new(command: &crate::config::Command, data_dir: &Path, fence: Fence) -> Self {
        let inherited = command.env.iter();
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        let search_path = program::search_path();
        let runner = command.runner.clone().or_else(|| find_runner(&search_path));
        if runner.is_none() {
            tracing::warn!(
                "no `troupe` program was found to stand between this node and its commands: \
                 commands outlive the node if it is killed; `[command] runner` names one"
            );
        }
        Self {
            allow: command.allow.clone(),
            inherited: inherited
                .filter_map(|name| Some((name.clone(), env::var(name).ok()?)))
                .collect(),
            search_path,
            max_output: command.max_output,
            limits: job::Limits {
                processes: command.max_processes,
                file: command.max_file,
                memory: command.max_memory,
            },
            runner,
            data_dir,
            fence,
        }
    }
}

/// This very program if it is one that can be a runner, or one beside it, or on the search path.
fn find_runner(search_path: &OsString) -> Option<PathBuf> {
    const RUNNERS: [&str; 2] = ["troupe", "troupe-tool-runner"];
    let own = env::current_exe().ok()?;
    let name = own.file_name()?.to_string_lossy();
    // A program file that was replaced by an upgrade still runs, and this still reaches it.
    if name.trim_end_matches(" (deleted)") == "troupe" {
        return Some("/proc/self/exe".into());
    }
    let beside = own.parent()?.as_os_str();
    RUNNERS
        .iter()
        .find_map(|name| program::find(name, beside))
        .or_else(|| RUNNERS.iter().find_map(|it| program::find(it, search_path)))
}

/// Removes what attempts of an earlier run of the node left behind, processes included. To be
/// called when the node starts, before the first call.
pub fn sweep(data_dir: &Path) {
    let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let work = workdir::work(&data_dir);
    if work.exists() {
        let strays = family::kill_strays(&work, None, None);
        if strays > 0 {
            tracing::warn!(
                strays,
                "ended processes that an earlier run had left behind"
            );
        }
        workdir::remove(&work);
    }
}

/// Calls a program.
#[derive(Debug)]
pub(super) struct Command {
    config: Arc<Config>,
    settings: Arc<Settings>,
}

impl Command {
    /// A command with this configuration.
    pub(super) fn new(config: Config, settings: &Arc<Settings>) -> Result<Self, Vec<FieldError>> {
        let mut faults = config.faults();
        if let Some(name) = config.argv.first().filter(|_| faults.is_empty())
            && !program::is_allowed(name, &settings.allow, &settings.search_path)
        {
            let refusal = program::Refusal::NotAllowed(name.clone());
            faults.push(FieldError::new("config.argv[0]", refusal.to_string()));
        }
        if faults.is_empty() {
            Ok(Self {
                config: Arc::new(config),
                settings: Arc::clone(settings),
            })
        } else {
            Err(faults)
        }
    }

    fn program(&self) -> Result<PathBuf, program::Refusal> {
        let name = self.config.argv.first().map_or("", String::as_str);
        program::resolve(name, &self.settings.allow, &self.settings.search_path)
    }
}

impl Adapter for Command {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async move {
            if cancel.is_cancelled() {
                return Err(CallError::Cancelled);
            }
            let program = self
                .program()
                .map_err(|refusal| CallError::fatal("spawn", refusal.to_string()))?;
            let stop = cancel.child_token();
            // Whoever drops this call has stopped it; the attempt outlives us to clean up.
            let _stop_with_us = stop.clone().drop_guard();
            let attempt = process::Attempt {
                program,
                config: Arc::clone(&self.config),
                settings: Arc::clone(&self.settings),
                call: call.clone(),
                stop,
            };
            match tokio::spawn(attempt.run()).await {
                Ok(answer) => answer,
                Err(error) => Err(CallError::lost("runner", error.to_string())),
            }
        })
    }

    fn timeout(&self) -> Option<Duration> {
        self.config.timeout.map(|timeout| timeout.0)
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        let found = self
            .program()
            .map(|file| format!("{} is there", file.display()))
            .map_err(|refusal| refusal.to_string());
        Box::pin(ready(found))
    }
}
