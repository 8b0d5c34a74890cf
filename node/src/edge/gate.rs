//! What each request passes before a handler sees it, and each answer on its way out.
//!
//! In: request id, host, token, route, role, query. Out: request id, security headers, metrics. A
//! panic anywhere behind the gate becomes a problem, and the process lives.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use http::{
    HeaderValue, Method, Request, StatusCode, Version,
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HOST,
        STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
    },
};
use hyper::body::Body;
use protocol::wire::Trace;
use runtime::trace::traced;
use tokio::time::Instant;
use tower_service::Service;
use tracing::Instrument;
use warp::reply::Response;

use super::{
    access::Verdict,
    auth::{Credential, Known},
    listener::Transport,
    problem::Refused,
    query::Query,
    request::{Call, RequestId},
    shared::Shared,
    table::{self, EventOp, Found, Operation},
    trace::Visit,
};

/// Lets `request` through to `service`, or answers in its place.
pub(crate) async fn pass<S, B>(
    shared: Arc<Shared>,
    mut service: S,
    mut request: Request<B>,
    transport: Transport,
) -> Response
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
    B: Send,
{
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    let head_only = request.method() == Method::HEAD;
    // A chunked body is the raw material of request smuggling; nothing may follow it.
    let version = request.version();
    let last = version == Version::HTTP_11 && request.headers().contains_key(TRANSFER_ENCODING);
    let mut number = None;
    let mut response = match admit(&shared, &id, &mut request, &mut number).await {
        Ok(call) => {
            let visit = Visit::begin(&shared, &call);
            let trace = visit.trace().map(Trace::id);
            let span = tracing::info_span!("request", request = %id, route = call.route.id, trace);
            request.extensions_mut().insert(Arc::new(call));
            let served = AssertUnwindSafe(service.call(request)).catch_unwind();
            let served = traced(visit.trace(), served).instrument(span).await;
            let response = match served {
                Ok(Ok(response)) => response,
                Err(_) => {
                    tracing::error!(request = %id, "a handler panicked");
                    Refused::bug().respond(id.as_str())
                }
            };
            visit.end(&shared, response)
        }
        Err(refused) => {
            tracing::debug!(request = %id, status = refused.status.as_u16(), code = refused.code(), "refused");
            refused.respond(id.as_str())
        }
    };
    harden(&mut response, &id, transport);
    if last {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if head_only && version == Version::HTTP_2 {
        response = without_body(response);
    }
    let took = started.elapsed();
    shared.meters.measure(number, response.status(), took);
    tracing::debug!(request = %id, status = response.status().as_u16(), ?took, "answered");
    response
}

async fn admit<B: Send>(
    shared: &Shared,
    id: &RequestId,
    request: &mut Request<B>,
    number: &mut Option<usize>,
) -> Result<Call, Refused> {
    check_host(shared, request)?;
    let is_admin = |sha256: &str| shared.orchestrator.is_admin(sha256);
    let known = shared.tokens.caller(request.headers(), is_admin);
    let found = table::find(request.method(), request.uri().path());
    let (route, parts) = match found {
        Found::Route(route, place, parts) => {
            *number = Some(place);
            (route, parts)
        }
        // Strangers do not learn what is there.
        Found::Method(_) | Found::Nothing if known.is_none() => {
            return Err(Refused::unauthenticated());
        }
        Found::Method(allowed) => return Err(Refused::method(&allowed)),
        Found::Nothing => return Err(Refused::not_found("this path")),
    };
    let (headers, query) = (request.headers(), request.uri().query());
    let orchestrator = &shared.orchestrator;
    let by_ticket = shared
        .tickets
        .known(orchestrator, route.operation, headers, query);
    let known = known.or(by_ticket.await?);
    let (caller, credential) = match known {
        Some(Known { caller, credential }) => (Some(caller), credential),
        None => (None, Credential::Own),
    };
    match route.access.judge(caller.as_deref()) {
        Verdict::Allowed => {}
        Verdict::Unauthenticated => return Err(Refused::unauthenticated()),
        Verdict::Forbidden(least) => {
            return Err(Refused::role(least));
        }
    }
    let known = route.query.iter().map(|parameter| parameter.name);
    let query = Query::read(request.uri().query().unwrap_or_default(), &known)?;
    Ok(Call {
        id: id.clone(),
        caller,
        credential,
        route,
        parts,
        query,
        headers: match route.operation {
            // What makes a WebSocket of it is looked for in the request.
            Operation::Event(EventOp::Socket | EventOp::Client) => request.headers().clone(),
            Operation::Event(EventOp::Stream | EventOp::Ticket)
            | Operation::System(_)
            | Operation::Agent(_)
            | Operation::Task(_)
            | Operation::Cluster(_)
            | Operation::Hold(_)
            | Operation::Question(_)
            | Operation::Schedule(_)
            | Operation::Tree(_)
            | Operation::Trigger(_)
            | Operation::Workflow(_)
            | Operation::Template(_) => std::mem::take(request.headers_mut()),
        },
    })
}

/// What HEAD is answered with. hyper sees to it itself for HTTP/1 only.
fn without_body(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Vec::new().into())
}

/// Refuses names that are not the node's, so that no web page can speak to it by one of its own.
fn check_host<B>(shared: &Shared, request: &Request<B>) -> Result<(), Refused> {
    let mut given = request.headers().get_all(HOST).iter();
    let header = match (given.next(), given.next()) {
        (None, _) => None,
        (Some(host), None) => Some(
            host.to_str()
                .map_err(|_| Refused::bad("Host", "is not a host name"))?,
        ),
        (Some(_), Some(_)) => return Err(Refused::bad("Host", "is given twice").close()),
    };
    let target = request.uri().authority().map(http::uri::Authority::as_str);
    let named = [header, target].into_iter().flatten();
    if named.clone().next().is_none() {
        return Err(Refused::bad("Host", "is missing").close());
    }
    for host in named {
        if !shared.hosts.answers(host) {
            return Err(Refused::wrong(
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected",
                "Host",
                "is no name of this node; names that it has are listed as `hosts` under `[edge]`",
            ));
        }
    }
    Ok(())
}

fn harden(response: &mut Response, id: &RequestId, transport: Transport) {
    let headers = response.headers_mut();
    headers.insert(RequestId::HEADER, id.value().clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match transport {
        Transport::Plain => {}
        Transport::Tls => {
            headers.insert(
                STRICT_TRANSPORT_SECURITY,
                HeaderValue::from_static("max-age=31536000"),
            );
        }
    }
}
