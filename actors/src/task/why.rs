//! What an unsettled step waits for, and what would make it start.

use protocol::{
    allocation::{Exclusion, ScoreCard},
    api::{HoldView, Remedy, WhyStep},
    task::{Failure, StepStatus},
    time::Timestamp,
};

use super::{
    Step, Task,
    pause::{Cause, Pause},
    state::Ending,
};

/// How things look to a step now.
#[derive(Debug, Clone, Default)]
pub struct Outlook {
    /// How agents do; absent unless the step waits for one.
    pub card: Option<ScoreCard>,
    /// What operators hold, as far as it keeps the whole task.
    pub scopes: Vec<HoldView>,
    /// What they hold that keeps agents from the step, by the agents' names.
    pub agents: Vec<(String, HoldView)>,
    /// What is said of an agent whose code no node has.
    pub lacking: Option<String>,
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

/// Explains one step as it stands at `now`.
#[must_use]
pub fn step(task: &Task, step: &Step, outlook: Outlook, now: Timestamp) -> WhyStep {
    let reason = reason(task, step, &outlook, now);
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
pub(super) fn paused(task: &Task, scopes: &[HoldView]) -> Option<String> {
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
            let end = match first.cause() {
                Cause::Above(above) => {
                    format!("it is a part of {above}, and goes on when that is resumed")
                }
                Cause::Hold(hold) => format!("it goes on when {hold} is lifted"),
                Cause::Own => "it goes on when it is resumed".to_owned(),
            };
            let Pause { user, since, .. } = first;
            format!("the task is paused by {user} since {since}{why}; {end}")
        }
    })
}

fn reason(task: &Task, step: &Step, outlook: &Outlook, now: Timestamp) -> String {
    let before = before_its_turn(task, step, outlook, now);
    // What came of it last says nothing of what keeps it, unless it is to be tried now.
    let last = before.is_none().then(|| last(step)).flatten();
    let waits = before.unwrap_or_else(|| match &outlook.card {
        Some(card) => waits_for_agent(step, card, outlook),
        None => "is about to be given to an agent".to_owned(),
    });
    let parts = [Some(waits), outlook.lacking.clone(), last];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join("; ")
}

/// What it does, or waits for, that is not an agent; nothing when it is the allocator's turn.
fn before_its_turn(task: &Task, step: &Step, outlook: &Outlook, now: Timestamp) -> Option<String> {
    if let Some(waits) = step.asks.why() {
        return Some(waits);
    }
    if let Some(attempt) = step.running() {
        return Some(format!(
            "runs on agent {} since {} (attempt {})",
            attempt.agent_name, attempt.started_at, attempt.number
        ));
    }
    if task.cancelling {
        return Some("will not run: the task is being cancelled".to_owned());
    }
    if step.status == StepStatus::Pending {
        let open = task.steps.iter().filter(|other| {
            step.spec.needs.contains(&other.spec.id) && other.status != StepStatus::Completed
        });
        let open: Vec<&str> = open.map(|other| other.spec.id.as_str()).collect();
        return Some(format!("waits for {} to complete", open.join(", ")));
    }
    if let Some(attempt) = step.to_probe() {
        return Some(format!(
            "waits for agent {} to say whether attempt {} took effect",
            attempt.agent_name, attempt.number
        ));
    }
    if let Some(paused) = paused(task, &outlook.scopes) {
        return Some(format!("waits: {paused}"));
    }
    let due = step.waits_until(now)?;
    Some(match last(step) {
        Some(last) => format!("is tried again at {due} after {last}"),
        None if step.attempts.is_empty() => format!("starts at {due}, as asked for"),
        None => format!("is tried again at {due}"),
    })
}

