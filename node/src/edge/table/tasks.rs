//! Routes of tasks; each also answers under `/api/v1/jobs`.

use protocol::{
    access::Role,
    api::{
        AllocationView, Assignment, AttemptView, CancelRequest, CancelView, EventView, Page,
        PauseRequest, ResultView, TaskChange, TaskPatch, TaskSummary, TaskTree, TaskView, WhyView,
    },
    id::TaskId,
    task::{TaskSpec, TaskStatus},
    template::TemplateUse,
    time::Span,
};

use super::{
    Answers, Body, CONSISTENCY, Content, LARGE, Operation, Parameter, Route, SMALL, Verb, form,
    row::{CURSOR, LIMIT, answer, ok, parameter},
};

/// What the routes of this page do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TaskOp {
    Submit,
    List,
    Get,
    Amend,
    Delete,
    Cancel,
    Pause,
    Resume,
    Assign,
    Checkpoint,
    Result,
    Events,
    Allocation,
    Attempts,
    Why,
    Tree,
    Artifact,
}

const fn route(method: Verb, path: &'static str, id: &'static str, operation: TaskOp) -> Route {
    Route {
        answers: TASK,
        problems: &[404],
        ..Route::at(method, path, id, Operation::Task(operation)).changed_by(Role::Developer)
    }
}

const TASK: &[Answers] = &[ok(Content::Json(form::<TaskView>), "The task.")];

const CHANGE: &[Answers] = &[ok(
    Content::Json(form::<TaskChange>),
    "The task, and how far that got.",
)];

const WAIT: Parameter = parameter::<Span>(
    "wait",
    "Answer when the task is settled, or after this long, 5m at most.",
);

/// A task, or a template and what fills its blanks.
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "it stands in the document; requests are read as what it documents"
)]
enum Submitted {
    Task(Box<TaskSpec>),
    Template(Box<TemplateUse>),
}

