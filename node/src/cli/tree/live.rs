//! The tree as it changes: what the cluster tells by itself, and the counters that it tells when asked.

use std::time::Duration;

use protocol::api::{TreeDelta, TreeNode, TreeQuery};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::whole;
use crate::client::Client;

/// How often counters are asked for, at most.
const AGAIN: Duration = Duration::from_secs(2);
/// What asking costs a node: no more than a tenth of its time.
const SHARE: u32 = 10;
/// News that wait to be read, at most.
const WAITING: usize = 256;

/// Something new.
#[derive(Debug)]
pub(in crate::cli) enum News {
    /// Actors began, ended, or are in another state.
    Delta(TreeDelta),
    /// Every actor with what it has handled and what waits for it: too much to be told by itself.
    Counters(Vec<TreeNode>),
    Link(Link),
}

/// Whether what is known is what is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) enum Link {
    #[default]
    Opening,
    Live,
    /// What is known is old, and why.
    Lost(String),
}

/// Reads the tree from the query's path down as long as it is not dropped.
pub(in crate::cli) struct Live {
    news: mpsc::Receiver<News>,
    _readers: JoinSet<()>,
}

impl Live {
    pub(in crate::cli) fn of(client: &Client, query: &TreeQuery) -> Self {
        let (out, news) = mpsc::channel(WAITING);
        let mut readers = JoinSet::new();
        readers.spawn(follow(client.clone(), query.clone(), out.clone()));
        readers.spawn(count(client.clone(), query.clone(), out));
        Self {
            news,
            _readers: readers,
        }
    }

    /// What is new; waits for it.
    pub(in crate::cli) async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // Never so: readers go on as long as there is someone to tell.
            None => std::future::pending().await,
        }
    }

    /// What is new already.
    pub(in crate::cli) fn ready(&mut self) -> Option<News> {
        self.news.try_recv().ok()
    }
}

async fn follow(client: Client, query: TreeQuery, out: mpsc::Sender<News>) {
    let mut changes = client.tree_changes(query.path.as_deref());
    let mut link = Link::Opening;
    loop {
        let (now, delta) = match changes.next().await {
            Ok(delta) => (Link::Live, Some(News::Delta(delta))),
            Err(error) => (Link::Lost(error.to_string()), None),
        };
        let turned = (now != link).then(|| News::Link(now.clone()));
        link = now;
        for news in turned.into_iter().chain(delta) {
            if out.send(news).await.is_err() {
                return;
            }
        }
    }
}

async fn count(client: Client, query: TreeQuery, out: mpsc::Sender<News>) {
    loop {
        let asked = Instant::now();
        // That a node does not answer is told by its changes, which break off.
        if let Ok(view) = whole(&client, query.clone()).await
            && out.send(News::Counters(view.nodes)).await.is_err()
        {
            return;
        }
        sleep(AGAIN.max(asked.elapsed() * SHARE)).await;
    }
}
