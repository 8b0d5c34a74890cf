//! What a task waits for: questions to people, and runs of other workflows.

use std::time::Duration;

use protocol::{
    access::{Caller, Role},
    entity::{EntityId, EntityKind},
    id::{QuestionId, TaskId},
    question::{Asking, Escalation, QuestionSpec},
    task::{Failure, TaskStatus},
    workflow::Human,
};
use serde_json::Value;

use super::{Cx, flow::Ask, task_id};
use crate::{
    Rejection,
    question::{LONGEST_ANSWER, NotPut},
    services::Services,
    task::{
        Task,
        handle::{Told, Word},
    },
    workflow::library::NewRun,
};

/// The pauses between two tries to begin a run: the first, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Makes what a node waits for, unless it is there.
pub(super) fn ask(cx: &Cx, ask: Ask) {
    let Ask { entity, of, input } = ask;
    match entity.kind() {
        EntityKind::Question => {
            let question = QuestionId::from_uuid(entity.key());
            match asking(input) {
                Ok(asking) => ask_people(cx, question, of, asking),
                Err(message) => refuse(cx, question, message),
            }
        }
        EntityKind::Task => run(cx, TaskId::from_uuid(entity.key()), &input),
        EntityKind::Agent
        | EntityKind::Hold
        | EntityKind::Workflow
        | EntityKind::Schedule
        | EntityKind::Trigger => {
            tracing::error!(%entity, of, task = %cx.id(), "it cannot be asked");
        }
    }
}

/// Puts a question to people, unless it was put. One that makes no sense is answered with that.
pub(super) fn ask_people(cx: &Cx, question: QuestionId, node: String, asking: Asking) {
    let spec = QuestionSpec {
        task: task_id(cx),
        node,
        user: cx.state.user.clone(),
        asking,
    };
    let (services, tenant) = (cx.services.clone(), cx.state.tenant().to_owned());
    tokio::spawn(async move {
        let task = spec.task;
        match services.questions.ask(question, &tenant, spec).await {
            Ok(()) => {}
            Err(NotPut::Refused(wrong)) => {
                let message = format!("{}: {}", wrong.field, wrong.message);
                services
                    .tell_task(no_question(task, question, message))
                    .await;
            }
            // The next start asks again.
            Err(error @ NotPut::Later(_)) => {
                tracing::error!(%task, %question, %error, "a question could not be put");
            }
        }
    });
}

fn refuse(cx: &Cx, question: QuestionId, message: String) {
    let (services, word) = (
        cx.services.clone(),
        no_question(task_id(cx), question, message),
    );
    tokio::spawn(async move { services.tell_task(word).await });
}

fn no_question(task: TaskId, question: QuestionId, message: String) -> Word {
    let error = Failure::new("invalid_question", message);
    Word {
        task,
        by: question.into(),
        told: Told::Failed { error },
    }
}

/// What a `human` node asks, as it was recorded, with what it is about.
fn asking(mut input: Value) -> Result<Asking, String> {
    let about = input["about"].take();
    let is_short = |about: &Value| about.to_string().len() <= LONGEST_ANSWER;
    let human: Human = serde_json::from_value(input).map_err(|error| error.to_string())?;
    let to = |who: &str| who.parse().map_err(|error| format!("role: {error}"));
    let escalate = human.escalate.iter().map(|rung| {
        Ok(Escalation {
            to: to(&rung.role)?,
            deadline: rung.deadline,
        })
    });
    Ok(Asking {
        text: human.question,
        // Whoever answers finds what is longer in the task.
        about: Some(about).filter(is_short).unwrap_or_default(),
        schema: human.schema,
        to: human
            .role
            .as_deref()
            .map_or_else(|| Ok(Default::default()), to)?,
        deadline: human.deadline,
        escalate: escalate.collect::<Result<_, String>>()?,
        default: human.default,
    })
}

