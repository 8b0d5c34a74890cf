//! [`PrivatePostgres`]: a PostgreSQL server of one test program, made from the machine's binaries.

mod server;

use std::{
    fmt::Write as _,
    io::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        LazyLock, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
};

use tempfile::TempDir;

use self::server::{Binaries, checked, run, text};

/// Why there is no server; says what to install where that helps.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// A server that no other program knows of. It ends with this value, and with this process
/// however that ends; its files go with it.
///
/// It can be stopped, frozen and started again, and keeps what it acknowledged.
#[derive(Debug)]
pub struct PrivatePostgres {
    binaries: Binaries,
    folder: TempDir,
    port: RwLock<u16>,
    /// Where it listens, parted by commas.
    addresses: RwLock<String>,
    /// Held open: when it closes, the keeper stops the server and removes its files.
    keeper: Option<ChildStdin>,
    made: AtomicU32,
}

/// The folder of a copy that may take the server's place.
const COPY: &str = "copy";

/// For tests that do not disturb it.
static SHARED: LazyLock<Result<PrivatePostgres, Error>> = LazyLock::new(PrivatePostgres::start);

/// Waits for the test program's end, which closes its input, then ends the server for good.
const KEEPER: &str = r#"
trap '' INT TERM HUP
read -r _
pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null) || pid=
if [ -n "$pid" ]; then
    kill -CONT "$pid"; kill -QUIT "$pid"
    while kill -0 "$pid"; do sleep 0.1; done
fi 2>/dev/null
rm -rf "$0"
"#;

impl PrivatePostgres {
    /// Makes an empty server and starts it, which takes about a second.
    ///
    /// # Errors
    ///
    /// When PostgreSQL is not installed, or the machine lets nobody run it.
    pub fn start() -> Result<Self, Error> {
        let binaries = Binaries::find()?;
        let folder = tempfile::Builder::new()
            .prefix("troupe-pg-")
            .tempdir()
            .map_err(|error| Error(format!("no temporary directory: {error}")))?;
        binaries.give(folder.path())?;
        checked(
            binaries
                .command("initdb")
                .arg("--pgdata")
                .arg(folder.path().join("data"))
                .args(["--no-sync", "--auth=trust", "--username=troupe"])
                .args(["--encoding=UTF8", "--locale=C"]),
        )?;
        Self::over(binaries, folder)
    }

    /// A streaming standby of this server, which follows it for as long as both run.
    ///
    /// # Errors
    ///
    /// When the copy cannot be made or started.
    pub fn standby(&self) -> Result<Self, Error> {
        let folder = tempfile::Builder::new()
            .prefix("troupe-pg-")
            .tempdir()
            .map_err(|error| Error(format!("no temporary directory: {error}")))?;
        self.binaries.give(folder.path())?;
        checked(
            self.binaries
                .command("pg_basebackup")
                .arg("--pgdata")
                .arg(folder.path().join("data"))
                .args(["--write-recovery-conf", "--wal-method=stream", "--no-sync"])
                .args(["--checkpoint=fast", "--username=troupe", "--host"])
                .arg(self.folder.path())
                .arg(format!("--port={}", self.port())),
        )?;
        Self::over(self.binaries.clone(), folder)
    }

