//! What an HTTP agent's configuration says: how a call becomes a request, and a reply an output.

use std::collections::BTreeMap;

use protocol::time::Span;
use serde::Deserialize;
use serde_json::{Value, json};

use super::path::Path;

/// The configuration of an HTTP agent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How a call becomes a request.
    #[serde(default)]
    pub request_mapping: Option<RequestMapping>,
    /// How a reply becomes an output.
    #[serde(default)]
    pub response_mapping: Option<ResponseMapping>,
    /// How the node shows who it is.
    #[serde(default)]
    pub auth_config: Auth,
    /// How the agent's health is checked; else it is enough that it takes connections.
    #[serde(default)]
    pub health: Option<Health>,
    /// How to ask whether a call took effect.
    #[serde(default)]
    pub probe: Option<ProbeMapping>,
    /// How long a call may take at most.
    #[serde(default)]
    pub timeout: Option<Span>,
}

/// How a call becomes a request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestMapping {
    /// `POST` if it does not say.
    #[serde(default)]
    pub method: Method,
    /// Put behind the endpoint. `{task_id}`, `{step_id}`, `{attempt}` and `{idempotency_key}` stand
    /// for the call's.
    #[serde(default)]
    pub path: String,
    /// Text, or a path into the call that starts with `$.`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// JSON in which each text that starts with `$.` is a path into the call; the whole call if
    /// there is none.
    #[serde(default)]
    pub body_mapping: Option<Value>,
}

/// How a reply becomes an output.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResponseMapping {
    /// Where a reply says whether it is a success.
    pub status_path: Option<Path>,
    /// Where the output is; the whole reply if it does not say.
    pub result_path: Option<Path>,
    /// Where a reply says what went wrong; anything there is a failure.
    pub error_path: Option<Path>,
    /// Where a reply says what it took of models: an object with `input_tokens` or `prompt_tokens`,
    /// `output_tokens` or `completion_tokens`, and `cost_usd`, `total_cost_usd` or `cost_micros`. When
    /// it does not say, `usage` is looked at, as far as it has tokens.
    pub usage_path: Option<Path>,
}

/// Methods of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    #[default]
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

/// How the node shows who it is. Secrets stand in the node's environment, never here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// It does not.
    #[default]
    None,
    /// `Authorization: Bearer …`
    BearerToken {
        /// The variable that holds the token.
        env_var: String,
    },
    /// A header of its own.
    ApiKeyHeader {
        /// The variable that holds the key.
        env_var: String,
        /// The header.
        #[serde(default = "api_key_header")]
        header: String,
    },
    /// `Authorization: Basic …`
    Basic {
        /// The variable that holds `user:password`.
        env_var: String,
    },
    /// `Authorization: Bearer …` with a token that is fetched when it is needed.
    Oauth2ClientCredentials(ClientCredentials),
}

/// How the node is granted a token (RFC 6749, section 4.4).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCredentials {
    /// Where tokens are granted.
    pub token_url: String,
    /// The variable that holds the client's id.
    pub client_id_env: String,
    /// The variable that holds the client's secret.
    pub client_secret_env: String,
    /// What the token is to be good for.
    #[serde(default)]
    pub scope: Option<String>,
}

fn api_key_header() -> String {
    "X-API-Key".to_owned()
}

impl Auth {
    /// The variables that hold the secret, behind the fields that name them.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::None => Vec::new(),
            Self::BearerToken { env_var }
            | Self::ApiKeyHeader { env_var, .. }
            | Self::Basic { env_var } => vec![("env_var", env_var)],
            Self::Oauth2ClientCredentials(client) => vec![
                ("client_id_env", &client.client_id_env),
                ("client_secret_env", &client.client_secret_env),
            ],
        }
    }
}

/// How the agent's health is checked: a `GET` that is answered 2xx.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Put behind the endpoint.
    pub path: String,
}

/// How to ask whether a call took effect.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeMapping {
    /// `GET` if it does not say.
    #[serde(default = "get")]
    pub method: Method,
    /// Put behind the endpoint, with the same names in braces as for a request.
    pub path: String,
    /// Where a reply says `true`, or another word of success, if the call took effect, and `false`
    /// if it did not.
    pub done_path: Path,
    /// Where the output is.
    #[serde(default)]
    pub result_path: Option<Path>,
}

const fn get() -> Method {
    Method::Get
}

/// What an `api` agent is sent unless its configuration says otherwise.
#[must_use]
pub fn api_request() -> RequestMapping {
    RequestMapping {
        method: Method::Post,
        path: "/process".to_owned(),
        headers: BTreeMap::new(),
        body_mapping: Some(json!({
            "task_type": "$.step.id",
            "data": "$.input",
            "instructions": "$.task.description",
            "context": { "task": "$.task", "step": "$.step", "needs": "$.needs" },
        })),
    }
}
