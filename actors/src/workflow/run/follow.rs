//! What a node of several calls does when some of them are over.

use protocol::{
    entity::EntityKind,
    task::{Failure, StepStatus},
    workflow::{Mode, NodeRun, NodeStatus, RunEvent},
};
use serde_json::{Map, Value, json};

use super::{
    begin::{self, Alone, MOST, call, other, started},
    choose::{self, Candidate},
    decide::{Look, failed, unreadable},
    scope::given,
    state::Turn,
};
use crate::{
    task::Step,
    workflow::graph::{Caller, Chooser, Place, Work},
};

/// What comes next for a node whose calls were made.
pub(super) fn follow(look: &Look<'_>, place: &Place, turn: &Turn) -> Option<RunEvent> {
    let steps: Vec<&Step> = look.sight.calls(turn).collect();
    if steps.iter().any(|step| step.status == StepStatus::Unknown) {
        return ask_about(look, turn);
    }
    match &place.work {
        Work::Map { mode, .. } => map(turn, *mode, &steps),
        Work::Direct {
            lead,
            workers,
            max_workers,
            max_rounds,
        } => {
            let limits = (*max_workers, *max_rounds);
            direct(look, place, turn, (lead, workers), limits, &steps)
        }
        Work::Mixture { choose, .. } => mixture(look, place, turn, choose, &steps),
        Work::Call(_)
        | Work::Condition(_)
        | Work::Parallel
        | Work::Join(_)
        | Work::Human { .. }
        | Work::Subworkflow { .. }
        | Work::Wait { .. }
        | Work::Transform(_) => None,
    }
}

/// A person is asked what became of a call whose outcome nobody knows.
pub(super) fn ask_about(look: &Look<'_>, turn: &Turn) -> Option<RunEvent> {
    let steps = turn.steps.iter().chain(&turn.undo);
    let mut steps = steps.filter_map(|at| look.sight.task.steps.get(*at));
    let step = steps.find(|step| turn.is_in_doubt(step))?;
    let why = step.error.as_ref().map(|error| &error.message);
    // One step may be asked about as often as it was tried.
    let asked = NodeRun {
        node: format!("{}?{}", step.spec.id, step.attempts.len()),
        run: turn.run,
    };
    Some(RunEvent::Asked {
        entity: other(look, EntityKind::Question, &asked),
        at: turn.at(),
        input: json!({
            "question": format!(
                "Did step `{}` take effect? `null` says that nobody can tell.", step.spec.id
            ),
            "about": { "step": step.spec.id, "input": step.spec.input, "why": why },
            "schema": {
                "type": "object",
                "properties": { "took_effect": { "type": ["boolean", "null"] }, "output": {} },
                "required": ["took_effect"],
                "additionalProperties": false,
            },
        }),
        about: Some(step.spec.id.clone()),
    })
}

fn are_over(steps: &[&Step]) -> bool {
    steps.iter().all(|step| step.status.is_settled())
}

fn gathered(turn: &Turn) -> RunEvent {
    RunEvent::Ended {
        at: turn.at(),
        status: NodeStatus::Completed,
        output: Value::Null,
        error: None,
        gathered: true,
        detail: Value::Null,
    }
}

fn map(turn: &Turn, mode: Mode, steps: &[&Step]) -> Option<RunEvent> {
    let broken = steps.iter().find(|step| step.status == StepStatus::Failed);
    if let (Mode::FailFast, Some(step)) = (mode, broken) {
        return Some(failed(turn.at(), because_of(step)));
    }
    are_over(steps).then(|| gathered(turn))
}

fn because_of(step: &Step) -> Failure {
    match &step.error {
        Some(error) => Failure::new(
            error.code.clone(),
            format!("step {}: {}", step.spec.id, error.message),
        ),
        None => Failure::new("failed", format!("step {} did not complete", step.spec.id)),
    }
}

