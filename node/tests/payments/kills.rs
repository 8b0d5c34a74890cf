//! A node whose runs pay is killed again and again, also between a call and its receipt.

use std::{
    collections::BTreeSet,
    process::Stdio,
    time::{Duration, Instant},
};

use protocol::{api::TaskView, task::StepStatus};
use reqwest::Method;
use runtime::testkit::postgres::PrivatePostgres;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::timeout_at};

use super::{
    clerk::Clerk,
    judge::{Expected, judge},
    moments::{Moment, comes},
    orders::{Chance, list, steps},
    process::{Answer, Client, Node, PATIENCE, Place, Process, pause, until},
    till::{Thinks, Till, refuser},
    workflows::{Kind, input},
};

/// Runs that are under way at once.
const OPEN: usize = 12;

/// New ones between two kills, at most.
const NEW: usize = 5;

/// Short waits, so that what was lost is tried again before the next kill, however often that is.
const CONFIG: &str = "[cluster]\nlease = \"2s\"\nlisten = \"127.0.0.1:0\"\n[tasks]\nmax_backoff = \"100ms\"\nmax_lost = 1000\n\
    [log]\nlevel = \"warn\"\n";

/// Most answers come soon, and a kill falls into the others.
const THINKS: Thinks = Thinks {
    most: Duration::from_millis(15),
    some: Duration::from_millis(250),
};

/// How often the node is killed: `TROUPE_KILLS`, or as often as there is time for each time.
fn kills(otherwise: usize) -> usize {
    let asked = std::env::var("TROUPE_KILLS").ok();
    asked.map_or(otherwise, |asked| asked.parse().unwrap())
}

/// One run that a client wants.
struct Purchase {
    kind: Kind,
    key: String,
    /// Set when the node acknowledged it.
    id: Option<String>,
    unanswered: u32,
    replayed: bool,
    seen: Option<TaskView>,
}

