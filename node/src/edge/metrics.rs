//! How many requests each route had, how they ended, and how long they took.

use std::{sync::OnceLock, time::Duration};

use http::StatusCode;
use metrics::{Counter, Histogram};

use super::table::{self, Route};

const REQUESTS: &str = "troupe_http_requests_total";
const SECONDS: &str = "troupe_http_request_seconds";
/// Gauge: WebSockets that are open, by `kind`.
pub(super) const SOCKETS: &str = "troupe_ws_connections";
/// What requests that match no route are counted under; never the path, which anybody can make up.
const UNMATCHED: &str = "unmatched";

/// Statuses with a place of their own; others are looked up each time.
const STATUSES: [u16; 18] = [
    200, 201, 202, 204, 400, 401, 403, 404, 405, 408, 409, 413, 415, 421, 422, 429, 500, 503,
];

/// The meters of every route, made when first needed: a lookup by labels costs more than a request
/// should.
pub(crate) struct Meters {
    routes: Vec<Meter>,
}

struct Meter {
    route: &'static str,
    method: &'static str,
    seconds: OnceLock<Histogram>,
    counts: [OnceLock<Counter>; STATUSES.len()],
}

impl Meter {
    fn new(route: &'static str, method: &'static str) -> Self {
        Self {
            route,
            method,
            seconds: OnceLock::new(),
            counts: [const { OnceLock::new() }; STATUSES.len()],
        }
    }

    fn counter(&self, status: StatusCode) -> Counter {
        let status = status.as_str().to_owned();
        metrics::counter!(REQUESTS, "route" => self.route, "method" => self.method, "status" => status)
    }

    fn measure(&self, status: StatusCode, took: Duration) {
        match STATUSES.iter().position(|known| *known == status.as_u16()) {
            Some(place) => self.counts[place]
                .get_or_init(|| self.counter(status))
                .increment(1),
            None => self.counter(status).increment(1),
        }
        self.seconds
            .get_or_init(|| metrics::histogram!(SECONDS, "route" => self.route))
            .record(took);
    }
}

impl Meters {
    pub(crate) fn new() -> Self {
        metrics::describe_counter!(REQUESTS, "Requests by route, method and status.");
        metrics::describe_histogram!(
            SECONDS,
            metrics::Unit::Seconds,
            "Time from a request's head to its answer's, by route."
        );
        metrics::describe_gauge!(SOCKETS, "WebSockets that are open, by kind.");
        let known = |route: &Route| Meter::new(route.path, route.method.as_str());
        let mut routes: Vec<_> = table::routes().map(known).collect();
        routes.push(Meter::new(UNMATCHED, UNMATCHED));
        Self { routes }
    }

    /// Counts one request; `route` is its number in the table.
    pub(crate) fn measure(&self, route: Option<usize>, status: StatusCode, took: Duration) {
        if let Some(meter) = self.routes.get(route.unwrap_or(table::COUNT)) {
            meter.measure(status, took);
        }
    }
}
