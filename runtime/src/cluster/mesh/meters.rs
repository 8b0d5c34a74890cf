//! What a session counts, under its peer's name.

use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::metrics;

#[derive(Clone)]
pub(super) struct Meters {
    frames_sent: Counter,
    frames_received: Counter,
    envelopes_sent: Counter,
    envelopes_received: Counter,
    bytes_sent: Counter,
    bytes_received: Counter,
    overloads: Counter,
    queued: Gauge,
    up: Gauge,
    rtt: Histogram,
}

impl Meters {
    pub(super) fn new(peer: &str) -> Self {
        let peer = || peer.to_owned();
        Self {
            frames_sent: counter!(metrics::MESH_FRAMES, "peer" => peer(), "direction" => "sent"),
            frames_received: counter!(metrics::MESH_FRAMES, "peer" => peer(), "direction" => "received"),
            envelopes_sent: counter!(metrics::MESH_ENVELOPES, "peer" => peer(), "direction" => "sent"),
            envelopes_received: counter!(metrics::MESH_ENVELOPES, "peer" => peer(), "direction" => "received"),
            bytes_sent: counter!(metrics::MESH_BYTES, "peer" => peer(), "direction" => "sent"),
            bytes_received: counter!(metrics::MESH_BYTES, "peer" => peer(), "direction" => "received"),
            overloads: counter!(metrics::MESH_OVERLOADS, "peer" => peer()),
            queued: gauge!(metrics::MESH_QUEUED, "peer" => peer()),
            up: gauge!(metrics::MESH_LINKS, "peer" => peer()),
            rtt: histogram!(metrics::MESH_RTT_SECONDS, "peer" => peer()),
        }
    }

    pub(super) fn sent(&self, envelopes: usize) {
        self.frames_sent.increment(1);
        self.envelopes_sent.increment(envelopes as u64);
    }

    pub(super) fn received(&self, envelopes: usize) {
        self.frames_received.increment(1);
        self.envelopes_received.increment(envelopes as u64);
    }

    pub(super) fn bytes_sent(&self, bytes: usize) {
        self.bytes_sent.increment(bytes as u64);
    }

    pub(super) fn bytes_received(&self, bytes: usize) {
        self.bytes_received.increment(bytes as u64);
    }

    pub(super) fn overloaded(&self) {
        self.overloads.increment(1);
    }

    pub(super) fn queued(&self, envelopes: usize) {
        self.queued.set(envelopes as f64);
    }

    pub(super) fn rtt(&self, took: Duration) {
        self.rtt.record(took.as_secs_f64());
    }

    pub(super) fn up(&self) {
        self.up.set(1.0);
    }

    pub(super) fn down(&self) {
        self.up.set(0.0);
    }
}
