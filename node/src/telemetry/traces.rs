//! Sends spans to a collector, by OTLP over HTTP.
//!
//! A thread of its own gathers and sends them: a collector that is slow or gone costs spans, and a
//! warning, and nothing else.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use metrics::counter;
use opentelemetry::{
    InstrumentationScope, KeyValue, StringValue, Value,
    trace::{Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanExporter, SpanLinks, SpanProcessor},
};
use protocol::{id::NodeId, time::Timestamp, wire::Trace};
use runtime::trace::{self, Kind, Origin, Recorder, Span};

use crate::config::TelemetrySection;

/// What is left of the last spans' way when a node stops.
const FLUSH: Duration = Duration::from_secs(3);

/// Where collectors take spans.
const PATH: &str = "/v1/traces";

/// Variables that name the collector for many programs, and one that says that there is none.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const DISABLED: &str = "OTEL_SDK_DISABLED";

const RECORDED: &str = "troupe_spans_recorded_total";
const EXPORTED: &str = "troupe_spans_exported_total";
const FAILED: &str = "troupe_spans_failed_total";

/// The spans of one node on their way; taken away when it is dropped.
#[derive(Debug)]
pub(crate) struct Traces {
    node: NodeId,
    pipe: Arc<Pipe>,
}

impl Traces {
    /// Records spans of `node` from now on, if a collector is named.
    pub(crate) fn start(section: &TelemetrySection, node: NodeId, name: &str) -> Option<Self> {
        let set = |variable| std::env::var(variable).is_ok_and(|value| !value.is_empty());
        if std::env::var(DISABLED).is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary);
        match &section.otlp_endpoint {
            Some(endpoint) => exporter = exporter.with_endpoint(traces_at(endpoint)),
            // The exporter reads them itself, with headers and time limits beside them.
            None if set(TRACES_ENDPOINT) || set(ENDPOINT) => {}
            None => return None,
        }
        let exporter = match exporter.build() {
            Ok(exporter) => exporter,
            Err(error) => {
                tracing::warn!(%error, "no spans are recorded: the collector cannot be used");
                return None;
            }
        };
        let mut batches = BatchSpanProcessor::builder(Watched::new(exporter)).build();
        batches.set_resource(&resource(node, name));
        let pipe = Arc::new(Pipe {
            batches,
            scope: InstrumentationScope::builder("troupe")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            ratio: section.trace_ratio,
        });
        trace::install(node, Arc::clone(&pipe) as Arc<dyn Recorder>);
        Some(Self { node, pipe })
    }

    /// Sends what is left, for a short while.
    pub(crate) async fn stop(self) {
        let pipe = Arc::clone(&self.pipe);
        drop(self);
        let flushed =
            tokio::task::spawn_blocking(move || pipe.batches.shutdown_with_timeout(FLUSH));
        if let Ok(Err(error)) = flushed.await {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        trace::remove(self.node);
    }
}

/// What all spans of a node have in common. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` may add
/// to it.
fn resource(node: NodeId, name: &str) -> Resource {
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("troupe");
    }
    resource
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", node.to_string()),
            KeyValue::new("troupe.node.name", name.to_owned()),
        ])
        .build()
}

/// Where spans go, of a collector that is named by its root or by that very place.
fn traces_at(endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    if endpoint.ends_with(PATH) {
        endpoint.to_owned()
    } else {
        format!("{endpoint}{PATH}")
    }
}

/// Tells the recorder what each metric means. They are there from the start, so that the first loss
/// is an increase.
#[cfg(feature = "edge")]
pub(super) fn describe() {
    metrics::describe_counter!(RECORDED, "Spans that were handed to the exporter");
    metrics::describe_counter!(EXPORTED, "Spans that the collector took");
    metrics::describe_counter!(FAILED, "Spans that the collector did not take");
    for never in [RECORDED, EXPORTED, FAILED] {
        counter!(never).increment(0);
    }
}

/// From spans to batches.
struct Pipe {
    batches: BatchSpanProcessor,
    scope: InstrumentationScope,
    ratio: f64,
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe")
            .field("ratio", &self.ratio)
            .finish_non_exhaustive()
    }
}

impl Recorder for Pipe {
    fn samples(&self) -> bool {
        self.ratio >= 1.0 || chance() < self.ratio
    }

    fn record(&self, span: Span) {
        counter!(RECORDED).increment(1);
        self.batches.on_end(data(span, &self.scope));
    }
}

/// Between 0 and 1.
fn chance() -> f64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    // The high bits of the first half are chance; the version stands lower.
    f64::from(u32::try_from(high >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

fn data(span: Span, scope: &InstrumentationScope) -> SpanData {
    let mut events = SpanEvents::default();
    events.events = span
        .notes
        .into_iter()
        .map(|note| Event::new(note.name, moment(note.at), attributes(note.attributes), 0))
        .collect();
    let mut links = SpanLinks::default();
    links.links = span
        .links
        .into_iter()
        .map(|link| {
            Link::new(
                context(link.to, Origin::Elsewhere),
                attributes(link.attributes),
                0,
            )
        })
        .collect();
    SpanData {
        span_context: context(span.at, Origin::Here),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: span.origin == Origin::Elsewhere,
        span_kind: match span.kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        },
        name: span.name,
        start_time: moment(span.started),
        end_time: moment(span.ended.max(span.started)),
        attributes: attributes(span.attributes),
        dropped_attributes_count: 0,
        events,
        links,
        status: span.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: scope.clone(),
    }
}

fn context(at: Trace, origin: Origin) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(at.trace),
        SpanId::from_bytes(at.span),
        TraceFlags::new(at.flags),
        origin == Origin::Elsewhere,
        TraceState::default(),
    )
}

fn attributes(all: Vec<(&'static str, trace::Value)>) -> Vec<KeyValue> {
    let value = |value| match value {
        trace::Value::Text(text) => Value::String(StringValue::from(text)),
        trace::Value::Number(number) => Value::I64(number),
    };
    let all = all.into_iter();
    all.map(|(key, said)| KeyValue::new(key, value(said)))
        .collect()
}

fn moment(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(at.as_micros()).unwrap_or(0))
}

/// An exporter that says once when the collector takes nothing, and once when it does again.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    failing: AtomicBool,
}

impl<E> Watched<E> {
    const fn new(exporter: E) -> Self {
        Self {
            exporter,
            failing: AtomicBool::new(false),
        }
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        let exported = self.exporter.export(batch).await;
        match &exported {
            Ok(()) => {
                counter!(EXPORTED).increment(count);
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the collector takes spans again");
                }
            }
            Err(error) => {
                counter!(FAILED).increment(count);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "the collector takes no spans; they are dropped until it does");
                }
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_by_its_root_or_by_the_place_for_spans() {
        for (given, place) in [
            ("http://c:4318", "http://c:4318/v1/traces"),
            ("http://c:4318/", "http://c:4318/v1/traces"),
            ("https://c/otlp", "https://c/otlp/v1/traces"),
            ("http://c/v1/traces", "http://c/v1/traces"),
        ] {
            assert_eq!(traces_at(given), place);
        }
    }

    #[test]
    fn chance_lies_between_nothing_and_all() {
        let drawn: Vec<f64> = std::iter::repeat_with(chance).take(200).collect();
        assert!(
            drawn.iter().all(|one| (0.0..=1.0).contains(one)),
            "{drawn:?}"
        );
        assert!(drawn.iter().any(|one| *one < 0.5) && drawn.iter().any(|one| *one > 0.5));
    }
}
