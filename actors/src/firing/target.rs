//! What is started, and under which id.

use protocol::{
    api::FieldError,
    id::TaskId,
    plan::RetryPolicy,
    schedule::Target,
    task::TaskSpec,
    time::{Span, Timestamp},
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Characters that a name may have.
const LONGEST_NAME: usize = 128;

/// What a target names, once it is clear which.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim<'a> {
    /// A workflow.
    Workflow {
        /// Its name.
        name: &'a str,
        /// Which version; the current one when absent.
        version: Option<u32>,
        /// What the run is handed.
        input: &'a Value,
    },
    /// A task.
    Task(&'a TaskSpec),
    /// A task that is made of a template.
    Template {
        /// Its name or id.
        name: &'a str,
        /// What fills its blanks.
        params: &'a Map<String, Value>,
        /// What the task is handed in place of what the template says.
        input: &'a Value,
    },
}

/// What a target names.
///
/// # Errors
///
/// When it names nothing, or more than one of a workflow, a task and a template.
pub fn aim(target: &Target) -> Result<Aim<'_>, FieldError> {
    let wrong = |field: &str, message: &str| Err(FieldError::new(field, message));
    if target.template.is_none() && !target.params.is_empty() {
        return wrong(
            "target.params",
            "fill the blanks of a template, and none is named; give `template`",
        );
    }
    match (&target.workflow, &target.task, &target.template) {
        (Some(name), None, None) if !name.is_empty() => Ok(Aim::Workflow {
            name,
            version: target.version,
            input: &target.input,
        }),
        (None, Some(_), None) if target.version.is_some() || !target.input.is_null() => wrong(
            "target",
            "has `version` or `input` beside `task`; these are for a workflow: put the input into `task.input`",
        ),
        (None, Some(task), None) => Ok(Aim::Task(task)),
        (None, None, Some(_)) if target.version.is_some() => wrong(
            "target.version",
            "is for a workflow; of a template, what it says then counts",
        ),
        (None, None, Some(name)) if !name.is_empty() => Ok(Aim::Template {
            name,
            params: &target.params,
            input: &target.input,
        }),
        (Some(_), None, None) => wrong("target.workflow", "is empty; give the name of a workflow"),
        (None, None, Some(_)) => wrong("target.template", "is empty; give the name of a template"),
        (None, None, None) => wrong(
            "target",
            "names nothing to start; give `workflow` with the name of a workflow, `task` with a task, or `template` with the name of a task template",
        ),
        (_, Some(_), _) | (Some(_), _, Some(_)) => wrong(
            "target",
            "names more than one of a workflow, a task and a template; leave all but one out",
        ),
    }
}

/// What is wrong with a name, a retry policy and a target, whatever starts it.
#[must_use]
pub fn checked(name: &str, retry: Option<&RetryPolicy>, target: &Target) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    if name.trim().is_empty() || name.chars().count() > LONGEST_NAME {
        wrong.push(FieldError::new(
            "name",
            format!("must have 1 to {LONGEST_NAME} characters; it names this in lists"),
        ));
    }
    if let Some(RetryPolicy {
        max_attempts,
        backoff: Span(backoff),
    }) = retry
    {
        if !(1..=20).contains(max_attempts) {
            wrong.push(FieldError::new(
                "retry.max_attempts",
                format!("is {max_attempts}; choose a number from 1 to 20"),
            ));
        }
        if backoff.as_secs() > 3600 {
            wrong.push(FieldError::new(
                "retry.backoff",
                "is longer than 1h; choose a shorter one",
            ));
        }
    }
    wrong.extend(aim(target).err());
    if let Some(task) = &target.task {
        wrong.extend(hopeless(task));
    }
    wrong
}

