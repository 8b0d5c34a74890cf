//! Every metric of this crate, with its meaning.

use metrics::Unit;

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
    metrics::describe_counter!(ALERTS, Unit::Count, "Alerts that were raised");
}
