//! What a run waits for: questions to people, and runs of other workflows.

use std::{collections::HashMap, time::Duration};

use protocol::{
    access::{Caller, Role},
    entity::{EntityId, EntityKind},
    id::{QuestionId, TaskId},
    question::{Addressee, Asking, Escalation, QuestionSpec, Reply},
    task::{Event, Failure, Outcome, TaskStatus},
    workflow::Human,
};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{
    Cx,
    effect::Effect,
    flow::{self, Ask},
    lineage, task_id,
};
use crate::{
    Rejection,
    question::NotPut,
    services::Services,
    task::{Task, handle::Word},
    workflow::library::NewRun,
};

/// How deep runs stand in one another at most: a workflow may begin itself, directly or by others, and
/// that has to end somewhere.
const DEEPEST: usize = 16;

/// The pauses between two tries: the first, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Whose run it is that asks.
struct Asker {
    services: Services,
    task: TaskId,
    parent: Option<TaskId>,
    user: String,
    tenant: String,
    session: Option<String>,
}

/// Makes what a node waits for, unless it is there. What is there and over says so again.
pub(super) fn ask(cx: &mut Cx, ask: Ask) {
    let asker = Asker::of(cx);
    let by = ask.entity;
    let asking = tokio::spawn(async move {
        let told = match by.kind() {
            EntityKind::Question => asker.question(ask).await,
            EntityKind::Task => asker.run(ask).await,
            EntityKind::Agent
            | EntityKind::Hold
            | EntityKind::Workflow
            | EntityKind::Schedule
            | EntityKind::Trigger
            | EntityKind::Template => Some(failed("unknown", format!("{by} cannot be asked"))),
        };
        if let Some(told) = told {
            let task = asker.task;
            asker.services.tell_task(Word { task, by, told }).await;
        }
    });
    cx.volatile.asking.begin(by, asking);
}

/// Who answers: a step that asked, or a node that waits. Told again, it is nothing.
pub(super) fn told(task: &Task, by: EntityId, reply: Reply) -> Option<Event> {
    let question = QuestionId::from_uuid(by.key());
    let asked = by.kind() == EntityKind::Question;
    let mut steps = task.steps.iter();
    match steps.find(|step| asked && step.asks.expects(question)) {
        Some(step) => Some(Event::Replied {
            step: step.spec.id.clone(),
            question,
            reply,
        }),
        None => flow::told(task, by, reply),
    }
}

/// A step that gave itself back to wait for people: they are asked.
pub(super) fn follow(cx: &mut Cx, event: &Event) {
    match event {
        Event::AttemptEnded {
            step,
            outcome: Outcome::Waits { .. },
            ..
        } => {
            let asks = people(&cx.state, Some(step));
            cx.volatile.effects.extend(asks);
        }
        Event::Submitted { .. }
        | Event::Planned { .. }
        | Event::AttemptStarted { .. }
        | Event::AttemptEnded { .. }
        | Event::Probed { .. }
        | Event::RetryScheduled { .. }
        | Event::StepSettled { .. }
        | Event::ResultCameLate { .. }
        | Event::Amended { .. }
        | Event::Assigned { .. }
        | Event::CancelRequested { .. }
        | Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::AttemptInterrupted { .. }
        | Event::Replied { .. }
        | Event::Run { .. }
        | Event::Settled { .. }
        | Event::Deleted { .. } => {}
    }
}

/// People are asked once more: who was to ask them may have gone down before it did.
pub(super) fn ask_people_again(cx: &mut Cx) {
    let asks = people(&cx.state, None);
    cx.volatile.effects.extend(asks);
}

/// Questions of steps that wait, of one or of all.
fn people(task: &Task, only: Option<&str>) -> Vec<Effect> {
    let steps = task.steps.iter();
    let steps = steps.filter(|step| only.is_none_or(|only| only == step.spec.id));
    let steps = steps.filter(|step| !step.status.is_settled());
    steps
        .flat_map(|step| step.asks.open().map(move |ask| (step, ask)))
        .filter_map(|(step, ask)| {
            Some(Effect::AskPeople(Box::new(Put {
                question: ask.question,
                of: step.spec.id.clone(),
                asking: (**ask.asking.as_ref()?).clone(),
            })))
        })
        .collect()
}

/// What a step asks people.
#[derive(Debug, Clone)]
pub(super) struct Put {
    question: QuestionId,
    of: String,
    asking: Asking,
}

/// Puts a step's question, unless it is there.
pub(super) fn ask_people(cx: &mut Cx, put: Put) {
    let asker = Asker::of(cx);
    let (by, task) = (put.question.into(), asker.task);
    let asking = tokio::spawn(async move {
        if let Some(told) = asker.put(put.question, put.of, put.asking).await {
            asker.services.tell_task(Word { task, by, told }).await;
        }
    });
    cx.volatile.asking.begin(by, asking);
}

/// What is just being made that others wait for.
#[derive(Debug, Default)]
pub(super) struct BeingMade(HashMap<EntityId, JoinHandle<()>>);

impl BeingMade {
    fn begin(&mut self, entity: EntityId, asking: JoinHandle<()>) {
        self.0.retain(|_, asking| !asking.is_finished());
        self.0.insert(entity, asking);
    }

    pub(super) fn take(&mut self, entity: EntityId) -> Option<JoinHandle<()>> {
        self.0.remove(&entity)
    }
}

