//! Every metric of this crate, with its meaning.

use metrics::Unit;

/// Histogram: from handing an append to the writer until its verdict.
pub const APPEND_SECONDS: &str = "troupe_append_seconds";

/// Histogram: how many appends one transaction committed.
pub const APPEND_BATCH: &str = "troupe_append_batch";

/// Counter: appends that were committed.
pub const APPENDS: &str = "troupe_appends_total";

/// Counter: appends that were refused, by `reason`: `fenced`, `repeated`, `name_taken`.
pub const REFUSALS: &str = "troupe_append_refusals_total";

/// Counter: appends whose outcome the store could not tell.
pub const FAILURES: &str = "troupe_append_failures_total";

/// Gauge: seconds for which this node may still act on its lease.
pub const LEASE_LEFT: &str = "troupe_lease_left_seconds";
/// Counter: renewals of the lease that failed.
pub const LEASE_FAILURES: &str = "troupe_lease_renewal_failures_total";
/// Gauge: shards that this node owns.
pub const SHARDS: &str = "troupe_shards_owned";
/// Counter: shards taken, with `from` as `free` or `dead`.
pub const TAKEOVERS: &str = "troupe_shard_takeovers_total";
/// Counter: shards given back.
pub const HANDOVERS: &str = "troupe_shard_handovers_total";
/// Counter: shards lost to another owner without being given back.
pub const SHARDS_LOST: &str = "troupe_shards_lost_total";
/// Histogram: seconds from the last sign of life of an entity's owner to its activation elsewhere.
pub const RECOVERY_SECONDS: &str = "troupe_recovery_seconds";
/// Gauge: entities of this node that are out of service until a person releases them, by `kind`.
pub const PARKED: &str = "troupe_entities_parked";
/// Gauge: for how long what a view does not hold yet has been recorded, by `view`; told by the node
/// that folds it.
pub const PROJECTION_LAG: &str = "troupe_projection_lag_seconds";
/// Histogram: from a heartbeat to its echo, by `peer`.
pub const MESH_RTT_SECONDS: &str = "troupe_mesh_rtt_seconds";

/// Gauge: envelopes that wait for a peer's window, by `peer`.
pub const MESH_QUEUED: &str = "troupe_mesh_queued";

/// Counter: frames, by `peer` and `direction`: `sent`, `received`.
pub const MESH_FRAMES: &str = "troupe_mesh_frames_total";

/// Counter: envelopes, by `peer` and `direction`: `sent`, `received`.
pub const MESH_ENVELOPES: &str = "troupe_mesh_envelopes_total";

/// Counter: bytes of all frames, heartbeats and acknowledgements too, by `peer` and `direction`.
pub const MESH_BYTES: &str = "troupe_mesh_bytes_total";

/// Counter: messages that were turned away because too many waited, by `peer`.
pub const MESH_OVERLOADS: &str = "troupe_mesh_overloads_total";

/// Gauge: links that are up, by `peer`.
pub const MESH_LINKS: &str = "troupe_mesh_links";

/// Counter: bytes of the past that this node wrote.
pub const CHRONICLE_BYTES: &str = "troupe_chronicle_bytes_total";

/// Counter: bytes of the past that this node could not write and gave up.
pub const CHRONICLE_LOST: &str = "troupe_chronicle_lost_bytes_total";

/// Counters of actors, by `kind`, that stay absent until something happens.
pub const OF_ACTOR_KINDS: [&str; 4] = crate::supervision::METRICS_OF_KINDS;

pub(crate) fn chronicled(bytes: usize) {
    metrics::counter!(CHRONICLE_BYTES).increment(bytes as u64);
}

pub(crate) fn lost_of_past(bytes: usize) {
    metrics::counter!(CHRONICLE_LOST).increment(bytes as u64);
}