    /// Starts a server over the files in `folder`.
    fn over(binaries: Binaries, folder: TempDir) -> Result<Self, Error> {
        let mut keeper = Command::new("sh")
            .arg("-c")
            .arg(KEEPER)
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Error(format!("sh cannot be run: {error}")))?;
        let server = Self {
            binaries,
            folder,
            port: RwLock::new(0),
            addresses: RwLock::new("127.0.0.1".to_owned()),
            keeper: keeper.stdin.take(),
            made: AtomicU32::new(0),
        };
        server.restart()?;
        Ok(server)
    }

    /// The address, on this standby, of what `url` names on the server that it follows.
    #[must_use]
    pub fn same_as(&self, primary: &Self, url: &str) -> String {
        let of = |server: &Self| {
            (
                server.folder.path().display().to_string(),
                format!("localhost:{}/", server.port()),
            )
        };
        let ((folder, place), (other, elsewhere)) = (of(primary), of(self));
        url.replace(&folder, &other).replace(&place, &elsewhere)
    }

    /// The server that all tests of a program share; each takes a [`schema`](Self::schema) of it.
    ///
    /// # Panics
    ///
    /// When there is none: a test that needs one must fail, not pass unseen.
    #[must_use]
    pub fn shared() -> &'static Self {
        match &*SHARED {
            Ok(server) => server,
            Err(error) => panic!("{error}"),
        }
    }

    /// The address of its database, over a socket in its folder.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The same over loopback TCP, for tests that put something between.
    #[must_use]
    pub fn tcp_url(&self) -> String {
        format!(
            "postgres://troupe@127.0.0.1:{}/postgres?sslmode=disable",
            self.port()
        )
    }

    /// The loopback port; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        *self.port.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address of a new, empty schema: what one test writes, no other sees.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub fn schema(&self) -> Result<String, Error> {
        let name = self.name();
        self.sql(&format!("CREATE SCHEMA {name}"))?;
        Ok(format!("{}&options[search_path]={name}", self.url()))
    }

    /// The address of a new, empty database.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub fn database(&self) -> Result<String, Error> {
        let name = self.name();
        self.sql(&format!("CREATE DATABASE {name}"))?;
        Ok(self.url_of(&name))
    }

    /// Runs SQL as the server's owner; answers the rows, a line each, columns parted by `|`.
    ///
    /// # Errors
    ///
    /// When the server does not answer, or refuses it.
    pub fn sql(&self, sql: &str) -> Result<String, Error> {
        checked(
            self.binaries
                .command("psql")
                .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
                .args(["--set", "ON_ERROR_STOP=1", "--dbname"])
                .arg(self.url())
                .args(["--command", sql]),
        )
    }

    /// An operator's session in the database at `url` that runs `sql`; what it holds it lets go when this
    /// is dropped.
    ///
    /// # Errors
    ///
    /// When `psql` cannot be run.
    pub fn session(&self, url: &str, sql: &str) -> Result<Session, Error> {
        let mut psql = self.binaries.command("psql");
        psql.args(["--no-psqlrc", "--quiet", "--dbname"])
            .arg(url)
            .args(["--command", sql])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let child = psql.spawn();
        child
            .map(Session)
            .map_err(|error| Error(format!("psql cannot be run: {error}")))
    }

    /// Ends every connection of a client, in the middle of whatever it does; answers how many.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub fn disconnect_all(&self) -> Result<u32, Error> {
        let ended = self.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        )?;
        ended.trim().parse().map_err(|_| Error(ended))
    }

    /// How many connections stand in a transaction and do nothing.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub fn idle_in_transaction(&self) -> Result<u32, Error> {
        let count = self
            .sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")?;
        count.trim().parse().map_err(|_| Error(count))
    }

    /// Lets it listen at another address of this machine, too, for clients of a network such as
    /// `10.1.0.0/16`. It crashes for that, as far as its present clients can see.
    ///
    /// # Errors
    ///
    /// When it does not start there.
    pub fn listen_at(&self, address: IpAddr, network: &str) -> Result<(), Error> {
        self.sql(&format!(
            "COPY (SELECT 'host all all {network} trust') TO PROGRAM 'cat >> pg_hba.conf'"
        ))?;
        write!(
            self.addresses
                .write()
                .unwrap_or_else(PoisonError::into_inner),
            ",{address}"
        )
        .map_err(|error| Error(error.to_string()))?;
        self.stop()?;
        self.restart()
    }

    /// Stops it as a crash would.
    ///
    /// # Errors
    ///
    /// When it does not stop.
    pub fn stop(&self) -> Result<(), Error> {
        self.control(|stop| stop.args(["stop", "--mode=immediate"]))
    }

    /// Starts it, after it was stopped, or for the first time.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn restart(&self) -> Result<(), Error> {
        let folder = self.folder.path().to_owned();
        let kept = self.port();
        // Another program may take a port between its choice and its use.
        let ports = std::iter::repeat_with(|| if kept == 0 { server::free_port() } else { kept });
        let mut outcome = Ok(());
        for port in ports.take(5) {
            let settings = self.settings(&folder, port);
            outcome = self.control(|start| {
                start
                    .args(["start", "--log"])
                    .arg(folder.join("log"))
                    .args(["--options", &settings])
            });
            if outcome.is_ok() {
                *self.port.write().unwrap_or_else(PoisonError::into_inner) = port;
                return Ok(());
            }
        }
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        outcome.map_err(|error| Error(format!("{error}\n{log}")))
    }

    /// Copies it as it is now, as a standby would have it that hears nothing after that.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub fn copy(&self) -> Result<(), Error> {
        let copy = self.folder.path().join(COPY);
        let _ = std::fs::remove_dir_all(&copy);
        checked(
            self.binaries
                .command("pg_basebackup")
                .args(["--checkpoint=fast", "--no-sync", "--dbname"])
                .arg(self.url())
                .arg("--pgdata")
                .arg(copy),
        )?;
        Ok(())
    }

    /// Crashes, and goes on as the [`copy`](Self::copy) at the same address: whatever was
    /// acknowledged after that is lost.
    ///
    /// # Errors
    ///
    /// When there is no copy, or it does not start.
    pub fn fail_over(&self) -> Result<(), Error> {
        self.stop()?;
        let (data, copy) = (self.data(), self.folder.path().join(COPY));
        // A server that looks for more to recover, and finds none, begins another timeline.
        let sought = copy.join("recovery.signal");
        std::fs::write(&sought, "")
            .and_then(|()| std::fs::remove_dir_all(&data))
            .and_then(|()| {
                let mut settings = std::fs::OpenOptions::new()
                    .append(true)
                    .open(copy.join("postgresql.auto.conf"))?;
                settings.write_all(b"restore_command = 'false'\n")
            })
            .map_err(|error| Error(format!("there is no copy to go on with: {error}")))?;
        self.binaries.give(&sought)?;
        std::fs::rename(&copy, &data)
            .map_err(|error| Error(format!("the copy cannot take its place: {error}")))?;
        self.restart()
    }

    /// Freezes all its processes: connections stay open and nothing answers.
    ///
    /// # Errors
    ///
    /// When they cannot be signalled.
    pub fn freeze(&self) -> Result<(), Error> {
        self.signal("-STOP")
    }

    /// Lets them go on.
    ///
    /// # Errors
    ///
    /// When they cannot be signalled.
    pub fn thaw(&self) -> Result<(), Error> {
        self.signal("-CONT")
    }

    fn settings(&self, folder: &Path, port: u16) -> String {
        let (folder, addresses) = (folder.display(), self.addresses.read());
        let addresses = addresses.unwrap_or_else(PoisonError::into_inner);
        format!(
            "-k {folder} -p {port} -c listen_addresses={addresses} -c max_connections=300 \
             -c shared_buffers=32MB -c unix_socket_permissions=0777"
        )
    }

    fn url_of(&self, database: &str) -> String {
        let folder = self.folder.path().display();
        format!(
            "postgres://troupe@localhost:{}/{database}?host={folder}",
            self.port()
        )
    }

    fn name(&self) -> String {
        format!("test_{}", self.made.fetch_add(1, Ordering::Relaxed))
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn control(&self, what: impl FnOnce(&mut Command) -> &mut Command) -> Result<(), Error> {
        let mut command = self.binaries.command("pg_ctl");
        let command = what(&mut command).arg("--pgdata").arg(self.data());
        // What it starts would hold a pipe open for as long as it runs.
        run(command.stdout(Stdio::null()).stderr(Stdio::null()))
    }

    fn signal(&self, signal: &str) -> Result<(), Error> {
        let first = server::first(&self.data())?;
        // Before its children are counted, so that it starts no more meanwhile.
        checked(Command::new("kill").args([signal, &first]))?;
        let children = server::children(&first);
        // One that ended meanwhile needs no signal.
        let _ = run(Command::new("kill").arg(signal).args(children));
        Ok(())
    }
}

