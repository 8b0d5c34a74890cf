//! How a command ends: exit codes, and errors that name cause and remedy.

use std::{error::Error, fmt::Display, io::Write};

use super::output::{Output, visible, visible_lines};
use crate::{
    client, config, job,
    node::{DirError, StartError},
};

/// The exit codes, which stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// All went well.
    Ok = 0,
    /// The task failed, or the request was refused.
    Failed = 1,
    /// Wrong usage or input, or only a part succeeded.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// No node can be reached, or it cannot answer now.
    Unreachable = 4,
    /// Not permitted.
    Forbidden = 5,
    /// Not possible in this state.
    Conflict = 6,
    /// The task was cancelled.
    Cancelled = 7,
    /// The node gave up: too much failed too often.
    GaveUp = 70,
    /// The data directory is in use.
    Busy = 75,
    /// The configuration is wrong.
    Config = 78,
    /// Interrupted.
    Interrupted = 130,
}

impl Exit {
    /// Recorded runs would go another way.
    pub(super) const DIVERGED: Self = Self::NotFound;

    pub(super) const fn code(self) -> u8 {
        self as u8
    }
}

/// What a command answers.
pub(super) type Outcome = Result<Exit, Failure>;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    message: String,
    causes: Vec<String>,
    help: Option<String>,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
            help: None,
        }
    }

    /// Adds what led to it.
    pub(super) fn because(mut self, cause: impl Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// Adds what can be done about it.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn of(exit: Exit, error: &dyn Error) -> Self {
        let mut failure = Self::new(exit, error.to_string());
        let mut source = error.source();
        while let Some(error) = source {
            let cause = error.to_string();
            // Libraries like to repeat what stands above.
            if failure.causes.last() != Some(&cause) {
                failure.causes.push(cause);
            }
            source = error.source();
        }
        failure
    }

    /// Writes it to standard error.
    pub(super) fn report(&self, output: &Output) {
        let mut text = format!(
            "{} {}\n",
            output.paint_error("error:"),
            visible_lines(&self.message)
        );
        for cause in &self.causes {
            text.push_str(&format!("cause: {}\n", visible_lines(cause)));
        }
        if let Some(help) = &self.help {
            text.push_str(&format!("help: {}\n", visible(help)));
        }
        // Nobody is left to be told when standard error is closed.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        match &error {
            client::Error::NoNode { dir } => Self::of(Exit::Unreachable, &error).help(format!(
                "start one with `troupe start --data-dir {}`, or name one with --url and --token",
                dir.display()
            )),
            client::Error::Certificate { .. } => Self::of(Exit::Usage, &error)
                .help("name a PEM file with the node's certificate, or that of who signed it, with --cacert"),
            client::Error::Read { .. } => Self::of(Exit::Forbidden, &error)
                .help("the files belong to the user who started the node; or name it with --url and --token"),
            client::Error::NoToken { .. } => Self::of(Exit::Forbidden, &error)
                .help("give its token with --token or TROUPE_TOKEN; it lies in `admin.token` in the node's data directory"),
            client::Error::Unreachable { url, .. } if url.starts_with("https:") => Self::of(Exit::Unreachable, &error)
                .help("is the node running? --cacert names its certificate, if the system does not know who signed it"),
            client::Error::Unreachable { .. } => Self::of(Exit::Unreachable, &error)
                .help("is the node running? `troupe start` starts one; --url or --data-dir names another"),
            client::Error::Unknown { .. } => Self::of(Exit::Failed, &error)
                .help("is this the address of a troupe node, and of the same version?"),
            client::Error::Refused(problem) => refused(problem),
        }
    }
}

