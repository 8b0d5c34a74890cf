//! One request, as everything behind the gate sees it.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use protocol::{access::Caller, api::Consistency, time::Span};
use uuid::Uuid;

use super::{
    auth::{Credential, Known},
    problem::Refused,
    query::Query,
    table::{Operation, Route, TreeOp},
};

/// A request that may be served.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: RequestId,
    /// Who asks; only open routes have nobody.
    pub(crate) caller: Option<Arc<Caller>>,
    /// By what the caller is known.
    pub(crate) credential: Credential,
    pub(crate) route: &'static Route,
    /// What stands for the `{}` of the route's path.
    pub(crate) parts: Vec<String>,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
}

/// How long a client may ask to be kept waiting.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// How long a client may listen to an actor before it is answered.
const MAX_LISTENING: Duration = Duration::from_secs(30);
/// With what a client that was cut off says how far it was told.
pub(crate) const LAST_EVENT_ID: &str = "Last-Event-ID";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

impl Call {
    /// The caller; the gate has let nobody else through, so its absence is a bug.
    pub(crate) fn caller(&self) -> Result<&Caller, Refused> {
        self.caller.as_deref().ok_or_else(Refused::bug)
    }

    /// The caller, and by what it is known.
    pub(crate) fn known(&self) -> Result<Known, Refused> {
        Ok(Known {
            caller: self.caller.clone().ok_or_else(Refused::bug)?,
            credential: self.credential.clone(),
        })
    }

    /// The `n`th part of the path that varies.
    pub(crate) fn part(&self, n: usize) -> Result<&str, Refused> {
        self.parts
            .get(n)
            .map(String::as_str)
            .ok_or_else(Refused::bug)
    }

    /// How long the client wants to wait for the end.
    pub(crate) fn wait(&self) -> Result<Option<Duration>, Refused> {
        let most = match self.route.operation {
            Operation::Tree(TreeOp::Messages) => MAX_LISTENING,
            _ => MAX_WAIT,
        };
        match self.query.get::<Span>("wait")? {
            Some(Span(wait)) if wait > most => Err(Refused::bad(
                "wait",
                format!(
                    "{} is more than {}, the longest that is waited here",
                    Span(wait),
                    Span(most)
                ),
            )),
            wait => Ok(wait.map(|Span(wait)| wait)),
        }
    }

    /// Where a client was cut off.
    pub(crate) fn cut_off(&self) -> Result<Option<&str>, Refused> {
        let wrong = |message: &str| Refused::bad(LAST_EVENT_ID, message);
        let mut given = self.headers.get_all(LAST_EVENT_ID).iter();
        let first = given.next();
        if given.next().is_some() {
            return Err(wrong("is given twice"));
        }
        let text = first.map(|id| id.to_str()).transpose();
        let text = text.map_err(|_| wrong("is not the `id` of an event"))?;
        Ok(text.filter(|id| !id.is_empty()))
    }

    /// How fresh the client wants the answer.
    pub(crate) fn consistency(&self) -> Result<Consistency, Refused> {
        Ok(self.query.word("consistency")?.unwrap_or_default())
    }

    /// The client's idempotency key.
    pub(crate) fn idempotency_key(&self) -> Result<Option<&str>, Refused> {
        let wrong = |message: &str| Refused::bad("Idempotency-Key", message);
        let mut given = self.headers.get_all(&IDEMPOTENCY_KEY).iter();
        let Some(key) = given.next() else {
            return Ok(None);
        };
        if given.next().is_some() {
            return Err(wrong("is given twice"));
        }
        match key.to_str() {
            Ok(key) if (1..=255).contains(&key.len()) => Ok(Some(key)),
            Ok(_) | Err(_) => Err(wrong("must be 1 to 255 printable ASCII characters")),
        }
    }

    /// The text of a header that is given once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What logs, answers and problems call one request.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

    /// The one that the client chose, if it is harmless in logs; else a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match headers.get(Self::HEADER) {
            Some(given) if is_harmless(given.as_bytes()) => Self(given.clone()),
            Some(_) | None => Self::fresh(),
        }
    }

    fn fresh() -> Self {
        let id = format!("req_{}", Uuid::now_v7().simple());
        Self(HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("req_")))
    }

    /// As a header.
    pub(crate) const fn value(&self) -> &HeaderValue {
        &self.0
    }

    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_harmless(id: &[u8]) -> bool {
    (1..=64).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(given: &str) -> String {
        let headers = HeaderMap::from_iter([(
            RequestId::HEADER,
            HeaderValue::from_bytes(given.as_bytes()).unwrap(),
        )]);
        RequestId::of(&headers).to_string()
    }

    #[test]
    fn a_harmless_request_id_is_kept() {
        for good in ["a", "a.b_c-9", &"x".repeat(64)] {
            assert_eq!(id_for(good), good);
        }
    }

    #[test]
    fn any_other_is_replaced() {
        for wrong in ["", "a b", "a;b", "ä", &"x".repeat(65)] {
            let id = id_for(wrong);
            assert!(id.starts_with("req_") && id.len() == 36, "{wrong}: {id}");
        }
        assert_ne!(
            RequestId::of(&HeaderMap::new()),
            RequestId::of(&HeaderMap::new())
        );
    }
}
