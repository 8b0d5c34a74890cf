//! Nodes of one cluster, each in a process of its own, around one private PostgreSQL.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use protocol::{
    entity::EntityId,
    id::{NodeId, TaskId},
    member::{NodeRole, Roles},
    record::{ChainHash, Record},
    shard::Shard,
};
use runtime::{
    clock::{Clock, Dice},
    cluster::{identity::Fingerprint, join::Token},
    store::{self, IdentityRow, JoinToken, Survey},
    testkit::postgres::PrivatePostgres,
};
use sha2::{Digest, Sha256};

use super::machine::{Machine, line};
use super::nets::{HOME, Nets};
use super::pipes::Pipe;
use super::process::{Client, PATIENCE};

/// How long a node that falls silent keeps what it owns.
pub(crate) const LEASE: Duration = Duration::from_secs(4);

/// Nobody waits for a minute before what was lost is tried again.
const CONFIG: &str = "[cluster]\nlease = \"4s\"\n[tasks]\nmax_backoff = \"200ms\"\n\
    [log]\nlevel = \"info,runtime=debug\"\n";

/// A cluster and its database.
pub(crate) struct Cluster {
    pub(crate) postgres: PrivatePostgres,
    pub(crate) machines: Vec<Machine>,
    store: store::Shared,
    folder: tempfile::TempDir,
    /// What the first node is told, and what all others are.
    config: String,
    common: String,
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
        Self::with(nets, "").await
    }

    /// The same with more settings for every node.
    pub(crate) async fn with(nets: Option<Nets>, settings: &str) -> Self {
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
            config: format!("{CONFIG}{settings}[store]\nurl = \"{url}\"\n"),
            common: format!("{CONFIG}{settings}"),
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
        // Where the store is, a control node is told when it joins.
        let config = self.common.clone();
        let machine = self.machine_of(name, roles, &config);
        self.join(machine, &host).await
    }

    /// Starts a worker with agents of this program, which write into the book.
    pub(crate) async fn add_agents(&mut self, name: &str) -> Duration {
        let machine = self.machine_of(name, "worker", CONFIG);
        let host = self.machines[0].mesh().to_owned();
        self.join(machine.with_agents(self.book_file()), &host)
            .await
    }

    async fn join(&mut self, mut machine: Machine, host: &str) -> Duration {
        let token = self.token().await;
        let took = machine.start(Some((host, &token))).await;
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

    /// What agents of this program write.
    pub(crate) fn book_file(&self) -> PathBuf {
        self.folder.path().join("book")
    }

    pub(crate) fn clients(&self) -> Vec<(String, Client)> {
        let clients = self.machines.iter();
        clients
            .filter_map(|machine| Some((machine.name.clone(), machine.client()?)))
            .collect()
    }

    /// The records of a stream, the oldest first.
    pub(crate) async fn records(&self, stream: EntityId) -> Vec<Record> {
        self.store.read(stream, 0, 100).await.unwrap()
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
        Self::owner_of(survey, task.into())
    }

    /// The node that owns anything that is owned, by its name.
    pub(crate) fn owner_of(survey: &Survey, entity: EntityId) -> Option<&str> {
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
