//! What an unsettled step waits for, and what would make it start.

use protocol::{
    allocation::{Exclusion, ScoreCard},
    api::WhyStep,
    task::StepStatus,
};

use super::{Step, Task};

/// Explains one step; `card` tells how agents look to it now.
#[must_use]
pub fn step(task: &Task, step: &Step, card: Option<ScoreCard>) -> WhyStep {
    WhyStep {
        step: step.spec.id.clone(),
        status: step.status,
        reason: reason(task, step, card.as_ref()),
        card,
    }
}

fn reason(task: &Task, step: &Step, card: Option<&ScoreCard>) -> String {
    if let Some(attempt) = step.running() {
        return format!(
            "runs on agent {} since {} (attempt {})",
            attempt.agent_name, attempt.started_at, attempt.number
        );
    }
    if task.cancelling {
        return "will not run: the task is being cancelled".to_owned();
    }
    if step.status == StepStatus::Pending {
        let open = task.steps.iter().filter(|other| {
            step.spec.needs.contains(&other.spec.id) && other.status != StepStatus::Completed
        });
        let open: Vec<&str> = open.map(|other| other.spec.id.as_str()).collect();
        return format!("waits for {} to complete", open.join(", "));
    }
    if let Some(attempt) = step.to_probe() {
        return format!(
            "waits for agent {} to say whether attempt {} took effect",
            attempt.agent_name, attempt.number
        );
    }
    if let Some(due) = step.retry_at {
        let cause = step
            .attempts
            .last()
            .and_then(|attempt| attempt.ended.as_ref());
        let cause = cause.map_or_else(String::new, |(_, ending)| format!(" after {ending:?}"));
        return format!("is tried again at {due}{cause}");
    }
    card.map_or_else(
        || "is about to be given to an agent".to_owned(),
        |card| waits_for_agent(step, card),
    )
}

/// The filter that the nearest agent fails tells what would help.
fn waits_for_agent(step: &Step, card: &ScoreCard) -> String {
    if card
        .candidates
        .iter()
        .any(|candidate| candidate.excluded.is_none())
    {
        return "is next for an agent that has just become free".to_owned();
    }
    let nearest = card.candidates.iter().filter_map(|candidate| {
        candidate
            .excluded
            .map(|excluded| (excluded, candidate.agent.as_str()))
    });
    let what = match (&step.spec.agent, &step.spec.capability) {
        (Some(agent), _) => format!("agent {agent}"),
        (None, Some(capability)) => format!("an agent that can do {capability}"),
        (None, None) => "any agent".to_owned(),
    };
    match nearest.max() {
        None => format!("waits for {what}; none is registered"),
        Some((excluded, agent)) => format!("waits for {what}; {}", remedy(excluded, agent)),
    }
}

fn remedy(excluded: Exclusion, agent: &str) -> String {
    match excluded {
        Exclusion::Permission => "all agents belong to others; register one".to_owned(),
        Exclusion::NotNamed => "no such agent is registered; register it".to_owned(),
        Exclusion::Capability => "none can do that; register one, or add the capability".to_owned(),
        Exclusion::Tool => {
            format!("{agent} lacks a tool that the task requires, or the tool does not work")
        }
        Exclusion::Stopped => format!("{agent} is stopped; start it"),
        Exclusion::Paused => format!("{agent} is paused; resume it"),
        Exclusion::Unhosted => format!(
            "no node hosts {agent} at the moment; start one that fits its placement, or change that"
        ),
        Exclusion::Unhealthy => {
            format!("{agent} fails its health checks; it goes on when it answers again")
        }
        Exclusion::CircuitOpen => format!("{agent} failed too often and is left alone for a while"),
        Exclusion::Resources => format!("the node of {agent} is short of processor or memory"),
        Exclusion::Full => format!("all slots of {agent} are taken; it goes on when one is free"),
    }
}