/// What came of the last attempt, in words, if it did not end well. One that gave way to a pause or to
/// people counts as if it had not been.
fn last(step: &Step) -> Option<String> {
    let attempt = step.attempts.last()?;
    let number = attempt.number;
    let because = |Failure { code, message }: &Failure| {
        // A program may have said it on several lines.
        let words: Vec<&str> = message.split_whitespace().collect();
        format!("{} ({code})", words.join(" "))
    };
    match &attempt.ended.as_ref()?.1 {
        Ending::Failed(why) => Some(format!("attempt {number} failed: {}", because(why))),
        Ending::Lost(why) => Some(format!("attempt {number} was lost: {}", because(why))),
        Ending::Cancelled => Some(format!("attempt {number} was stopped")),
        Ending::Succeeded | Ending::Interrupted | Ending::Suspended => None,
    }
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

#[cfg(test)]
mod tests {
    use protocol::{
        allocation::Candidate,
        id::{AgentId, NodeId},
        plan::StepSpec,
        task::TaskStatus,
    };

    use super::{super::Attempt, *};

    fn seconds(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn attempt(number: u32, ending: Ending) -> Attempt {
        let id = uuid::Uuid::from_u128(1);
        Attempt {
            number,
            agent: AgentId::from_uuid(id),
            agent_name: "one".to_owned(),
            node: NodeId::from_uuid(id),
            node_name: "here".to_owned(),
            token: String::new(),
            card: ScoreCard::default(),
            started_at: seconds(1),
            ended: Some((seconds(2), ending)),
            late: false,
            interrupted: false,
            usage: None,
        }
    }

    /// Why a step whose attempts ended so, and that is due at second 10, waits at `now`.
    fn why(endings: &[Ending], now: i64) -> WhyStep {
        let spec = serde_json::json!({ "id": "a" });
        let spec: StepSpec = serde_json::from_value(spec).unwrap();
        let mut step = Step::planned(spec);
        (step.status, step.retry_at) = (StepStatus::Queued, Some(seconds(10)));
        let numbered = (1..).zip(endings);
        step.attempts = numbered
            .map(|(number, ending)| attempt(number, ending.clone()))
            .collect();
        let mut task = Task::default();
        task.status = TaskStatus::Executing;
        let card = step.waits_until(seconds(now)).is_none().then(|| ScoreCard {
            candidates: vec![Candidate {
                agent: "one".to_owned(),
                excluded: Some(Exclusion::Unhosted),
                scores: None,
            }],
            ..ScoreCard::default()
        });
        let outlook = Outlook {
            card,
            ..Outlook::default()
        };
        super::step(&task, &step, outlook, seconds(now))
    }

    fn failed() -> Ending {
        Ending::Failed(Failure::new(
            "exit_status",
            "it ended with status 3: one\ntwo",
        ))
    }

    #[test]
    fn a_step_that_is_due_later_says_when_and_in_words_what_came_of_it_last() {
        let lost = Ending::Lost(Failure::new("node_lost", "the node that ran it is gone"));
        let at = seconds(10);
        for (endings, expected) in [
            (vec![], format!("starts at {at}, as asked for")),
            (
                vec![lost.clone(), failed()],
                format!(
                    "is tried again at {at} after attempt 2 failed: it ended with status 3: one two (exit_status)"
                ),
            ),
            (
                vec![lost],
                format!(
                    "is tried again at {at} after attempt 1 was lost: the node that ran it is gone (node_lost)"
                ),
            ),
            (
                vec![Ending::Cancelled],
                format!("is tried again at {at} after attempt 1 was stopped"),
            ),
            (vec![Ending::Interrupted], format!("is tried again at {at}")),
        ] {
            assert_eq!(why(&endings, 9).reason, expected);
        }
    }

    #[test]
    fn a_step_that_is_due_waits_like_one_that_was_never_tried() {
        let untried = why(&[], 10);
        assert!(untried.reason.contains("no node hosts one"), "{untried:?}");
        let tried = why(&[failed()], 10);
        let last = "; attempt 1 failed: it ended with status 3: one two (exit_status)";
        assert_eq!(tried.reason, format!("{}{last}", untried.reason));
        let alike = WhyStep {
            reason: untried.reason.clone(),
            ..tried
        };
        assert_eq!(alike, untried);
    }
}
