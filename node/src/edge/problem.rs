//! Every refusal, from a rejection of the orchestrator to a broken request, as one kind of body.

use std::time::Duration;

use actors::Rejection;
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use protocol::{
    access::Role,
    api::{FieldError, Problem},
};
use serde_json::Value;
use warp::reply::Response;

use super::access::role_name;

/// Why a request got no other answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    code: &'static str,
    message: String,
    errors: Vec<FieldError>,
    first: Option<Box<Value>>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refused {
    /// A status with a code for programs and a sentence for people.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            errors: Vec::new(),
            first: None,
            headers: Vec::new(),
        }
    }

    /// 400 with the input that is wrong.
    pub(crate) fn bad(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::wrong(StatusCode::BAD_REQUEST, "bad_request", field, message)
    }

    /// One wrong input under a status of its own.
    pub(crate) fn wrong(
        status: StatusCode,
        code: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let error = FieldError::new(field, message);
        let mut refused = Self::new(status, code, format!("{}: {}", error.field, error.message));
        refused.errors.push(error);
        refused
    }

    /// The same as 400: what was wrong stood in the query, not in a body.
    pub(crate) fn in_query(mut self) -> Self {
        if self.status == StatusCode::UNPROCESSABLE_ENTITY {
            (self.status, self.code) = (StatusCode::BAD_REQUEST, "bad_request");
        }
        self
    }

    /// The same, where a client knows a field under another name.
    pub(crate) fn called(mut self, ours: &str, theirs: &str) -> Self {
        for error in self.errors.iter_mut().filter(|error| error.field == ours) {
            theirs.clone_into(&mut error.field);
            self.message = format!("{}: {}", error.field, error.message);
        }
        self
    }

    /// 401, before anything else is said.
    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "send `Authorization: Bearer TOKEN`; the administrator's token is in `admin.token` of the data directory",
        )
        .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"troupe\""))
    }

    /// 401 for a ticket that stands for nobody.
    pub(crate) fn ticket() -> Self {
        Self::wrong(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "ticket",
            "counts no more: it counts once, for 30 s, and not after its node was started anew; take another one with `POST /api/v1/ws/ticket`",
        )
        .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"troupe\""))
    }

    /// What a reader is told last whose token was withdrawn.
    pub(crate) fn withdrawn() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "the token with which this was opened counts no more; open it again with one that does",
        )
    }

    /// 403, and which role would do.
    pub(crate) fn role(least: Role) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("this needs the role `{}` or a higher one", role_name(least)),
        )
    }

    /// 404.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("{what} was not found"),
        )
    }

    /// 405 with what would be allowed.
    pub(crate) fn method(allowed: &str) -> Self {
        let refused = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("this path answers {allowed}"),
        );
        match HeaderValue::from_str(allowed) {
            Ok(value) => refused.with(ALLOW, value),
            Err(_) => refused,
        }
    }

    /// 500: a bug of ours, of which the caller learns only that it was logged.
    pub(crate) fn bug() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "this is a defect of the node; its log has the details under this request id",
        )
    }

    /// 503.
    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::unavailable_for(code, message, Duration::from_secs(1))
    }

    /// 503 for a while.
    pub(crate) fn unavailable_for(
        code: &'static str,
        message: impl Into<String>,
        wait: Duration,
    ) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message).retry(wait)
    }

    /// Says when to try again.
    pub(crate) fn retry(self, after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        self.with(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// Ends the connection: what the client still sends is not worth reading.
    pub(crate) fn close(self) -> Self {
        self.with(CONNECTION, HeaderValue::from_static("close"))
    }

    /// With one more header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// For programs.
    pub(crate) const fn code(&self) -> &'static str {
        self.code
    }

    /// As the contract prints it.
    pub(crate) fn problem(&self, request_id: &str) -> Problem {
        Problem {
            kind: format!("urn:troupe:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            code: self.code.to_owned(),
            message: self.message.clone(),
            detail: self.message.clone(),
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
            first: self.first.as_deref().cloned(),
        }
    }

    /// As it is sent.
    pub(crate) fn respond(&self, request_id: &str) -> Response {
        let body = serde_json::to_vec(&self.problem(request_id)).unwrap_or_default();
        let mut response = Response::new(body.into());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.extend(self.headers.iter().cloned());
        response
    }
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        let code = rejection.code();
        let message = rejection.to_string();
        match rejection {
            Rejection::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, code, message),
            Rejection::Invalid { errors, .. } => {
                let mut refused = Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message);
                refused.errors = errors;
                refused
            }
            Rejection::Conflict { .. } => Self::new(StatusCode::CONFLICT, code, message),
            Rejection::Preceded { first, .. } => {
                let mut refused = Self::new(StatusCode::CONFLICT, code, message);
                refused.first = Some(first);
                refused
            }
            Rejection::Forbidden { .. } => Self::new(StatusCode::FORBIDDEN, code, message),
            Rejection::Overloaded { retry_after, .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, code, message).retry(retry_after)
            }
            Rejection::Unavailable { retry_after, .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message).retry(retry_after)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rejection_has_its_status() {
        let after = Duration::from_millis(1500);
        let message = || "m".to_owned();
        for (rejection, status) in [
            (Rejection::not_found("task x"), 404),
            (Rejection::field("name", "is empty"), 422),
            (
                Rejection::Conflict {
                    code: "name_taken",
                    message: message(),
                },
                409,
            ),
            (
                Rejection::Preceded {
                    code: "already_answered",
                    message: message(),
                    first: Box::new(Value::Bool(true)),
                },
                409,
            ),
            (Rejection::Forbidden { message: message() }, 403),
            (
                Rejection::Overloaded {
                    message: message(),
                    retry_after: after,
                },
                429,
            ),
            (
                Rejection::Unavailable {
                    message: message(),
                    retry_after: after,
                },
                503,
            ),
        ] {
            let code = rejection.code();
            let response = Refused::from(rejection).respond("req_1");
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            let retry = response
                .headers()
                .get(RETRY_AFTER)
                .map(|value| value.to_str().unwrap());
            assert_eq!(retry, matches!(status, 429 | 503).then_some("2"), "{code}");
        }
    }

    #[test]
    fn a_problem_names_request_and_field() {
        let problem = Refused::from(Rejection::field("steps[0].id", "is empty")).problem("req_1");
        assert_eq!(problem.request_id, "req_1");
        assert_eq!(problem.kind, "urn:troupe:problem:invalid");
        assert_eq!(problem.errors[0].field, "steps[0].id");
        assert_eq!(problem.message, problem.detail);
    }
}
