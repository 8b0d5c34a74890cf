//! The cluster's nodes, and the tokens with which others join.

use protocol::api::{MemberView, NewToken, Page, TokenRequest, TokenView};
use reqwest::Method;

use super::{Answer, Client, Route};

impl Client {
    /// Every node of the cluster, by name.
    ///
    /// # Errors
    ///
    /// When the node cannot be reached or refuses, as for all the methods below.
    pub async fn nodes(&self) -> Answer<Page<MemberView>> {
        self.get(Route::to(["nodes"])).await
    }

    /// One node of the cluster.
    pub async fn member(&self, name: &str) -> Answer<MemberView> {
        self.get(member(name, [])).await
    }

    /// Lets a node hand over what it has; answers at once.
    pub async fn drain_node(&self, name: &str) -> Answer<MemberView> {
        self.post(member(name, ["drain"])).await
    }

    /// Lets a drained node take part again.
    pub async fn resume_node(&self, name: &str) -> Answer<MemberView> {
        self.post(member(name, ["resume"])).await
    }

    /// Takes a node out of the cluster for good.
    pub async fn remove_node(&self, name: &str) -> Answer<()> {
        self.delete(member(name, [])).await
    }

    /// Makes a token with which one node can join.
    pub async fn create_token(&self, request: &TokenRequest) -> Answer<NewToken> {
        self.send(Method::POST, Route::to(["tokens"]), request)
            .await
    }

    /// Join tokens, the newest first.
    pub async fn tokens(&self) -> Answer<Page<TokenView>> {
        self.get(Route::to(["tokens"])).await
    }

    /// Takes a join token back.
    pub async fn revoke_token(&self, id: &str) -> Answer<()> {
        self.delete(Route::to(["tokens", id])).await
    }
}

fn member<const N: usize>(name: &str, rest: [&str; N]) -> Route {
    Route::to(["nodes", name].into_iter().chain(rest))
}