/// Nobody waits for it any more.
pub(super) fn withdraw(cx: &Cx, entity: EntityId) {
    // Runs are stopped as the parts that they are.
    if entity.kind() != EntityKind::Question {
        return;
    }
    let (services, task) = (cx.services.clone(), cx.id());
    let question = QuestionId::from_uuid(entity.key());
    tokio::spawn(async move {
        let reason = "its task does not wait for it any more";
        if let Err(error) = services.questions.withdraw(question, reason).await {
            tracing::warn!(%task, %question, %error, "a question could not be taken back");
        }
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_human_node_asks_what_its_definition_says() {
        let input = json!({
            "question": "Ship it?", "schema": { "type": "boolean" }, "role": "user:ann",
            "deadline": "1h", "escalate": [{ "role": "admin", "deadline": "1d" }], "default": false,
            "about": { "version": 7 },
        });
        let asking = asking(input).unwrap();
        assert_eq!(asking.text, "Ship it?");
        assert_eq!(asking.to.to_string(), "user:ann");
        assert_eq!(asking.escalate[0].to.to_string(), "admin");
        assert_eq!(asking.about, json!({ "version": 7 }));
        assert_eq!(crate::question::review(&asking), Ok(()));
        assert!(super::asking(json!({ "question": "?", "role": "finance" })).is_err());
        let long = json!({ "question": "?", "about": "x".repeat(LONGEST_ANSWER) });
        assert_eq!(super::asking(long).unwrap().about, Value::Null);
    }
}

/// Begins a run of another workflow, unless it is there. One that is over says so again.
fn run(cx: &Cx, id: TaskId, asked: &Value) {
    let (services, task) = (cx.services.clone(), task_id(cx));
    let caller = Caller {
        tenant: cx.state.tenant().to_owned(),
        user: cx.state.user.clone(),
        role: Role::Developer,
    };
    let version = asked.get("version").and_then(Value::as_u64);
    let workflow = asked.get("workflow").and_then(Value::as_str);
    let run = NewRun {
        id: Some(id),
        workflow: workflow.unwrap_or_default().to_owned(),
        version: version.and_then(|version| u32::try_from(version).ok()),
        input: asked.get("input").cloned().unwrap_or_default(),
        parent_id: Some(task),
        session_id: cx.state.spec.session_id.clone(),
        ..NewRun::default()
    };
    tokio::spawn(async move {
        let told = match begin(&services, caller, run).await {
            Ok(()) => ended(&services, id).await,
            Err(rejection) => Some(failed("subworkflow", rejection.to_string())),
        };
        if let Some(told) = told {
            let by = id.into();
            services.tell_task(Word { task, by, told }).await;
        }
    });
}

/// Again and again, while another try can help.
async fn begin(services: &Services, caller: Caller, run: NewRun) -> Result<(), Rejection> {
    let mut pause = PAUSE;
    loop {
        match services.library.start(caller.clone(), run.clone()).await {
            Ok(_) => return Ok(()),
            Err(Rejection::Unavailable { .. } | Rejection::Overloaded { .. }) => {}
            Err(rejection) => return Err(rejection),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// How a run ended of which nobody may have told.
async fn ended(services: &Services, id: TaskId) -> Option<Told> {
    let journal = services.tasks.journal();
    let row = journal.store().stream(id.into()).await.ok()??;
    if row.summary.open {
        return None;
    }
    let task = journal.load::<Task>(id.into()).await.ok()??;
    outcome(&task)
}

/// A run of another workflow tells the run that waits for it how it ended.
pub(super) fn tell_above(cx: &Cx) {
    let (Some(task), Some(_)) = (cx.state.spec.parent_id, &cx.state.spec.workflow) else {
        return;
    };
    let Some(told) = outcome(&cx.state) else {
        return;
    };
    let (services, by) = (cx.services.clone(), cx.id());
    tokio::spawn(async move {
        services.tell_task(Word { task, by, told }).await;
    });
}

/// What a run says to the one that waits for it, once it is over.
fn outcome(task: &Task) -> Option<Told> {
    match task.status {
        TaskStatus::Completed => Some(Told::Done {
            output: task.result.clone(),
            user: task.user.clone(),
        }),
        TaskStatus::Failed => Some(Told::Failed {
            error: task
                .error
                .clone()
                .unwrap_or_else(|| Failure::new("failed", "no reason was given")),
        }),
        TaskStatus::Cancelled => Some(failed("cancelled", "it was cancelled".to_owned())),
        TaskStatus::Pending | TaskStatus::Planning | TaskStatus::Executing | TaskStatus::Paused => {
            None
        }
    }
}

fn failed(code: &str, message: String) -> Told {
    Told::Failed {
        error: Failure::new(code, message),
    }
}
