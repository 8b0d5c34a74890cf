//! A node in a process of its own, which can be killed, and a client of it.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use protocol::{api::TaskView, time::Timestamp};
use reqwest::Method;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

/// The longest that a node may take to start, or anything else to come true, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a node's data directory, its configuration and its log.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    /// A place whose node has these settings.
    pub(crate) fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cluster.toml"), config).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The `troupe` program on this data directory.
    pub(crate) fn troupe(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_troupe"));
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data())
            .arg("--config")
            .arg(self.path("cluster.toml"))
            .stdin(Stdio::null());
        command
    }

    /// Starts a node and waits until it is ready.
    pub(crate) async fn start(&self) -> Node {
        // A killed node leaves its address behind.
        let _ = fs::remove_file(self.data().join("edge.url"));
        let start = self.troupe(&["start", "--listen", "127.0.0.1:0"]);
        self.start_as(start, |_| self.data()).await
    }

    /// Starts a node by a command of its own and waits until it is ready. `data` is where its data
    /// directory is for this process, by its process id.
    pub(crate) async fn start_as(
        &self,
        mut command: Command,
        data: impl Fn(u32) -> PathBuf,
    ) -> Node {
        let log = self.path("log");
        let open = fs::File::options().create(true).append(true).open(&log);
        let child = command
            .stdout(Stdio::null())
            .stderr(open.unwrap())
            .spawn()
            .unwrap();
        let mut child = Process(child);
        let data = data(child.0.id());
        let url = until("a node starts", PATIENCE, async || {
            if let Some(status) = child.0.try_wait().unwrap() {
                let log = fs::read_to_string(&log).unwrap();
                panic!("the node ended with {status}:\n{log}");
            }
            fs::read_to_string(data.join("edge.url")).ok()
        })
        .await;
        let token = fs::read_to_string(data.join("admin.token")).unwrap();
        let client = Client::new(url, token, PATIENCE * 2);
        let ready = async || client.get("/health/ready").await.ok();
        until("the node is ready", PATIENCE, async || {
            ready().await.filter(|answer| answer.status == 200)
        })
        .await;
        Node {
            child,
            client,
            data,
        }
    }

    /// Waits until no process of this node's tools is left.
    pub(crate) async fn until_no_tool_is_left(&self, within: Duration) {
        let since = Instant::now();
        until("no tool is left", within, async || {
            self.tools().is_empty().then_some(())
        })
        .await;
        println!("no tool was left after {:?}", since.elapsed());
    }

    /// Processes that this node's attempts started, by what the node put into their environment.
    pub(crate) fn tools(&self) -> Vec<i32> {
        let mark = format!("TROUPE_DIR={}/", self.data().display());
        let entries = fs::read_dir("/proc").unwrap().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid: &i32| {
                fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                    environment
                        .split(|byte| *byte == 0)
                        .any(|variable| variable.starts_with(mark.as_bytes()))
                })
            })
            .collect()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

/// A child that does not outlive its test.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(i32::try_from(self.0.id()).unwrap(), signal);
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        until("a process ends", PATIENCE, async || {
            self.0.try_wait().unwrap()
        })
        .await
    }
}

/// Sends a signal to a process, which may be gone.
pub(crate) fn kill(pid: i32, signal: Signal) {
    let _ = rustix::process::kill_process(Pid::from_raw(pid).unwrap(), signal);
}

/// A running node.
pub(crate) struct Node {
    pub(crate) child: Process,
    pub(crate) client: Client,
    /// Its data directory.
    pub(crate) data: PathBuf,
}

impl Node {
    /// Ends it as a power cut would end its process.
    pub(crate) fn kill(mut self) -> Timestamp {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
        now()
    }

    /// Ends it as an operator would, and answers how it ended.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        self.child.signal(Signal::TERM);
        self.child.ended().await
    }
}

/// What a caller of the node has.
#[derive(Clone)]
pub(crate) struct Client {
    url: String,
    token: String,
    http: reqwest::Client,
}

/// An answer with all of its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) replayed: bool,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn task(&self) -> TaskView {
        assert!(matches!(self.status, 200..=202), "{self:?}");
        serde_json::from_value(self.body.clone()).unwrap()
    }
}

impl Client {
    /// A client of the node at `url`, which gives up on an answer after `patience`.
    pub(crate) fn new(url: String, token: String, patience: Duration) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(patience);
        let http = http.build().unwrap();
        Self { url, token, http }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let url = format!("{}{path}", self.url);
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let replayed = response
            .headers()
            .get("idempotent-replay")
            .is_some_and(|value| value == "true");
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        let body = response.text().await?;
        Ok(Answer {
            status,
            replayed,
            retry_after,
            body: serde_json::from_str(&body).unwrap_or(Value::String(body)),
        })
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Result<Answer> {
        self.send(Method::GET, path, None, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> reqwest::Result<Answer> {
        self.send(Method::POST, path, None, Some(body)).await
    }

    /// Registers an agent that may be registered already.
    pub(crate) async fn register(&self, agent: &Value) -> reqwest::Result<()> {
        let answer = self.post("/api/v1/agents/register", agent).await?;
        assert!(matches!(answer.status, 201 | 409), "{answer:?}");
        Ok(())
    }

    /// Submits a task.
    pub(crate) async fn submit(&self, task: &Value) -> TaskView {
        self.post("/api/v1/tasks", task).await.unwrap().task()
    }

    pub(crate) async fn task(&self, id: &str) -> TaskView {
        self.get(&format!("/api/v1/tasks/{id}"))
            .await
            .unwrap()
            .task()
    }

    /// Waits until a task is settled.
    pub(crate) async fn settled(&self, id: &str) -> TaskView {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let path = format!("/api/v1/tasks/{id}?wait=5s");
            let task = self.get(&path).await.unwrap().task();
            if task.status.is_terminal() {
                return task;
            }
            if Instant::now() > deadline {
                let why = self.get(&format!("/api/v1/tasks/{id}/why")).await;
                let row = self.get(&format!("/api/v1/tree?path=/tasks/{id}")).await;
                panic!("{task:#?} is not settled\n{why:#?}\n{row:#?}");
            }
        }
    }
}

/// Looks again and again until it finds something: no process tells another of these things.
pub(crate) async fn until<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        pause(Duration::from_millis(5)).await;
    }
}

/// Lets time pass: a fault comes at a moment, not at an event.
pub(crate) async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}

/// This moment, as the node would write it down.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}