pub(super) static ROUTES: &[Route] = &[
    Route {
        summary: "Submit a task",
        description: "The task is durable when this answers. A repeat under the same `Idempotency-Key` answers the task that the first one made; the same key with another body is refused. With `template`, the task is made of a task template, and then checked as any other: a parameter that is missing, unknown or of another type is refused by its name, and what the template says wrong by its field, as `task.steps[0].agent`.",
        query: &[WAIT],
        body: Body::Required(form::<Submitted>, LARGE),
        answers: &[
            ok(
                Content::Json(form::<TaskView>),
                "The key was used before: the task that was made then, with `Idempotent-Replay: true`.",
            ),
            answer(
                201,
                Content::Json(form::<TaskView>),
                "The task, at the address in `Location`.",
            ),
        ],
        problems: &[409],
        ..route(Verb::Post, "/api/v1/tasks", "submitTask", TaskOp::Submit)
    },
    Route {
        summary: "List tasks",
        description: "The newest first; a page stays the same while tasks are added.",
        query: &[
            parameter::<TaskStatus>("status", "Only this status."),
            parameter::<String>("user_id", "Only this user's."),
            parameter::<TaskId>("parent_id", "Only parts of this task."),
            parameter::<String>(
                "q",
                "Only tasks whose description contains this, case aside.",
            ),
            CONSISTENCY,
            LIMIT,
            CURSOR,
        ],
        answers: &[ok(
            Content::Json(form::<Page<TaskSummary>>),
            "A page of tasks.",
        )],
        problems: &[],
        ..route(Verb::Get, "/api/v1/tasks", "listTasks", TaskOp::List)
    },
    Route {
        summary: "One task",
        description: "With its plan, every attempt of every step, its progress and its result.",
        query: &[CONSISTENCY, WAIT],
        ..route(Verb::Get, "/api/v1/tasks/{task}", "getTask", TaskOp::Get)
    },
    Route {
        summary: "Change a task",
        description: "Description, priority and metadata, while it is not settled. What is absent stays as it is.",
        body: Body::Required(form::<TaskPatch>, SMALL),
        problems: &[404, 409],
        ..route(
            Verb::Put,
            "/api/v1/tasks/{task}",
            "amendTask",
            TaskOp::Amend,
        )
    },
    Route {
        summary: "Delete a task",
        description: "A settled task disappears from sight; its records stay. One that is not settled is refused, or stopped first.",
        query: &[parameter::<bool>(
            "cancel",
            "Stop it first if it is not settled.",
        )],
        answers: &[answer(204, Content::Empty, "It is gone.")],
        problems: &[404, 409],
        ..route(
            Verb::Delete,
            "/api/v1/tasks/{task}",
            "deleteTask",
            TaskOp::Delete,
        )
    },
    Route {
        summary: "Cancel a task",
        description: "Nothing of it and of its parts runs any more when this answers, on any node: no attempt, no program, no open request, no question between agents. `reach` tells what ended, and what could not be confirmed before the time was up.",
        query: &[parameter::<Span>(
            "wait",
            "Wait this long at most for all of it to be gone, 5m at most; `10s` when absent, `0s` to be told at once that it is being cancelled.",
        )],
        body: Body::Optional(form::<CancelRequest>, SMALL),
        answers: &[answer(
            202,
            Content::Json(form::<CancelView>),
            "The task, and what of it is gone.",
        )],
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/tasks/{task}/cancel",
            "cancelTask",
            TaskOp::Cancel,
        )
    },
    Route {
        summary: "Pause a task",
        description: "No step of it and of its parts starts until it is resumed, also after a restart and on any node; a part that comes later rests from its beginning. Attempts that run go on to their end; with `mode` `now` they are ended and tried again when it is resumed, except those that must not run twice, and this answers when they are gone, 10 s later at most. `reach` tells what ended, what goes on, and what could not be confirmed. Its time limits stand still.",
        body: Body::Optional(form::<PauseRequest>, SMALL),
        answers: CHANGE,
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/tasks/{task}/pause",
            "pauseTask",
            TaskOp::Pause,
        )
    },
    Route {
        summary: "Resume a task",
        description: "Ends what `pause` began, for its parts too; one that was paused itself stays so. A task that is in a paused scope, or part of a paused task, goes on when that is resumed too.",
        answers: CHANGE,
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/tasks/{task}/resume",
            "resumeTask",
            TaskOp::Resume,
        )
    },
    Route {
        summary: "Assign a task to an agent",
        description: "Binds its unsettled steps, or one of them, to one agent; an agent that cannot do them is refused with the reasons.",
        body: Body::Required(form::<Assignment>, SMALL),
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/tasks/{task}/assign",
            "assignTask",
            TaskOp::Assign,
        )
    },
    Route {
        summary: "Write a snapshot of a task now",
        description: "Recovery starts from it instead of from the first event.",
        ..route(
            Verb::Post,
            "/api/v1/tasks/{task}/checkpoint",
            "checkpointTask",
            TaskOp::Checkpoint,
        )
    },
    Route {
        summary: "What a task gave",
        description: "Its result, and where each output came from. A conflict while it is not settled.",
        answers: &[ok(Content::Json(form::<ResultView>), "The result.")],
        problems: &[404, 409],
        ..route(
            Verb::Get,
            "/api/v1/tasks/{task}/result",
            "taskResult",
            TaskOp::Result,
        )
    },
    Route {
        summary: "What happens to a task",
        description: "Its events as server-sent events, each once and in order, until it is settled; `id` is the position to resume after, as `Last-Event-ID` or `since`. With `Accept: application/json`, those recorded so far.",
        query: &[parameter::<u64>(
            "since",
            "Only events after this position.",
        )],
        answers: &[
            ok(Content::Events(form::<Vec<EventView>>), "Its events."),
            answer(
                204,
                Content::Empty,
                "The task is settled, and there is no event after that position.",
            ),
        ],
        ..route(
            Verb::Get,
            "/api/v1/tasks/{task}/events",
            "taskEvents",
            TaskOp::Events,
        )
    },
    Route {
        summary: "Why each agent was chosen",
        description: "The score card of each attempt: every candidate, what excluded it or how it scored.",
        answers: &[ok(
            Content::Json(form::<Vec<AllocationView>>),
            "The score cards.",
        )],
        ..route(
            Verb::Get,
            "/api/v1/tasks/{task}/allocation",
            "taskAllocation",
            TaskOp::Allocation,
        )
    },
    Route {
        summary: "Every attempt of every step",
        description: "In the order in which they were started.",
        answers: &[ok(Content::Json(form::<Vec<AttemptView>>), "The attempts.")],
        ..route(
            Verb::Get,
            "/api/v1/tasks/{task}/attempts",
            "taskAttempts",
            TaskOp::Attempts,
        )
    },
    Route {
        summary: "What a task waits for",
        description: "For each unsettled step: what it waits for, and what would make it start.",
        answers: &[ok(Content::Json(form::<WhyView>), "The reasons.")],
        ..route(
            Verb::Get,
            "/api/v1/tasks/{task}/why",
            "taskWhy",
            TaskOp::Why,
        )
    },
    Route {
        summary: "A task and its parts",
        description: "All tasks below it, parents before children.",
        answers: &[ok(Content::Json(form::<TaskTree>), "The tasks.")],
        ..route(
            Verb::Get,
            "/api/v1/tasks/{task}/tree",
            "taskTree",
            TaskOp::Tree,
        )
    },
    Route {
        summary: "A file that a step left",
        description: "As it is, to be saved and never shown in place.",
        answers: &[ok(Content::Other("application/octet-stream"), "The file.")],
        ..route(
            Verb::Get,
            "/api/v1/tasks/{task}/artifacts/{step}/{attempt}/{name}",
            "taskArtifact",
            TaskOp::Artifact,
        )
    },
];
