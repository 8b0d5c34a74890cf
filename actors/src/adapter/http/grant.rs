//! Access tokens that a node is granted for its own credentials (RFC 6749, section 4.4).

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use protocol::api::FieldError;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use url::{Url, form_urlencoded};

use super::{
    auth::{Secret, base64},
    config::ClientCredentials,
    connections::Connections,
};
use crate::adapter::{CallError, egress::Target};

const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_REPLY: u64 = 64 * 1024;
/// How long a token is taken to hold if the endpoint does not say.
const USUAL_LIFE: Duration = Duration::from_secs(5 * 60);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// A token is not used in the last part of its life: a request takes time to arrive.
const MARGIN: Duration = Duration::from_secs(30);
/// Other words of an endpoint are not shown: they might repeat what it was sent.
const KNOWN_ERRORS: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

/// Where tokens come from, and the one that still holds.
pub(super) struct Grant {
    config: ClientCredentials,
    url: Url,
    target: Target,
    token: Mutex<Option<Token>>,
    /// Held by the one call that fetches a token; the others wait for it.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Token {
    text: String,
    until: Instant,
}

impl Grant {
    pub(super) fn new(
        config: ClientCredentials,
        connections: &Connections,
    ) -> Result<Self, Vec<FieldError>> {
        let field = "config.auth_config.token_url";
        let url = Url::parse(&config.token_url)
            .map_err(|error| vec![FieldError::new(field, format!("is not a URL: {error}"))])?;
        let target = connections.target(&url).map_err(|mut faults| {
            for fault in faults.iter_mut().filter(|it| it.field == "endpoint") {
                field.clone_into(&mut fault.field);
            }
            faults
        })?;
        Ok(Self {
            config,
            url,
            target,
            token: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// Shows a token that holds, fetched if there is none.
    pub(super) async fn secret(&self, connections: &Connections) -> Result<Secret, CallError> {
        let id = connections.variable(&self.config.client_id_env)?;
        let password = connections.variable(&self.config.client_secret_env)?;
        let client = base64(format!("{}:{}", encoded(&id), encoded(&password)).as_bytes());
        let token = match self.held() {
            Some(token) => token,
            None => {
                let _turn = self.turn.lock().await;
                match self.held() {
                    Some(token) => token,
                    None => self.fetch(connections, &client).await?,
                }
            }
        };
        let secret = Secret::bearer(&token).map_err(|_| fatal("its token fits no header"))?;
        Ok(secret.hiding([encoded(&password), password, client]))
    }

    /// Drops the token that a service has refused, unless there is a newer one.
    pub(super) fn refused(&self, secret: &Secret) {
        let mut token = self.token();
        if let (Some(held), Some((_, shown))) = (&*token, secret.header())
            && shown == format!("Bearer {}", held.text)
        {
            *token = None;
        }
    }

    fn held(&self) -> Option<String> {
        let token = self.token();
        let held = token.as_ref().filter(|it| Instant::now() < it.until);
        held.map(|it| it.text.clone())
    }

    async fn fetch(&self, connections: &Connections, client: &str) -> Result<String, CallError> {
        let start = Instant::now();
        let scope = self.config.scope.as_deref().map(encoded);
        let scope = scope.map_or_else(String::new, |scope| format!("&scope={scope}"));
        let form = format!("grant_type=client_credentials{scope}");
        let mut basic = HeaderValue::from_str(&format!("Basic {client}"))
            .map_err(|_| fatal("the credentials fit no header"))?;
        basic.set_sensitive(true);
        let post = connections.post_form(&self.target, &self.url, form, basic, MAX_REPLY);
        let (status, body) = timeout(FETCH_TIMEOUT, post)
            .await
            .map_err(|_| retryable("it did not answer in time"))?
            .map_err(of_endpoint)?;
        let (text, life) = read(status, &body)?;
        *self.token() = Some(Token {
            text: text.clone(),
            until: start + life,
        });
        Ok(text)
    }

    fn token(&self) -> MutexGuard<'_, Option<Token>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({})", self.target)
    }
}

#[derive(Deserialize)]
struct Reply {
    access_token: String,
    #[serde(default)]
    token_type: Option<String>,
    #[serde(default)]
    expires_in: Value,
}

/// The token in a reply of the endpoint, and for how long it is used.
fn read(status: u16, body: &[u8]) -> Result<(String, Duration), CallError> {
    if !(200..300).contains(&status) {
        let reply: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = reply["error"].as_str();
        let known = error.filter(|error| KNOWN_ERRORS.contains(error));
        let reason = known.map_or_else(String::new, |error| format!(" with `{error}`"));
        let message = format!("it answered {status}{reason}");
        return Err(match status {
            429 | 500.. => retryable(&message),
            _ => fatal(&message),
        });
    }
    // What the parser says could quote the token.
    let reply: Reply =
        serde_json::from_slice(body).map_err(|_| fatal("its reply holds no access token"))?;
    let bearer = |kind: &String| kind.eq_ignore_ascii_case("bearer");
    if !reply.token_type.as_ref().is_none_or(bearer) {
        return Err(fatal("its token is not a bearer token"));
    }
    Ok((reply.access_token, life(&reply.expires_in)))
}

fn life(expires_in: &Value) -> Duration {
    let text = expires_in.as_str().and_then(|text| text.parse().ok());
    let seconds = expires_in.as_u64().or(text).map(Duration::from_secs);
    let life = seconds.unwrap_or(USUAL_LIFE).min(LONGEST_LIFE);
    life.saturating_sub(MARGIN.min(life / 10))
}

/// A request for a token leaves nothing done, so no end of it leaves open what happened.
fn of_endpoint(error: CallError) -> CallError {
    match error {
        CallError::Failed {
            failure,
            retryable: true,
        }
        | CallError::Lost { failure, .. } => retryable(&failure.message),
        CallError::Failed { failure, .. } => fatal(&failure.message),
        other @ (CallError::Cancelled | CallError::Waits(_)) => other,
    }
}

fn retryable(message: &str) -> CallError {
    CallError::retryable("auth", format!("the token endpoint: {message}"))
}

fn fatal(message: &str) -> CallError {
    CallError::fatal("auth", format!("the token endpoint: {message}"))
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_used_until_shortly_before_it_expires() {
        for (expires_in, seconds) in [
            (json!(3600), 3570),
            (json!("3600"), 3570),
            (json!(100), 90),
            (json!(0), 0),
            (json!(null), 270),
            (json!(u64::MAX), 86_370),
        ] {
            assert_eq!(life(&expires_in).as_secs(), seconds, "{expires_in}");
        }
    }
}
