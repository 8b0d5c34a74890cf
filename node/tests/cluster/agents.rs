//! Agents written in Rust, on nodes that are processes of this very program, ask each other.

use std::{
    env,
    fs::{self, File},
    future::ready,
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use actors::adapter::{Adapter, Answer, Call, CallError, Colleagues};
use protocol::{
    api::TaskView,
    task::{AttemptStatus, TaskStatus},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use troupe::{Config, Node};

use super::{
    faults::ONE_AT_A_TIME,
    machine::STARTED,
    machines::Cluster,
    orders::steps,
    process::{Client, PATIENCE, pause, until},
};

/// What makes this program a node: the name of the test that is one, and what the environment tells it.
pub(crate) const NODE: &str = "agents::a_node_for_another_test";
pub(crate) const BOOK: &str = "TROUPE_TEST_BOOK";
pub(crate) const CONFIG: &str = "TROUPE_TEST_CONFIG";
pub(crate) const JOIN: &str = "TROUPE_TEST_JOIN";

/// The node that has `clerk`; all others have `tax`.
const DESK: &str = "desk";

/// By when whoever asks an agent is told that its node was killed, and that it froze.
const KILL_IS_TOLD: Duration = Duration::from_secs(3);
const FREEZE_IS_TOLD: Duration = Duration::from_secs(20);

/// No test by itself: it runs the node that another test starts in a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_for_another_test() {
    let Some(path) = env::var_os(BOOK) else {
        return;
    };
    let book = Book(path.into());
    let file = PathBuf::from(env::var_os(CONFIG).unwrap());
    let config = Config::load(Some(&file), env::vars_os()).unwrap();
    let log = tracing_subscriber::fmt().with_writer(io::stderr);
    log.with_ansi(false).init();
    let (name, mesh) = (config.node.name.clone(), config.cluster.listen);
    let mut node = Node::builder().config(config).mesh(mesh).without_edge();
    if let Ok(join) = env::var(JOIN) {
        let (address, token) = join.split_once(' ').unwrap();
        node = node.join(address, Some(token.to_owned()));
    }
    let node = match &*name {
        DESK => node.native("clerk", Arc::new(Clerk(book))),
        _ => node.native("tax", Arc::new(Tax { node: name, book })),
    };
    let node = node.start().await.unwrap();
    let mesh = node.member().mesh.clone().unwrap();
    writeln!(io::stderr(), "mesh    {mesh}\n{STARTED}").unwrap();
    let terminate = tokio::signal::unix::SignalKind::terminate();
    tokio::signal::unix::signal(terminate).unwrap().recv().await;
    node.stop(Duration::from_secs(5)).await;
}

/// What agents did and heard, a line each.
#[derive(Debug, Clone)]
struct Book(PathBuf);

impl Book {
    fn write(&self, line: &str) {
        let mut file = File::options().append(true).create(true).open(&self.0);
        file.as_mut()
            .unwrap()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    fn read(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// As long as this file is there, nobody is answered.
    fn hold(&self) -> PathBuf {
        self.0.with_extension("hold")
    }
}

/// Asks `tax` what it does not know itself.
#[derive(Debug)]
struct Clerk(Book);

impl Adapter for Clerk {
    fn call<'a>(
        &'a self,
        _: &'a Call,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        unreachable!("it is called with its colleagues")
    }

    fn call_among<'a>(
        &'a self,
        call: &'a Call,
        colleagues: &'a Colleagues,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async move {
            let heard = colleagues.ask("tax", call.input.clone()).await;
            match &heard {
                Ok(tax) => self.0.write(&format!("heard {}", tax["gross"])),
                Err(error) => self.0.write(&format!("heard {}", error.code())),
            }
            let tax = heard?;
            Ok(json!({ "net": call.input["net"], "gross": tax["gross"], "by": tax["by"] }))
        })
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(ready(Ok("it asks".to_owned())))
    }
}

/// Knows the rate, and thinks about it as long as it is told to.
#[derive(Debug)]
struct Tax {
    node: String,
    book: Book,
}

impl Adapter for Tax {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async move {
            self.book.write(&format!("asked {}", self.node));
            while self.book.hold().exists() {
                pause(Duration::from_millis(5)).await;
            }
            let net = call.input["net"].as_u64().unwrap();
            Ok(json!({ "gross": net + net * 19 / 100, "by": self.node }))
        })
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(ready(Ok("it knows".to_owned())))
    }
}

/// A node that owns the task, one that hosts `clerk`, and two that could host `tax`.
struct Office {
    cluster: Cluster,
    client: Client,
    book: Book,
    /// The node that hosts `tax`, and the one that would after it.
    host: String,
    heir: String,
}

impl Office {
    async fn open() -> Self {
        let mut cluster = Cluster::new(None).await;
        cluster.add("owner", "control,edge").await;
        for name in [DESK, "east", "west"] {
            cluster.add_agents(name).await;
        }
        let (_, client) = cluster.clients().remove(0);
        for name in ["clerk", "tax"] {
            let agent = json!({ "name": name, "agent_type": "native", "capabilities": [name] });
            client.register(&agent).await.unwrap();
        }
        let host = until("somebody hosts both", PATIENCE, async || {
            host(&client, "clerk").await?;
            host(&client, "tax").await
        })
        .await;
        assert_ne!(host, DESK);
        Self {
            book: Book(cluster.book_file()),
            heir: if host == "east" { "west" } else { "east" }.to_owned(),
            host,
            client,
            cluster,
        }
    }

