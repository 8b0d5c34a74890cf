//! What an unsettled step waits for, and what would make it start.

use protocol::{
    allocation::{Exclusion, ScoreCard},
    api::{HoldView, Remedy, WhyStep},
    task::StepStatus,
};

use super::{Step, Task, pause::Pause};

/// How things look to a step now.
#[derive(Debug, Clone, Default)]
pub struct Outlook {
    /// How agents do; absent unless the step waits for one.
    pub card: Option<ScoreCard>,
    /// What operators hold, as far as it keeps the whole task.
    pub scopes: Vec<HoldView>,
    /// What they hold that keeps agents from the step, by the agents' names.
    pub agents: Vec<(String, HoldView)>,
}

impl Outlook {
    fn hold_on(&self, agent: &str) -> Option<&HoldView> {
        let mut holds = self.agents.iter();
        holds.find(|(name, _)| name == agent).map(|(_, hold)| hold)
    }

    fn remedy(&self, excluded: Exclusion, agent: &str) -> String {
        match self.hold_on(agent) {
            Some(hold) if excluded == Exclusion::Held => {
                format!("{agent} waits: {}", held(hold))
            }
            Some(_) | None => remedy(excluded, agent),
        }
    }
}

/// Explains one step.
#[must_use]
pub fn step(task: &Task, step: &Step, outlook: Outlook) -> WhyStep {
    let reason = reason(task, step, &outlook);
    let remedies = remedies(step, &outlook);
    let mut holds = outlook.scopes;
    for (_, hold) in outlook.agents {
        if !holds.contains(&hold) {
            holds.push(hold);
        }
    }
    WhyStep {
        step: step.spec.id.clone(),
        status: step.status,
        reason,
        card: outlook.card,
        remedies,
        holds,
    }
}

/// What would help, of each agent that is listed. That a step names another one is no fault of theirs.
fn remedies(step: &Step, outlook: &Outlook) -> Vec<Remedy> {
    let candidates = outlook.card.iter().flat_map(|card| &card.candidates);
    let excluded = candidates.filter_map(|it| Some((it.excluded?, it.agent.as_str())));
    let is_named = |(excluded, _): &(Exclusion, &str)| *excluded > Exclusion::NotNamed;
    let remedy = |(excluded, agent): (Exclusion, &str)| Remedy {
        agent: agent.to_owned(),
        what: outlook.remedy(excluded, agent),
    };
    match (&step.spec.agent, excluded.clone().max()) {
        (Some(named), Some((nearest @ Exclusion::NotNamed, _))) => vec![remedy((nearest, named))],
        (Some(_), _) => excluded.filter(is_named).map(remedy).collect(),
        (None, _) => excluded.map(remedy).collect(),
    }
}

/// A hold in words: who placed it, since when, why, and what ends it.
#[must_use]
pub fn held(hold: &HoldView) -> String {
    let HoldView {
        id,
        target,
        reason,
        by,
        since,
    } = hold;
    let why = if reason.is_empty() {
        String::new()
    } else {
        format!(" ({reason})")
    };
    format!("{target} is held by {by} since {since}{why}; it goes on when {id} is lifted")
}

/// What pauses the task, in words.
fn paused(task: &Task, scopes: &[HoldView]) -> Option<String> {
    let first = task.pauses().first()?;
    let scope = scopes.iter().find(|hold| Some(hold.id) == first.hold);
    Some(match scope {
        Some(hold) => held(hold),
        None => {
            let why = if first.reason.is_empty() {
                String::new()
            } else {
                format!(" ({})", first.reason)
            };
            let end = match first.above {
                Some(above) => format!("it is a part of {above}, and goes on when that is resumed"),
                None => "it goes on when it is resumed".to_owned(),
            };
            let Pause { user, since, .. } = first;
            format!("the task is paused by {user} since {since}{why}; {end}")
        }
    })
}

fn reason(task: &Task, step: &Step, outlook: &Outlook) -> String {
    if let Some(waits) = step.asks.why() {
        return waits;
    }
    let card = outlook.card.as_ref();
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
    if let Some(paused) = paused(task, &outlook.scopes) {
        return format!("waits: {paused}");
    }
    if let Some(due) = step.retry_at {
        let cause = step
            .attempts
            .last()
            .and_then(|attempt| attempt.ended.as_ref());
        let cause = cause.map_or_else(String::new, |(_, ending)| format!(" after {ending:?}"));
        if step.attempts.is_empty() {
            return format!("starts at {due}, as asked for");
        }
        return format!("is tried again at {due}{cause}");
    }
    card.map_or_else(
        || "is about to be given to an agent".to_owned(),
        |card| waits_for_agent(step, card, outlook),
    )
}

/// The filter that the nearest agent fails tells what would help.
fn waits_for_agent(step: &Step, card: &ScoreCard, outlook: &Outlook) -> String {
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
        Some((excluded, agent)) => {
            format!("waits for {what}; {}", outlook.remedy(excluded, agent))
        }
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
        Exclusion::Held => format!("{agent}, or something that it needs, is held; lift the hold"),
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
