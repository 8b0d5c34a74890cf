//! Where PostgreSQL's programs lie, and as whom they run.

use std::{
    env, fs, io,
    net::TcpListener,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use super::Error;

/// Names the folder of the programs, when it shall not be the newest that the machine has.
const BINDIR: &str = "TROUPE_TEST_POSTGRES_BINDIR";

const SERVER: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

const CLIENTS: [&str; 2] = ["psql", "pg_basebackup"];

const INSTALL: &str = "PostgreSQL's server programs (initdb, pg_ctl, psql) were not found in \
    `pg_config --bindir` or /usr/lib/postgresql/*/bin; install them, on Debian and Ubuntu with \
    `apt-get install -y postgresql`";

/// PostgreSQL refuses to run as root; one of these runs it then.
const USERS: [&str; 2] = ["postgres", "nobody"];

#[derive(Debug, Clone)]
pub(super) struct Binaries {
    folder: PathBuf,
    clients: PathBuf,
    /// User and group that are not root's, when root runs the tests.
    other: Option<(u32, u32)>,
}

impl Binaries {
    pub(super) fn find() -> Result<Self, Error> {
        let named = env::var_os(BINDIR).filter(|folder| !folder.is_empty());
        let folder = match named {
            Some(folder) => whole(folder.into(), &SERVER)?,
            None => installed(&[&SERVER[..], &CLIENTS[..]].concat())?,
        };
        // A package of a server alone has no clients, and those of another version do as well.
        let clients = match whole(folder.clone(), &CLIENTS) {
            Ok(folder) => folder,
            Err(_) => installed(&CLIENTS)?,
        };
        let other = if rustix::process::geteuid().is_root() {
            Some(other_user()?)
        } else {
            None
        };
        Ok(Self {
            folder,
            clients,
            other,
        })
    }

    /// One of the programs, run as the server's user.
    pub(super) fn command(&self, program: &str) -> Command {
        let folder = if CLIENTS.contains(&program) {
            &self.clients
        } else {
            &self.folder
        };
        let program = folder.join(program);
        let mut command = match self.other {
            None => Command::new(program),
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={user}"))
                    .arg(format!("--regid={group}"))
                    .args(["--clear-groups", "--"])
                    .arg(program);
                command
            }
        };
        // The server writes no files of a user's home, and says everything in one language.
        command
            .current_dir("/")
            .env("LC_ALL", "C")
            .env_remove("PGDATA");
        command
    }

    /// Makes `folder` the server's own.
    pub(super) fn give(&self, folder: &Path) -> Result<(), Error> {
        let Some((user, group)) = self.other else {
            return Ok(());
        };
        chown(folder, Some(user), Some(group))
            .map_err(|error| Error(format!("{} cannot change hands: {error}", folder.display())))
    }
}

/// A folder that the environment names, so that a test runs on the version that it says and no other.
fn whole(folder: PathBuf, programs: &[&str]) -> Result<PathBuf, Error> {
    let missing = |program: &&&str| !folder.join(program).exists();
    match programs.iter().find(missing) {
        None => Ok(folder),
        Some(program) => Err(Error(format!(
            "{BINDIR} names {}, where there is no `{program}`",
            folder.display()
        ))),
    }
}

/// The newest that the machine has.
fn installed(programs: &[&str]) -> Result<PathBuf, Error> {
    let told = text(Command::new("pg_config").arg("--bindir")).map(PathBuf::from);
    let mut folders: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    folders.sort();
    folders.extend(told);
    let whole = folders
        .into_iter()
        .rev()
        .find_map(|folder| whole(folder, programs).ok());
    whole.ok_or_else(|| Error(INSTALL.to_owned()))
}

fn other_user() -> Result<(u32, u32), Error> {
    let number = |flag, user| {
        let said = text(Command::new("id").args([flag, user])).ok()?;
        said.parse().ok()
    };
    let found = USERS
        .into_iter()
        .find_map(|user| number("-u", user).zip(number("-g", user)));
    found.ok_or_else(|| {
        Error("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`".into())
    })
}

/// The server's first process.
pub(super) fn first(data: &Path) -> Result<String, Error> {
    let file = data.join("postmaster.pid");
    let text = fs::read_to_string(&file).map_err(|error| Error(format!("no server: {error}")))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// All that a process started.
pub(super) fn children(first: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = entries.filter_map(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // `pid (name) state parent …`, and the name may hold anything.
        let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?;
        (parent == first).then(|| entry.file_name().to_string_lossy().into_owned())
    });
    children.collect()
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> u16 {
    let probe = TcpListener::bind(("127.0.0.1", 0)).and_then(|probe| probe.local_addr());
    probe.map_or(0, |address| address.port())
}

/// Runs a command whose output nobody reads.
pub(super) fn run(command: &mut Command) -> Result<(), Error> {
    let status = command.stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error(format!("{command:?} ended with {status}"))),
        Err(error) => Err(unrun(command, &error)),
    }
}

/// What a command says; an error when it fails.
pub(super) fn checked(command: &mut Command) -> Result<String, Error> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| unrun(command, &error))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&stderr);
    Err(Error(format!("{command:?} ended with {status}: {said}")))
}

/// The first line that a command says.
pub(super) fn text(command: &mut Command) -> Result<String, Error> {
    let said = checked(command)?;
    Ok(said.lines().next().unwrap_or_default().to_owned())
}

fn unrun(command: &Command, error: &io::Error) -> Error {
    Error(format!("{command:?} cannot be run: {error}"))
}
