//! The living tree: as it is, as it was, what becomes of actors, and what is done to them.

use protocol::{
    api::{
        ActionRequest, ActionView, ActorAction, ActorMessages, ActorView, DiffQuery, EntityState,
        Happening, LifeEvent, LifeGap, LifeQuery, Page, TreeDelta, TreeDiff,
    },
    time::Span,
};
use reqwest::{Method, header::ACCEPT};
use serde::Deserialize;
use serde_json::Value;

use super::{Answer, Client, Follow, Route};

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

    /// The messages that an actor handled since somebody asked for them, after it was listened to for a
    /// while.
    pub async fn actor_messages(
        &self,
        path: &str,
        node: Option<&str>,
        wait: Option<Span>,
    ) -> Answer<ActorMessages> {
        let route = about(path, "messages").with("node", node);
        self.get(route.with("wait", wait)).await
    }

    /// What the events of an entity made of it, up to the one at a position or to the last.
    pub async fn entity_state(&self, path: &str, at: Option<u64>) -> Answer<EntityState> {
        self.get(about(path, "state").with("at", at)).await
    }

    /// Passes a message of an MCP client on, with what HTTP is to be told of it; what the node answers,
    /// unless it has nothing to say to it.
    pub async fn mcp(&self, message: &Value, headers: &[(&str, String)]) -> Answer<Option<Value>> {
        let mut request = self
            .call(Method::POST, &Route::plain("/mcp"))
            .header(ACCEPT, "application/json, text/event-stream")
            .json(message);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.read_message(request).await
    }

    /// Does something to one actor.
    pub async fn act_on_actor(
        &self,
        path: &str,
        node: Option<&str>,
        action: ActorAction,
        reason: &str,
    ) -> Answer<ActionView> {
        let route = actor(path, Some(action)).with("node", node);
        let body = ActionRequest {
            reason: reason.to_owned(),
        };
        self.send(Method::POST, route, &body).await
    }

    /// A page of what became of actors.
    pub async fn life(&self, query: &LifeQuery) -> Answer<Page<LifeEvent>> {
        self.get(lives(query, None)).await
    }

    /// What becomes of actors, as it happens.
    #[must_use]
    pub fn lives(&self, query: &LifeQuery) -> Follow<LifeNews> {
        Follow::new(self.clone(), lives(query, Some("stream")))
    }

    /// What happens in the cluster from now on, by names such as `task.*,worker.status`.
    #[must_use]
    pub fn happenings(&self, types: &str) -> Follow<Happening> {
        Follow::new(
            self.clone(),
            Route::to(["events"]).with("types", Some(types)),
        )
    }
}

/// What who follows lives is told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum LifeNews {
    /// What became of an actor.
    Turn(LifeEvent),
    /// What became of a node's actors is not known for a while.
    Gap(LifeGap),
}

fn actor(path: &str, action: Option<ActorAction>) -> Route {
    // The root has no name at all.
    let names = path.trim_matches('/').split('/');
    let action = action.map(ActorAction::as_str);
    let route = Route::to(["actors"].into_iter().chain(names).chain(action));
    match action {
        Some(_) => route,
        // An actor may be called as what can be asked of one.
        None => route.escaped(&["messages", "state"]),
    }
}

/// What can be asked of an actor beside what it is.
fn about(path: &str, what: &str) -> Route {
    let names = path.trim_matches('/').split('/');
    Route::to(["actors"].into_iter().chain(names).chain([what]))
}

fn lives(query: &LifeQuery, stream: Option<&'static str>) -> Route {
    Route::to(["life"].into_iter().chain(stream))
        .with("path", query.path.as_deref())
        .with("kind", query.kind.as_deref())
        .with("node", query.node.as_deref())
        .with("from", query.from)
        .with("to", query.to)
        .with("limit", query.limit)
}