/// Tells the recorder what each metric means; called once, after it was installed.
pub fn describe() {
    crate::supervision::describe_metrics();
    metrics::describe_histogram!(
        APPEND_SECONDS,
        Unit::Seconds,
        "From handing an append to the writer until its verdict"
    );
    metrics::describe_histogram!(
        APPEND_BATCH,
        Unit::Count,
        "How many appends one transaction committed"
    );
    metrics::describe_counter!(APPENDS, Unit::Count, "Appends that were committed");
    metrics::describe_counter!(
        REFUSALS,
        Unit::Count,
        "Appends that were refused, by reason"
    );
    metrics::describe_counter!(
        FAILURES,
        Unit::Count,
        "Appends whose outcome the store could not tell"
    );
    metrics::describe_counter!(
        CHRONICLE_BYTES,
        Unit::Bytes,
        "Bytes of the past of the supervision tree that this node wrote"
    );
    metrics::describe_counter!(
        CHRONICLE_LOST,
        Unit::Bytes,
        "Bytes of the past of the supervision tree that this node could not write and gave up"
    );
    metrics::describe_gauge!(
        PROJECTION_LAG,
        Unit::Seconds,
        "For how long what a view does not hold yet has been recorded, by view"
    );
    describe_cluster();
    describe_mesh();
    begin_at_zero();
}

/// What has not happened yet is told as well, so that the first time is an increase.
fn begin_at_zero() {
    let nevers = [
        APPENDS,
        FAILURES,
        LEASE_FAILURES,
        HANDOVERS,
        SHARDS_LOST,
        CHRONICLE_BYTES,
        CHRONICLE_LOST,
    ];
    for never in nevers {
        metrics::counter!(never).increment(0);
    }
    for reason in ["fenced", "repeated", "name_taken"] {
        metrics::counter!(REFUSALS, "reason" => reason).increment(0);
    }
    for from in ["free", "dead"] {
        metrics::counter!(TAKEOVERS, "from" => from).increment(0);
    }
}

fn describe_cluster() {
    metrics::describe_gauge!(
        LEASE_LEFT,
        Unit::Seconds,
        "For how long this node may still act on its lease"
    );
    metrics::describe_counter!(
        LEASE_FAILURES,
        Unit::Count,
        "Renewals of the lease that failed"
    );
    metrics::describe_gauge!(SHARDS, Unit::Count, "Shards that this node owns");
    metrics::describe_counter!(
        TAKEOVERS,
        Unit::Count,
        "Shards taken, by whether they were free or their owner's lease was over"
    );
    metrics::describe_counter!(HANDOVERS, Unit::Count, "Shards given back");
    metrics::describe_counter!(
        SHARDS_LOST,
        Unit::Count,
        "Shards lost to another owner without being given back"
    );
    metrics::describe_gauge!(
        PARKED,
        Unit::Count,
        "Entities out of service until a person releases them, by kind"
    );
    metrics::describe_histogram!(
        RECOVERY_SECONDS,
        Unit::Seconds,
        "From the last sign of life of an entity's owner to its activation elsewhere"
    );
}

fn describe_mesh() {
    metrics::describe_histogram!(
        MESH_RTT_SECONDS,
        Unit::Seconds,
        "From a heartbeat to its echo, by peer"
    );
    metrics::describe_gauge!(
        MESH_QUEUED,
        Unit::Count,
        "Envelopes that wait for a peer's window"
    );
    metrics::describe_counter!(
        MESH_FRAMES,
        Unit::Count,
        "Frames between nodes, by peer and direction"
    );
    metrics::describe_counter!(
        MESH_ENVELOPES,
        Unit::Count,
        "Envelopes between nodes, by peer and direction"
    );
    metrics::describe_counter!(
        MESH_BYTES,
        Unit::Bytes,
        "Bytes of all frames between nodes, by peer and direction"
    );
    metrics::describe_counter!(
        MESH_OVERLOADS,
        Unit::Count,
        "Messages turned away because too many waited for a peer"
    );
    metrics::describe_gauge!(MESH_LINKS, Unit::Count, "Links that are up, by peer");
}
