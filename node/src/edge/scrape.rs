//! The measurements at an address of their own, for whoever scrapes a node: nothing else is served
//! there, and no token is asked for.

use std::{convert::Infallible, fmt, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{ALLOW, CONTENT_TYPE, HOST},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use warp::reply::Response;

use super::{EdgeError, host::Hosts, listener};

/// What a scraper reads.
pub(super) const MEDIA: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Connections at once: scrapers are few.
const CONNECTIONS: usize = 16;
/// How long a client may take to send the head of a request, and a connection may last.
const HEADER: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_mins(5);
/// The pause when the system gives no connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Writes the measurements down.
type Text = Arc<dyn Fn() -> String + Send + Sync>;

/// An address that is bound, and not served yet.
pub struct Scrape {
    listener: TcpListener,
    address: SocketAddr,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Scrape {
    /// Binds `address`; port 0 picks one.
    ///
    /// # Errors
    ///
    /// When the address is in use or cannot be bound.
    #[expect(
        clippy::unused_async,
        reason = "callers need a runtime, and an async fn says so"
    )]
    pub async fn bind(address: SocketAddr) -> Result<Self, EdgeError> {
        let bound = listener::listen(address).map_err(|error| match error {
            EdgeError::InUse { address, holder } => EdgeError::MetricsInUse { address, holder },
            other @ (EdgeError::Exposed { .. }
            | EdgeError::Plain
            | EdgeError::MetricsInUse { .. }
            | EdgeError::Bind { .. }
            | EdgeError::Tls { .. }) => other,
        })?;
        let bind = |source| EdgeError::Bind { address, source };
        Ok(Self {
            address: bound.local_addr().map_err(bind)?,
            listener: bound,
        })
    }

    /// Where it listens; the port is never 0.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers `GET /metrics` with what `text` writes, until it is dropped.
    pub async fn serve(self, text: impl Fn() -> String + Send + Sync + 'static) {
        let text: Text = Arc::new(text);
        let hosts = Arc::new(Hosts::new(self.address.ip(), &[]));
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let Ok(place) = room.clone().acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let (text, hosts) = (text.clone(), hosts.clone());
                    tokio::spawn(async move {
                        // Whoever stays longer comes again.
                        let _ = timeout(LONGEST, speak(stream, text, hosts)).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a scraper could not be let in");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn speak(stream: TcpStream, text: Text, hosts: Arc<Hosts>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&request, &text, &hosts);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    if let Err(error) = connection.as_mut().await {
        tracing::debug!(%error, "a scraper's connection broke");
    }
}

fn answer<B>(request: &Request<B>, text: &Text, hosts: &Hosts) -> Response {
    let host = request.headers().get(HOST);
    // A web page may not read it under a name of its own.
    let known = host.is_some_and(|host| host.to_str().is_ok_and(|host| hosts.answers(host)));
    let (status, body) = match (request.method(), request.uri().path()) {
        _ if !known => (StatusCode::MISDIRECTED_REQUEST, String::new()),
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, text()),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
        (_, _) => (StatusCode::NOT_FOUND, "only /metrics is here\n".to_owned()),
    };
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
