//! One connection, from its handshake to its end.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Request, StatusCode, Version, header::CONNECTION};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Limits, Transport, patient::Patient};
use crate::edge::{gate, shared::Shared};

/// What answers requests that passed the gate.
pub(crate) trait Service:
    tower_service::Service<
        Request<Incoming>,
        Response = warp::reply::Response,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
}

impl<S> Service for S where
    S: tower_service::Service<
            Request<Incoming>,
            Response = warp::reply::Response,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static
{
}

/// A connection and what it needs.
pub(super) struct Link<S> {
    pub(super) stream: TcpStream,
    /// Its place, which whatever becomes of the connection keeps.
    pub(super) stay: Stay,
    pub(super) tls: Option<tokio_rustls::TlsAcceptor>,
    pub(super) limits: Limits,
    pub(super) shared: Arc<Shared>,
    pub(super) service: S,
}

/// As long as somebody has it, the connection counts, and the edge waits for its end.
#[derive(Clone)]
pub(crate) struct Stay(pub(crate) Arc<dyn Send + Sync>);

impl Stay {
    pub(super) fn new(place: impl Send + Sync + 'static) -> Self {
        Self(Arc::new(place))
    }
}

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How soon after it connected a client has sent its first request, when the edge stops just then.
const FIRST_WORD: Duration = Duration::from_millis(250);
/// With this byte each TLS connection begins.
const TLS_HANDSHAKE: u8 = 0x16;
/// What a client reads that speaks HTTP where TLS is spoken.
const PLAIN: &[u8] = b"HTTP/1.1 426 Upgrade Required\r\nupgrade: TLS/1.3, HTTP/1.1\r\n\
    connection: upgrade, close\r\ncontent-type: text/plain\r\ncontent-length: 36\r\n\r\n\
    this port speaks HTTPS: use https://";
/// Bytes that the head of a request may have.
const MAX_HEAD: usize = 16 * 1024;
/// Requests at once on one connection.
const MAX_STREAMS: u32 = 128;
/// Bytes of answers that wait for a slow client, on each stream.
const MAX_SEND: usize = 256 * 1024;
/// Requests that a client may take back before the node has looked at them.
const MAX_RESETS: usize = 20;

/// Serves a connection until either side ends it.
pub(super) async fn run<S: Service>(link: Link<S>) {
    let Link {
        stream,
        stay,
        tls,
        limits,
        shared,
        service,
    } = link;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it began");
        return;
    }
    if tls.is_some() && timeout(HANDSHAKE, is_plain(&stream)).await == Ok(true) {
        let mut stream = Patient::new(stream, limits.write);
        // Whoever does not take its refusal is refused all the same.
        let _ = timeout(HANDSHAKE, refuse_plain(&mut stream)).await;
        return;
    }
    let stream = Patient::new(stream, limits.write);
    match tls {
        None => speak(stream, limits, shared, service, (Transport::Plain, stay)).await,
        Some(tls) => match timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => speak(stream, limits, shared, service, (Transport::Tls, stay)).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
}

/// Whether a client begins with anything but a TLS handshake.
async fn is_plain(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first).await, Ok(1) if first != [TLS_HANDSHAKE])
}

/// Says what this port speaks. No redirect: what the client sent, its token among it, was in the clear
/// already, and would be the next time.
async fn refuse_plain(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<()> {
    stream.write_all(PLAIN).await?;
    stream.shutdown().await?;
    // To close before all was read would take the answer back.
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

async fn speak<IO, S>(
    io: IO,
    limits: Limits,
    shared: Arc<Shared>,
    service: S,
    (transport, stay): (Transport, Stay),
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service,
{
    let activity = Arc::new(Activity::new());
    let (stopping, closing) = (shared.stopping.clone(), shared.closing.clone());
    let requests = {
        let activity = activity.clone();
        hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(stay.clone());
            let guard = InFlight::new(activity.clone(), request.version());
            let is_http1 = request.version() < Version::HTTP_2;
            let shared = shared.clone();
            let answer = gate::pass(shared.clone(), service.clone(), request, transport);
            async move {
                let mut answer = answer.await.map(|body| Held {
                    body,
                    _guard: guard,
                });
                let goes_on = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
                if is_http1 && shared.stopping.is_cancelled() && !goes_on {
                    let headers = answer.headers_mut();
                    headers.insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            }
        })
    };
    let builder = builder(limits);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), requests));
    let mut ticks = interval(limits.header.min(limits.idle) / 4 + Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut ending) = (false, false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "a connection broke");
                }
                return;
            }
            // HTTP/2 has a word for it, after which no request is lost; with HTTP/1 an answer says it.
            () = stopping.cancelled(), if !told => {
                told = true;
                if activity.speaks_http2() {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
            () = activity.may_end(&closing), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            _ = ticks.tick() => {
                if activity.is_over(limits) {
                    return;
                }
            }
        }
    }
}

fn builder(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_send_buf_size(MAX_SEND)
        .keep_alive_interval(limits.idle / 2)
        .keep_alive_timeout(limits.idle / 2);
    builder
}

/// What a connection has been used for, so that one that is not used ends. hyper's own limit starts
/// only when it knows which version of HTTP is spoken, and does not exist for HTTP/2.
#[derive(Debug)]
struct Activity {
    since: Instant,
    requests: AtomicUsize,
    in_flight: AtomicUsize,
    http2: AtomicBool,
    /// When the last answer ended, in milliseconds after `since`.
    last: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            requests: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            http2: AtomicBool::new(false),
            last: AtomicU64::new(0),
        }
    }

    fn speaks_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    /// Waits until connections may end, and for the first request of one that was just made.
    async fn may_end(&self, closing: &CancellationToken) {
        closing.cancelled().await;
        if self.requests.load(Ordering::Relaxed) == 0 {
            sleep_until(self.since + FIRST_WORD).await;
        }
    }

    fn is_over(&self, limits: Limits) -> bool {
        let limit = match self.requests.load(Ordering::Relaxed) {
            0 => limits.header,
            _ => limits.idle,
        };
        let quiet = self.since + Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.in_flight.load(Ordering::Relaxed) == 0 && quiet.elapsed() >= limit
    }
}

/// A request whose answer has not been sent to its end.
#[derive(Debug)]
struct InFlight(Arc<Activity>);

impl InFlight {
    fn new(activity: Arc<Activity>, version: Version) -> Self {
        activity
            .http2
            .store(version == Version::HTTP_2, Ordering::Relaxed);
        activity.requests.fetch_add(1, Ordering::Relaxed);
        activity.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(activity)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let elapsed = u64::try_from(self.0.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(elapsed, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body that keeps its request in flight.
struct Held<B> {
    body: B,
    _guard: InFlight,
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