/// The last call made is the director's, or a worker's.
fn direct(
    look: &Look<'_>,
    place: &Place,
    turn: &Turn,
    (lead, workers): (&Caller, &Caller),
    (most, rounds): (usize, usize),
    steps: &[&Step],
) -> Option<RunEvent> {
    if !are_over(steps) {
        return None;
    }
    let at = turn.at();
    let led = format!("{at}:lead");
    let (asked, done): (Vec<&Step>, Vec<&Step>) = steps
        .iter()
        .partition(|step| step.spec.id.starts_with(&led));
    let last = steps.last()?;
    if !last.spec.id.starts_with(&led) {
        let round = asked.len() + 1;
        if round > rounds {
            let message = format!("the director was asked {rounds} times, which is its limit");
            return Some(failed(at, Failure::new("round_limit", message)));
        }
        let input = match look.sight.whole(&asked[0].spec.input) {
            Ok(first) => first.get("input").cloned(),
            Err(error) => return Some(failed(at, unreadable("director", &error))),
        };
        let seen = json!({
            "input": input.unwrap_or_default(),
            "round": round,
            "workers": done.iter().map(|step| report(&at.to_string(), step)).collect::<Vec<_>>(),
        });
        let name = format!("{led}{round}");
        let next = call(look, place, lead, (&name, seen, Map::new()));
        return Some(match next {
            Ok(step) => started(&at, vec![step], 0, Alone::No),
            Err(error) => failed(at, unreadable("director", &error)),
        });
    }
    if last.status != StepStatus::Completed {
        return Some(failed(at, because_of(last)));
    }
    let answer = match look.sight.whole(&last.output) {
        Ok(answer) => answer,
        Err(error) => return Some(failed(at, unreadable("director", &error))),
    };
    Some(match orders(&answer) {
        Ok(orders) if orders.is_empty() => RunEvent::Ended {
            output: answer.get("output").cloned().unwrap_or_default(),
            detail: json!({ "rounds": asked.len(), "workers": done.len() }),
            status: NodeStatus::Completed,
            error: None,
            gathered: false,
            at,
        },
        Ok(orders) if done.len() + orders.len() > most => {
            let message = format!(
                "the director handed out {} pieces of work where {most} are its limit",
                done.len() + orders.len()
            );
            failed(at, Failure::new("worker_limit", message))
        }
        Ok(orders) => hand_out(look, place, turn, workers, (done.len(), &orders)),
        Err(error) => failed(at, Failure::new("director", error)),
    })
}

fn report(at: &str, step: &Step) -> Value {
    let id = step.spec.id.strip_prefix(at).unwrap_or(&step.spec.id);
    json!({
        "id": id.trim_start_matches(':'),
        "status": step.status,
        "output": step.output,
        "error": step.error,
    })
}

/// What a director hands out.
fn orders(answer: &Value) -> Result<Vec<Value>, String> {
    match answer.get("workers") {
        // What says neither was not meant as a director's answer: to take it for the end hides that.
        None | Some(Value::Null) if answer.get("output").is_none() => {
            Err("its answer has neither `workers` nor `output`".to_owned())
        }
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(orders)) if orders.len() <= MOST => {
            match orders.iter().position(|order| !order.is_object()) {
                None => Ok(orders.clone()),
                Some(at) => Err(format!("its answer's workers[{at}] is no object")),
            }
        }
        Some(_) => Err("its answer's `workers` is no list".to_owned()),
    }
}

