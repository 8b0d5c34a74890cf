//! A payment service: it writes down each call before it answers, and forgets none.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use protocol::plan::Effect;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{orders::Chance, process::pause};

/// The name of the agent that calls it.
pub(crate) const TILL: &str = "till";

/// One call, from the moment at which it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payment {
    /// Its place among all.
    pub(crate) place: usize,
    pub(crate) attempt: u32,
    pub(crate) key: String,
    pub(crate) class: Effect,
    /// What it was answered, if the caller was still there: of an idempotent one the same for each call under
    /// its key, of any other a new one.
    pub(crate) receipt: String,
}

/// Payments by task and step, in the order in which they came.
pub(crate) type Book = BTreeMap<(String, String), Vec<Payment>>;

/// A node of a workflow that calls it.
pub(crate) fn pays(id: &str, class: Effect, needs: &[&str]) -> Value {
    json!({
        "id": id, "type": "agent", "agent": TILL, "effect": class, "needs": needs,
        "input": { "class": class, "by": id },
    })
}

/// One that calls it again to be taken back.
pub(crate) fn pays_back(id: &str, class: Effect, needs: &[&str]) -> Value {
    let mut node = pays(id, class, needs);
    node["compensate"] = json!({
        "agent": TILL, "input": { "class": class, "by": "undo", "of": "$.output" },
    });
    node
}

/// The agent for which workflows fail.
pub(crate) fn refuser() -> Value {
    json!({ "name": "refuser", "agent_type": "fail", "capabilities": ["refuse"] })
}

/// What it has in hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hand {
    /// Calls that were written down and have no answer.
    pub(crate) held: usize,
    /// Those of them that must never come twice.
    pub(crate) irreversible: usize,
    /// Calls whose answer was sent.
    pub(crate) answered: usize,
}

/// How long it thinks: at most, for most calls and for one of four.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Thinks {
    pub(crate) most: Duration,
    pub(crate) some: Duration,
}

/// A running service; ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Till {
    pub(crate) port: u16,
    open: Arc<Open>,
}

struct Open {
    book: Mutex<Book>,
    hand: watch::Sender<Hand>,
    chance: Mutex<Chance>,
    thinks: Thinks,
}

impl Till {
    pub(crate) async fn open(thinks: Thinks, chance: Chance) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let till = Self {
            port,
            open: Arc::new(Open {
                book: Mutex::default(),
                hand: watch::Sender::default(),
                chance: Mutex::new(chance),
                thinks,
            }),
        };
        let open = till.open.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let open = open.clone();
                tokio::spawn(async move { open.serve(stream).await });
            }
        });
        till
    }

    /// The agent that calls it, and what its node has to allow.
    pub(crate) fn agent(&self) -> Value {
        json!({
            "name": TILL, "agent_type": "http", "capabilities": ["pay"], "max_tasks": 64,
            "endpoint": format!("http://127.0.0.1:{}", self.port),
            "config": {
                "request_mapping": { "method": "POST", "path": "/pay" },
                "response_mapping": { "result_path": "$.receipt" },
            },
        })
    }

    /// Settings without which a node does not call it.
    pub(crate) fn allowed(&self) -> String {
        format!("[egress]\nallow = [\"127.0.0.1:{}\"]\n", self.port)
    }

    /// All that it wrote down.
    pub(crate) fn book(&self) -> Book {
        self.open.book.lock().unwrap().clone()
    }

    /// What it knows of a step that nobody else knows.
    pub(crate) fn knows(&self, task: &str, step: &str) -> Option<Payment> {
        let book = self.open.book.lock().unwrap();
        let of = book.get(&(task.to_owned(), step.to_owned()))?;
        of.last().cloned()
    }

    /// What it has in hand, from now on.
    pub(crate) fn hand(&self) -> watch::Receiver<Hand> {
        self.open.hand.subscribe()
    }
}

impl Open {
    /// Requests of one connection, one after the other.
    async fn serve(&self, mut stream: TcpStream) {
        let mut rest = Vec::new();
        while let Some(call) = read(&mut stream, &mut rest).await {
            let payment = self.write_down(&call);
            let is_final = usize::from(payment.class == Effect::Irreversible);
            self.hand.send_modify(|hand| {
                hand.held += 1;
                hand.irreversible += is_final;
            });
            pause(self.thinking()).await;
            let body = json!({ "receipt": payment.receipt }).to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let sent = stream.write_all(answer.as_bytes()).await;
            self.hand.send_modify(|hand| {
                hand.held -= 1;
                hand.irreversible -= is_final;
                hand.answered += usize::from(sent.is_ok());
            });
            if sent.is_err() {
                return;
            }
        }
    }

    fn write_down(&self, call: &Value) -> Payment {
        let text = |path: &str| call.pointer(path).unwrap().as_str().unwrap().to_owned();
        let (key, class) = (text("/step/idempotency_key"), &call["input"]["class"]);
        let class: Effect = serde_json::from_value(class.clone()).unwrap();
        let attempt = call["step"]["attempt"].as_u64().unwrap();
        let mut book = self.book.lock().unwrap();
        let place = book.values().map(Vec::len).sum();
        let of = book
            .entry((text("/task/id"), text("/step/id")))
            .or_default();
        let before = of.iter().find(|payment| payment.key == key);
        let before = before.filter(|_| class == Effect::Idempotent);
        let payment = Payment {
            place,
            attempt: u32::try_from(attempt).unwrap(),
            class,
            receipt: match before {
                Some(payment) => payment.receipt.clone(),
                None => format!("receipt-{place}"),
            },
            key,
        };
        of.push(payment.clone());
        payment
    }

    fn thinking(&self) -> Duration {
        let mut chance = self.chance.lock().unwrap();
        let most = match chance.below(4) {
            0 => self.thinks.some,
            _ => self.thinks.most,
        };
        let most = u64::try_from(most.as_millis()).unwrap();
        Duration::from_millis(chance.below(most.max(1)))
    }
}

/// The body of a request; none when the caller is gone, or only looked whether somebody is there.
async fn read(stream: &mut TcpStream, text: &mut Vec<u8>) -> Option<Value> {
    loop {
        if let Some((call, length)) = complete(text) {
            text.drain(..length);
            return Some(call);
        }
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.ok().filter(|it| *it > 0)?;
        text.extend_from_slice(&buffer[..length]);
    }
}

/// The body of a whole request that a text begins with, and how long that request is.
fn complete(text: &[u8]) -> Option<(Value, usize)> {
    let end = text.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&text[..end]).unwrap().to_lowercase();
    let header = |name: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(str::to_owned)
    };
    let length: usize = header("content-length")?.parse().unwrap();
    let body = text.get(end + 4..end + 4 + length)?;
    let call: Value = serde_json::from_slice(body).unwrap();
    // The same in the header that services look at.
    let key = call["step"]["idempotency_key"].as_str().unwrap();
    assert_eq!(header("idempotency-key"), Some(key.to_lowercase()));
    Some((call, end + 4 + length))
}
