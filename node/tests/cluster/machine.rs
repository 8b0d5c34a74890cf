//! One node of a cluster in a process of its own: what it runs, where it stands, and what is done to it.

use std::{
    collections::HashSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use super::agents;
use super::process::{Client, PATIENCE, Place, Process, until};

/// How long a client waits for an answer before it asks another node.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);

/// The last line of what a node says when it has started.
pub(crate) const STARTED: &str = "Ctrl-C stops it";

/// Where nodes stand that own tasks.
pub(crate) const INNER: &str = "inner";

/// Where nodes stand that only host agents.
pub(crate) const OUTER: &str = "outer";

/// Whether a node that runs is to be a member.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counts {
    Here,
    Away,
}

/// What runs as a node.
enum Program {
    /// `troupe start`.
    Troupe,
    /// This test program, as [`agents`] has it, and the book into which its agents write.
    Agents(PathBuf),
}

/// One node, running or not.
pub(crate) struct Machine {
    pub(crate) name: String,
    roles: &'static str,
    program: Program,
    pub(crate) place: Place,
    /// Before the program's name, to run it elsewhere: `ip netns exec NAME`.
    pub(crate) prefix: Vec<String>,
    /// From a port there to one that is reached from here.
    pub(crate) door: Option<Box<dyn Fn(u16) -> u16 + Send + Sync>>,
    /// Where its mesh listens; the same after its first start.
    mesh: String,
    /// Where others reach it, when something is between.
    pub(crate) advertise: Option<String>,
    process: Option<Process>,
    client: Option<Client>,
    frozen: bool,
}

impl Machine {
    pub(crate) fn new(name: &str, roles: &'static str, config: &str, mesh: &str) -> Self {
        Self {
            name: name.to_owned(),
            roles,
            program: Program::Troupe,
            place: Place::new(config),
            prefix: Vec::new(),
            door: None,
            mesh: mesh.to_owned(),
            advertise: None,
            process: None,
            client: None,
            frozen: false,
        }
    }

    /// The same with agents of this program, which write into a book.
    pub(crate) fn with_agents(mut self, book: PathBuf) -> Self {
        self.program = Program::Agents(book);
        self
    }

    pub(crate) const fn runs(&self) -> bool {
        self.process.is_some() && !self.frozen
    }

    /// A client of its edge, if it has one.
    pub(crate) fn client(&self) -> Option<Client> {
        self.client.clone()
    }

    pub(crate) fn mesh(&self) -> &str {
        &self.mesh
    }

    /// TCP connections that it holds from or to one of these ports of this machine.
    pub(crate) fn connections(&self, ports: &[u16]) -> usize {
        let pid = self.process.as_ref().unwrap().0.id();
        let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
        let port = |address: &str| u16::from_str_radix(address.split_once(':')?.1, 16).ok();
        let inodes: HashSet<String> = table
            .lines()
            .filter_map(|line| {
                let cells: Vec<&str> = line.split_whitespace().collect();
                let [_, local, remote, state, ..] = cells[..] else {
                    return None;
                };
                let ours = [local, remote]
                    .map(port)
                    .iter()
                    .flatten()
                    .any(|port| ports.contains(port));
                // Not those that listen.
                (ours && state != "0A").then(|| format!("socket:[{}]", cells[9]))
            })
            .collect();
        let handles = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let targets = handles.filter_map(|handle| fs::read_link(handle.path()).ok());
        targets
            .filter(|target| inodes.contains(target.to_string_lossy().as_ref()))
            .count()
    }

    pub(crate) fn log(&self) -> String {
        self.place.log()
    }

    pub(crate) fn tools(&self) -> Vec<i32> {
        self.place.tools()
    }

