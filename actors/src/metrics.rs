//! Every metric of this crate, with its meaning.

use std::time::Duration;

use metrics::Unit;
use protocol::schedule::Passing;

/// Gauge: tasks by `status`, settled ones included.
pub(crate) const TASKS: &str = "troupe_tasks";

/// Gauge: tasks that are in memory now.
pub(crate) const ACTIVE_TASKS: &str = "troupe_active_tasks";

/// Gauge: agents by `status`.
pub(crate) const AGENTS: &str = "troupe_agents";

/// Gauge: 1 while the last check of an `agent` was good, else 0.
pub(crate) const AGENT_HEALTH: &str = "agent_health";

/// Gauge: steps that wait for an agent, by `queue`.
pub(crate) const QUEUE_DEPTH: &str = "queue_depth";

/// Gauge: messages that wait in mailboxes, by `kind` of actor.
pub(crate) const MAILBOX: &str = "troupe_mailbox_messages";
/// Gauge: messages in the fullest mailbox, by `kind`.
pub(crate) const MAILBOX_DEEPEST: &str = "troupe_mailbox_deepest_messages";
/// Gauge: messages that the actors that live now have handled, by `kind`.
pub(crate) const HANDLED: &str = "troupe_mailbox_handled_messages";
/// Gauge: for how long the slowest handler has worked on its message, by `kind`.
pub(crate) const SLOWEST: &str = "troupe_handler_slowest_seconds";
/// Gauge: attempts that run on this node, or whose results are not recorded yet.
pub(crate) const RUNNING: &str = "troupe_attempts_running";
/// Gauge: agents that this node hosts.
pub(crate) const HOSTED: &str = "troupe_agents_hosted";
/// Gauge: slots of agents that this node hosts, by `state`: `taken`, `free`.
pub(crate) const SLOTS: &str = "troupe_slots";

/// Histogram: from when a step was ready until an agent had it.
pub(crate) const ALLOCATION_SECONDS: &str = "troupe_allocation_seconds";
/// Gauge: for how long the step that has waited longest has waited for an agent.
pub(crate) const QUEUE_OLDEST: &str = "troupe_queue_oldest_seconds";
/// Histogram: from an attempt's intent to its receipt, by `outcome`.
pub(crate) const ATTEMPT_SECONDS: &str = "troupe_attempt_seconds";
/// Counter: attempts that ended, by `outcome`.
pub(crate) const ATTEMPTS: &str = "troupe_attempts_total";
/// Histogram: from submission to settlement.
pub(crate) const TASK_SECONDS: &str = "troupe_task_seconds";
/// Counter: tasks that this node settled, by `status`.
pub(crate) const SETTLED: &str = "troupe_tasks_settled_total";

/// What becomes of attempts.
const OUTCOMES: [&str; 4] = ["succeeded", "failed", "lost", "cancelled"];

/// Counter: alerts that were raised.
pub(crate) const ALERTS: &str = "troupe_alerts_total";

/// Tells the recorder what each metric means; called once, after it was installed.
pub fn describe() {
    metrics::describe_gauge!(TASKS, Unit::Count, "Tasks by status, settled ones included");
    metrics::describe_gauge!(ACTIVE_TASKS, Unit::Count, "Tasks that are in memory now");
    metrics::describe_gauge!(AGENTS, Unit::Count, "Agents by status");
    metrics::describe_gauge!(
        AGENT_HEALTH,
        "1 while the last check of the agent was good, else 0"
    );
    metrics::describe_gauge!(
        QUEUE_DEPTH,
        Unit::Count,
        "Steps that wait for an agent, by queue"
    );
    metrics::describe_gauge!(
        MAILBOX,
        Unit::Count,
        "Messages that wait in mailboxes, by kind of actor"
    );
    metrics::describe_gauge!(
        MAILBOX_DEEPEST,
        Unit::Count,
        "Messages in the fullest mailbox, by kind"
    );
    metrics::describe_gauge!(
        HANDLED,
        Unit::Count,
        "Messages that the actors that live now have handled, by kind"
    );
    metrics::describe_gauge!(
        SLOWEST,
        Unit::Seconds,
        "For how long the slowest handler has worked on its message, by kind"
    );
    metrics::describe_gauge!(RUNNING, Unit::Count, "Attempts that run on this node");
    metrics::describe_gauge!(HOSTED, Unit::Count, "Agents that this node hosts");
    metrics::describe_gauge!(
        SLOTS,
        Unit::Count,
        "Slots of agents that this node hosts, by state"
    );
    describe_work();
    describe_clock();
    metrics::describe_counter!(ALERTS, Unit::Count, "Alerts that were raised");
}

