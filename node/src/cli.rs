//! The command line: a client of a node's HTTP interface, but for `start`, `run` and `db`.

use std::{
    ffi::OsStr,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, CommandFactory, Parser, Subcommand};
use tokio::runtime;

use crate::{client::Client, config::Config};

mod actor;
mod agent;
mod cluster;
mod config;
mod db;
mod demo;
mod events;
mod exit;
mod hold;
mod inbox;
mod mcp;
mod output;
mod patience;
mod run;
mod schedule;
mod spend;
mod start;
mod system;
mod task;
mod template;
mod top;
mod tree;
mod view;
mod workflow;

use exit::{Exit, Failure, Outcome};
use output::{Format, Output};

const AFTER_HELP: &str = "\
Exit codes:
  0  all went well              6  conflict: not possible in this state
  1  the task failed, or the    7  the task was cancelled
     request was refused       70  the node gave up, and should be started again
  2  wrong usage or input, a   75  the data directory is in use
     partial failure, or the   78  the configuration is wrong
     time to wait is over     130  interrupted
  3  not found
  4  no node can be reached, or it cannot answer now
  5  not permitted

A node is found by --url and --token (TROUPE_URL, TROUPE_TOKEN), or else by the files that it
keeps in --data-dir (TROUPE_DATA_DIR, ./troupe-data). --cacert (TROUPE_CACERT) names the
certificate of a node that speaks TLS with one of its own.";

/// Runs AI agents as supervised, durable actors.
#[derive(Debug, Parser)]
#[command(name = "troupe", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
struct Global {
    /// Where the node keeps everything [default: ./troupe-data]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "TROUPE_DATA_DIR",
        hide_env = true
    )]
    data_dir: Option<PathBuf>,
    /// The node's address, such as http://127.0.0.1:8000
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "TROUPE_URL",
        hide_env = true
    )]
    url: Option<String>,
    /// The token to call it with; with `start --join`, the one-time token that lets the node in
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "TROUPE_TOKEN",
        hide_env = true,
        hide_env_values = true
    )]
    token: Option<String>,
    /// PEM file with the certificates to trust, and no others: for a node with a certificate of its own
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "TROUPE_CACERT",
        hide_env = true
    )]
    cacert: Option<PathBuf>,
    /// The configuration file [default: ./cluster.toml, if it is there]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "TROUPE_CONFIG",
        hide_env = true
    )]
    config: Option<PathBuf>,
    /// How results are printed; JSON is what the HTTP interface answers
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Format,
    /// Print ids only
    #[arg(short, long, global = true)]
    quiet: bool,
    /// No colours, even on a terminal
    #[arg(long, global = true)]
    no_color: bool,
    /// What to log to standard error: off, error, warn, info, debug, trace
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a node and serve until it is told to stop
    Start(start::Start),
    /// Run the job that a file describes, in a node of its own or the one that runs in --data-dir
    Run(run::Run),
    /// Tasks: create, look at, wait for, stop
    #[command(subcommand, visible_alias = "tasks")]
    Task(task::Task),
    /// Task templates: create, update, list, get, delete; `task create --template` fills one
    #[command(subcommand, visible_alias = "templates")]
    Template(template::Template),
    /// Workflows: check, draw, make, change, run, watch, pause
    #[command(subcommand, visible_alias = "workflows")]
    Workflow(workflow::Workflow),
    /// Agents: register, change, start, stop
    #[command(subcommand, visible_alias = "agents")]
    Agent(agent::Agent),
    /// List the nodes of the cluster
    Nodes,
    /// Nodes: show, drain, remove
    #[command(subcommand)]
    Node(cluster::Node),
    /// Tokens with which nodes join: create, list, revoke
    #[command(subcommand, visible_alias = "tokens")]
    Token(cluster::Token),
    /// End all that is in a scope: TASK, session:ID, user:NAME, agent:NAME, node:NAME, cluster
    Stop(hold::Stop),
    /// Let nothing in a scope start until it is resumed: the scopes of `stop`
    Pause(hold::Pause),
    /// Let a paused scope go on: the scopes of `stop`
    Resume(hold::Resume),
    /// Dependencies that steps wait for: hold, list, let go
    #[command(subcommand, visible_alias = "holds")]
    Hold(hold::Hold),
    /// Questions that wait for a person: list, claim, answer, delegate
    #[command(subcommand)]
    Inbox(inbox::Inbox),
    /// Schedules: create, list, get, pause, resume, fire, runs, delete
    #[command(subcommand, visible_alias = "schedules")]
    Schedule(schedule::Schedule),
    /// Triggers: create, list, get, pause, resume, runs, delete
    #[command(subcommand, visible_alias = "triggers")]
    Trigger(schedule::Trigger),
    /// Show every actor of the cluster: as it is, as it was, what changed
    Tree(tree::Tree),
    /// Show one actor in full: failures, current message, what became of it
    Inspect(actor::Inspect),
    /// Actors: restart, stop, kill, pause, resume, release
    #[command(subcommand, visible_alias = "actors")]
    Actor(actor::Actor),
    /// What became of actors: started, failed, restarted, moved, parked, stuck
    Events(events::Events),
    /// Watch the cluster on a terminal: actors, mailboxes, crash loops, nodes
    Top,
    /// Give an agent tools to look at the cluster: MCP over standard input and output
    Mcp,
    /// Say what each unfinished step of a task waits for
    Why(system::Why),
    /// Say whether each subsystem of the node works
    Status,
    /// Show how much a node logs, or change it while it runs
    Log(system::Log),
    /// Check, read or change the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Look after the database
    #[command(subcommand)]
    Db(db::Db),
    /// Show on this machine what is promised
    #[command(subcommand)]
    Demo(demo::Demo),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Reads the arguments, does what they say, and answers the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let output = Output::new(&cli.global);
    let outcome = dispatch(cli, &output);
    ExitCode::from(match outcome {
        Ok(exit) => exit.code(),
        Err(failure) => {
            failure.report(&output);
            failure.exit.code()
        }
    })
}

