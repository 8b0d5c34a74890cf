//! What the cluster tells, as events of the screen: each question waits on its own.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{interval, timeout},
};

use super::state::{Event, Link};
use crate::{
    cli::tree::Key,
    client::{Client, Error},
};

/// How often nodes, and the actor that is read, are asked for again.
const AGAIN: Duration = Duration::from_secs(2);
/// A node that says nothing for so long has not answered.
const ANSWER: Duration = Duration::from_secs(5);
/// What waits to be shown, at most.
const WAITING: usize = 256;

/// News of the cluster; dropped, nothing more is asked.
pub(super) struct Feed {
    client: Client,
    news: mpsc::Receiver<Event>,
    out: mpsc::Sender<Event>,
    tasks: JoinSet<()>,
}

impl Feed {
    pub(super) fn of(client: Client) -> Self {
        let (out, news) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        tasks.spawn(follow_tree(client.clone(), out.clone()));
        tasks.spawn(watch_nodes(client.clone(), out.clone()));
        Self {
            client,
            news,
            out,
            tasks,
        }
    }

    /// The next news.
    pub(super) async fn next(&mut self) -> Event {
        match self.news.recv().await {
            Some(event) => event,
            // Never so: this end holds a sender as well.
            None => std::future::pending().await,
        }
    }

    /// News that are there already.
    pub(super) fn ready(&mut self) -> Option<Event> {
        self.news.try_recv().ok()
    }

    /// Asks for all there is to know of an actor.
    pub(super) fn look(&mut self, key: Key) {
        // What ended needs to be kept no longer.
        while self.tasks.try_join_next().is_some() {}
        let (client, out) = (self.client.clone(), self.out.clone());
        self.tasks.spawn(async move {
            let path = key.path().unwrap_or_default();
            let actor = client.actor(&path, Some(key.node()));
            let answer = answered(actor).await.map(Box::new);
            // Nobody looks any more when this end is gone.
            let _ = out.send(Event::Actor(key, answer)).await;
        });
    }
}

async fn follow_tree(client: Client, out: mpsc::Sender<Event>) {
    let mut changes = client.tree_changes(None);
    let mut link = Link::Opening;
    loop {
        let (now, delta) = match changes.next().await {
            Ok(delta) => (Link::Live, Some(delta)),
            Err(error) => (Link::Lost(told(&error)), None),
        };
        if now != link {
            link = now.clone();
            if out.send(Event::Link(now)).await.is_err() {
                return;
            }
        }
        if let Some(delta) = delta
            && out.send(Event::Delta(delta)).await.is_err()
        {
            return;
        }
    }
}

async fn watch_nodes(client: Client, out: mpsc::Sender<Event>) {
    let mut again = interval(AGAIN);
    loop {
        again.tick().await;
        let nodes = answered(client.nodes()).await.map(|page| page.items);
        if out.send(Event::Nodes(nodes)).await.is_err() || out.send(Event::Tick).await.is_err() {
            return;
        }
    }
}

async fn answered<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match timeout(ANSWER, call).await {
        Ok(answer) => answer.map_err(|error| told(&error)),
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

fn told(error: &Error) -> String {
    error.to_string()
}