fn describe_work() {
    metrics::describe_histogram!(
        ALLOCATION_SECONDS,
        Unit::Seconds,
        "From when a step was ready until an agent had it"
    );
    metrics::describe_gauge!(
        QUEUE_OLDEST,
        Unit::Seconds,
        "For how long the step that has waited longest has waited for an agent"
    );
    metrics::describe_histogram!(
        ATTEMPT_SECONDS,
        Unit::Seconds,
        "From an attempt's intent to its receipt, by outcome"
    );
    metrics::describe_counter!(ATTEMPTS, Unit::Count, "Attempts that ended, by outcome");
    metrics::describe_histogram!(TASK_SECONDS, Unit::Seconds, "From submission to settlement");
    metrics::describe_counter!(
        SETTLED,
        Unit::Count,
        "Tasks that this node settled, by status"
    );
    // There from the start, so that the first one is an increase.
    for outcome in OUTCOMES {
        metrics::counter!(ATTEMPTS, "outcome" => outcome).increment(0);
    }
    for status in ["completed", "failed", "cancelled"] {
        metrics::counter!(SETTLED, "status" => status).increment(0);
    }
    metrics::counter!(ALERTS).increment(0);
}

/// Counter: runs that schedules and triggers were to start, by `starter` and `outcome`.
const FIRINGS: &str = "troupe_firings_total";
/// Histogram: from when a slot was to fire until that was decided.
const LATENESS_SECONDS: &str = "troupe_schedule_lateness_seconds";
/// Counter: slots that passed without a run, by `reason`.
const SLOTS_PASSED: &str = "troupe_schedule_slots_passed_total";
/// Counter: webhooks that were refused.
pub(crate) const HOOKS_REFUSED: &str = "troupe_hooks_refused_total";

fn describe_clock() {
    metrics::describe_counter!(
        FIRINGS,
        Unit::Count,
        "Runs that schedules and triggers were to start, by starter and outcome"
    );
    metrics::describe_histogram!(
        LATENESS_SECONDS,
        Unit::Seconds,
        "From when a slot was to fire until that was decided"
    );
    metrics::describe_counter!(
        SLOTS_PASSED,
        Unit::Count,
        "Slots that passed without a run, by reason"
    );
    metrics::describe_counter!(
        HOOKS_REFUSED,
        Unit::Count,
        "Webhooks that were refused because of their signature"
    );
    for starter in ["schedule", "trigger"] {
        for outcome in ["started", "failed"] {
            metrics::counter!(FIRINGS, "starter" => starter, "outcome" => outcome).increment(0);
        }
    }
    for why in [Passing::Missed, Passing::Overlap] {
        passed(why, 0);
    }
    metrics::counter!(HOOKS_REFUSED).increment(0);
}

/// A run was started, or given up.
pub(crate) fn fired(starter: &'static str, outcome: &'static str) {
    metrics::counter!(FIRINGS, "starter" => starter, "outcome" => outcome).increment(1);
}

/// A slot fires, so much later than it was to.
pub(crate) fn late(by: Duration) {
    metrics::histogram!(LATENESS_SECONDS).record(by.as_secs_f64());
}

/// Slots passed.
pub(crate) fn passed(why: Passing, count: u64) {
    let why = match why {
        Passing::Missed => "missed",
        Passing::Overlap => "overlap",
    };
    metrics::counter!(SLOTS_PASSED, "reason" => why).increment(count);
}