/// Says what is wrong with the arguments, or what was asked of them: help, or the version.
fn refused(error: &clap::Error) -> ExitCode {
    let shown = error.render();
    // Nobody is left to be told when the stream is closed.
    let _ = match error.use_stderr() {
        true if io::stderr().is_terminal() => {
            io::stderr().write_all(plain(&shown.ansi().to_string()).as_bytes())
        }
        true => io::stderr().write_all(plain(&shown.to_string()).as_bytes()),
        false => error.print(),
    };
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
}

/// What parsers of numbers say, in words that say what to give.
fn plain(text: &str) -> String {
    [
        ("invalid digit found in string", "give a whole number"),
        (
            "cannot parse integer from empty string",
            "give a whole number",
        ),
        (
            "number too large to fit in target type",
            "give a smaller number",
        ),
        (
            "number too small to fit in target type",
            "give a larger number",
        ),
        ("invalid float literal", "give a number"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (theirs, ours)| {
        text.replace(theirs, ours)
    })
    .replace("..=", " to ")
}

fn dispatch(cli: Cli, output: &Output) -> Outcome {
    let global = cli.global;
    match cli.command {
        Command::Start(start) => threads()?.block_on(start.run(&global)),
        Command::Run(run) => threads()?.block_on(run.run(&global, output)),
        Command::Task(task) => remote(&global, async |client| task.run(&client, output).await),
        Command::Template(template) => {
            remote(&global, async |client| template.run(&client, output).await)
        }
        Command::Workflow(workflow) => match workflow.alone(output) {
            Ok(outcome) => outcome,
            Err(workflow) => remote(&global, async |client| workflow.run(&client, output).await),
        },
        Command::Agent(agent) => remote(&global, async |client| agent.run(&client, output).await),
        Command::Nodes => remote(&global, async |client| {
            cluster::nodes(&client, output).await
        }),
        Command::Node(node) => remote(&global, async |client| node.run(&client, output).await),
        Command::Token(token) => remote(&global, async |client| token.run(&client, output).await),
        Command::Stop(stop) => remote(&global, async |client| stop.run(&client, output).await),
        Command::Pause(pause) => remote(&global, async |client| pause.run(&client, output).await),
        Command::Resume(resume) => {
            remote(&global, async |client| resume.run(&client, output).await)
        }
        Command::Hold(hold) => remote(&global, async |client| hold.run(&client, output).await),
        Command::Inbox(inbox) => remote(&global, async |client| inbox.run(&client, output).await),
        Command::Schedule(schedule) => {
            remote(&global, async |client| schedule.run(&client, output).await)
        }
        Command::Trigger(trigger) => {
            remote(&global, async |client| trigger.run(&client, output).await)
        }
        Command::Tree(tree) => remote(&global, async |client| tree.run(&client, output).await),
        Command::Inspect(inspect) => {
            remote(&global, async |client| inspect.run(&client, output).await)
        }
        Command::Actor(actor) => remote(&global, async |client| actor.run(&client, output).await),
        Command::Events(events) => {
            remote(&global, async |client| events.run(&client, output).await)
        }
        Command::Top => remote(&global, async |client| top::run(&client, output).await),
        Command::Mcp => remote(&global, async |client| mcp::run(&client).await),
        Command::Why(why) => remote(&global, async |client| why.run(&client, output).await),
        Command::Log(log) => remote(&global, async |client| log.run(&client, output).await),
        Command::Status => remote(&global, async |client| {
            system::status(&client, output).await
        }),
        Command::Config(command) => command.run(&global, output),
        Command::Db(db) => threads()?.block_on(db.run(&global, output)),
        Command::Demo(demo) => threads()?.block_on(demo.run(&global, output)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "troupe", &mut script);
            output.text(&String::from_utf8_lossy(&script))
        }
    }
}

