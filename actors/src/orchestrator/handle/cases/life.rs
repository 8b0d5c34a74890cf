//! What became of actors: what is kept of it, and what each node tells as it happens.

use std::{sync::Arc, time::Duration};

use protocol::{
    access::{Caller, Role},
    api::{LifeEvent, LifeQuery, Page},
    entity::Sight,
    id::NodeId,
    time::Timestamp,
};
use runtime::chronicle::{self, Span};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{Answer, Effect, Orchestrator, Place, TOLD_WITHIN, UseCase, at_least, tree::has_been};
use crate::{
    Rejection,
    orchestrator::tree::{LifeFilter, News, hush},
};

/// Turns that are given when the query names no number, and at most.
const PAGE: u32 = 1_000;
const LONGEST_PAGE: u32 = 10_000;

/// How far back it is looked when the query does not say.
const HOUR: Duration = Duration::from_hours(1);

/// How often a node looks whether there is news while somebody waits for it.
const LOOK: Duration = Duration::from_millis(200);

/// How long a node may be asked to wait for news.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What the store has of actors' lives.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ReadLife {
    pub(in super::super) query: LifeQuery,
}

impl UseCase for ReadLife {
    type Answer = Page<LifeEvent>;
    const NAME: &'static str = "tree.life";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Cluster
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Page<LifeEvent>> {
        at_least(caller, Role::Viewer)?;
        let query = self.query;
        let filter = LifeFilter::new(query.path.as_deref(), query.kind.as_deref())?;
        let now = at.0.tree.clock().now();
        let to = query.to.unwrap_or(now);
        has_been("to", to, now)?;
        let from = query.from.unwrap_or_else(|| before(to, HOUR));
        if from > to {
            return Err(Rejection::field("from", "must not be later than `to`"));
        }
        at.is_or_was_node(query.node.as_deref()).await?;
        let span = Span {
            from,
            to,
            nodes: query.node.map(|node| [node].into()),
            limit: query.limit.unwrap_or(PAGE).min(LONGEST_PAGE) as usize,
        };
        let store = at.own()?.journal.store();
        let mut reading = at.0.readings.begin().await?;
        let sight = Sight::of(&caller.tenant);
        let filter = Arc::new(filter.seen_by(&caller.tenant));
        let mut life = chronicle::life(store, &span, filter, &mut reading.bounds).await?;
        life.events.iter_mut().for_each(|turn| hush(turn, sight));
        Ok(Page {
            total: life.more.is_none().then_some(life.events.len() as u64),
            next_cursor: life.more.map(|more| more.to_string()),
            items: life.events,
        })
    }
}

pub(in super::super) fn before(moment: Timestamp, span: Duration) -> Timestamp {
    let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(moment.as_micros().saturating_sub(micros))
}

/// What somebody who follows wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Wanted {
    /// Rows that differ, and paths that are gone.
    Rows,
    /// Turns of lives.
    Life,
}

/// What became of one node's tree after a cursor, as soon as there is something.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct TellNews {
    pub(in super::super) node: NodeId,
    pub(in super::super) after: Option<u64>,
    pub(in super::super) path: String,
    pub(in super::super) wanted: Wanted,
    /// How long to wait for it.
    pub(in super::super) wait: Duration,
}

impl UseCase for TellNews {
    type Answer = News;
    const NAME: &'static str = "node.news";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Node(self.node)
    }

    fn wait(&self) -> Duration {
        self.wait
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<News> {
        at_least(caller, Role::Viewer)?;
        let tree = &at.0.tree;
        let mut changes = match self.after {
            Some(cursor) => tree.changes_since(cursor),
            None => tree.changes(),
        };
        let until = Instant::now() + self.wait.min(LONGEST_WAIT);
        loop {
            let delta = match self.wanted {
                Wanted::Rows => changes.take(),
                Wanted::Life => changes.take_life(),
            };
            let mut news = News::below(delta, &self.path);
            if self.wanted == Wanted::Life {
                news = news.of_life();
            }
            news.veil(tree, caller);
            if news.is_worth() || Instant::now() >= until {
                // Until the next question the log must not forget what comes after it.
                at.0.followed.keep(tree, news.since(self.after));
                return Ok(news);
            }
            sleep(LOOK).await;
        }
    }
}

/// The same, asked by a node that has no link to the one that is meant.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct RelayNews {
    pub(in super::super) case: TellNews,
}

impl UseCase for RelayNews {
    type Answer = News;
    const NAME: &'static str = "tree.news";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    fn wait(&self) -> Duration {
        self.case.wait
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<News> {
        let (node, until) = (
            self.case.node,
            Instant::now() + self.case.wait.min(LONGEST_WAIT) + TOLD_WITHIN,
        );
        at.ask_once(caller, node, self.case, until).await
    }
}
