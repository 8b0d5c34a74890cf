//! Connections to services: kept open between calls, apart for each host and port.

use std::{
    collections::HashMap,
    env,
    error::Error,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use protocol::api::FieldError;
use reqwest::{
    Client, RequestBuilder,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
    redirect::Policy,
};
use url::Url;

use super::{auth::Secret, config::Auth, template::Request};
use crate::adapter::{
    CallError,
    egress::{self, Resolver, Rules, Target},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Clients beyond this many are made anew when they are needed again.
const MAX_CLIENTS: usize = 512;

/// How services are reached.
#[derive(Debug)]
pub(in crate::adapter) struct Connections {
    rules: Result<Rules, Vec<FieldError>>,
    credentials: Vec<String>,
    max_response: u64,
    clients: Mutex<HashMap<(String, Target), Client>>,
}

impl Connections {
    pub(in crate::adapter) fn new(settings: &crate::config::Egress) -> Self {
        Self {
            rules: Rules::parse(settings),
            credentials: settings.credentials.clone(),
            max_response: settings.max_response,
            clients: Mutex::default(),
        }
    }

    /// Checks an endpoint as far as that goes without a look-up.
    pub(super) fn target(&self, endpoint: &Url) -> Result<Target, Vec<FieldError>> {
        let rules = self.rules.as_ref().map_err(Clone::clone)?;
        rules
            .target(endpoint)
            .map_err(|refusal| vec![FieldError::new("endpoint", refusal.to_string())])
    }

    /// Whether agents may name this variable.
    pub(super) fn permits_variable(&self, name: &str) -> bool {
        let open = self.credentials.iter().any(|entry| entry == "*");
        let named = self.credentials.iter().any(|entry| entry == name);
        named || open && !name.starts_with("TROUPE_")
    }

    /// Reads the secret that an agent names, now: it may have changed since the last call.
    pub(super) fn secret(&self, auth: &Auth) -> Result<Secret, CallError> {
        let Some(&(_, name)) = auth.variables().first() else {
            return Ok(Secret::default());
        };
        let value = self.variable(name)?;
        Secret::new(auth, &value).map_err(|unfit| {
            let message = format!("the value of {name} {unfit}");
            CallError::fatal("auth", message)
        })
    }

    /// Reads a variable that an agent names, if it may.
    pub(super) fn variable(&self, name: &str) -> Result<String, CallError> {
        let failed = |message: String| CallError::fatal("auth", message);
        if !self.permits_variable(name) {
            let message = format!("{name} is not in `[egress] credentials`");
            return Err(failed(message));
        }
        env::var(name).map_err(|_| {
            failed(format!(
                "the variable {name}, which holds this agent's credential, is not set on the node"
            ))
        })
    }

    /// Sends a request and hears the reply out.
    pub(super) async fn exchange(
        &self,
        target: &Target,
        request: Request,
        secret: &Secret,
    ) -> Result<(u16, Vec<u8>), CallError> {
        let client = self.client(request.url.scheme(), target).await?;
        let mut builder = client.request(request.method, request.url);
        for (name, value) in request.headers.into_iter().chain(secret.header()) {
            builder = builder.header(name, value);
        }
        if let Some(body) = request.body {
            let content = "application/json";
            builder = builder.header(CONTENT_TYPE, content).body(body.to_string());
        }
        hear(builder, self.max_response).await
    }

    /// Sends a form, and hears out a reply of at most `max_reply` bytes.
    pub(super) async fn post_form(
        &self,
        target: &Target,
        url: &Url,
        form: String,
        authorization: HeaderValue,
        max_reply: u64,
    ) -> Result<(u16, Vec<u8>), CallError> {
        let client = self.client(url.scheme(), target).await?;
        let builder = client
            .post(url.clone())
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        hear(builder, max_reply.min(self.max_response)).await
    }

    async fn client(&self, scheme: &str, target: &Target) -> Result<Client, CallError> {
        let key = (scheme.to_owned(), target.clone());
        let known = self.clients().get(&key).cloned();
        if let Some(client) = known {
            return Ok(client);
        }
        let (scheme, target) = key.clone();
        // Reads the certificates that the machine trusts.
        let built = tokio::task::spawn_blocking(move || build(&scheme, target)).await;
        let client = built
            .map_err(|error| CallError::fatal("client", error.to_string()))?
            .map_err(|error| CallError::fatal("client", chain(&error)))?;
        let mut clients = self.clients();
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        Ok(clients.entry(key).or_insert(client).clone())
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<(String, Target), Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn hear(builder: RequestBuilder, max_reply: u64) -> Result<(u16, Vec<u8>), CallError> {
    let mut response = builder.send().await.map_err(|error| failed(&error))?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok((status, body)),
            // That it failed is known, only not how it goes on to say so.
            Err(_) if status >= 400 => return Ok((status, body)),
            Err(error) => return Err(failed(&error)),
        }
        if u64::try_from(body.len()).is_ok_and(|length| length > max_reply) {
            let message =
                format!("the reply is longer than {max_reply} bytes, the most that is read");
            return Err(CallError::fatal("response_too_large", message));
        }
    }
}

fn build(scheme: &str, target: Target) -> reqwest::Result<Client> {
    let builder = Client::builder()
        .user_agent(concat!("troupe/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .dns_resolver(Resolver(target));
    // Without encryption no certificate is of use, and a machine need not have any.
    let builder = match scheme {
        "http" => builder.tls_certs_only([]),
        _ => builder,
    };
    builder.build()
}

/// Whether a request surely never arrived, or nobody knows.
fn failed(error: &reqwest::Error) -> CallError {
    let refused = causes(error)
        .any(|cause| matches!(cause.downcast_ref(), Some(egress::LookupError::Refused(_))));
    if refused {
        CallError::fatal("egress", chain(error))
    } else if error.is_connect() {
        CallError::retryable("connect", chain(error))
    } else if error.is_builder() {
        CallError::fatal("request", chain(error))
    } else {
        CallError::lost("connection_lost", chain(error))
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

/// An error with all that caused it, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}