    /// Starts it, as a member already or with whom to join and a token; answers when it has said
    /// that it runs.
    pub(crate) async fn start(&mut self, join: Option<(&str, &str)>) -> Duration {
        let since = Instant::now();
        let _ = fs::remove_file(self.place.data().join("edge.url"));
        let begun = self.log().len();
        let start = match &self.program {
            Program::Troupe => self.troupe(join),
            Program::Agents(book) => self.agents(book, join),
        };
        let mut start = self.elsewhere(start);
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.place.path("log"))
            .unwrap();
        let child = start
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut child = Process(child);
        let what = format!("{} starts", self.name);
        let said = until(&what, PATIENCE, async || {
            let said = self.log().split_off(begun);
            if let Some(status) = child.0.try_wait().unwrap() {
                panic!("{} ended with {status}:\n{said}", self.name);
            }
            said.contains(STARTED).then_some(said)
        })
        .await;
        if self.advertise.is_none() {
            self.mesh = line(&said, "mesh").unwrap().to_owned();
        }
        self.client = line(&said, "serving").map(|url| {
            let (host, port) = url.rsplit_once(':').unwrap();
            let port = self.door.as_ref().map(|door| door(port.parse().unwrap()));
            let url = port.map_or_else(|| url.to_owned(), |port| format!("{host}:{port}"));
            let token = fs::read_to_string(self.place.data().join("admin.token")).unwrap();
            Client::new(url, token, CLIENT_PATIENCE)
        });
        self.process = Some(child);
        since.elapsed()
    }

    fn region(&self) -> &'static str {
        if self.roles.contains("control") {
            INNER
        } else {
            OUTER
        }
    }

    fn troupe(&self, join: Option<(&str, &str)>) -> Command {
        let mut start = self.place.troupe(&["start", "--name", &self.name]);
        start.args(["--roles", self.roles, "--region", self.region()]);
        start.args(["--listen", "127.0.0.1:0", "--mesh", &self.mesh]);
        if let Some(address) = &self.advertise {
            start.args(["--advertise", address]);
        }
        if let Some((address, token)) = join {
            start.args(["--join", address, "--token", token]);
        }
        start
    }

    fn agents(&self, book: &Path, join: Option<(&str, &str)>) -> Command {
        let mut start = Command::new(env::current_exe().unwrap());
        start
            .args(["--exact", agents::NODE, "--nocapture"])
            .env(agents::BOOK, book)
            .env(agents::CONFIG, self.place.path("cluster.toml"))
            .env("TROUPE_NODE__NAME", &self.name)
            .env("TROUPE_NODE__DATA_DIR", self.place.data())
            .env("TROUPE_CLUSTER__ROLES", format!("[\"{}\"]", self.roles))
            .env("TROUPE_CLUSTER__REGION", self.region())
            .env("TROUPE_CLUSTER__LISTEN", &self.mesh);
        if let Some((address, token)) = join {
            start.env(agents::JOIN, format!("{address} {token}"));
        }
        start
    }

    fn elsewhere(&self, command: Command) -> Command {
        let Some((first, rest)) = self.prefix.split_first() else {
            return command;
        };
        let mut outer = Command::new(first);
        outer
            .args(rest)
            .arg(command.get_program())
            .args(command.get_args());
        outer
    }

    /// Starts it again: its papers say whose member it is.
    pub(crate) async fn restart(&mut self) -> Duration {
        self.start(None).await
    }

    /// Files and sockets that it holds.
    pub(crate) fn handles(&self) -> usize {
        let pid = self.process.as_ref().unwrap().0.id();
        fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
    }

    /// It runs, and is no member by an agreement of the others.
    pub(crate) const fn counts(&mut self, counts: Counts) {
        self.frozen = matches!(counts, Counts::Away);
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().unwrap().signal(signal);
    }

    /// Stops its clock, as it were: its connections stay open and it does nothing.
    pub(crate) fn freeze(&mut self) {
        self.signal(Signal::STOP);
        // Its other threads go on for a moment; who ended is not waited for, and stays to be waited for.
        let pid = WaitId::Pid(Pid::from_child(&self.process.as_ref().unwrap().0));
        let ways = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let is = waitid(pid, ways).unwrap().unwrap();
        assert!(is.stopped(), "{is:?}");
        self.frozen = true;
    }

    /// Lets it go on where it was.
    pub(crate) fn thaw(&mut self) {
        self.signal(Signal::CONT);
        self.frozen = false;
    }

    /// Ends it as a power cut would end its process.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.0.kill().unwrap();
        process.0.wait().unwrap();
        self.client = None;
    }

    /// Ends it as an operator would.
    pub(crate) async fn terminate(&mut self) -> Duration {
        let since = Instant::now();
        self.signal(Signal::TERM);
        let mut process = self.process.take().unwrap();
        let status = process.ended().await;
        assert!(status.success(), "{}: {status}\n{}", self.name, self.log());
        self.client = None;
        since.elapsed()
    }
}

/// What a node said when it started: `name    what`.
pub(crate) fn line<'a>(said: &'a str, name: &str) -> Option<&'a str> {
    said.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .map(str::trim)
}
