//! A node's turn has come: what it is handed, and which calls that makes.

use protocol::{
    entity::{EntityId, EntityKind},
    plan::StepSpec,
    task::Failure,
    time::Timestamp,
    workflow::{NodeRun, NodeStatus, RunEvent, Work as Written},
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::decide::{Look, beside, ended, failed, unreadable};
use crate::workflow::{
    expression::{EvalError, Uses},
    graph::{Caller, Place, Work},
    template::Template,
};

/// Elements of a map, and what one answer of a director may hand out.
pub(super) const MOST: usize = 10_000;

/// What a node does first.
pub(super) fn begin(look: &Look<'_>, place: &Place, taken: &[usize]) -> RunEvent {
    let at = look.next_run(place);
    let input = input(look, place, taken);
    let input = match input.and_then(|input| look.sight.fits(&input).map(|()| input)) {
        Ok(input) => input,
        Err(error) => return failed(at, unreadable("input", &error)),
    };
    let began = match &place.work {
        Work::Call(caller) => call(look, place, caller, (&at.to_string(), input, Map::new()))
            .map(|step| started(&at, vec![step], 0, Alone::Yes)),
        Work::Condition(condition) => look
            .holds(condition, input)
            .map(|holds| ended(at, NodeStatus::Completed, Value::Bool(holds))),
        Work::Parallel | Work::Join(_) => Ok(ended(at, NodeStatus::Completed, input)),
        Work::Transform(output) => render(look, output, beside("output", input))
            .map(|value| ended(at, NodeStatus::Completed, value)),
        Work::Wait { span, until } => return wait(look, at, *span, until.as_ref()),
        Work::Map { over, .. } => return map(look, place, at, over, input),
        Work::Human { question } => human(look, place, &at, question, &input),
        Work::Subworkflow { workflow, version } => Ok(RunEvent::Asked {
            entity: other(look, EntityKind::Task, &at),
            input: json!({ "workflow": workflow, "version": version, "input": input }),
            about: None,
            at,
        }),
        Work::Direct { lead, .. } => {
            let asked = json!({ "input": input, "round": 1, "workers": [] });
            let name = format!("{at}:lead1");
            call(look, place, lead, (&name, asked, Map::new()))
                .map(|step| started(&at, vec![step], 0, Alone::No))
        }
        Work::Mixture { experts, .. } => experts
            .iter()
            .map(|(id, expert)| {
                let name = format!("{at}:{id}");
                call(look, place, expert, (&name, input.clone(), Map::new()))
            })
            .collect::<Result<Vec<_>, _>>()
            .map(|steps| started(&at, steps, 0, Alone::No)),
    };
    let unread = |error| {
        failed(
            look.next_run(place),
            unreadable("what it is handed", &error),
        )
    };
    began.unwrap_or_else(unread)
}

/// Whether a node's outcome is that of its only call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alone {
    Yes,
    No,
}

/// Calls are made for a node, `window` of them at once.
pub(super) fn started(at: &NodeRun, steps: Vec<StepSpec>, window: usize, alone: Alone) -> RunEvent {
    let window = if window < steps.len() { window } else { 0 };
    RunEvent::Started {
        at: at.clone(),
        steps,
        window: u32::try_from(window).unwrap_or_default(),
        alone: alone == Alone::Yes,
    }
}

/// What a node is handed.
fn input(look: &Look<'_>, place: &Place, taken: &[usize]) -> Result<Value, EvalError> {
    if let Some(origin) = look
        .sight
        .task
        .spec
        .workflow
        .as_ref()
        .and_then(|of| of.origin.as_ref())
        && origin.node == place.id()
        && look.sight.run.turn(place.id()).is_none()
        && let Some(edited) = &origin.input
    {
        return Ok(edited.clone());
    }
    match &place.input {
        Some(template) => render(look, template, beside("output", Value::Null)),
        None => Ok(look.handed(taken)),
    }
}

pub(super) fn render(
    look: &Look<'_>,
    template: &Template,
    beside: Map<String, Value>,
) -> Result<Value, EvalError> {
    let mut uses = Uses::default();
    template.uses(&mut uses);
    template.render(&look.sight.scope(&uses, beside)?)
}

