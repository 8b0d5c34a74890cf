//! `[telemetry]`: where spans go.

use serde::{Deserialize, Serialize};

/// `[telemetry]`: traces of requests, for a collector that speaks OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetrySection {
    /// The collector, such as `http://127.0.0.1:4318`; when absent what `OTEL_EXPORTER_OTLP_ENDPOINT`
    /// says, and nothing is recorded without either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
    /// Share of the traces that begin here that are recorded, from 0 to 1. A caller's `traceparent`
    /// decides for its own.
    pub trace_ratio: f64,
}

impl Default for TelemetrySection {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            trace_ratio: 1.0,
        }
    }
}

/// Whether spans can be sent there.
pub(super) fn is_collector(url: &str) -> bool {
    let rest = url.strip_prefix("http://");
    let rest = rest.or_else(|| url.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && rest.is_ascii())
}
