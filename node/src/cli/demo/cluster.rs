//! The nodes of a demonstration, each a process of this very program.

use std::{
    fs::{self, DirBuilder, File},
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use protocol::{
    member::{NodeRole, Roles},
    time::Timestamp,
};
use runtime::clock::Clock;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::{
    super::exit::{Exit, Failure},
    node::Announcement,
};
use crate::{client::Client, node::random_hex};

/// How long a node may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Any free port.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What nodes keep of the caller's environment; nothing of it tells them anything.
const ENVIRONMENT: [&str; 3] = ["PATH", "HOME", "TMPDIR"];

/// A node to be started.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) roles: Roles,
}

/// All nodes, and the directory that everything lies in.
#[derive(Debug)]
pub(super) struct Cluster {
    folder: PathBuf,
    program: PathBuf,
    /// Where control nodes keep everything; a file of the first one's when absent.
    store: Option<String>,
    pub(super) nodes: Vec<DemoNode>,
}

/// One process.
#[derive(Debug)]
pub(super) struct DemoNode {
    pub(super) plan: Plan,
    child: Child,
    told: Announcement,
    pub(super) client: Option<Client>,
    pub(super) is_up: bool,
}

impl Cluster {
    /// Without nodes, in a directory of its own.
    pub(super) fn new() -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("troupe-demo-{}", random_hex::<6>()));
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self {
            folder,
            program: std::env::current_exe()?,
            store: None,
            nodes: Vec::new(),
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts the first node, and lets the others join it, all at once.
    pub(super) async fn start(
        &mut self,
        plans: &[Plan],
        store: Option<String>,
    ) -> Result<(), Failure> {
        self.store = store;
        let Some((first, others)) = plans.split_first() else {
            return Ok(());
        };
        let invite = others.len().to_string();
        let mut command = self.command(first, ANY, ANY);
        let first = started(first, command.args(["--invite", &invite])).await?;
        let (mesh, invitations) = (first.told.mesh.clone(), first.told.invitations.clone());
        self.nodes.push(first);
        let joining = others.iter().zip(invitations).map(|(plan, invitation)| {
            let mut command = self.command(plan, ANY, ANY);
            command.args(["--join", mesh.as_deref().unwrap_or_default()]);
            command.env("TROUPE_JOIN_TOKEN", invitation);
            async move { started(plan, &mut command).await }
        });
        let joined = futures_util::future::try_join_all(joining).await?;
        self.nodes.extend(joined);
        Ok(())
    }

    /// Kills a node as `kill -9` does; answers when.
    pub(super) async fn kill(&mut self, name: &str) -> io::Result<Timestamp> {
        let at = Clock::system().now();
        if let Some(node) = self.nodes.iter_mut().find(|node| node.plan.name == name) {
            node.is_up = false;
            node.child.kill().await?;
        }
        Ok(at)
    }

    /// Starts a node that was killed in its place: the same directory, name and addresses.
    pub(super) async fn restart(&mut self, name: &str) -> Result<Timestamp, Failure> {
        let found = self.nodes.iter().position(|node| node.plan.name == name);
        if let Some(index) = found {
            let node = &self.nodes[index];
            let mesh = node.told.mesh.as_deref();
            let mesh = mesh.and_then(|mesh| mesh.parse().ok()).unwrap_or(ANY);
            let url = node.told.url.as_deref();
            let listen = url.and_then(|url| url.strip_prefix("http://")?.parse().ok());
            let mut command = self.command(&node.plan, mesh, listen.unwrap_or(ANY));
            self.nodes[index] = started(&node.plan, &mut command).await?;
        }
        Ok(Clock::system().now())
    }

    /// Where requests can be sent now.
    pub(super) fn clients(&self) -> Vec<(String, Client)> {
        let up = self.nodes.iter().filter(|node| node.is_up);
        up.filter_map(|node| Some((node.plan.name.clone(), node.client.clone()?)))
            .collect()
    }

    /// Ends every process and removes the directory.
    pub(super) async fn close(&mut self) {
        for mut node in self.nodes.drain(..) {
            // One that has ended needs no killing.
            let _ = node.child.kill().await;
        }
        for _ in 0..20 {
            // Tools that end with their nodes may still write for a moment.
            if fs::remove_dir_all(&self.folder).is_ok() || !self.folder.exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn command(&self, plan: &Plan, mesh: SocketAddr, listen: SocketAddr) -> Command {
        let roles: Vec<&str> = plan.roles.iter().map(NodeRole::as_str).collect();
        let mut command = Command::new(&self.program);
        command
            .args(["demo", "node", "--name", &plan.name])
            .args(["--roles", &roles.join(",")])
            .args(["--mesh", &mesh.to_string()])
            .args(["--listen", &listen.to_string()])
            .arg("--data-dir")
            .arg(self.folder.join(&plan.name))
            .current_dir(&self.folder)
            .env_clear()
            .envs(
                ENVIRONMENT
                    .into_iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(self.log(&plan.name))
            // Ctrl-C is for the demonstration, which ends them in order.
            .process_group(0)
            .kill_on_drop(true);
        if plan.roles.has(NodeRole::Control)
            && let Some(store) = &self.store
        {
            command.args(["--store", store]);
        }
        command
    }

    fn log(&self, name: &str) -> Stdio {
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.folder.join(format!("{name}.log")));
        log.map_or_else(|_| Stdio::null(), Stdio::from)
    }

    /// What the nodes had to say, for whoever looks for the cause of a failure.
    pub(super) fn logs(&self) -> String {
        let text = |node: &DemoNode| {
            let file = self.folder.join(format!("{}.log", node.plan.name));
            let text = fs::read_to_string(file).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(20)..].join("\n");
            format!("{}:\n{last}\n", node.plan.name)
        };
        self.nodes.iter().map(text).collect()
    }
}

/// Runs a node and waits until it serves.
async fn started(plan: &Plan, command: &mut Command) -> Result<DemoNode, Failure> {
    let failed = |cause: String| {
        Failure::new(
            Exit::Failed,
            format!("node {} of the demonstration did not start", plan.name),
        )
        .because(cause)
    };
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let out = child
        .stdout
        .take()
        .ok_or_else(|| failed("it has no output".to_owned()))?;
    let line = tokio::time::timeout(PATIENCE, BufReader::new(out).lines().next_line()).await;
    let line = match line {
        Ok(Ok(Some(line))) => line,
        Ok(Ok(None)) => return Err(failed("it ended".to_owned())),
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed("it took too long".to_owned())),
    };
    let told: Announcement =
        serde_json::from_str(&line).map_err(|error| failed(format!("{line}: {error}")))?;
    let client = match (&told.url, &told.token) {
        (Some(url), Some(token)) => Some(Client::new(url.clone(), token.clone())?),
        (None, _) | (_, None) => None,
    };
    Ok(DemoNode {
        plan: plan.clone(),
        child,
        told,
        client,
        is_up: true,
    })
}
