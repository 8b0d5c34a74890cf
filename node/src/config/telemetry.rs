//! `[telemetry]`: where spans and measurements go.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// `[telemetry]`: traces of requests, for a collector that speaks OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetrySection {
    /// The collector, such as `http://127.0.0.1:4318`; when absent what `OTEL_EXPORTER_OTLP_ENDPOINT`
    /// says, and nothing is recorded without either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
    /// Where the measurements are served beside, without a token and nothing else: `127.0.0.1:9464`, or a
    /// port of the loopback; nowhere when absent. The edge serves them at `/metrics` as well.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "listen")]
    pub metrics_listen: Option<SocketAddr>,
    /// Share of the traces that begin here that are recorded, from 0 to 1. A caller's `traceparent`
    /// decides for its own.
    pub trace_ratio: f64,
}

impl Default for TelemetrySection {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            metrics_listen: None,
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

/// An address, or a port of the loopback.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let address = text.parse().or_else(|_| text.parse::<u16>().map(loopback));
    address.map_err(|_| {
        format!(
            "`{text}` is neither an address such as `127.0.0.1:9464` nor a port of the loopback"
        )
    })
}

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Told {
        Port(u16),
        Text(String),
    }
    match Told::deserialize(deserializer)? {
        Told::Port(port) => Ok(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))),
        Told::Text(text) => address(&text).map(Some).map_err(D::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_the_loopback() {
        let local = Ok(SocketAddr::from(([127, 0, 0, 1], 9464)));
        assert_eq!(address("9464"), local);
        assert_eq!(address("127.0.0.1:9464"), local);
        assert_eq!(
            address("0.0.0.0:1"),
            Ok(SocketAddr::from(([0, 0, 0, 0], 1)))
        );
        for wrong in ["", "host", "host:1", "70000", "127.0.0.1"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
