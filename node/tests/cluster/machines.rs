//! Nodes of one cluster, each in a process of its own, around one private PostgreSQL.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use protocol::{
    entity::{EntityId, EntityKind},
    id::{NodeId, TaskId},
    member::{NodeRole, Roles},
    record::ChainHash,
    shard::Shard,
};
use runtime::{
    clock::{Clock, Dice},
    cluster::{identity::Fingerprint, join::Token},
    store::{self, IdentityRow, JoinToken, Survey},
    testkit::postgres::PrivatePostgres,
};
use rustix::process::Signal;
use sha2::{Digest, Sha256};

use super::nets::{HOME, Nets};
use super::pipes::Pipe;
use super::process::{Client, PATIENCE, Place, Process, until};

/// How long a node that falls silent keeps what it owns.
pub(crate) const LEASE: Duration = Duration::from_secs(4);

/// How long a client waits for an answer before it asks another node.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);

/// Nobody waits for a minute before what was lost is tried again.
const CONFIG: &str = "[cluster]\nlease = \"4s\"\n[tasks]\nmax_backoff = \"200ms\"\n\
    [log]\nlevel = \"info,runtime=debug\"\n";

/// Where nodes stand that only host agents.
pub(crate) const OUTER: &str = "outer";

/// The last line of what a node says when it has started.
const STARTED: &str = "Ctrl-C stops it";

/// Whether a node that runs is to be a member.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counts {
    Here,
    Away,
}

/// One node, running or not.
pub(crate) struct Machine {
    pub(crate) name: String,
    roles: &'static str,
    place: Place,
    /// Before the program's name, to run it elsewhere: `ip netns exec NAME`.
    prefix: Vec<String>,
    /// From a port there to one that is reached from here.
    door: Option<Box<dyn Fn(u16) -> u16 + Send + Sync>>,
    /// Where its mesh listens; the same after its first start.
    mesh: String,
    /// Where others reach it, when something is between.
    advertise: Option<String>,
    process: Option<Process>,
    client: Option<Client>,
    frozen: bool,
}

