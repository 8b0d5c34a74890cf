//! A PostgreSQL server of this demonstration alone, from the machine's programs.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, chown},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::{Child, Command};

use crate::node::random_hex;

/// What it takes to run a server.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_isready"];

/// PostgreSQL refuses to run as root; one of these runs it then.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// How long a new server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the server until the demonstration, which holds its standard input, is gone.
const KEEPER: &str = r#"trap '' INT TERM HUP
"$@" >"$0/log" 2>&1 &
server=$!
read -r _
kill -QUIT "$server"
wait "$server"
rm -rf "$0""#;

/// A running server; it ends with this value, or with this process.
#[derive(Debug)]
pub(super) struct Postgres {
    folder: PathBuf,
    keeper: Child,
}

/// The machine's programs, and as whom they run.
#[derive(Debug)]
pub(super) struct Programs {
    folder: PathBuf,
    /// User and group, when root runs the demonstration.
    other: Option<(u32, u32)>,
}

impl Programs {
    /// The newest that is installed.
    pub(super) async fn find() -> Option<Self> {
        let mut folders: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .map(|version| version.path().join("bin"))
            .collect();
        folders.sort();
        folders.extend(
            said("pg_config", &["--bindir"])
                .await
                .map(|folder| PathBuf::from(folder.trim())),
        );
        let whole = |folder: &PathBuf| {
            PROGRAMS
                .iter()
                .all(|program| folder.join(program).is_file())
        };
        let folder = folders.into_iter().rev().find(whole)?;
        let other = if rustix::process::geteuid().is_root() {
            Some(other_user().await?)
        } else {
            None
        };
        Some(Self { folder, other })
    }

    fn words(&self, program: &str) -> Vec<String> {
        let program = self.folder.join(program).display().to_string();
        let Some((user, group)) = self.other else {
            return vec![program];
        };
        let user = [format!("--reuid={user}"), format!("--regid={group}")];
        let mut words = vec!["setpriv".to_owned()];
        words.extend(user);
        words.extend(["--clear-groups", "--"].map(str::to_owned));
        words.push(program);
        words
    }

    fn command(&self, program: &str) -> Command {
        let words = self.words(program);
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir("/")
            .env("LC_ALL", "C")
            .env_remove("PGDATA")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

impl Postgres {
    /// Makes an empty server and starts it.
    pub(super) async fn start(programs: &Programs) -> io::Result<Self> {
        // Its user must be able to reach it, so it does not lie in the private directory of the rest.
        let folder = std::env::temp_dir().join(format!("troupe-demo-pg-{}", random_hex::<6>()));
        DirBuilder::new().mode(0o700).create(&folder)?;
        if let Some((user, group)) = programs.other {
            chown(&folder, Some(user), Some(group))?;
        }
        match Self::start_in(programs, &folder).await {
            Ok(server) => Ok(server),
            Err(error) => {
                // What is left of it is of no use to anybody.
                let _ = fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }

    async fn start_in(programs: &Programs, folder: &Path) -> io::Result<Self> {
        let data = folder.join("data");
        let made = programs
            .command("initdb")
            .arg("--pgdata")
            .arg(&data)
            .args(["--no-sync", "--auth=trust", "--username=troupe"])
            .args(["--encoding=UTF8", "--locale=C"])
            .status()
            .await?;
        if !made.success() {
            return Err(io::Error::other(format!("initdb ended with {made}")));
        }
        let keeper = Command::new("sh")
            .arg("-c")
            .arg(KEEPER)
            .arg(folder)
            .args(programs.words("postgres"))
            .arg("-D")
            .arg(&data)
            // Only the socket in its folder: no port can be taken, and no other user reaches it.
            .args(["-c", "listen_addresses=", "-k"])
            .arg(folder)
            .args(["-c", "shared_buffers=32MB"])
            .current_dir("/")
            .env("LC_ALL", "C")
            .env_remove("PGDATA")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the demonstration, which ends it in order.
            .process_group(0)
            .spawn()?;
        let server = Self {
            folder: folder.to_owned(),
            keeper,
        };
        server.answers(programs).await?;
        Ok(server)
    }

    async fn answers(&self, programs: &Programs) -> io::Result<()> {
        let answered = async {
            loop {
                let mut asked = programs.command("pg_isready");
                let asked = asked.arg("-q").arg("-h").arg(&self.folder);
                if asked.status().await?.success() {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answered)
            .await
            .unwrap_or_else(|_| {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                Err(io::Error::other(format!("it does not answer: {log}")))
            })
    }

    pub(super) fn url(&self) -> String {
        format!(
            "postgres://troupe@localhost:5432/postgres?host={}",
            self.folder.display()
        )
    }

    /// Ends it and removes its files.
    pub(super) async fn stop(mut self) {
        drop(self.keeper.stdin.take());
        // A keeper that does not end now ends with this process, and removes the files then.
        let _ = tokio::time::timeout(Duration::from_secs(10), self.keeper.wait()).await;
    }
}

async fn other_user() -> Option<(u32, u32)> {
    for user in USERS {
        let number = async |flag| said("id", &[flag, user]).await?.trim().parse().ok();
        if let (Some(user), Some(group)) = (number("-u").await, number("-g").await) {
            return Some((user, group));
        }
    }
    None
}

/// What a command says, when it ends well.
async fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let ended = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .await
        .ok()?;
    let said = String::from_utf8(ended.stdout).ok()?;
    ended.status.success().then_some(said)
}
