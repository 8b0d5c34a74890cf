//! What the cluster tells, as events of the screen: each question waits on its own.

use std::time::Duration;

use protocol::api::TreeQuery;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{interval, timeout},
};

use super::event::Event;
use crate::{
    cli::tree::{Key, Live},
    client::{Client, Error},
};

/// How often nodes, and the actor that is read, are asked for again.
const AGAIN: Duration = Duration::from_secs(2);
/// A node that says nothing for so long has not answered.
const ANSWER: Duration = Duration::from_secs(5);
/// Answers that wait to be shown, at most.
const WAITING: usize = 16;

/// News of the cluster; dropped, nothing more is asked.
pub(super) struct Feed {
    client: Client,
    live: Live,
    answers: mpsc::Receiver<Event>,
    out: mpsc::Sender<Event>,
    tasks: JoinSet<()>,
}

impl Feed {
    pub(super) fn of(client: Client) -> Self {
        let (out, answers) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_nodes(client.clone(), out.clone()));
        tasks.spawn(watch_spend(client.clone(), out.clone()));
        Self {
            live: Live::of(&client, &TreeQuery::default()),
            client,
            answers,
            out,
            tasks,
        }
    }

    /// The next news.
    pub(super) async fn next(&mut self) -> Event {
        tokio::select! {
            news = self.live.next() => Event::News(news),
            // There is always an answer to come: this end holds a sender as well.
            Some(answer) = self.answers.recv() => answer,
        }
    }

    /// News that are there already.
    pub(super) fn ready(&mut self) -> Option<Event> {
        let news = self.live.ready().map(Event::News);
        news.or_else(|| self.answers.try_recv().ok())
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

async fn watch_spend(client: Client, out: mpsc::Sender<Event>) {
    let mut again = interval(AGAIN);
    loop {
        again.tick().await;
        let Ok(stats) = answered(client.agent_stats()).await else {
            continue;
        };
        if out.send(Event::Spent(stats)).await.is_err() {
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
