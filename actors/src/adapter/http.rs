//! A service, called over HTTP by a declared mapping.
//!
//! [`config`] is what an agent declares, [`template`] makes the request, [`reply`] reads the answer;
//! these are pure. Connections go only where [`super::egress`] permits.

pub mod config;
pub mod path;
pub mod reply;
pub mod template;

mod auth;
mod connections;
mod grant;

use std::{sync::Arc, time::Duration};

use protocol::api::FieldError;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Adapter, Answer, Call, CallError, Probe, builtin::timed_out, egress};
use auth::Secret;
use config::{Auth, Config, Method, ProbeMapping, RequestMapping, api_request};
pub(super) use connections::Connections;
use grant::Grant;
use reply::{Output, ReplyReader, read_probe};
use template::{Request, RequestTemplate, join};

/// What a service takes and gives unless its configuration says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The call, and anything.
    Mapped,
    /// `POST /process {task_type, data, instructions, context}` and
    /// `{status, result, processing_time_ms}`.
    Api,
}

/// How a service is shown who calls.
#[derive(Debug)]
enum Credential {
    /// By what the node holds.
    Held(Auth),
    /// By a token that is granted for it.
    Granted(Box<Grant>),
}

/// Calls a service.
#[derive(Debug)]
pub(super) struct Http {
    target: egress::Target,
    request: RequestTemplate,
    reply: ReplyReader,
    health: Option<Url>,
    probe: Option<(RequestTemplate, ProbeMapping)>,
    credential: Credential,
    timeout: Option<Duration>,
    connections: Arc<Connections>,
}

impl Http {
    /// A service with this configuration.
    pub(super) fn new(
        endpoint: Option<&str>,
        config: Config,
        form: Form,
        connections: &Arc<Connections>,
    ) -> Result<Self, Vec<FieldError>> {
        let fault = |field: &str, message: String| vec![FieldError::new(field, message)];
        let endpoint = endpoint.ok_or_else(|| {
            let message = "is missing: the URL at which the service is reached";
            fault("endpoint", message.to_owned())
        })?;
        let endpoint = Url::parse(endpoint)
            .map_err(|error| fault("endpoint", format!("is not a URL: {error}")))?;
        let target = connections.target(&endpoint)?;
        let auth = config.auth_config;
        for (field, name) in auth.variables() {
            if !connections.permits_variable(name) {
                let message = format!("{name} is not in `[egress] credentials`");
                return Err(fault(&format!("config.auth_config.{field}"), message));
            }
        }
        let credential = match auth {
            Auth::Oauth2ClientCredentials(client) => {
                Credential::Granted(Box::new(Grant::new(client, connections)?))
            }
            auth @ (Auth::None
            | Auth::BearerToken { .. }
            | Auth::ApiKeyHeader { .. }
            | Auth::Basic { .. }) => Credential::Held(auth),
        };
        let mapping = config
            .request_mapping
            .unwrap_or_else(|| default_request(form));
        let request = RequestTemplate::new(&endpoint, &mapping)?;
        let reply = match (config.response_mapping, form) {
            (None, Form::Api) => ReplyReader::api(),
            (mapping, Form::Api | Form::Mapped) => ReplyReader {
                mapping: mapping.unwrap_or_default(),
                output: Output::Result,
            },
        };
        let health = config
            .health
            .map(|health| {
                let url = join(&endpoint, &health.path)?;
                Url::parse(&url).map_err(|error| error.to_string())
            })
            .transpose()
            .map_err(|message| fault("config.health.path", message))?;
        let probe = match config.probe {
            Some(mapping) => Some((probe_request(&endpoint, &mapping)?, mapping)),
            None => None,
        };
        Ok(Self {
            target,
            request,
            reply,
            health,
            probe,
            credential,
            timeout: config.timeout.map(|timeout| timeout.0),
            connections: Arc::clone(connections),
        })
    }

    async fn secret(&self) -> Result<Secret, CallError> {
        match &self.credential {
            Credential::Held(auth) => self.connections.secret(auth),
            Credential::Granted(grant) => grant.secret(&self.connections).await,
        }
    }

    async fn exchange(
        &self,
        request: Request,
        secret: &Secret,
    ) -> Result<(u16, Vec<u8>), CallError> {
        let exchange = self.connections.exchange(&self.target, request, secret);
        let (status, body) = exchange.await?;
        if let (401, Credential::Granted(grant)) = (status, &self.credential) {
            grant.refused(secret);
        }
        Ok((status, body))
    }

