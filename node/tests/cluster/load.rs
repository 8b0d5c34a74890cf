//! Clients that want tasks done, of any node, whatever happens to the nodes meanwhile.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use protocol::{
    api::TaskView,
    task::{AttemptStatus, StepStatus},
};
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinHandle;

use super::{
    ledger::Ledger,
    machine::OUTER,
    machines::Cluster,
    orders::{Chance, Order, judge_orders, list, steps},
    process::{Client, PATIENCE, pause, until},
};

/// Agents that write to the ledger; enough for each node to host one.
const WITNESSES: usize = 8;

/// An agent whose first attempt takes longer than a node may be silent.
const STRAGGLER: &str = "witness-straggler";

/// Clients at once.
const CLIENTS: usize = 4;

/// Between two tasks of one client.
const REST: Duration = Duration::from_millis(250);

/// Between two tries of one client.
const AGAIN: Duration = Duration::from_millis(100);

/// Where clients find nodes: those that answer are not known to them.
pub(crate) type Doors = Arc<Mutex<Vec<(String, Client)>>>;

/// All that was ever wanted of a cluster, and the witness of what became of it.
pub(crate) struct Load {
    ledger: Ledger,
    witnesses: Vec<String>,
    doors: Doors,
    orders: Arc<Mutex<Vec<Order>>>,
    numbers: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    trouble: Arc<Mutex<Trouble>>,
    begun: usize,
}

/// What clients met.
#[derive(Debug, Default, Clone)]
pub(crate) struct Trouble {
    /// Answers with 429 or 503.
    pub(crate) busy: usize,
    /// Nobody listened.
    pub(crate) refused: usize,
    /// The request was taken, and no answer came.
    pub(crate) cut: usize,
    /// The longest time until an answer that was no refusal.
    pub(crate) slowest: Duration,
    /// Why, the last time.
    pub(crate) last: String,
}

/// What a fault did to the tasks that were wanted meanwhile.
#[derive(Debug)]
pub(crate) struct Toll {
    pub(crate) tasks: usize,
    pub(crate) lost: usize,
    pub(crate) unknown: usize,
    pub(crate) replayed: usize,
    pub(crate) trouble: Trouble,
}

impl Load {
    /// Registers agents on all nodes.
    pub(crate) async fn within(cluster: &Cluster) -> Self {
        Self::of(cluster, &[]).await
    }

    /// Registers agents, half of them on the nodes that only host agents.
    pub(crate) async fn new(cluster: &Cluster) -> Self {
        Self::of(cluster, &[OUTER]).await
    }

    async fn of(cluster: &Cluster, regions: &[&str]) -> Self {
        let ledger = Ledger::new(cluster.ledger_file());
        let witnesses: Vec<String> = (0..WITNESSES).map(|n| format!("witness-{n}")).collect();
        let (_, client) = &cluster.clients()[0];
        for (number, name) in (0..).zip(&witnesses) {
            let seconds = if number % 2 == 0 { "0.1" } else { "0.8" };
            let mut agent = ledger.agent(name, seconds);
            if let Some(region) = regions.first().filter(|_| number % 4 > 1) {
                agent["placement"] = json!({ "region": region });
            }
            client.register(&agent).await.unwrap();
        }
        let mut straggler = ledger.straggler(STRAGGLER, "25", "0.1");
        straggler["placement"] = json!({ "region": OUTER });
        client.register(&straggler).await.unwrap();
        let echo = json!({ "name": "echo", "agent_type": "echo", "capabilities": ["echo"] });
        client.register(&echo).await.unwrap();
        Self {
            ledger,
            witnesses,
            doors: Doors::default(),
            orders: Arc::default(),
            numbers: Arc::default(),
            stop: Arc::default(),
            clients: Vec::new(),
            trouble: Arc::default(),
            begun: 0,
        }
    }

    /// Lets clients begin to submit tasks to whichever node they draw.
    pub(crate) fn begin(&mut self, cluster: &Cluster) {
        self.begin_with(cluster, REST);
    }

