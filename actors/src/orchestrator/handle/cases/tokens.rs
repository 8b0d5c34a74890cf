//! Tokens with which nodes join.

use protocol::{
    access::{Caller, Role},
    api::{NewToken, TokenRequest, TokenState, TokenView},
    record::ChainHash,
};
use runtime::{cluster::join::Token, store::JoinToken};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Answer, Effect, Orchestrator, Place, UseCase, at_least, runs_the_cluster};
use crate::{Rejection, cluster::Gatekeeper, orchestrator::tokens};

/// Makes a token.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct CreateToken {
    pub(in super::super) request: TokenRequest,
}

impl UseCase for CreateToken {
    type Answer = NewToken;
    const NAME: &'static str = "token.create";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<NewToken> {
        at_least(caller, Role::Admin)?;
        runs_the_cluster(caller)?;
        let gate = at.gatekeeper()?;
        let (roles, life) = tokens::terms(&self.request, &gate.roles)?;
        let own = at.own()?;
        let (now, dice) = (own.services.clock.now(), &own.services.dice);
        let token = Token::create(gate.authority, dice);
        let made = JoinToken {
            id: dice.uuid_v7(now),
            hash: ChainHash(Sha256::digest(token.secret().as_bytes()).into()),
            roles,
            made_by: caller.to_string(),
            made_at: now,
            expires_at: now.plus(life),
            used: None,
            revoked: false,
        };
        own.journal.store().add_token(&made).await?;
        let view = tokens::view(&made, None, now);
        tracing::info!(target: "audit", by = %caller, token = view.id, roles = %view.roles, expires = %view.expires_at, "a join token was made");
        let join = format!(
            "troupe start --join {} --token {token} --data-dir DIR",
            gate.mesh
        );
        Ok(NewToken {
            view,
            token: token.to_string(),
            join,
        })
    }
}

/// Tokens, the newest first.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ListTokens;

impl UseCase for ListTokens {
    type Answer = Vec<TokenView>;
    const NAME: &'static str = "token.list";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Vec<TokenView>> {
        at_least(caller, Role::Admin)?;
        runs_the_cluster(caller)?;
        let own = at.own()?;
        let (store, now) = (own.journal.store(), own.services.clock.now());
        let mut views = Vec::new();
        for token in store.tokens().await? {
            if !tokens::is_shown(&token, now) {
                continue;
            }
            let user = match token.used {
                Some((_, identity)) => store.identity(identity).await?.map(|found| found.name),
                None => None,
            };
            views.push(tokens::view(&token, user, now));
        }
        Ok(views)
    }
}

/// Takes a token back.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct RevokeToken {
    pub(in super::super) id: String,
}

impl UseCase for RevokeToken {
    type Answer = ();
    const NAME: &'static str = "token.revoke";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<()> {
        at_least(caller, Role::Admin)?;
        runs_the_cluster(caller)?;
        let own = at.own()?;
        let (store, now) = (own.journal.store(), own.services.clock.now());
        let missing = || tokens::no_token(&self.id);
        let id = tokens::read(&self.id).ok_or_else(missing)?;
        if store.revoke_token(id).await? {
            tracing::info!(target: "audit", by = %caller, token = self.id, "a join token was revoked");
            return Ok(());
        }
        let all = store.tokens().await?;
        let token = all.iter().find(|token| token.id == id);
        match tokens::state(token.ok_or_else(missing)?, now) {
            // Nobody can join with it, which is what was asked for.
            TokenState::Revoked | TokenState::Expired => Ok(()),
            TokenState::Used | TokenState::Open => Err(Rejection::Conflict {
                code: "token_used",
                message: "a node joined with this token; `troupe token list` names it, and `troupe node remove NAME` takes it out".to_owned(),
            }),
        }
    }
}

impl Orchestrator {
    fn gatekeeper(&self) -> Answer<&Gatekeeper> {
        let admission = self
            .0
            .roll
            .as_ref()
            .and_then(|roll| roll.admission.as_ref());
        admission.ok_or_else(|| Rejection::Conflict {
            code: "no_mesh",
            message: format!(
                "node {} has no mesh, so that no other can join it; start it with `troupe start`",
                self.0.name
            ),
        })
    }
}