fn threads() -> Result<runtime::Runtime, Failure> {
    runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, "cannot start threads").because(error))
}

/// Calls a node; one thread is enough for that.
fn remote<F: Future<Output = Outcome>>(global: &Global, call: impl FnOnce(Client) -> F) -> Outcome {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, "cannot start").because(error))?;
    global.start_logging()?;
    let client = global.client()?;
    runtime.block_on(call(client))
}

impl Global {
    /// File and environment, with the flags that every command takes put over them.
    fn load(&self) -> Result<Config, Failure> {
        let mut config = Config::load(self.config.as_deref(), std::env::vars_os())?;
        if let Some(dir) = &self.data_dir {
            config.node.data_dir.clone_from(dir);
        }
        if let Some(level) = &self.log {
            config.log.level.clone_from(level);
        }
        Ok(config)
    }

    /// The same, after a check of all of it.
    fn checked(&self) -> Result<Config, Failure> {
        let config = self.load()?;
        let findings = config.check();
        if findings.is_empty() {
            Ok(config)
        } else {
            Err(crate::config::Error::Check(findings).into())
        }
    }

    /// Logs only when asked to, as clients and `run` do.
    fn start_logging(&self) -> Result<(), Failure> {
        if self.log.is_some() {
            crate::telemetry::start_logging(&self.checked()?.log);
        }
        Ok(())
    }

    fn client(&self) -> Result<Client, Failure> {
        crate::node::prepare_process();
        let dir = match (&self.data_dir, &self.url, &self.token) {
            (Some(dir), _, _) => dir.clone(),
            // With both given, nothing of this machine's configuration matters.
            (None, Some(_), Some(_)) => PathBuf::new(),
            (None, _, _) => self.load()?.node.data_dir,
        };
        self.find(self.url.as_deref(), &dir)
    }

    /// The node at `url`, or else the one that runs in `dir`.
    fn find(&self, url: Option<&str>, dir: &Path) -> Result<Client, Failure> {
        let client = Client::find(url, self.token.as_deref(), dir)?;
        match &self.cacert {
            Some(file) => Ok(client.trusting(file)?),
            None => Ok(client),
        }
    }
}

/// The text of a file, or of standard input for `-`.
fn read_text(path: &Path) -> Result<String, Failure> {
    let text = if path.as_os_str() == OsStr::new("-") {
        io::read_to_string(io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot read {}", path.display())).because(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &clap::Command, global: &[&str]) {
        for argument in command.get_arguments() {
            let taken = |name: &str| global.contains(&name);
            assert!(
                !taken(argument.get_id().as_str()) && !argument.get_long().is_some_and(taken),
                "{}: {argument}",
                command.get_name()
            );
        }
        command.get_subcommands().for_each(|sub| check(sub, global));
    }

    #[test]
    fn a_wrong_number_is_told_in_plain_words() {
        for (given, told) in [
            ("x", "give a whole number"),
            ("", "give a whole number"),
            ("99999999999", "99999999999 is not in 0 to 4294967295"),
        ] {
            let limit = format!("--limit={given}");
            let error = Cli::try_parse_from(["troupe", "events", &limit])
                .err()
                .unwrap();
            let shown = plain(&error.to_string());
            assert!(shown.contains(told), "{shown}");
            assert!(shown.contains("--limit <N>"), "{shown}");
        }
    }

    #[test]
    fn no_command_gives_a_flag_of_all_commands_another_meaning() {
        let cli = Cli::command();
        let global: Vec<&str> = cli
            .get_arguments()
            .map(|arg| arg.get_id().as_str())
            .collect();
        assert!(global.contains(&"config"));
        cli.get_subcommands().for_each(|sub| check(sub, &global));
    }
}
