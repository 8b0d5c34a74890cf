//! The release binary as a child: a node on a port of its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{http::Connection, target_dir};

const PATIENCE: Duration = Duration::from_secs(30);

/// A running node; it is killed when this is dropped.
#[derive(Debug)]
pub struct Node {
    child: Child,
    address: String,
    token: String,
    data: PathBuf,
}

/// Builds `troupe` as a newcomer does, and says where it lies.
///
/// # Errors
///
/// When it does not build.
pub async fn build() -> io::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "-p", "troupe-node"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .await?;
    if !status.success() {
        return Err(io::Error::other("troupe does not build"));
    }
    Ok(target_dir().join("release/troupe"))
}

impl Node {
    /// Starts `program` on `data` and waits until it says where it listens.
    ///
    /// # Errors
    ///
    /// When it ends, or says nothing in time.
    pub async fn start(program: &Path, data: &Path) -> io::Result<Self> {
        Self::start_with(program, data, &[]).await
    }

    /// The same, with variables of the environment that overrule its configuration.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub async fn start_with(
        program: &Path,
        data: &Path,
        variables: &[(&str, &str)],
    ) -> io::Result<Self> {
        Self::start_so(program, data, variables, &[]).await
    }

    /// The same, with arguments behind `troupe start`.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub async fn start_so(
        program: &Path,
        data: &Path,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> io::Result<Self> {
        fs::create_dir_all(data)?;
        let log = fs::File::create(data.with_extension("log"))?;
        let mut child = Command::new(program)
            .args(["start", "--listen", "127.0.0.1:0", "--mesh", "127.0.0.1:0"])
            .args(arguments)
            .arg("--data-dir")
            .arg(data)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let said = timeout(PATIENCE, async {
            loop {
                if let Some(status) = child.try_wait()? {
                    let log = fs::read_to_string(data.with_extension("log"))?;
                    return Err(io::Error::other(format!("node ended, {status}:\n{log}")));
                }
                let url = fs::read_to_string(data.join("edge.url")).unwrap_or_default();
                let token = fs::read_to_string(data.join("admin.token")).unwrap_or_default();
                if !url.trim().is_empty() && !token.trim().is_empty() {
                    return Ok((url, token));
                }
                sleep(Duration::from_millis(1)).await;
            }
        });
        let (url, token) = said.await??;
        let address = url.trim().trim_end_matches('/');
        Ok(Self {
            child,
            address: address.trim_start_matches("http://").to_owned(),
            token: token.trim().to_owned(),
            data: data.to_owned(),
        })
    }

    /// A new connection to its edge.
    ///
    /// # Errors
    ///
    /// When it does not listen any more.
    pub async fn connect(&self) -> io::Result<Connection> {
        Connection::open(&self.address, &self.token).await
    }

    /// Where another node joins it, and with which token; once.
    ///
    /// # Errors
    ///
    /// When it did not say.
    pub async fn join_line(&self) -> io::Result<(String, String)> {
        let said = |log: &str| log.contains("Ctrl-C stops it");
        let mut log = String::new();
        for _ in 0..5_000 {
            log = fs::read_to_string(self.data.with_extension("log"))?;
            if said(&log) {
                break;
            }
            sleep(Duration::from_millis(1)).await;
        }
        let line = log.lines().find(|line| line.starts_with("join "));
        let mut words = line.unwrap_or_default().split_whitespace();
        let mut after = |flag: &str| {
            words.by_ref().find(|word| *word == flag)?;
            words.next().map(str::to_owned)
        };
        let said = after("--join").zip(after("--token"));
        said.ok_or_else(|| io::Error::other(format!("no line to join by:\n{log}")))
    }

    /// Where another node joins it, and a token that was made for that.
    ///
    /// # Errors
    ///
    /// When it makes none.
    pub async fn new_token(&self) -> io::Result<(String, String)> {
        let (address, _) = self.join_line().await?;
        let mut connection = self.connect().await?;
        let made = connection.post("/api/v1/tokens", "{}").await?.json()?;
        let token = made["token"].as_str().unwrap_or_default();
        Ok((address, token.to_owned()))
    }

    /// Its process.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn process(&self) -> io::Result<u32> {
        let ended = || io::Error::other("the node ended");
        self.child.id().ok_or_else(ended)
    }

    /// Processor time that it has used, in seconds.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn processor_seconds(&self) -> io::Result<f64> {
        crate::processor_seconds(self.process()?)
    }

    /// Memory that it has in use, in mebibytes.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn resident_mib(&self) -> io::Result<f64> {
        crate::resident_mib(self.process()?)
    }

    /// The same without pages of files, which are mostly its own program.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn anonymous_mib(&self) -> io::Result<f64> {
        crate::anonymous_mib(self.process()?)
    }

    /// The same, with its part of what it shares with others.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn proportional_mib(&self) -> io::Result<f64> {
        crate::proportional_mib(self.process()?)
    }

    /// The sum over all of its metrics of this name whose labels contain a text.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn metric(&self, name: &str, labels: &str) -> io::Result<f64> {
        let mut connection = self.connect().await?;
        let answer = connection.request("GET", "/metrics", "").await?;
        let text = String::from_utf8_lossy(&answer.body);
        let lines = text.lines().filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            let (found, of) = key.split_once('{').unwrap_or((key, ""));
            (found == name && of.contains(labels)).then_some(value)
        });
        Ok(lines.filter_map(|value| value.parse::<f64>().ok()).sum())
    }

    /// What it has logged so far.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub fn log(&self) -> io::Result<String> {
        fs::read_to_string(self.data.with_extension("log"))
    }

    /// Stops its clock, as it were, until it is killed.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub async fn freeze(&self) -> io::Result<()> {
        let id = self.process()?.to_string();
        let status = Command::new("kill").args(["-STOP", &id]).status().await?;
        match status.success() {
            true => Ok(()),
            false => Err(io::Error::other("the node was not stopped")),
        }
    }

    /// Kills it with SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When it ended before.
    pub async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await?;
        // What it left says where it listened; the next one is not to be taken for it.
        fs::remove_file(self.data.join("edge.url"))
    }

    /// Asks it to end, and waits until it did.
    ///
    /// # Errors
    ///
    /// When it does not end in time, or not well.
    pub async fn stop(mut self) -> io::Result<()> {
        let id = self.child.id().map(|id| id.to_string());
        Command::new("kill").args(id).status().await?;
        let status = timeout(PATIENCE, self.child.wait()).await??;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("the node ended with {status}")))
        }
    }
}
