//! The living tree: as it is, as it was, what becomes of actors, and what is done to them.

use protocol::{
    api::{ActorView, DiffQuery, LifeEvent, Page, TreeDelta, TreeDiff},
    time::Timestamp,
};
use reqwest::Method;

use super::{Answer, Client, Follow, Route};

/// Which turns of actors' lives are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LifeQuery {
    /// Of actors whose path matches, such as `/tasks/*` or `/agents/**`; of all when absent.
    pub path: Option<String>,
    /// A list of turns or of kinds of actors, such as `failed,restarted` or `task`.
    pub kind: Option<String>,
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Up to this moment.
    pub to: Option<Timestamp>,
    /// At most so many.
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl LifeQuery {
    fn route(&self, parts: &[&str]) -> Route {
        Route::to(parts.iter().copied())
            .with("path", self.path.as_deref())
            .with("kind", self.kind.as_deref())
            .with("from", self.from)
            .with("to", self.to)
            .with("limit", self.limit)
            .with("cursor", self.cursor.as_deref())
    }
}

/// What an operator does to one actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It ends in order and begins anew.
    Restart,
    /// It ends in order and stays so.
    Stop,
    /// It ends at once, in the middle of what it is at.
    Kill,
    /// It takes nothing new.
    Pause,
    /// It goes on.
    Resume,
    /// It may try again after it was parked.
    Release,
}

impl Deed {
    /// As the interface names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Release => "release",
        }
    }
}

impl Client {
    /// What began, ended, moved and restarted between two moments.
    ///
    /// # Errors
    ///
    /// When the node cannot be reached or refuses, as for all the methods below.
    pub async fn tree_diff(&self, query: &DiffQuery) -> Answer<TreeDiff> {
        let route = Route::to(["tree", "diff"])
            .with("path", query.path.as_deref())
            .with("node", query.node.as_deref())
            .with("from", query.from)
            .with("to", query.to);
        self.get(route).await
    }

    /// The tree from `path` down on each node, and then what changes of it.
    #[must_use]
    pub fn tree_changes(&self, path: Option<&str>) -> Follow<TreeDelta> {
        Follow::new(
            self.clone(),
            Route::to(["tree", "stream"]).with("path", path),
        )
    }

    /// One actor in full; `node` tells which, where it stands on several.
    pub async fn actor(&self, path: &str, node: Option<&str>) -> Answer<ActorView> {
        self.get(actor(path, None).with("node", node)).await
    }

    /// Does something to one actor.
    pub async fn turn_actor(
        &self,
        path: &str,
        node: Option<&str>,
        deed: Deed,
    ) -> Answer<ActorView> {
        let route = actor(path, Some(deed.as_str())).with("node", node);
        self.read(self.call(Method::POST, &route).timeout(super::ANSWER))
            .await
    }

    /// A page of what became of actors.
    pub async fn life(&self, query: &LifeQuery) -> Answer<Page<LifeEvent>> {
        self.get(query.route(&["life"])).await
    }

    /// What becomes of actors, as it happens.
    #[must_use]
    pub fn lives(&self, query: &LifeQuery) -> Follow<LifeEvent> {
        Follow::new(self.clone(), query.route(&["life", "stream"]))
    }
}

fn actor(path: &str, deed: Option<&str>) -> Route {
    let parts = path.split('/').filter(|part| !part.is_empty());
    Route::to(["actors"].into_iter().chain(parts).chain(deed))
}
