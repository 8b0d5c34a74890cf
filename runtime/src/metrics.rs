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
}