fn hand_out(
    look: &Look<'_>,
    place: &Place,
    turn: &Turn,
    workers: &Caller,
    (before, orders): (usize, &[Value]),
) -> RunEvent {
    let at = turn.at();
    let mut steps = Vec::new();
    for (index, order) in orders.iter().enumerate() {
        let text = |field: &str| order.get(field).and_then(Value::as_str).map(str::to_owned);
        // Ids of the director's choice may repeat over its rounds.
        let number = before + index + 1;
        let name = match text("id").filter(|id| is_plain(id)) {
            Some(id) => format!("{at}:{number}-{id}"),
            None => format!("{at}:{number}"),
        };
        let input = order.get("input").cloned().unwrap_or_default();
        let made = call(look, place, workers, (&name, input.clone(), Map::new()));
        let mut step = match made {
            Ok(step) => step,
            Err(error) => return failed(at, unreadable("workers", &error)),
        };
        if let Some(agent) = text("agent") {
            (step.agent, step.capability) = (Some(agent), None);
        } else if let Some(capability) = text("capability") {
            (step.agent, step.capability) = (None, Some(capability));
        }
        if step.agent.is_none() && step.capability.is_none() {
            let message =
                format!("its answer's workers[{index}] names neither agent nor capability");
            return failed(at, Failure::new("director", message));
        }
        if !input.is_null() {
            step.input = input;
        }
        step.description = text("prompt").or(step.description);
        steps.push(step);
    }
    started(&at, steps, 0, Alone::No)
}

fn is_plain(id: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=48).contains(&id.len()) && id.chars().all(fits)
}

fn mixture(
    look: &Look<'_>,
    place: &Place,
    turn: &Turn,
    chooser: &Chooser,
    steps: &[&Step],
) -> Option<RunEvent> {
    if !are_over(steps) {
        return None;
    }
    let at = turn.at();
    let prefix = format!("{at}:");
    let judge = format!("{at}~judge");
    let (judged, answered): (Vec<&Step>, Vec<&Step>) =
        steps.iter().partition(|step| step.spec.id == judge);
    let answers = Value::Array(answered.iter().map(|step| step.output.clone()).collect());
    let answers = match look.sight.whole(&answers) {
        Ok(Value::Array(answers)) => answers,
        Ok(_) => return None,
        Err(error) => return Some(failed(at, unreadable("choose", &error))),
    };
    let candidates: Vec<Candidate<'_>> = answered
        .iter()
        .zip(&answers)
        .map(|(step, answer)| Candidate {
            id: step.spec.id.strip_prefix(&prefix).unwrap_or(&step.spec.id),
            output: (step.status == StepStatus::Completed).then_some(answer),
        })
        .collect();
    let kept = |choice: &Value| {
        let all = answered.iter().zip(&candidates);
        let all: Vec<_> = all
            .map(|(step, one)| json!({ "id": one.id, "output": given(step) }))
            .collect();
        json!({ "candidates": all, "choice": choice })
    };
    if candidates.iter().all(|one| one.output.is_none()) {
        let last = answered.last()?;
        return Some(failed(at, because_of(last)));
    }
    let chosen = match (chooser, judged.first()) {
        (Chooser::Judge(_), Some(step)) if step.status != StepStatus::Completed => {
            return Some(failed(at, because_of(step)));
        }
        (Chooser::Judge(_), Some(step)) => choose::as_judged(&candidates, &step.output),
        (Chooser::Judge(caller), None) => {
            let input = answered.first().map(|step| step.spec.input.clone());
            let all = choose::listed(&candidates);
            let asked = json!({ "input": input, "candidates": all });
            let beside = super::decide::beside("candidates", choose::listed(&candidates));
            return Some(match call(look, place, caller, (&judge, asked, beside)) {
                Ok(step) => begin::started(&at, vec![step], 0, Alone::No),
                Err(error) => failed(at, unreadable("choose", &error)),
            });
        }
        (Chooser::Vote(of), _) => choose::vote(&candidates, of.as_ref()),
        (Chooser::BestOf(score), _) => choose::best(&candidates, score),
        (Chooser::Concat(separator), _) => Ok(choose::concat(&candidates, separator.as_deref())),
    };
    Some(match chosen {
        Ok(chosen) => RunEvent::Ended {
            detail: kept(&chosen.choice),
            output: chosen.output,
            status: NodeStatus::Completed,
            error: None,
            gathered: false,
            at,
        },
        Err(message) => failed(at, Failure::new("no_choice", message)),
    })
}