/// A run of another workflow tells the run that waits for it how it ended.
pub(super) fn tell_above(cx: &Cx) {
    let (Some(parent), Some(_)) = (cx.state.spec.parent_id, &cx.state.spec.workflow) else {
        return;
    };
    let Some(told) = outcome(&cx.state) else {
        return;
    };
    let (services, by) = (cx.services.clone(), cx.id());
    tokio::spawn(async move {
        let task = parent;
        services.tell_task(Word { task, by, told }).await;
    });
}

/// What a run says to the one that waits for it, once it is over.
fn outcome(task: &Task) -> Option<Reply> {
    match task.status {
        TaskStatus::Completed => Some(Reply::Done {
            output: task.large.loaded(&task.result),
            user: task.user.clone(),
        }),
        TaskStatus::Failed => Some(Reply::Failed {
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

fn too_deep() -> Reply {
    let message = format!(
        "{DEEPEST} runs stand in one another already, which is the most; see whether a workflow begins \
         itself without end"
    );
    failed("depth", message)
}

fn failed(code: &str, message: String) -> Reply {
    Reply::Failed {
        error: Failure::new(code, message),
    }
}

impl Asker {
    fn of(cx: &Cx) -> Self {
        Self {
            services: cx.services.clone(),
            task: task_id(cx),
            parent: cx.state.spec.parent_id,
            user: cx.state.user.clone(),
            tenant: cx.state.tenant().to_owned(),
            session: cx.state.spec.session_id.clone(),
        }
    }

    async fn question(&self, ask: Ask) -> Option<Reply> {
        let id = QuestionId::from_uuid(ask.entity.key());
        match asking(ask.input) {
            Ok(asking) => self.put(id, ask.of, asking).await,
            Err(message) => Some(failed("question", message)),
        }
    }

    /// Puts a question, again and again until it is there; answers why it never will be.
    async fn put(&self, id: QuestionId, of: String, asking: Asking) -> Option<Reply> {
        let spec = QuestionSpec {
            task: self.task,
            node: of,
            user: self.user.clone(),
            asking,
        };
        let mut pause = PAUSE;
        loop {
            match self
                .services
                .questions
                .ask(id, &self.tenant, spec.clone())
                .await
            {
                Ok(()) => return None,
                Err(NotPut::Refused(error)) => {
                    let message = format!("{}: {}", error.field, error.message);
                    return Some(failed("question", message));
                }
                Err(NotPut::Later(why)) => {
                    tracing::warn!(question = %id, task = %self.task, why, "it is put again soon");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Begins a run, again and again until it is there; answers how it ended, if it did.
    async fn run(&self, ask: Ask) -> Option<Reply> {
        let id = TaskId::from_uuid(ask.entity.key());
        let run = self.new_run(id, &ask.input);
        let mut pause = PAUSE;
        loop {
            let caller = Caller {
                tenant: self.tenant.clone(),
                user: self.user.clone(),
                role: Role::Developer,
            };
            let journal = self.services.tasks.journal();
            match lineage::depth(journal, self.parent, DEEPEST).await {
                // Itself, and what is above it.
                Ok(above) if above + 1 >= DEEPEST => return Some(too_deep()),
                Ok(_) => match self.services.library.start(caller, run.clone()).await {
                    Ok(_) => return self.ended(id).await,
                    Err(Rejection::Unavailable { .. } | Rejection::Overloaded { .. }) => {}
                    Err(rejection) => return Some(failed("subworkflow", rejection.to_string())),
                },
                Err(error) => tracing::debug!(%error, "a run is begun again soon"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    fn new_run(&self, id: TaskId, asked: &Value) -> NewRun {
        let version = asked.get("version").and_then(Value::as_u64);
        NewRun {
            id: Some(id),
            workflow: text(asked, "workflow"),
            version: version.and_then(|version| u32::try_from(version).ok()),
            input: asked.get("input").cloned().unwrap_or_default(),
            parent_id: Some(self.task),
            session_id: self.session.clone(),
            ..NewRun::default()
        }
    }

    /// How a run ended of which nobody may have told.
    async fn ended(&self, id: TaskId) -> Option<Reply> {
        let journal = self.services.tasks.journal();
        let row = journal.store().stream(id.into()).await.ok()??;
        if row.summary.open {
            return None;
        }
        let task = journal.load::<Task>(id.into()).await.ok()??;
        outcome(&task)
    }
}

fn text(value: &Value, field: &str) -> String {
    let text = value.get(field).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// What a node asks, as people are asked.
fn asking(input: Value) -> Result<Asking, String> {
    let about = input.get("about").cloned().unwrap_or_default();
    let human: Human = serde_json::from_value(input).map_err(|error| error.to_string())?;
    let to = |role: &str| role.parse().map_err(|error| format!("role: {error}"));
    let rungs = human.escalate.iter().map(|rung| {
        Ok(Escalation {
            to: to(&rung.role)?,
            deadline: rung.deadline,
        })
    });
    Ok(Asking {
        text: human.question,
        about,
        schema: human.schema,
        to: match &human.role {
            Some(role) => to(role)?,
            None => Addressee::default(),
        },
        deadline: human.deadline,
        escalate: rungs.collect::<Result<_, String>>()?,
        default: human.default,
    })
}