    /// A task in which `clerk` asks `tax`.
    async fn invoice(&self, net: u64) -> TaskView {
        let step = json!({
            "id": "sum", "agent": "clerk", "input": { "net": net }, "effect": "pure", "timeout": "10m",
        });
        let task = json!({ "description": "An invoice", "steps": [step] });
        self.client.submit(&task).await
    }

    /// The same, which `tax` works on when this ends, and does not answer.
    async fn invoice_under_way(&self) -> TaskView {
        fs::write(self.book.hold(), "").unwrap();
        let task = self.invoice(100).await;
        let asked = format!("asked {}", self.host);
        until("tax is asked", PATIENCE, async || {
            (self.book.read() == [asked.as_str()]).then_some(())
        })
        .await;
        task
    }

    /// Nobody holds an answer back any more; answers how long it took until `clerk` heard anything.
    async fn until_clerk_hears(&self, since: Instant, within: Duration) -> Duration {
        fs::remove_file(self.book.hold()).unwrap();
        until("clerk hears something", within, async || {
            let book = self.book.read();
            book.iter()
                .any(|line| line.starts_with("heard"))
                .then(|| since.elapsed())
        })
        .await
    }

    /// `clerk` was told that nobody knows what became of its question; its second try was answered by
    /// the node that hosts `tax` then.
    async fn second_try_succeeds(&self, task: &TaskView) -> TaskView {
        let task = self.client.settled(&task.id.to_string()).await;
        assert_eq!(task.status, TaskStatus::Completed, "{task:#?}");
        assert_eq!(
            task.result,
            json!({ "net": 100, "gross": 119, "by": self.heir })
        );
        let attempts = &steps(&task)[0].attempts;
        let ends: Vec<_> = attempts.iter().map(|attempt| attempt.status).collect();
        assert_eq!(ends, [AttemptStatus::Failed, AttemptStatus::Succeeded]);
        assert_eq!(attempts[0].error.as_ref().unwrap().code, "ask_lost");
        assert!(attempts.iter().all(|attempt| attempt.node == DESK));
        let (first, second) = (
            format!("asked {}", self.host),
            format!("asked {}", self.heir),
        );
        let book = [&*first, "heard ask_lost", &*second, "heard 119"];
        assert_eq!(self.book.read()[..4], book);
        task
    }

    async fn close(mut self) {
        for machine in self.cluster.machines.iter_mut().rev() {
            if machine.runs() {
                machine.terminate().await;
            }
        }
        self.cluster.verify();
    }
}

/// The node that hosts an agent.
async fn host(client: &Client, agent: &str) -> Option<String> {
    let answer = client.get(&format!("/api/v1/agents/{agent}")).await.ok()?;
    let node = answer.body["node"].as_str()?;
    // It is shown before it has taken it over.
    let open = answer.body["capacity"].as_u64()? > 0;
    (open && !node.is_empty()).then(|| node.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_asks_one_in_another_process_and_gets_its_reply() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let office = Office::open().await;
    let tasks = [office.invoice(100).await, office.invoice(300).await];
    for (task, gross) in tasks.iter().zip([119, 357]) {
        let task = office.client.settled(&task.id.to_string()).await;
        assert_eq!(task.status, TaskStatus::Completed, "{task:#?}");
        let net = task.result["net"].as_u64().unwrap();
        assert_eq!(
            task.result,
            json!({ "net": net, "gross": gross, "by": office.host })
        );
        assert_eq!(steps(&task)[0].attempts.len(), 1);
    }
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_an_agent_whose_process_is_killed_is_told_so_within_three_seconds() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let mut office = Office::open().await;
    let task = office.invoice_under_way().await;
    let since = Instant::now();
    office.cluster.machine(&office.host.clone()).kill();
    let told = office.until_clerk_hears(since, KILL_IS_TOLD).await;
    office.second_try_succeeds(&task).await;
    assert_eq!(office.book.read().len(), 4);
    println!("told after {told:?}, done after {:?}", since.elapsed());
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_an_agent_whose_process_freezes_is_told_so_and_hears_no_second_answer() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let mut office = Office::open().await;
    let task = office.invoice_under_way().await;
    let (since, host) = (Instant::now(), office.host.clone());
    office.cluster.machine(&host).freeze();
    let told = office.until_clerk_hears(since, FREEZE_IS_TOLD).await;
    let done = office.second_try_succeeds(&task).await;
    println!("told after {told:?}, done after {:?}", since.elapsed());

    office.cluster.machine(&host).thaw();
    until("what it says late is refused", PATIENCE, async || {
        let log = office.cluster.machine("owner").log();
        let mut refused = log
            .lines()
            .filter(|line| line.contains("a result was refused"));
        refused
            .any(|line| line.contains("step=\"ask-"))
            .then_some(())
    })
    .await;
    office.cluster.until_whole().await;
    let again = office.invoice(300).await;
    let again = office.client.settled(&again.id.to_string()).await;
    assert_eq!(again.result["gross"], 357, "{again:#?}");
    assert_eq!(
        office.book.read()[4..],
        [format!("asked {}", office.heir), "heard 357".to_owned()]
    );
    assert_eq!(office.second_try_succeeds(&task).await, done);
    office.close().await;
}