    /// The same, with another rest between two tasks of one client.
    pub(crate) fn begin_with(&mut self, cluster: &Cluster, rest: Duration) {
        self.opens(cluster);
        self.stop.store(false, Ordering::Relaxed);
        *self.trouble.lock().unwrap() = Trouble::default();
        self.begun = self.orders.lock().unwrap().len();
        for _ in 0..CLIENTS {
            let client = Buyer {
                doors: self.doors.clone(),
                witnesses: self.witnesses.clone(),
                orders: self.orders.clone(),
                numbers: self.numbers.clone(),
                stop: self.stop.clone(),
                trouble: self.trouble.clone(),
                chance: Chance::seeded(),
                rest,
            };
            self.clients.push(tokio::spawn(client.buy()));
        }
    }

    /// Tells clients where nodes are now.
    pub(crate) fn opens(&self, cluster: &Cluster) {
        *self.doors.lock().unwrap() = cluster.clients();
    }

    /// Tasks that were acknowledged, and are not settled as far as clients know.
    pub(crate) fn open(&self) -> Vec<protocol::id::TaskId> {
        let orders = self.orders.lock().unwrap();
        let open = orders[self.begun..].iter().filter_map(|order| {
            let seen = order.seen.as_ref()?;
            (!seen.status.is_terminal()).then_some(seen.id)
        });
        open.collect()
    }

    /// Stops the clients, waits until all that they were promised has come true, and answers what
    /// they had to bear.
    pub(crate) async fn end(&mut self, cluster: &Cluster) -> Toll {
        self.opens(cluster);
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.await.unwrap();
        }
        let ids: Vec<(usize, String)> = {
            let orders = self.orders.lock().unwrap();
            let new = orders.iter().enumerate().skip(self.begun);
            new.map(|(n, order)| (n, order.id.clone().unwrap()))
                .collect()
        };
        let doors = cluster.clients();
        let since = Instant::now();
        let mut turn = 0;
        for (number, id) in &ids {
            let task = self.settled(&doors, &mut turn, id, since, cluster).await;
            self.orders.lock().unwrap()[*number].observe(task);
        }
        let orders = self.orders.lock().unwrap();
        let new = &orders[self.begun..];
        let all = || {
            new.iter()
                .filter_map(|order| order.seen.as_ref())
                .flat_map(steps)
        };
        Toll {
            tasks: new.len(),
            lost: all()
                .flat_map(|step| &step.attempts)
                .filter(|attempt| attempt.status == AttemptStatus::Lost)
                .count(),
            unknown: all()
                .filter(|step| step.status == StepStatus::Unknown)
                .count(),
            replayed: new.iter().filter(|order| order.replayed).count(),
            trouble: self.trouble.lock().unwrap().clone(),
        }
    }

    async fn settled(
        &self,
        doors: &[(String, Client)],
        turn: &mut usize,
        id: &str,
        since: Instant,
        cluster: &Cluster,
    ) -> TaskView {
        let mut said = String::new();
        loop {
            *turn += 1;
            let (name, client) = &doors[*turn % doors.len()];
            let path = format!("/api/v1/tasks/{id}?wait=2s");
            match client.get(&path).await {
                Ok(answer) if answer.status == 200 => {
                    let task = answer.task();
                    if task.status.is_terminal() {
                        return task;
                    }
                    said = format!("{name}: {task:#?}");
                }
                other => said = format!("{said}\n{name}: {other:?}"),
            }
            if since.elapsed() > PATIENCE {
                let why = client.get(&format!("/api/v1/tasks/{id}/why")).await;
                let agents = client.get("/api/v1/agents").await;
                let logs = cluster.logs();
                panic!("{id} is not settled: {said}\n{why:#?}\n{agents:#?}\n{logs}");
            }
            pause(AGAIN).await;
        }
    }

    /// Sends requests whose clients leave before they are answered, and later sends each again until
    /// it is; answers how many were left.
    pub(crate) async fn hang_up(&self, cluster: &Cluster, requests: usize) -> usize {
        let doors = cluster.clients();
        let mut chance = Chance::seeded();
        let mut left = 0;
        for _ in 0..requests {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let order = Order::single(&format!("order-{number}"), "echo");
            let (_, client) = &doors[number % doors.len()];
            let (key, body) = (Some(&*order.key), Some(&order.body));
            let sent = client.send(Method::POST, "/api/v1/tasks", key, body);
            let patience = Duration::from_micros(500 + chance.below(12_000));
            left += usize::from(tokio::time::timeout(patience, sent).await.is_err());
            self.orders.lock().unwrap().push(order);
        }
        let mut unanswered = self.orders.lock().unwrap().split_off(self.begun);
        let (_, client) = &doors[0];
        let again = unanswered.iter_mut().filter(|order| order.id.is_none());
        futures_util::future::join_all(again.map(async |order| {
            let (key, body) = (Some(&*order.key), Some(&order.body));
            let sent = client.send(Method::POST, "/api/v1/tasks", key, body).await;
            let answer = sent.unwrap();
            order.replayed = answer.replayed;
            order.id = Some(answer.task().id.to_string());
        }))
        .await;
        self.orders.lock().unwrap().append(&mut unanswered);
        left
    }

    /// Submits a task beside those of the clients.
    pub(crate) async fn want(&self, cluster: &Cluster, mut order: Order) -> TaskView {
        let (_, client) = &cluster.clients()[0];
        let (key, body) = (Some(&*order.key), Some(&order.body));
        let sent = client.send(Method::POST, "/api/v1/tasks", key, body).await;
        let task = sent.unwrap().task();
        order.id = Some(task.id.to_string());
        self.orders.lock().unwrap().push(order);
        task
    }

    /// Lets a straggler begin, and answers the name of the node that runs its first attempt.
    pub(crate) async fn straggle(&self, cluster: &Cluster, key: &str) -> String {
        let task = self.want(cluster, Order::single(key, STRAGGLER)).await;
        let (_, client) = &cluster.clients()[0];
        let path = format!("/api/v1/tasks/{}", task.id);
        until("the straggler runs", PATIENCE, async || {
            let task = client.get(&path).await.ok()?.task();
            let attempt = steps(&task).first()?.attempts.first()?;
            let runs = self
                .ledger
                .read()
                .keys()
                .any(|(id, _)| *id == task.id.to_string());
            runs.then(|| attempt.node.clone())
        })
        .await
    }

    /// Holds everything against the witness, on each node's word.
    pub(crate) async fn judge(&self, cluster: &Cluster) {
        let entries = self.ledger.read();
        for (_, client) in cluster.clients() {
            let listed = list(&client).await;
            judge_orders(&self.orders.lock().unwrap(), &listed, &entries);
        }
        println!(
            "{} tasks, {} effects: none lost, none doubled",
            self.orders.lock().unwrap().len(),
            entries.values().map(Vec::len).sum::<usize>()
        );
    }
}