    async fn call_within(&self, limit: Duration, call: &Call) -> Result<Value, CallError> {
        let start = Instant::now();
        // Until the credential is there, nothing was sent that could have taken effect.
        let secret = timeout(limit, self.secret()).await;
        let secret = secret.map_err(|_| CallError::retryable("auth", timed_out(limit)))??;
        let left = limit.saturating_sub(start.elapsed());
        let answer = timeout(left, self.attempt(call, &secret)).await;
        answer.unwrap_or_else(|_| Err(CallError::lost("timeout", timed_out(limit))))
    }

    async fn attempt(&self, call: &Call, secret: &Secret) -> Result<Value, CallError> {
        let request = self.request.fill(call);
        let mut request = request.map_err(|message| CallError::fatal("input", message))?;
        if let Some(trace) = call.trace
            && let Ok(parent) = HeaderValue::try_from(trace.to_string())
        {
            let name = HeaderName::from_static("traceparent");
            request.headers.retain(|(given, _)| *given != name);
            request.headers.push((name, parent));
        }
        let exchange = self.exchange(request, secret).await;
        let answer = exchange.and_then(|(status, body)| {
            let body = secret.hide_in_body(body);
            if let Some(usage) = self.reply.usage(&body) {
                call.spent.add(usage);
            }
            let answer = self.reply.read(status, &body);
            match (status, &self.credential, answer) {
                // The next attempt shows another token.
                (401, Credential::Granted(_), Err(CallError::Failed { failure, .. })) => {
                    let retryable = true;
                    Err(CallError::Failed { failure, retryable })
                }
                (_, _, answer) => answer,
            }
        });
        secret.hide_in(answer)
    }

    async fn ask(&self, call: &Call) -> Result<Probe, CallError> {
        let Some((request, mapping)) = &self.probe else {
            return Ok(Probe::Unknown("the agent declares no probe".to_owned()));
        };
        let secret = self.secret().await?;
        let request = request.fill(call);
        let request = request.map_err(|message| CallError::fatal("input", message))?;
        let (status, body) = self.exchange(request, &secret).await?;
        Ok(secret.hide_in_probe(read_probe(mapping, status, &body)))
    }

    /// Whether the service answers its health path, or at least takes connections.
    async fn look(&self) -> Result<String, String> {
        let Some(url) = &self.health else {
            let addresses = egress::addresses(&self.target).await;
            let addresses = addresses.map_err(|error| error.to_string())?;
            return TcpStream::connect(&addresses[..])
                .await
                .map(|_| format!("{} takes connections", self.target))
                .map_err(|error| format!("{} takes no connections: {error}", self.target));
        };
        let secret = self.secret().await.map_err(in_words)?;
        let request = Request {
            method: Method::Get.into(),
            url: url.clone(),
            headers: Vec::new(),
            body: None,
        };
        let exchange = self.exchange(request, &secret).await;
        let (status, _) = exchange.map_err(in_words)?;
        let found = format!("{} answered {status}", url.path());
        if (200..300).contains(&status) {
            Ok(found)
        } else {
            Err(found)
        }
    }
}

fn default_request(form: Form) -> RequestMapping {
    match form {
        Form::Api => api_request(),
        Form::Mapped => RequestMapping {
            method: Method::Post,
            path: String::new(),
            headers: [].into(),
            body_mapping: None,
        },
    }
}

fn probe_request(
    endpoint: &Url,
    mapping: &ProbeMapping,
) -> Result<RequestTemplate, Vec<FieldError>> {
    let request = RequestMapping {
        method: mapping.method,
        path: mapping.path.clone(),
        headers: [].into(),
        body_mapping: None,
    };
    RequestTemplate::new(endpoint, &request).map_err(|mut faults| {
        for fault in &mut faults {
            fault.field = fault.field.replace("request_mapping", "probe");
        }
        faults
    })
}

fn in_words(error: CallError) -> String {
    match error {
        CallError::Failed { failure, .. } | CallError::Lost { failure, .. } => failure.message,
        CallError::Cancelled => "cancelled".to_owned(),
        CallError::Waits(_) => "it asks people".to_owned(),
    }
}

impl Adapter for Http {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async move {
            let limit = call.timeout.min(self.timeout.unwrap_or(Duration::MAX));
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(CallError::Cancelled),
                answer = self.call_within(limit, call) => answer,
            }
        })
    }

    fn probe<'a>(&'a self, call: &'a Call) -> Answer<'a, Probe> {
        Box::pin(async move {
            let limit = call.timeout.min(self.timeout.unwrap_or(Duration::MAX));
            match timeout(limit, self.ask(call)).await {
                Ok(Ok(probe)) => probe,
                Ok(Err(error)) => Probe::Unknown(in_words(error)),
                Err(_) => Probe::Unknown(timed_out(limit)),
            }
        })
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn check(&self, limit: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(async move {
            let look = timeout(limit, self.look()).await;
            look.unwrap_or_else(|_| Err(timed_out(limit)))
        })
    }
}