/// What a client learnt from one request.
struct Learnt {
    purchase: usize,
    answer: reqwest::Result<Answer>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_payment_is_made_twice_whenever_the_node_is_killed() {
    let mut proof = Proof::begin("").await;
    proof.kill_often(kills(25)).await;
    proof.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_it_on_postgresql() {
    let postgres = PrivatePostgres::start().unwrap();
    let store = format!("[store]\nurl = \"{}\"\n", postgres.url());
    let mut proof = Proof::begin(&store).await;
    proof.kill_often(kills(8)).await;
    proof.end().await;
}

struct Proof {
    place: Place,
    till: Till,
    chance: Chance,
    purchases: Vec<Purchase>,
    clerk: Clerk,
    begun: Instant,
    killed: usize,
}

impl Proof {
    async fn begin(settings: &str) -> Self {
        let mut chance = Chance::seeded();
        let till = Till::open(THINKS, chance.fork()).await;
        let place = Place::new(&format!("{CONFIG}{}{settings}", till.allowed()));
        let node = place.start().await;
        for agent in [till.agent(), refuser()] {
            node.client.register(&agent).await.unwrap();
        }
        for kind in Kind::ALL {
            let draft = json!({ "dag_definition": kind.definition() });
            let made = node.client.post("/api/v1/workflows", &draft).await.unwrap();
            assert_eq!(made.status, 201, "{made:?}");
        }
        assert!(node.terminate().await.success(), "{}", place.log());
        Self {
            place,
            till,
            chance,
            purchases: Vec::new(),
            clerk: Clerk::default(),
            begun: Instant::now(),
            killed: 0,
        }
    }

    async fn kill_often(&mut self, kills: usize) {
        while self.killed < kills {
            let moment = Moment::any(&mut self.chance);
            if moment == Moment::Recovery {
                self.kill_while_it_starts().await;
            } else {
                let node = self.place.start().await;
                self.work_until(moment, node).await;
            }
            self.killed += 1;
        }
    }

    /// A kill before it serves anybody.
    async fn kill_while_it_starts(&mut self) {
        let mut start = self.place.troupe(&["start", "--listen", "127.0.0.1:0"]);
        let start = start.stdout(Stdio::null()).stderr(Stdio::null());
        let mut node = Process(start.spawn().unwrap());
        pause(Duration::from_millis(self.chance.below(400))).await;
        node.0.kill().unwrap();
        node.0.wait().unwrap();
    }

    /// Wants more of it, and kills it at such a moment.
    async fn work_until(&mut self, moment: Moment, node: Node) {
        let hand = self.till.hand();
        self.want_more();
        let mut requests = self.requests(&node.client);
        let watching = watch(self.open_ids(), node.client.clone());
        let answers = self.chance.below(2) == 0;
        let clerk = async {
            // Some of what is asked is left for the next life of the node.
            while answers
                && self
                    .clerk
                    .answer_all(&node.client, &self.till)
                    .await
                    .is_ok()
            {
                pause(Duration::from_millis(20)).await;
            }
            std::future::pending::<()>().await;
        };
        let after = Duration::from_millis(self.chance.below(300));
        tokio::select! {
            () = comes(moment, hand, after) => {}
            () = clerk => {}
        }
        node.kill();
        while let Some(learnt) = requests.join_next().await {
            self.take(learnt.unwrap());
        }
        for (purchase, task) in watching.await.unwrap() {
            self.observe(purchase, task);
        }
    }

    fn want_more(&mut self) {
        let open = self.purchases.iter().filter(|it| !it.is_over()).count();
        for _ in 0..OPEN.saturating_sub(open).min(NEW) {
            let number = self.purchases.len();
            self.purchases.push(Purchase {
                kind: Kind::ALL[self.chance.below(4) as usize],
                key: format!("purchase-{number}"),
                id: None,
                unanswered: 0,
                replayed: false,
                seen: None,
            });
        }
    }

    /// Sends every purchase that was not acknowledged yet.
    fn requests(&self, client: &Client) -> JoinSet<Learnt> {
        let mut requests = JoinSet::new();
        for (purchase, wanted) in self.purchases.iter().enumerate() {
            if wanted.id.is_none() {
                let (client, key) = (client.clone(), wanted.key.clone());
                let path = format!("/api/v1/workflows/{}/execute", wanted.kind.name());
                let body = json!({ "input": input() });
                requests.spawn(async move {
                    let (path, key) = (path.as_str(), Some(key.as_str()));
                    let answer = client.send(Method::POST, path, key, Some(&body)).await;
                    Learnt { purchase, answer }
                });
            }
        }
        requests
    }

    fn take(&mut self, learnt: Learnt) {
        let purchase = &mut self.purchases[learnt.purchase];
        match learnt.answer {
            Ok(answer) => {
                let status = if answer.replayed { 200 } else { 202 };
                assert_eq!(answer.status, status, "{answer:?}");
                let id = answer.body["execution_id"].as_str().unwrap();
                purchase.id = Some(id.to_owned());
                purchase.replayed |= answer.replayed;
            }
            Err(_) => purchase.unanswered += 1,
        }
    }

    /// Acknowledged and not over, as far as the client knows.
    fn open_ids(&self) -> Vec<(usize, String)> {
        let purchases = self.purchases.iter().enumerate();
        let open = purchases.filter(|(_, it)| !it.is_over());
        open.filter_map(|(at, it)| Some((at, it.id.clone()?)))
            .collect()
    }

    /// What the node says now must follow from what it said before.
    fn observe(&mut self, purchase: usize, task: TaskView) {
        let seen = &mut self.purchases[purchase].seen;
        if let Some(seen) = seen {
            assert!(task.version >= seen.version, "{}: went back", task.id);
            for then in steps(seen).iter().filter(|step| is_done(step.status)) {
                let now = steps(&task).iter().find(|step| step.id == then.id);
                assert_eq!(Some(then), now, "{}: a receipt changed", task.id);
            }
        }
        *seen = Some(task);
    }

    /// Lets the node live until all is settled, and holds that against what the till wrote down.
    async fn end(&mut self) {
        let node = self.place.start().await;
        let client = &node.client;
        let mut requests = self.requests(client);
        while let Some(learnt) = requests.join_next().await {
            self.take(learnt.unwrap());
        }
        for (purchase, id) in self.open_ids() {
            self.until_it_rests(client, purchase, &id).await;
        }
        let unknown = self.open_ids().len();
        let deadline = Instant::now() + PATIENCE * 2;
        while !self.open_ids().is_empty() {
            assert!(Instant::now() < deadline, "{:#?}", self.open_ids());
            self.clerk.answer_all(client, &self.till).await.unwrap();
            for (purchase, id) in self.open_ids() {
                self.until_it_rests(client, purchase, &id).await;
            }
        }
        until("every run has left memory", PATIENCE, async || {
            let tasks = client.get("/api/v1/tree?path=/tasks").await.ok()?;
            (tasks.body["total"] == 1).then_some(())
        })
        .await;
        self.judge(&list(client).await, unknown);
        assert!(node.terminate().await.success(), "{}", self.place.log());
        self.verify_chains();
    }

    /// Waits until a run is over, or nothing of it can go on before a person has answered.
    async fn until_it_rests(&mut self, client: &Client, purchase: usize, id: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let rests = async {
            loop {
                let path = format!("/api/v1/executions/{id}");
                let run = client.get(&path).await.unwrap().body;
                match run["status"].as_str().unwrap() {
                    "completed" | "failed" | "cancelled" => return,
                    "waiting" if asks_about(&run) => return,
                    _ => pause(Duration::from_millis(10)).await,
                }
            }
        };
        if timeout_at(deadline, rests).await.is_err() {
            let run = client.get(&format!("/api/v1/executions/{id}")).await;
            let why = client.get(&format!("/api/v1/tasks/{id}/why")).await;
            panic!("it hangs: {run:#?}\n{why:#?}\n{}", self.place.log());
        }
        let task = client.task(id).await;
        self.observe(purchase, task);
    }

    fn judge(&self, listed: &[String], left: usize) {
        let purchases = self.purchases.iter();
        let runs: Vec<(Expected, TaskView)> = purchases
            .map(|it| (it.kind.expected(), it.seen.clone().unwrap()))
            .collect();
        let wanted: BTreeSet<String> = runs.iter().map(|(_, task)| task.id.to_string()).collect();
        let there: BTreeSet<String> = listed.iter().cloned().collect();
        assert_eq!(
            (wanted.len(), listed.len()),
            (runs.len(), runs.len()),
            "one key, one run"
        );
        assert_eq!(wanted, there);
        let toll = judge(&runs, &self.till.book());
        let clerk = &self.clerk;
        println!(
            "{} kills, {} runs, {toll}; {} calls were unknown, {} of them had come to the till, {left} were \
             left when all kills were over; {:?}",
            self.killed,
            runs.len(),
            clerk.unknown.len(),
            clerk.effective.len(),
            self.begun.elapsed(),
        );
        assert_eq!(clerk.others, BTreeSet::new());
        // The test proves something only if the kills hurt.
        if self.killed >= 20 {
            assert!(toll.idempotent > 0 && toll.lost > 0, "no kill hit a call");
            assert!(!clerk.effective.is_empty(), "no outcome was unknown");
        }
    }

    fn verify_chains(&self) {
        let verified = self.place.troupe(&["db", "verify", "-o", "json"]);
        let verified = { verified }.output().unwrap();
        let text = String::from_utf8_lossy(&verified.stdout);
        assert!(verified.status.success(), "{text}");
        let found: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(found["faults"], json!([]));
    }
}

impl Purchase {
    fn is_over(&self) -> bool {
        let seen = self.seen.as_ref();
        seen.is_some_and(|task| task.status.is_terminal())
    }
}

const fn is_done(status: StepStatus) -> bool {
    matches!(status, StepStatus::Completed | StepStatus::Failed)
}

/// Whether a node of a run waits for a person because nobody knows what became of a call; one that is
/// taken back says so by what the run waits for.
fn asks_about(run: &Value) -> bool {
    let mut nodes = run["nodes"].as_array().unwrap().iter();
    nodes.any(|node| node["waits_for"]["entity"].is_string())
}

/// Looks at runs until the node is gone.
fn watch(
    ids: Vec<(usize, String)>,
    client: Client,
) -> tokio::task::JoinHandle<Vec<(usize, TaskView)>> {
    tokio::spawn(async move {
        let mut seen = Vec::new();
        while !ids.is_empty() {
            for (purchase, id) in &ids {
                match client.get(&format!("/api/v1/tasks/{id}")).await {
                    Ok(answer) => seen.push((*purchase, answer.task())),
                    Err(_) => return seen,
                }
                pause(Duration::from_millis(5)).await;
            }
        }
        seen
    })
}