/// What keeps a task from ever being started, whoever is there then to do it.
fn hopeless(task: &TaskSpec) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    if task.workflow.is_some() {
        wrong.push(FieldError::new(
            "target.task.workflow",
            "is set by the engine; name the workflow as `target.workflow`",
        ));
    }
    if task.description.trim().is_empty() {
        let message = "says nothing; say what is to be done";
        wrong.push(FieldError::new("target.task.description", message));
    }
    for (at, step) in task.steps.iter().enumerate() {
        let field = format!("target.task.steps[{at}]");
        if step.agent.is_none() && step.capability.is_none() {
            let message = "needs an `agent` or a `capability` that says who does it";
            wrong.push(FieldError::new(&field, message));
        }
        for (slot, need) in step.needs.iter().enumerate() {
            if task.steps.iter().all(|step| step.id != *need) {
                let message = format!("there is no step `{need}`; name one of this task");
                wrong.push(FieldError::new(format!("{field}.needs[{slot}]"), message));
            }
        }
    }
    wrong
}

/// The id of what `starter` starts for `occasion`, the same whoever computes it and how often.
///
/// It reads as a UUIDv7 of `moment`, so that lists have it in its place, and ends like the starter's
/// own: both lie in one shard, so whoever owns the one owns the other, and makes it without asking
/// anybody.
#[must_use]
pub fn run_id(starter: Uuid, occasion: &[u8], moment: Timestamp) -> TaskId {
    let mut hash = Sha256::new();
    hash.update(starter.as_bytes());
    hash.update(occasion);
    let hash: [u8; 32] = hash.finalize().into();
    let millis = u64::try_from(moment.as_micros() / 1_000).unwrap_or(0);
    let mut random = [0; 10];
    random.copy_from_slice(&hash[..10]);
    let [.., high, low] = *starter.as_bytes();
    (random[8], random[9]) = (high, low);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    TaskId::from_uuid(id)
}

#[cfg(test)]
mod tests {
    use protocol::{entity::EntityId, id::ScheduleId, shard::slot};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_has_one_id_and_lies_where_its_starter_does() {
        let starter = Uuid::now_v7();
        let moment = Timestamp::from_micros(1_700_000_000_123_456);
        let run = run_id(starter, b"one", moment);
        assert_eq!(run, run_id(starter, b"one", moment));
        assert_ne!(run, run_id(starter, b"two", moment));
        assert_ne!(run, run_id(Uuid::now_v7(), b"one", moment));
        let mine: EntityId = ScheduleId::from_uuid(starter).into();
        assert_eq!(slot(run.into()), slot(mine));
        assert_eq!(run.uuid().get_version_num(), 7);
        let later = run_id(
            starter,
            b"one",
            moment.plus(std::time::Duration::from_secs(1)),
        );
        assert!(run < later);
    }

    #[test]
    fn a_target_is_one_thing() {
        let read = |value: Value| serde_json::from_value::<Target>(value).unwrap();
        for wrong in [
            json!({}),
            json!({ "workflow": "" }),
            json!({ "workflow": "a", "task": { "description": "x" } }),
            json!({ "task": { "description": "x" }, "input": 1 }),
            json!({ "template": "" }),
            json!({ "template": "t", "version": 1 }),
            json!({ "template": "t", "workflow": "a" }),
            json!({ "template": "t", "task": { "description": "x" } }),
            json!({ "workflow": "a", "params": { "x": 1 } }),
        ] {
            assert!(aim(&read(wrong.clone())).is_err(), "{wrong}");
        }
        let workflow = read(json!({ "workflow": "a", "version": 2, "input": [1] }));
        let Ok(Aim::Workflow { name, version, .. }) = aim(&workflow) else {
            panic!("it is a workflow");
        };
        assert_eq!((name, version), ("a", Some(2)));
        let template = read(json!({ "template": "t", "params": { "x": 1 } }));
        let Ok(Aim::Template { name, params, .. }) = aim(&template) else {
            panic!("it is a template");
        };
        assert_eq!((name, &params["x"]), ("t", &json!(1)));
    }
}
