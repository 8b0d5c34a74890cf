//! What a handler answers when all is well.

use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, LOCATION},
};
use hyper::body::Bytes;
use serde::Serialize;
use warp::reply::Response;

use super::problem::Refused;

/// An answer.
pub(crate) enum Answer {
    /// All of it is in memory.
    Whole(Whole),
    /// It comes piece by piece.
    Streamed(Response),
}

/// An answer that is in memory, and can be given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whole {
    status: StatusCode,
    media: HeaderValue,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

const REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");

impl Answer {
    /// 200 with JSON.
    pub(crate) fn json(body: &impl Serialize) -> Result<Self, Refused> {
        Self::with_status(StatusCode::OK, body)
    }

    /// Another status with JSON.
    pub(crate) fn with_status(status: StatusCode, body: &impl Serialize) -> Result<Self, Refused> {
        let body = serde_json::to_vec(body).map_err(|error| {
            tracing::error!(%error, "an answer could not be written as JSON");
            Refused::bug()
        })?;
        Ok(Self::text(status, "application/json", body))
    }

    /// A body of another media type.
    pub(crate) fn text(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Self {
        Self::Whole(Whole {
            status,
            media: HeaderValue::from_static(media),
            headers: Vec::new(),
            body: body.into(),
        })
    }

    /// 204.
    pub(crate) fn nothing() -> Self {
        Self::text(StatusCode::NO_CONTENT, "", Bytes::new())
    }

    /// With the address of what was made.
    pub(crate) fn at(self, location: &str) -> Self {
        match HeaderValue::from_str(location) {
            Ok(location) => self.with(LOCATION, location),
            Err(_) => self,
        }
    }

    /// Says that this was answered before.
    pub(crate) fn again(self) -> Self {
        self.with(REPLAY, HeaderValue::from_static("true"))
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        match self {
            Self::Whole(mut whole) => {
                whole.headers.push((name, value));
                Self::Whole(whole)
            }
            Self::Streamed(mut response) => {
                response.headers_mut().insert(name, value);
                Self::Streamed(response)
            }
        }
    }

    /// As it is sent.
    pub(crate) fn respond(self) -> Response {
        match self {
            Self::Streamed(response) => response,
            Self::Whole(whole) => {
                let mut response = Response::new(whole.body.into());
                *response.status_mut() = whole.status;
                let headers = response.headers_mut();
                if !whole.media.is_empty() {
                    headers.insert(CONTENT_TYPE, whole.media);
                }
                headers.extend(whole.headers);
                response
            }
        }
    }
}

impl Whole {
    /// What it says.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Bytes that keeping it takes.
    pub(crate) fn size(&self) -> usize {
        self.body.len() + 256
    }
}
