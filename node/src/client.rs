//! A typed client of a node's HTTP interface: for the command line, tests and examples.
//!
//! [`Client::find`] looks where a node runs; every method is one route.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use protocol::{
    api::{
        Assignment, AttemptView, CancelRequest, CancelView, HealthView, LogRequest, LogView,
        NodeView, Page, Problem, ResultView, StoreView, TaskPatch, TaskQuery, TaskSummary,
        TaskView, TreeQuery, TreeView, WhyView,
    },
    id::TaskId,
    task::{TaskSpec, TaskStatus},
    time::Span,
};
use reqwest::{Certificate, ClientBuilder, Method, RequestBuilder, Response, header};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::node::{TOKEN_FILE, URL_FILE};

mod agents;
mod cluster;
mod events;
mod follow;
mod hold;
mod question;
mod route;
mod schedule;
mod template;
mod tree;
mod workflow;

pub use events::Events;
use events::Piece;
pub use follow::Follow;
use route::Route;
pub use tree::LifeNews;

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take, beside the time that the caller lets the node wait.
const ANSWER: Duration = Duration::from_secs(60);

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No node runs in the directory, as far as its files tell.
    #[error("no node runs in {}", dir.display())]
    NoNode {
        /// The data directory.
        dir: PathBuf,
    },
    /// The node's files cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file that should hold certificates does not.
    #[error("{} holds no certificate that can be used", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why, unless it is empty.
        source: Option<reqwest::Error>,
    },
    /// A node is named, but not the token to call it with.
    #[error("there is no token for the node at {url}")]
    NoToken {
        /// The node.
        url: String,
    },
    /// Nothing answers, or the connection broke.
    #[error("cannot reach the node at {url}")]
    Unreachable {
        /// The node.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The node refused.
    #[error("{}", .0.message)]
    Refused(Box<Problem>),
    /// What came back is not what this build understands.
    #[error("the node at {url} answered in a form that this build does not know: {detail}")]
    Unknown {
        /// The node.
        url: String,
        /// What was wrong with it.
        detail: String,
    },
}

impl Error {
    /// The HTTP status of a refusal.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(problem) => Some(problem.status),
            Self::NoNode { .. }
            | Self::Read { .. }
            | Self::Certificate { .. }
            | Self::NoToken { .. }
            | Self::Unreachable { .. }
            | Self::Unknown { .. } => None,
        }
    }
}

/// A node, and the right to call it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

type Answer<T> = Result<T, Error>;

impl Client {
    /// A client of the node at `url`.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up on this machine.
    pub fn new(url: impl Into<String>, token: impl Into<String>) -> Answer<Self> {
        let url = url.into().trim_end_matches('/').to_owned();
        let http = http().build().map_err(|source| Error::Unreachable {
            url: url.clone(),
            source,
        })?;
        let token = token.into();
        Ok(Self { http, url, token })
    }