/// A call: its name, what it is handed where the caller does not say, and what its templates see beside.
pub(super) fn call(
    look: &Look<'_>,
    place: &Place,
    caller: &Caller,
    (name, input, beside): (&str, Value, Map<String, Value>),
) -> Result<StepSpec, EvalError> {
    let mut seen = beside;
    seen.entry("handed").or_insert_with(|| input.clone());
    let description = caller.prompt.as_ref().map(|prompt| {
        let text = render(look, prompt, seen.clone())?;
        Ok(match text {
            Value::String(text) => text,
            other => other.to_string(),
        })
    });
    let input = match &caller.input {
        Some(template) => render(look, template, seen)?,
        None => input,
    };
    // Of many calls that are made at once, each holds no more than it must.
    let input = look.sight.task.large.folded(input);
    look.sight.fits(&input)?;
    Ok(StepSpec {
        id: name.to_owned(),
        agent: caller.agent.clone(),
        capability: caller.capability.clone(),
        description: description.transpose()?,
        input,
        needs: Vec::new(),
        effect: place.effect(),
        retry: place.retry(),
        timeout: place.node.timeout,
    })
}

fn wait(
    look: &Look<'_>,
    at: NodeRun,
    span: Option<protocol::time::Span>,
    until: Option<&Template>,
) -> RunEvent {
    let until = match (span, until) {
        (Some(span), _) => look.now.plus(span.0),
        (None, Some(template)) => match moment(look, template) {
            Ok(moment) => moment,
            Err(error) => return failed(at, Failure::new("expression", error)),
        },
        (None, None) => look.now,
    };
    if until <= look.now {
        return ended(at, NodeStatus::Completed, Value::Null);
    }
    RunEvent::Waits { at, until }
}

fn moment(look: &Look<'_>, template: &Template) -> Result<Timestamp, String> {
    let value = render(look, template, Map::new()).map_err(|error| format!("until: {error}"))?;
    let text = value.as_str();
    let text = text.ok_or_else(|| format!("until: {value} is not a moment as RFC 3339"))?;
    text.parse().map_err(|error| format!("until: {error}"))
}

fn map(look: &Look<'_>, place: &Place, at: NodeRun, over: &Template, input: Value) -> RunEvent {
    let over = match render(look, over, beside("handed", input)) {
        Ok(over) => over,
        Err(error) => return failed(at, unreadable("over", &error)),
    };
    let Value::Array(elements) = over else {
        let kind = Failure::new("expression", format!("over: {} is no list", brief(&over)));
        return failed(at, kind);
    };
    if elements.len() > MOST {
        let message = format!("{} elements are more than {MOST}", elements.len());
        return failed(at, Failure::new("too_many", message));
    }
    if elements.is_empty() {
        return ended(at, NodeStatus::Completed, Value::Array(Vec::new()));
    }
    let Work::Map { each, window, .. } = &place.work else {
        return failed(at, Failure::new("expression", "it is no map"));
    };
    let calls = elements.into_iter().enumerate().map(|(index, item)| {
        let seen = [("item", item.clone()), ("index", json!(index))];
        let seen = seen.map(|(name, value)| (name.to_owned(), value));
        let name = format!("{at}[{index}]");
        call(look, place, each, (&name, item, Map::from_iter(seen)))
    });
    match calls.collect::<Result<Vec<_>, _>>() {
        Ok(steps) => started(&at, steps, *window, Alone::No),
        Err(error) => failed(at, unreadable("each", &error)),
    }
}

fn human(
    look: &Look<'_>,
    place: &Place,
    at: &NodeRun,
    question: &Template,
    input: &Value,
) -> Result<RunEvent, EvalError> {
    let text = match render(look, question, beside("handed", input.clone()))? {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let mut asked = match &place.node.work {
        Written::Human(human) => serde_json::to_value(human).unwrap_or_default(),
        _ => Value::Null,
    };
    asked["question"] = Value::String(text);
    asked["about"] = input.clone();
    Ok(RunEvent::Asked {
        at: at.clone(),
        entity: other(look, EntityKind::Question, at),
        input: asked,
        about: None,
    })
}

/// The address of an entity that a node waits for: in the order of time as all are, and the same
/// whenever it is decided for the same moment.
pub(super) fn other(look: &Look<'_>, kind: EntityKind, at: &NodeRun) -> EntityId {
    let mut digest = Sha256::new();
    digest.update(look.sight.id.uuid().as_bytes());
    digest.update(at.to_string().as_bytes());
    let digest = digest.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    let millis = u64::try_from(look.now.as_micros() / 1000).unwrap_or_default();
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    EntityId::new(kind, Uuid::from_bytes(bytes))
}

fn brief(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}