fn refused(problem: &protocol::api::Problem) -> Failure {
    let (exit, help) = match problem.status {
        401 => (
            Exit::Forbidden,
            Some("the node does not know this token: check --token, TROUPE_TOKEN or --data-dir"),
        ),
        403 => (
            Exit::Forbidden,
            Some("use a token of a role that may do this"),
        ),
        404 => (
            Exit::NotFound,
            Some(
                "`troupe task list`, `workflow list`, `agent list` and `nodes` show what there is",
            ),
        ),
        409 if problem.code == "irreversible" => {
            (Exit::Conflict, Some("--confirm does it all the same"))
        }
        409 | 412 => (Exit::Conflict, None),
        429 => (
            Exit::Unreachable,
            Some("the node is full: try again in a moment"),
        ),
        400 | 413 | 415 | 422 => (Exit::Usage, None),
        500.. => (
            Exit::Unreachable,
            Some("`troupe status` says what does not work"),
        ),
        _ => (Exit::Failed, None),
    };
    let mut failure = Failure::new(exit, problem.message.clone());
    for error in &problem.errors {
        let cause = format!("{}: {}", error.field, error.message);
        if cause != problem.message {
            failure = failure.because(cause);
        }
    }
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        let (exit, help) = match &error {
            config::Error::Read { .. } => (Exit::Config, "name another file with --config"),
            config::Error::File { .. } | config::Error::Variable { .. } => (
                Exit::Config,
                "every key stands in the documented `cluster.toml`; `troupe config get SECTION` shows a section's keys",
            ),
            config::Error::Check(_) => (
                Exit::Config,
                "`troupe config get SECTION` shows what is in force, after file, environment and flags",
            ),
            config::Error::Key(_) => (
                Exit::NotFound,
                "a key is written as SECTION.NAME, such as `tasks.max_steps`",
            ),
            config::Error::Edit { .. } => (Exit::Config, "change the file by hand"),
        };
        Self::of(exit, &error).help(help)
    }
}

impl From<job::Error> for Failure {
    fn from(error: job::Error) -> Self {
        let help = match &error {
            job::Error::Read { .. } => {
                "give the path of a job file, such as examples/repo_review.yaml"
            }
            job::Error::Faults(_) => "nothing was started; correct the file and run it again",
        };
        Self::of(Exit::Usage, &error).help(help)
    }
}

impl From<job::InputError> for Failure {
    fn from(error: job::InputError) -> Self {
        Self::of(Exit::Usage, &error).help("give inputs as --input NAME=VALUE")
    }
}

impl From<DirError> for Failure {
    fn from(error: DirError) -> Self {
        match &error {
            DirError::Locked { .. } => Self::of(Exit::Busy, &error)
                .help("stop that process, or use another directory with --data-dir"),
            DirError::Io { .. } => Self::of(Exit::Failed, &error)
                .help("name a directory that this user can write with --data-dir"),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(findings) => config::Error::Check(findings).into(),
            StartError::Dir(error) => error.into(),
            StartError::Store(ref store) => {
                use runtime::store::Error;
                let help = match store {
                    Error::Full => {
                        "free some space, then start again; nothing that was acknowledged is lost"
                    }
                    Error::Unavailable(_) => {
                        "see that `store.url` leads to it, that its server runs and knows that user, or that no \
                         other program holds the file"
                    }
                    Error::Busy(_) => {
                        "try again when it has connections to give, and nobody locks its tables"
                    }
                    Error::Corrupt(_) => {
                        "`troupe db verify` says what is wrong; put a backup in place"
                    }
                    Error::Unusable(_) => {
                        "do what it says; a file of a newer build wants that build, or another --data-dir"
                    }
                };
                Self::of(Exit::Failed, &error).help(help)
            }
            // Each is one line that names cause and remedy.
            StartError::Enrol(error) => Self::new(Exit::Failed, error.to_string()),
            StartError::Network(error) => Self::new(Exit::Failed, error.to_string()),
            StartError::Worker(_) => Self::of(Exit::Failed, &error)
                .help("name a directory that this user can write with --data-dir"),
            StartError::Edge(_) => Self::of(Exit::Failed, &error)
                .help("choose another address with --listen; port 0 picks a free one"),
        }
    }
}