    /// The same, but that it trusts the certificates in the PEM file at `path` and no other: for a
    /// node with a certificate of its own.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds no certificate.
    pub fn trusting(self, path: &Path) -> Answer<Self> {
        let text = fs::read(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let unusable = |source| Error::Certificate {
            path: path.to_owned(),
            source,
        };
        let certificates =
            Certificate::from_pem_bundle(&text).map_err(|error| unusable(Some(error)))?;
        if certificates.is_empty() {
            return Err(unusable(None));
        }
        let http = http().tls_certs_only(certificates).build();
        let http = http.map_err(|error| unusable(Some(error)))?;
        Ok(Self { http, ..self })
    }

    /// A client of the node at `url`, or else of the one that runs in `dir`, where the token is read
    /// as well when none is given.
    ///
    /// # Errors
    ///
    /// When no node runs there, or its token cannot be read.
    pub fn find(url: Option<&str>, token: Option<&str>, dir: &Path) -> Answer<Self> {
        let here = read(&dir.join(URL_FILE))?;
        let is_here = url.is_none_or(|url| here.as_deref() == Some(url.trim_end_matches('/')));
        let url = url
            .map(str::to_owned)
            .or(here)
            .ok_or_else(|| Error::NoNode {
                dir: dir.to_owned(),
            })?;
        let token = match token {
            Some(token) => Some(token.to_owned()),
            // Another node's address never gets this node's token.
            None if is_here => read(&dir.join(TOKEN_FILE))?,
            None => None,
        };
        match token {
            Some(token) => Self::new(url, token),
            None => Err(Error::NoToken { url }),
        }
    }

    /// The node's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Submits a task. The same `key` with the same task makes it once, however often it is sent.
    /// With `wait`, answers when the task is settled or the time is up.
    ///
    /// # Errors
    ///
    /// When the node cannot be reached or refuses.
    pub async fn submit(
        &self,
        spec: &TaskSpec,
        key: Option<&str>,
        wait: Option<Duration>,
    ) -> Answer<TaskView> {
        self.submit_body(spec, key, wait).await
    }

    async fn submit_body(
        &self,
        body: &impl Serialize,
        key: Option<&str>,
        wait: Option<Duration>,
    ) -> Answer<TaskView> {
        let route = Route::to(["tasks"]).with("wait", wait.map(Span));
        let mut request = self.call(Method::POST, &route).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.read(request.timeout(ANSWER + wait.unwrap_or_default()))
            .await
    }

    /// One task.
    ///
    /// # Errors
    ///
    /// When the node cannot be reached or refuses, as for all the methods below.
    pub async fn task(&self, id: TaskId) -> Answer<TaskView> {
        self.get(task(id, [])).await
    }

    /// One task when it is settled, or as it is when `wait` is over; the node waits 5 minutes at most.
    pub async fn await_task(&self, id: TaskId, wait: Duration) -> Answer<TaskView> {
        let request = self.call(Method::GET, &task(id, []).with("wait", Some(Span(wait))));
        self.read(request.timeout(ANSWER + wait)).await
    }

    /// A page of tasks, the newest first.
    pub async fn tasks(&self, query: &TaskQuery) -> Answer<Page<TaskSummary>> {
        let route = Route::to(["tasks"])
            .with("status", query.status.map(TaskStatus::as_str))
            .with("user_id", query.user_id.as_deref())
            .with("parent_id", query.parent_id)
            .with("q", query.q.as_deref())
            .with("limit", query.limit)
            .with("cursor", query.cursor.as_deref())
            .with("consistency", query.consistency.asked());
        self.get(route).await
    }

    /// Changes description, priority or metadata.
    pub async fn amend_task(&self, id: TaskId, patch: &TaskPatch) -> Answer<TaskView> {
        self.send(Method::PUT, task(id, []), patch).await
    }

    /// Stops a task; answers when nothing of it runs any more, and tells what could not be confirmed.
    pub async fn cancel_task(&self, id: TaskId, reason: &str) -> Answer<CancelView> {
        let body = CancelRequest {
            reason: reason.to_owned(),
        };
        self.send(Method::POST, task(id, ["cancel"]), &body).await
    }

    /// Removes a settled task from sight; with [`Unsettled::Cancel`], stops it first.
    pub async fn delete_task(&self, id: TaskId, unsettled: Unsettled) -> Answer<()> {
        let cancel = (unsettled == Unsettled::Cancel).then_some("true");
        self.delete(task(id, []).with("cancel", cancel)).await
    }

    /// Binds a task's unsettled steps to one agent.
    pub async fn assign_task(&self, id: TaskId, to: &Assignment) -> Answer<TaskView> {
        self.send(Method::POST, task(id, ["assign"]), to).await
    }

    /// What a settled task gave.
    pub async fn task_result(&self, id: TaskId) -> Answer<ResultView> {
        self.get(task(id, ["result"])).await
    }

    /// Every attempt of every step.
    pub async fn attempts(&self, id: TaskId) -> Answer<Vec<AttemptView>> {
        self.get(task(id, ["attempts"])).await
    }

    /// What each unsettled step waits for.
    pub async fn why(&self, id: TaskId) -> Answer<WhyView> {
        self.get(task(id, ["why"])).await
    }

    /// A file that a step left.
    pub async fn artifact(&self, id: TaskId, place: [&str; 3]) -> Answer<Vec<u8>> {
        let [step, attempt, name] = place;
        let route = task(id, ["artifacts", step, attempt, name]);
        let request = self.call(Method::GET, &route).timeout(ANSWER);
        let response = self.accepted(request).await?;
        let bytes = response.bytes().await.map_err(|source| self.lost(source))?;
        Ok(bytes.to_vec())
    }

    /// The task's events after position `after`, then each as it happens, until it is settled.
    #[must_use]
    pub fn events(&self, id: TaskId, after: u64) -> Events {
        Events::new(self.clone(), id, after)
    }

    async fn event_pieces(
        &self,
        id: TaskId,
        after: u64,
    ) -> Answer<impl Stream<Item = Piece> + Send + use<>> {
        let request = self
            .call(Method::GET, &task(id, ["events"]))
            .header(header::ACCEPT, "text/event-stream")
            .header("last-event-id", after);
        let response = self.accepted(request).await?;
        let client = self.clone();
        Ok(response.bytes_stream().map(move |piece| {
            let piece = piece.map_err(|source| client.lost(source))?;
            Ok(piece.to_vec())
        }))
    }

    /// The supervision tree.
    pub async fn tree(&self, query: &TreeQuery) -> Answer<TreeView> {
        let route = Route::to(["tree"])
            .with("path", query.path.as_deref())
            .with("depth", query.depth)
            .with("node", query.node.as_deref())
            .with("at", query.at)
            .with("after", query.after.as_deref())
            .with("limit", query.limit);
        self.get(route).await
    }

    /// Whether each subsystem works.
    pub async fn health(&self) -> Answer<HealthView> {
        self.get(Route::plain("/health")).await
    }

    /// The node.
    pub async fn node(&self) -> Answer<NodeView> {
        self.get(Route::to(["node"])).await
    }

    /// How much a node logs; the one that answers when none is named.
    pub async fn log_level(&self, node: Option<&str>) -> Answer<LogView> {
        self.get(Route::to(["node", "log"]).with("node", node))
            .await
    }

    /// Changes how much a node logs.
    pub async fn set_log_level(&self, node: Option<&str>, level: &str) -> Answer<LogView> {
        let route = Route::to(["node", "log"]).with("node", node);
        let level = level.to_owned();
        self.send(Method::PUT, route, &LogRequest { level }).await
    }

    /// The store.
    pub async fn store(&self) -> Answer<StoreView> {
        self.get(Route::to(["store"])).await
    }

    fn call(&self, method: Method, route: &Route) -> RequestBuilder {
        self.http
            .request(method, format!("{}{}", self.url, route.as_str()))
            .bearer_auth(&self.token)
    }

    async fn get<T: DeserializeOwned>(&self, route: Route) -> Answer<T> {
        self.read(self.call(Method::GET, &route).timeout(ANSWER))
            .await
    }

    async fn post<T: DeserializeOwned>(&self, route: Route) -> Answer<T> {
        self.read(self.call(Method::POST, &route).timeout(ANSWER))
            .await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        route: Route,
        body: &impl Serialize,
    ) -> Answer<T> {
        self.read(self.call(method, &route).json(body).timeout(ANSWER))
            .await
    }

    async fn delete(&self, route: Route) -> Answer<()> {
        self.accepted(self.call(Method::DELETE, &route).timeout(ANSWER))
            .await
            .map(drop)
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Answer<T> {
        let response = self.accepted(request).await?;
        let body = response.bytes().await.map_err(|source| self.lost(source))?;
        serde_json::from_slice(&body).map_err(|error| Error::Unknown {
            url: self.url.clone(),
            detail: error.to_string(),
        })
    }

    /// An answer in JSON-RPC, which stands also in some that are refusals; there may be none.
    async fn read_message(&self, request: RequestBuilder) -> Answer<Option<Value>> {
        let response = request.send().await.map_err(|source| self.lost(source))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|source| self.lost(source))?;
        if status.is_success() && body.is_empty() {
            return Ok(None);
        }
        let unknown = |detail| Error::Unknown {
            url: self.url.clone(),
            detail,
        };
        let message: Value =
            serde_json::from_slice(&body).map_err(|error| unknown(format!("{status}, {error}")))?;
        if message["jsonrpc"] == "2.0" {
            return Ok(Some(message));
        }
        match serde_json::from_value(message) {
            Ok(problem) => Err(Error::Refused(Box::new(problem))),
            Err(_) => Err(unknown(format!(
                "{status} without a problem that can be read"
            ))),
        }
    }

    /// The answer to a request, unless it is a refusal.
    async fn accepted(&self, request: RequestBuilder) -> Answer<Response> {
        let response = request.send().await.map_err(|source| self.lost(source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|source| self.lost(source))?;
        Err(match serde_json::from_slice(&body) {
            Ok(problem) => Error::Refused(Box::new(problem)),
            Err(_) => Error::Unknown {
                url: self.url.clone(),
                detail: format!("{status} without a problem that can be read"),
            },
        })
    }

    fn lost(&self, source: reqwest::Error) -> Error {
        Error::Unreachable {
            url: self.url.clone(),
            // The address stands in the message already.
            source: source.without_url(),
        }
    }
}

fn http() -> ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .user_agent(concat!("troupe/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        // A proxy of the environment would see the token.
        .no_proxy()
}

/// What becomes of a task that is to be deleted and is not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsettled {
    /// It stays, and the call is refused.
    Keep,
    /// It is stopped first.
    Cancel,
}

fn task<const N: usize>(id: TaskId, rest: [&str; N]) -> Route {
    let id = id.to_string();
    Route::to(["tasks", &id].into_iter().chain(rest))
}

/// A file's text without the blanks around it, if it is there.
fn read(path: &Path) -> Answer<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read {
            path: path.to_owned(),
            source,
        }),
    }
}
