//! The span of a request, below the one that its caller names in `traceparent`.

use http::{HeaderName, HeaderValue};
use protocol::{time::Timestamp, wire::Trace};
use runtime::trace::{self, Kind, Origin, Span};
use warp::reply::Response;

use super::{
    request::Call,
    shared::Shared,
    table::{Operation, Route, SystemOp},
};

const GIVEN: &str = "traceparent";

/// Tells callers which trace their request belongs to, as W3C drafted it.
const TOLD: HeaderName = HeaderName::from_static("traceresponse");

/// A request while it is served.
pub(super) struct Visit {
    /// What the caller named.
    parent: Option<Trace>,
    at: Option<Trace>,
    /// Absent when nothing is recorded.
    seen: Option<Seen>,
}

struct Seen {
    route: &'static Route,
    request: String,
    started: Timestamp,
}

impl Visit {
    pub(super) fn begin(shared: &Shared, call: &Call) -> Self {
        let parent: Option<Trace> = call.header(GIVEN).and_then(|given| given.parse().ok());
        let at = match parent {
            Some(parent) => Some(trace::below(parent)),
            // Machines ask these all day.
            None if is_looked_at_only(call.route) => None,
            None => trace::begin(shared.orchestrator.id()),
        };
        let seen = at.filter(|at| trace::records(*at)).map(|_| Seen {
            route: call.route,
            request: call.id.to_string(),
            started: shared.clock.now(),
        });
        Self { parent, at, seen }
    }

    /// What the request causes belongs to this.
    pub(super) const fn trace(&self) -> Option<Trace> {
        self.at
    }

    /// The request was answered.
    pub(super) fn end(self, shared: &Shared, mut response: Response) -> Response {
        let (Some(at), Some(seen)) = (self.at, self.seen) else {
            return response;
        };
        if let Ok(told) = HeaderValue::try_from(at.to_string()) {
            response.headers_mut().insert(TOLD, told);
        }
        let status = response.status();
        let method = seen.route.method.as_str();
        let mut attributes = vec![
            ("http.request.method", method.into()),
            ("http.route", seen.route.path.into()),
            ("http.response.status_code", status.as_u16().into()),
            ("troupe.request.id", seen.request.into()),
            (
                "troupe.node.id",
                shared.orchestrator.id().to_string().into(),
            ),
        ];
        let error = status
            .is_server_error()
            .then(|| status.as_u16().to_string());
        if let Some(code) = &error {
            attributes.push(("error.type", code.clone().into()));
        }
        trace::record(Span {
            node: shared.orchestrator.id(),
            at,
            parent: self.parent.map(|parent| parent.span),
            origin: Origin::Elsewhere,
            name: format!("{method} {}", seen.route.path).into(),
            kind: Kind::Server,
            started: seen.started,
            ended: shared.clock.now(),
            attributes,
            notes: Vec::new(),
            links: Vec::new(),
            error,
        });
        response
    }
}

const fn is_looked_at_only(route: &Route) -> bool {
    match route.operation {
        Operation::System(operation) => match operation {
            SystemOp::Health
            | SystemOp::Live
            | SystemOp::Ready
            | SystemOp::Metrics
            | SystemOp::OpenApi => true,
            SystemOp::Node | SystemOp::Log | SystemOp::SetLog | SystemOp::Store | SystemOp::Mcp => {
                false
            }
        },
        Operation::Agent(_)
        | Operation::Task(_)
        | Operation::Cluster(_)
        | Operation::Hold(_)
        | Operation::Question(_)
        | Operation::Schedule(_)
        | Operation::Tree(_)
        | Operation::Trigger(_)
        | Operation::Workflow(_)
        | Operation::Event(_)
        | Operation::Template(_) => false,
    }
}