impl Machine {
    fn new(name: &str, roles: &'static str, config: &str, mesh: &str) -> Self {
        Self {
            name: name.to_owned(),
            roles,
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
    async fn start(&mut self, join: Option<(&str, &str)>) -> Duration {
        let since = Instant::now();
        let _ = fs::remove_file(self.place.data().join("edge.url"));
        let begun = self.log().len();
        let mut start = self.place.troupe(&["start", "--name", &self.name]);
        start.args(["--roles", self.roles, "--listen", "127.0.0.1:0"]);
        start.args(["--mesh", &self.mesh]);
        if let Some(address) = &self.advertise {
            start.args(["--advertise", address]);
        }
        if !self.roles.contains("control") {
            start.args(["--region", OUTER]);
        }
        if let Some((address, token)) = join {
            start.args(["--join", address, "--token", token]);
        }
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
fn line<'a>(said: &'a str, name: &str) -> Option<&'a str> {
    said.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .map(str::trim)
}

/// A cluster and its database.
pub(crate) struct Cluster {
    pub(crate) postgres: PrivatePostgres,
    pub(crate) machines: Vec<Machine>,
    store: store::Shared,
    folder: tempfile::TempDir,
    config: String,
    authority: Option<Fingerprint>,
    pub(crate) nets: Option<Arc<Mutex<Nets>>>,
    /// What is between nodes, by the name of the one that is reached through it, and between all
    /// of them and the database.
    pub(crate) pipes: Option<Pipes>,
}

/// See [`Cluster::pipes`].
pub(crate) struct Pipes {
    pub(crate) meshes: BTreeMap<String, Pipe>,
    pub(crate) database: Pipe,
}

impl Pipes {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Pipe> {
        self.meshes.values().chain([&self.database])
    }
}

impl Cluster {
    /// An empty database, and nobody yet.
    pub(crate) async fn new(nets: Option<Nets>) -> Self {
        let postgres = PrivatePostgres::start().unwrap();
        let url = match &nets {
            None => postgres.url(),
            Some(nets) => {
                let address = nets.address(HOME);
                postgres
                    .listen_at(address.parse().unwrap(), "10.213.0.0/16")
                    .unwrap();
                let port = postgres.port();
                format!("postgres://troupe@{address}:{port}/postgres?sslmode=disable")
            }
        };
        let store = store::open(&url.parse().unwrap()).await.unwrap();
        Self {
            postgres,
            machines: Vec::new(),
            store,
            folder: tempfile::tempdir().unwrap(),
            config: format!("{CONFIG}[store]\nurl = \"{url}\"\n"),
            authority: None,
            nets: nets.map(|nets| Arc::new(Mutex::new(nets))),
            pipes: None,
        }
    }

    /// An empty database, and pipes between all that is to come.
    pub(crate) async fn piped() -> Self {
        let mut cluster = Self::new(None).await;
        let database = Pipe::to(cluster.postgres.port());
        let port = database.port();
        cluster.config = format!(
            "{CONFIG}[store]\nurl = \"postgres://troupe@127.0.0.1:{port}/postgres?sslmode=disable\"\n"
        );
        cluster.pipes = Some(Pipes {
            meshes: BTreeMap::new(),
            database,
        });
        cluster
    }

    /// A node as it is before its first start, in its own network if there are several.
    fn machine_of(&mut self, name: &str, roles: &'static str, config: &str) -> Machine {
        if let Some(pipes) = &mut self.pipes {
            let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let port = free.local_addr().unwrap().port();
            let pipe = Pipe::to(port);
            let mut machine = Machine::new(name, roles, config, &format!("127.0.0.1:{port}"));
            machine.advertise = Some(format!("127.0.0.1:{}", pipe.port()));
            pipes.meshes.insert(name.to_owned(), pipe);
            return machine;
        }
        let Some(nets) = self.nets.clone() else {
            return Machine::new(name, roles, config, "127.0.0.1:0");
        };
        let (net, address) = {
            let nets = nets.lock().unwrap();
            (nets.net(name), nets.address(name))
        };
        let mut machine = Machine::new(name, roles, config, &format!("{address}:0"));
        machine.prefix = ["ip", "netns", "exec", &net].map(str::to_owned).to_vec();
        let name = name.to_owned();
        machine.door = Some(Box::new(move |port| nets.lock().unwrap().door(&name, port)));
        machine
    }

    /// Three that own and answer, two that only host agents.
    pub(crate) async fn of_five() -> Self {
        let mut cluster = Self::new(None).await;
        for name in ["c1", "c2", "c3"] {
            let took = cluster.add(name, "control,worker,edge").await;
            println!("{name} is a member after {took:?}");
        }
        for name in ["w1", "w2"] {
            let took = cluster.add(name, "worker").await;
            println!("{name} is a member after {took:?}");
        }
        cluster
    }

    /// Starts a node that joins the others, and answers how long that took.
    pub(crate) async fn add(&mut self, name: &str, roles: &'static str) -> Duration {
        let Some(host) = self.machines.first() else {
            let config = self.config.clone();
            let mut founder = self.machine_of(name, roles, &config);
            let took = founder.start(None).await;
            let log = founder.log();
            let join = line(&log, "join").unwrap();
            let mut token = join
                .split_whitespace()
                .skip_while(|word| *word != "--token");
            let token: Token = token.nth(1).unwrap().parse().unwrap();
            self.authority = Some(token.authority());
            self.machines.push(founder);
            return took;
        };
        let host = host.mesh().to_owned();
        let token = self.token().await;
        // Where the store is, a control node is told when it joins.
        let mut machine = self.machine_of(name, roles, CONFIG);
        let took = machine.start(Some((&host, &token))).await;
        self.machines.push(machine);
        took
    }

    /// A token for one node.
    pub(crate) async fn token(&self) -> String {
        let (clock, dice) = (Clock::system(), Dice::system());
        let token = Token::create(self.authority.unwrap(), &dice);
        let row = JoinToken {
            id: dice.uuid_v7(clock.now()),
            hash: ChainHash(Sha256::digest(token.secret().as_bytes()).into()),
            roles: Roles::all(),
            made_by: "test".to_owned(),
            made_at: clock.now(),
            expires_at: clock.now().plus(Duration::from_secs(600)),
            used: None,
            revoked: false,
        };
        self.store.add_token(&row).await.unwrap();
        token.to_string()
    }

    /// Uses a token up, as a machine that joined with it.
    pub(crate) async fn spend(&self, token: &str) {
        let token: Token = token.parse().unwrap();
        let (clock, dice) = (Clock::system(), Dice::system());
        let row = IdentityRow {
            id: dice.uuid_v7(clock.now()),
            name: "spender".to_owned(),
            roles: Roles::all(),
            admitted_at: clock.now(),
            revoked: false,
        };
        let hash = ChainHash(Sha256::digest(token.secret().as_bytes()).into());
        self.store.admit(&row, Some(hash)).await.unwrap().unwrap();
    }

    pub(crate) fn machine(&mut self, name: &str) -> &mut Machine {
        let found = self.machines.iter_mut().find(|of| of.name == name);
        found.unwrap()
    }

    pub(crate) fn ledger_file(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    pub(crate) fn clients(&self) -> Vec<(String, Client)> {
        let clients = self.machines.iter();
        clients
            .filter_map(|machine| Some((machine.name.clone(), machine.client()?)))
            .collect()
    }

    /// Members and shards as the database has them.
    pub(crate) async fn survey(&self) -> Option<Survey> {
        self.store.survey().await.ok()
    }

    /// Waits until exactly the machines that run are members, and all shards have an owner among
    /// them, fairly.
    pub(crate) async fn until_whole(&self) -> Duration {
        let since = Instant::now();
        let mut expected: Vec<&str> = self
            .machines
            .iter()
            .filter(|machine| machine.runs())
            .map(|machine| machine.name.as_str())
            .collect();
        expected.sort_unstable();
        let mut last = String::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(survey) = self.survey().await {
                let living: Vec<_> = survey.members.iter().filter(|row| row.lives()).collect();
                let mut names: Vec<&str> =
                    living.iter().map(|row| row.member.name.as_str()).collect();
                names.sort_unstable();
                let controls: Vec<(NodeId, usize)> = living
                    .iter()
                    .filter(|row| row.member.roles.has(NodeRole::Control))
                    .map(|row| (row.member.node, owned(&survey, row.member.node)))
                    .collect();
                let shares: Vec<usize> = controls.iter().map(|(_, share)| *share).collect();
                let whole = shares.iter().sum::<usize>() == survey.shards.len();
                let fair = shares
                    .iter()
                    .all(|share| share * 2 * shares.len().max(1) >= survey.shards.len());
                if names == expected && whole && fair {
                    return since.elapsed();
                }
                last = format!("{names:?} own {shares:?}, expected {expected:?}");
            }
            assert!(
                Instant::now() < deadline,
                "the cluster is not whole: {last}"
            );
            super::process::pause(Duration::from_millis(50)).await;
        }
    }

    /// The node that owns a task, by its name.
    pub(crate) fn owner(survey: &Survey, task: TaskId) -> Option<&str> {
        let entity = EntityId::new(EntityKind::Task, task.uuid());
        let count = u16::try_from(survey.shards.len()).unwrap();
        let owner = survey.shards[usize::from(Shard::of(entity, count).0)].owner?;
        let mut members = survey.members.iter();
        let row = members.find(|row| row.member.node == owner)?;
        Some(&row.member.name)
    }

    /// Every chain of records, after all nodes have stopped.
    pub(crate) fn verify(&self) {
        let verified = self.machines[0]
            .place
            .troupe(&["db", "verify", "-o", "json"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&verified.stdout);
        assert!(verified.status.success(), "{text}");
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(found["faults"], serde_json::json!([]));
    }

    /// The end of every node's log, for a test that fails.
    pub(crate) fn logs(&self) -> String {
        let mut logs = String::new();
        for machine in &self.machines {
            let log = machine.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.len().saturating_sub(60);
            logs.push_str(&format!(
                "== {}\n{}\n",
                machine.name,
                lines[tail..].join("\n")
            ));
        }
        logs
    }
}

fn owned(survey: &Survey, node: NodeId) -> usize {
    let shards = survey.shards.iter();
    shards.filter(|row| row.owner == Some(node)).count()
}