/// One client.
struct Buyer {
    doors: Doors,
    witnesses: Vec<String>,
    orders: Arc<Mutex<Vec<Order>>>,
    numbers: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    trouble: Arc<Mutex<Trouble>>,
    chance: Chance,
    rest: Duration,
}

impl Buyer {
    async fn buy(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let mut order = Order::new(number, &self.witnesses, &mut self.chance);
            let since = Instant::now();
            while order.id.is_none() {
                self.submit(&mut order).await;
                let trouble = self.trouble.lock().unwrap().last.clone();
                assert!(since.elapsed() < PATIENCE, "nobody takes a task: {trouble}");
            }
            self.orders.lock().unwrap().push(order);
            pause(self.rest).await;
        }
    }

    async fn submit(&mut self, order: &mut Order) {
        let door = {
            let doors = self.doors.lock().unwrap();
            let door = doors.get(self.chance.below(doors.len().max(1) as u64) as usize);
            door.cloned()
        };
        let Some((name, client)) = door else {
            return pause(AGAIN).await;
        };
        let (key, body, since) = (Some(&*order.key), Some(&order.body), Instant::now());
        let sent = client.send(Method::POST, "/api/v1/tasks", key, body).await;
        match sent {
            Ok(answer) if matches!(answer.status, 429 | 503) => {
                let mut trouble = self.trouble.lock().unwrap();
                trouble.busy += 1;
                trouble.last = format!("{name}: {answer:?}");
            }
            Ok(answer) => {
                assert!(matches!(answer.status, 200..=202), "{name}: {answer:?}");
                let task = answer.task();
                order.id = Some(task.id.to_string());
                order.replayed |= answer.replayed;
                order.observe(task);
                let mut trouble = self.trouble.lock().unwrap();
                trouble.slowest = trouble.slowest.max(since.elapsed());
                return;
            }
            Err(error) => {
                order.unanswered += 1;
                let mut trouble = self.trouble.lock().unwrap();
                if error.is_connect() {
                    trouble.refused += 1;
                } else {
                    trouble.cut += 1;
                }
                trouble.last = format!("{name}: {error:?}");
            }
        }
        pause(AGAIN).await;
    }
}