/// A session of an operator; ends with this value.
#[derive(Debug)]
pub struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        // Frozen processes would not see that they are to end.
        let _ = self.thaw();
        let _ = self.stop();
        // The keeper has nothing left to stop, and goes.
        drop(self.keeper.take());
    }
}

/// What the server says of itself.
impl PrivatePostgres {
    /// Its version, such as `15.14`.
    ///
    /// # Errors
    ///
    /// When its programs cannot be run.
    pub fn version(&self) -> Result<String, Error> {
        let said = text(self.binaries.command("postgres").arg("--version"))?;
        let version = said.split_whitespace().nth(2);
        Ok(version.unwrap_or(&said).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_keeps_its_address_and_what_it_acknowledged_over_a_crash() {
        let server = PrivatePostgres::start().unwrap();
        server.sql("CREATE TABLE kept (n int)").unwrap();
        server.sql("INSERT INTO kept VALUES (7)").unwrap();
        let url = server.url();
        server.stop().unwrap();
        assert!(server.sql("SELECT 1").is_err());
        server.restart().unwrap();
        assert_eq!(server.url(), url);
        assert_eq!(server.sql("SELECT n FROM kept").unwrap(), "7");
        server.freeze().unwrap();
        server.thaw().unwrap();
        assert_eq!(server.sql("SELECT n FROM kept").unwrap(), "7");
        let folder = server.folder.path().to_owned();
        drop(server);
        assert!(!folder.exists());
    }
}
