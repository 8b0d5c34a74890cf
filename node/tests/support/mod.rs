//! A node on a free port, and a client of it.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{collections::HashMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use actors::{Orchestrator, orchestrator::Setup};
use runtime::store;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{oneshot, watch},
    task::JoinHandle,
};
use troupe::edge::{Edge, EdgeConfig, EdgeError, Parts, Readiness, config::TokenEntry};

/// The administrator's token in tests, and its SHA-256.
pub(crate) const ADMIN: &str = "for-tests-only";
pub(crate) const ADMIN_SHA256: &str =
    "08c06cbd4bd28c927814c2c5ae21c0517584a5aa0274fd27faa1236d5794e4b0";

/// The system behind the edge.
pub(crate) async fn orchestrator(data_dir: &Path) -> Orchestrator {
    let store = store::open(&store_of(data_dir)).await.unwrap();
    Orchestrator::start(Setup {
        config: actors::Config::default(),
        node: "testnode".to_owned(),
        store,
        data_dir: data_dir.to_owned(),
        natives: HashMap::new(),
    })
    .await
    .unwrap()
}

/// A file in the directory, or a schema named after it in the database of `TROUPE_STORE__URL`.
fn store_of(data_dir: &Path) -> store::Address {
    let Ok(url) = std::env::var("TROUPE_STORE__URL") else {
        return store::Address::Sqlite(data_dir.join("troupe.db"));
    };
    let name = data_dir.to_string_lossy().replace(['/', '.'], "_");
    let sign = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{sign}options[search_path]=\"{name}\"");
    url.parse().unwrap()
}

/// A node that is served.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) url: String,
    pub(crate) ready: watch::Sender<Readiness>,
    pub(crate) data_dir: TempDir,
    pub(crate) client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

/// What differs from a node as it comes.
pub(crate) struct Start {
    pub(crate) config: EdgeConfig,
    pub(crate) drain: Duration,
    pub(crate) metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Default for Start {
    fn default() -> Self {
        let config = EdgeConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tokens: ["viewer", "developer", "operator"].map(token).to_vec(),
            ..EdgeConfig::default()
        };
        Self {
            config,
            drain: Duration::from_secs(10),
            metrics: Arc::new(|| "up 1\n".to_owned()),
        }
    }
}

/// A token that is called like its role.
fn token(role: &str) -> TokenEntry {
    let sha256 = match role {
        "viewer" => "d35ca5051b82ffc326a3b0b6574a9a3161dee16b9478a199ee39cd803ce5b799",
        "developer" => "88fa0d759f845b47c044c2cd44e29082cf6fea665c30c146374ec7c8f3d699e3",
        _ => "06e55b633481f7bb072957eabcf110c972e86691c3cfedabe088024bffe42f23",
    };
    serde_json::from_value(serde_json::json!({"user": role, "role": role, "sha256": sha256}))
        .unwrap()
}

/// Binds an edge without serving it.
pub(crate) async fn bind(
    start: &Start,
    data_dir: &Path,
) -> Result<(Edge, watch::Sender<Readiness>), EdgeError> {
    let (ready, watched) = watch::channel(Readiness::Ready);
    let admin: troupe::edge::config::TokenHash = ADMIN_SHA256.parse().unwrap();
    let parts = Parts {
        orchestrator: orchestrator(data_dir).await,
        admin_token_sha256: admin.0,
        metrics: start.metrics.clone(),
        node: "testnode".to_owned(),
        data_dir: data_dir.to_owned(),
        ready: watched,
    };
    Ok((Edge::bind(&start.config, parts).await?, ready))
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::start_with(Start::default()).await
    }

    pub(crate) async fn start_with(start: Start) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let (edge, ready) = bind(&start, data_dir.path()).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (address, url) = (edge.local_addr(), edge.url());
        let shutdown = async move {
            let _ = stopped.await;
        };
        let served = tokio::spawn(edge.serve(shutdown, start.drain));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            address,
            url,
            ready,
            data_dir,
            client,
            stop: Some(stop),
            served,
        }
    }

    /// Stops it, and waits until it has stopped.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        (&mut self.served).await.unwrap();
    }

    /// Tells it to stop, and goes on.
    pub(crate) fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(
            "POST",
            path,
            &[("content-type", "application/json")],
            &body.to_string(),
        )
        .await
    }

    /// A request of the administrator, unless `headers` has another `authorization`.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let method = method.parse::<reqwest::Method>().unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.bearer_auth(ADMIN);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.body(body.to_owned());
        }
        Answer::read(request.send().await.unwrap()).await
    }

    /// Sends bytes as they are, and reads until the node ends the connection.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        rest(&mut stream).await
    }
}

/// Reads until the node ends the connection; what it sent until then.
pub(crate) async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is an end, too; none at all is what must not be.
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the node did not end the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// An answer with all of its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn read(response: reqwest::Response) -> Self {
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Its code, if it is a problem as the contract has it.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert_eq!(
            problem["request_id"],
            self.header("x-request-id"),
            "{self:?}"
        );
        assert_eq!(problem["message"], problem["detail"], "{self:?}");
        problem["code"].as_str().unwrap().to_owned()
    }

    /// The first wrong field of a problem.
    pub(crate) fn field(&self) -> String {
        self.json()["errors"][0]["field"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}
