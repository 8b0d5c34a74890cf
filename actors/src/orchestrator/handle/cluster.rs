//! The cluster: its nodes, and the tokens with which others join.

use std::sync::Arc;

use protocol::{
    access::Caller,
    api::{MemberView, NewToken, Page, TokenRequest, TokenView},
    member::{MemberState, Vitals},
};
use runtime::{membership::Standing, supervision::Tree};

use super::{
    Answer, Orchestrator,
    cases::{
        CreateToken, ListNodes, ListTokens, RemoveNode, RevokeToken, ShowNode, Turn, TurnNode,
    },
};
use crate::orchestrator::members;

/// Whether this node takes work, as its cluster sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Duty {
    /// It does.
    Serving,
    /// It hands over what it has.
    Draining,
    /// It may not act now, or never again: why.
    Fenced(String),
}

impl Orchestrator {
    /// Every node of the cluster by name, those that left or died lately among them.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role viewer, `Unavailable` when no control node can be reached.
    pub async fn nodes(&self, caller: &Caller) -> Answer<Page<MemberView>> {
        let items = self.carry_out(caller, ListNodes).await?;
        Ok(whole(items))
    }

    /// One node by name; what it says of itself is asked of it now.
    ///
    /// # Errors
    ///
    /// As [`nodes`](Self::nodes), and `NotFound`.
    pub async fn member(&self, caller: &Caller, name: &str) -> Answer<MemberView> {
        let name = name.to_owned();
        self.carry_out(caller, ShowNode { name }).await
    }

    /// Lets a node hand over what it owns and take nothing new; what runs on it ends in its time.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role operator, `Conflict` when it does not run or nobody could take over.
    pub async fn drain_node(&self, caller: &Caller, name: &str) -> Answer<MemberView> {
        self.turn(caller, name, Turn::Drain).await
    }

    /// Lets a node that was told to drain take part again.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role operator, `Conflict` when it does not run.
    pub async fn resume_node(&self, caller: &Caller, name: &str) -> Answer<MemberView> {
        self.turn(caller, name, Turn::Resume).await
    }

    /// Takes a node out of the cluster for good: its certificates count no more, what it owned is
    /// taken over, and its name is free.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role admin, `Conflict` for the last control node, unless it is dead.
    pub async fn remove_node(&self, caller: &Caller, name: &str) -> Answer<()> {
        let name = name.to_owned();
        self.carry_out(caller, RemoveNode { name }).await
    }

    /// Makes a token with which one node can join, and shows it this once.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role admin, `Conflict` in a cluster that lets nobody in.
    pub async fn create_token(&self, caller: &Caller, request: TokenRequest) -> Answer<NewToken> {
        self.carry_out(caller, CreateToken { request }).await
    }

    /// Tokens that let a node in, or could lately, the newest first.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role admin.
    pub async fn tokens(&self, caller: &Caller) -> Answer<Page<TokenView>> {
        let items = self.carry_out(caller, ListTokens).await?;
        Ok(whole(items))
    }

    /// Takes a token back.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role admin, `Conflict` when a node joined with it.
    pub async fn revoke_token(&self, caller: &Caller, id: &str) -> Answer<()> {
        let id = id.to_owned();
        self.carry_out(caller, RevokeToken { id }).await
    }

    async fn turn(&self, caller: &Caller, name: &str, to: Turn) -> Answer<MemberView> {
        let name = name.to_owned();
        self.carry_out(caller, TurnNode { name, to }).await
    }

    /// Whether this is SHA-256, in hex, of an administrator's token of any node of the cluster. Never
    /// waits.
    #[must_use]
    pub fn is_admin(&self, sha256: &str) -> bool {
        let Some(roll) = &self.0.roll else {
            return false;
        };
        let roster = roll.membership.roster();
        // It is hashes that are compared, which tell nothing of the token.
        members::admins(&roster).any(|admin| admin == sha256)
    }

    /// Whether this node takes work. Never waits.
    #[must_use]
    pub fn duty(&self) -> Duty {
        let Some(roll) = &self.0.roll else {
            return Duty::Serving;
        };
        match roll.membership.standing() {
            Standing::Ended(why) => Duty::Fenced(why),
            Standing::Fenced => Duty::Fenced(
                "this node's lease was not renewed in time, so others may act in its place; see whether it reaches the store and its control nodes".to_owned(),
            ),
            Standing::Member => {
                let roster = roll.membership.roster();
                let own = roster.member(self.0.id).map(|row| row.state);
                match own {
                    Some(MemberState::Draining) => Duty::Draining,
                    Some(MemberState::Up | MemberState::Left | MemberState::Removed) | None => {
                        Duty::Serving
                    }
                }
            }
        }
    }

    /// The same, as a check of a part.
    pub(super) fn membership_check(&self) -> Option<Result<String, String>> {
        let roll = self.0.roll.as_ref()?;
        Some(match self.duty() {
            Duty::Serving => {
                let living = roll.membership.roster().living().count();
                Ok(format!("{living} nodes"))
            }
            Duty::Draining => Ok("it hands over what it has".to_owned()),
            Duty::Fenced(why) => Err(why),
        })
    }

    /// The actors of this node.
    #[must_use]
    pub fn actors(&self) -> &Tree {
        &self.0.tree
    }

    /// What runs on this node.
    #[must_use]
    pub fn vitals(&self) -> Vitals {
        let count = |number: usize| Some(number as u64);
        let mut vitals = Vitals {
            actors: count(self.0.tree.len()),
            ..Vitals::default()
        };
        if let Some(worker) = &self.0.worker {
            vitals.agents = count(worker.agents());
            vitals.running = count(worker.running());
        }
        if let Some(own) = &self.0.own {
            vitals.tasks = count(own.services.tasks.active());
            vitals.agents = count(own.services.hosts.hosting());
            vitals.running = count(own.services.hosts.running());
        }
        vitals
    }

    /// Has this node say how it is with each renewal of its lease; `complete` adds what only the
    /// process knows.
    pub fn tell_vitals(&self, complete: impl Fn(Vitals) -> Vitals + Send + Sync + 'static) {
        let Some(roll) = &self.0.roll else { return };
        // The membership is a part of this, and must not keep it.
        let inner = Arc::downgrade(&self.0);
        roll.membership.tell_health(move || {
            let here = inner.upgrade().map(|inner| Self(inner).vitals());
            let vitals = complete(here.unwrap_or_default());
            serde_json::to_string(&vitals).unwrap_or_else(|_| "{}".to_owned())
        });
    }
}

/// A list that has no second page.
fn whole<T>(items: Vec<T>) -> Page<T> {
    Page {
        total: Some(items.len() as u64),
        items,
        next_cursor: None,
    }
}
