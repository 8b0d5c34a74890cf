//! What a join token may allow, for how long, and how lists show it.

use std::time::Duration;

use protocol::{
    api::{TokenRequest, TokenState, TokenView},
    member::{NodeRole, Roles},
    time::{Span, Timestamp},
};
use runtime::store::JoinToken;
use uuid::Uuid;

use crate::Rejection;

/// How long a token counts when nobody says.
const LIFE: Duration = Duration::from_secs(60 * 60);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// For how long lists show a token that nobody used and nobody can.
const SHOWN: Duration = Duration::from_secs(24 * 60 * 60);

/// How ids of tokens begin.
const PREFIX: &str = "token_";

/// The roles and the life of a token that was asked for, where nodes can have the roles `allowed`.
pub(super) fn terms(
    request: &TokenRequest,
    allowed: &Roles,
) -> Result<(Roles, Duration), Rejection> {
    let roles = request.roles.as_ref().unwrap_or(allowed).clone();
    if roles.is_empty() {
        return Err(Rejection::field(
            "roles",
            "must name at least one of `control`, `worker` and `edge`",
        ));
    }
    if roles.has(NodeRole::Control) && !allowed.has(NodeRole::Control) {
        return Err(Rejection::field(
            "roles",
            "this cluster keeps its store in a SQLite file, which one control node can open; leave `control` out, or move the store to PostgreSQL with `troupe db move`",
        ));
    }
    let life = request.ttl.map_or(LIFE, |Span(ttl)| ttl);
    if !(SHORTEST..=LONGEST).contains(&life) {
        return Err(Rejection::field(
            "ttl",
            format!("must lie between {} and {}", Span(SHORTEST), Span(LONGEST)),
        ));
    }
    Ok((roles, life))
}

/// As lists name a token.
pub(super) fn shown(id: Uuid) -> String {
    format!("{PREFIX}{}", id.simple())
}

/// The id that a list showed.
pub(super) fn read(id: &str) -> Option<Uuid> {
    id.strip_prefix(PREFIX).unwrap_or(id).parse().ok()
}

pub(super) fn no_token(id: &str) -> Rejection {
    let shown: String = id.chars().take(80).collect();
    Rejection::not_found(format!("token {shown}"))
}

/// Whether a node can join with it.
pub(super) fn state(token: &JoinToken, now: Timestamp) -> TokenState {
    if token.used.is_some() {
        TokenState::Used
    } else if token.revoked {
        TokenState::Revoked
    } else if token.expires_at <= now {
        TokenState::Expired
    } else {
        TokenState::Open
    }
}

/// Whether a list still shows it: one that let a node in, or could lately.
pub(super) fn is_shown(token: &JoinToken, now: Timestamp) -> bool {
    token.used.is_some() || token.expires_at.plus(SHOWN) > now
}

/// A token as lists show it; `used_by` is the name of the node that joined with it.
pub(super) fn view(token: &JoinToken, used_by: Option<String>, now: Timestamp) -> TokenView {
    TokenView {
        id: shown(token.id),
        roles: token.roles.clone(),
        created_by: token.made_by.clone(),
        created_at: token.made_at,
        expires_at: token.expires_at,
        used_by,
        used_at: token.used.map(|(at, _)| at),
        state: state(token, now),
    }
}

#[cfg(test)]
mod tests {
    use protocol::record::ChainHash;

    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn token() -> JoinToken {
        JoinToken {
            id: Uuid::from_u128(7),
            hash: ChainHash([0; 32]),
            roles: Roles::all(),
            made_by: "default/admin".to_owned(),
            made_at: START,
            expires_at: START.plus(LIFE),
            used: None,
            revoked: false,
        }
    }

    #[test]
    fn a_token_is_open_until_it_is_used_revoked_or_too_old() {
        let mut token = token();
        assert_eq!(state(&token, START), TokenState::Open);
        assert_eq!(state(&token, START.plus(LIFE)), TokenState::Expired);
        token.revoked = true;
        assert_eq!(state(&token, START), TokenState::Revoked);
        let late = START.plus(LIFE + SHOWN);
        assert!(is_shown(&token, START) && !is_shown(&token, late));
        token.used = Some((START, Uuid::nil()));
        assert_eq!(state(&token, START.plus(LIFE)), TokenState::Used);
        assert!(is_shown(&token, late));
    }

    #[test]
    fn a_token_allows_what_the_cluster_can_have_and_for_a_while_only() {
        let worker: Roles = [NodeRole::Worker].into_iter().collect();
        let nothing = TokenRequest::default();
        assert_eq!(terms(&nothing, &worker), Ok((worker.clone(), LIFE)));
        for (request, field) in [
            (r#"{"roles":["control"]}"#, "roles"),
            (r#"{"roles":[]}"#, "roles"),
            (r#"{"ttl":"0s"}"#, "ttl"),
            (r#"{"ttl":"31d"}"#, "ttl"),
        ] {
            let request: TokenRequest = serde_json::from_str(request).unwrap();
            let Err(Rejection::Invalid { errors, .. }) = terms(&request, &worker) else {
                panic!("{request:?}");
            };
            assert_eq!(errors[0].field, field);
        }
    }

    #[test]
    fn an_id_is_read_as_it_was_shown() {
        let id = Uuid::from_u128(7);
        assert_eq!(read(&shown(id)), Some(id));
        assert_eq!(read(&id.to_string()), Some(id));
        assert_eq!(read("token_x"), None);
    }
}
