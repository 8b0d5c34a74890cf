//! Routes of workflows and of their runs.

use protocol::{
    access::Role,
    api::{
        CancelRequest, CheckRequest, CheckView, ContextPatch, ContextView, EventView,
        ExecuteRequest, ExecutionChange, ExecutionStatus, ExecutionSummary, ExecutionView,
        ForkRequest, Page, PauseRequest, ReplayRequest, ReplayView, VersionView, WorkflowChange,
        WorkflowDraft, WorkflowReach, WorkflowSummary, WorkflowView,
    },
    time::Span,
    workflow::Status,
};

use super::{
    Answers, Body, Content, DRAFT, LARGE, Operation, Parameter, Route, SMALL, Verb, form,
    row::{CURSOR, LIMIT, answer, ok, parameter},
};

/// What the routes of this page do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum WorkflowOp {
    Create,
    List,
    Schema,
    Get,
    Update,
    Delete,
    Versions,
    Execute,
    Executions,
    Execution,
    Pause,
    Resume,
    ListRuns,
    GetRun,
    PauseRun,
    ResumeRun,
    CancelRun,
    TerminateRun,
    Context,
    WriteContext,
    Value,
    Fork,
    Replay,
    Check,
    Draw,
    Events,
}

const fn route(method: Verb, path: &'static str, id: &'static str, operation: WorkflowOp) -> Route {
    Route {
        answers: RUN,
        problems: &[404],
        ..Route::at(method, path, id, Operation::Workflow(operation)).changed_by(Role::Developer)
    }
}

const WORKFLOW: &[Answers] = &[ok(Content::Json(form::<WorkflowView>), "The workflow.")];

const RUN: &[Answers] = &[ok(Content::Json(form::<ExecutionView>), "The run.")];

const RUNS: &[Answers] = &[ok(
    Content::Json(form::<Page<ExecutionSummary>>),
    "A page of runs.",
)];

const REACH: &[Answers] = &[ok(
    Content::Json(form::<WorkflowReach>),
    "The runs, and how far that got.",
)];

const ENDING: Parameter = parameter::<Span>(
    "wait",
    "Wait this long at most for all of it to be gone, 5m at most; `10s` when absent.",
);

const RUN_STATUS: Parameter = parameter::<ExecutionStatus>(
    "status",
    "Only this status; `running` finds those of which something runs, `waiting` the others that go on.",
);

const RUN_USER: Parameter = parameter::<String>("user_id", "Only this user's.");

const CHANGE: &[Answers] = &[ok(
    Content::Json(form::<ExecutionChange>),
    "The run, and how far that got.",
)];

const ENDED: &[Answers] = &[answer(
    202,
    Content::Json(form::<ExecutionChange>),
    "The run, and what of it is gone.",
)];

const CONTEXT: &[Answers] = &[ok(Content::Json(form::<ContextView>), "The context.")];

/// For whom a graph is drawn.
#[derive(schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "it stands in the document; requests are read as what it documents"
)]
enum Format {
    /// For a terminal.
    Text,
    /// For Graphviz.
    Dot,
    /// For Mermaid.
    Mermaid,
}

pub(super) static ROUTES: &[Route] = &[
    Route {
        summary: "Make a workflow",
        description: "The definition is checked as a whole: what is wrong is named by its place. It is kept and returned byte for byte.",
        body: Body::Required(form::<WorkflowDraft>, DRAFT),
        answers: &[answer(
            201,
            Content::Json(form::<WorkflowView>),
            "The workflow, at the address in `Location`.",
        )],
        problems: &[409],
        ..route(
            Verb::Post,
            "/api/v1/workflows",
            "createWorkflow",
            WorkflowOp::Create,
        )
    },
    Route {
        summary: "List workflows",
        description: "The newest first; a page stays the same while workflows are added.",
        query: &[
            parameter::<Status>("status", "Only this status."),
            parameter::<String>(
                "q",
                "Only workflows whose name or description contains this, case aside.",
            ),
            LIMIT,
            CURSOR,
        ],
        answers: &[ok(
            Content::Json(form::<Page<WorkflowSummary>>),
            "A page of workflows.",
        )],
        problems: &[],
        ..route(
            Verb::Get,
            "/api/v1/workflows",
            "listWorkflows",
            WorkflowOp::List,
        )
    },
    Route {
        summary: "The JSON Schema of definitions",
        description: "By which editors complete and check them; the same as `node/docs/workflow.schema.json`.",
        answers: &[ok(Content::Other("application/schema+json"), "The schema.")],
        problems: &[],
        ..route(
            Verb::Get,
            "/api/v1/workflows/schema",
            "getWorkflowSchema",
            WorkflowOp::Schema,
        )
    },
    Route {
        summary: "One workflow",
        description: "With its definition, byte for byte as it was given.",
        query: &[parameter::<u32>(
            "version",
            "In this version; in the newest without it.",
        )],
        answers: WORKFLOW,
        ..route(
            Verb::Get,
            "/api/v1/workflows/{workflow}",
            "getWorkflow",
            WorkflowOp::Get,
        )
    },
    Route {
        summary: "Change a workflow",
        description: "Another definition makes a new version; runs keep theirs. A definition that says the same makes none. What is absent stays as it is.",
        body: Body::Required(form::<WorkflowDraft>, DRAFT),
        answers: &[ok(
            Content::Json(form::<WorkflowChange>),
            "The workflow, and whether this made a version.",
        )],
        problems: &[404, 409],
        ..route(
            Verb::Put,
            "/api/v1/workflows/{workflow}",
            "updateWorkflow",
            WorkflowOp::Update,
        )
    },
    Route {
        summary: "Delete a workflow",
        description: "It disappears from sight and its name is free; its records stay, and its runs go on.",
        answers: &[answer(204, Content::Empty, "It is gone.")],
        ..route(
            Verb::Delete,
            "/api/v1/workflows/{workflow}",
            "deleteWorkflow",
            WorkflowOp::Delete,
        )
    },
    Route {
        summary: "The versions of a workflow",
        description: "The newest first. None of them ever changes.",
        answers: &[ok(
            Content::Json(form::<Page<VersionView>>),
            "The versions, all on one page.",
        )],
        ..route(
            Verb::Get,
            "/api/v1/workflows/{workflow}/versions",
            "workflowVersions",
            WorkflowOp::Versions,
        )
    },
    Route {
        summary: "Start a run",
        description: "The run is durable when this answers. A repeat under the same `Idempotency-Key` answers the run that the first one made; the same key with another body is refused. Input that is not what the definition's `input` says is refused with the places.",
        query: &[parameter::<Span>(
            "wait",
            "Answer when the run is settled, or after this long, 5m at most.",
        )],
        body: Body::Optional(form::<ExecuteRequest>, LARGE),
        answers: &[
            ok(
                Content::Json(form::<ExecutionView>),
                "With `wait`: the run as it stands then. Or the key was used before: the run that was made then, with `Idempotent-Replay: true`.",
            ),
            answer(
                202,
                Content::Json(form::<ExecutionSummary>),
                "The run, at the address in `Location`.",
            ),
        ],
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/workflows/{workflow}/execute",
            "executeWorkflow",
            WorkflowOp::Execute,
        )
    },
    Route {
        summary: "The runs of a workflow",
        description: "The newest first.",
        query: &[RUN_STATUS, RUN_USER, LIMIT, CURSOR],
        answers: RUNS,
        ..route(
            Verb::Get,
            "/api/v1/workflows/{workflow}/executions",
            "workflowExecutions",
            WorkflowOp::Executions,
        )
    },
    Route {
        summary: "One run of a workflow",
        description: "The same as `/executions/{execution}`, if it is one of this workflow.",
        ..route(
            Verb::Get,
            "/api/v1/workflows/{workflow}/executions/{execution}",
            "workflowExecution",
            WorkflowOp::Execution,
        )
    },
    Route {
        summary: "Pause all runs of a workflow",
        description: "Of those that the caller may see: nodes that run go on to their end, none starts until it is resumed, also after a restart. A run that begins later is not paused; archive the workflow to let none begin.",
        body: Body::Optional(form::<PauseRequest>, SMALL),
        answers: REACH,
        ..route(
            Verb::Post,
            "/api/v1/workflows/{workflow}/pause",
            "pauseWorkflow",
            WorkflowOp::Pause,
        )
    },
    Route {
        summary: "Resume all runs of a workflow",
        description: "Those that are paused go on; nodes that are done are not run again.",
        answers: REACH,
        ..route(
            Verb::Post,
            "/api/v1/workflows/{workflow}/resume",
            "resumeWorkflow",
            WorkflowOp::Resume,
        )
    },
    Route {
        summary: "List runs",
        description: "Of all workflows, the newest first; a page stays the same while runs are added.",
        query: &[
            parameter::<String>("workflow", "Only runs of this workflow, by name or id."),
            RUN_STATUS,
            RUN_USER,
            LIMIT,
            CURSOR,
        ],
        answers: RUNS,
        problems: &[404],
        ..route(
            Verb::Get,
            "/api/v1/executions",
            "listExecutions",
            WorkflowOp::ListRuns,
        )
    },
    Route {
        summary: "One run",
        description: "With its context, where each node stands, what it was handed and gave, and which edges were taken.",
        ..route(
            Verb::Get,
            "/api/v1/executions/{execution}",
            "getExecution",
            WorkflowOp::GetRun,
        )
    },
    Route {
        summary: "Pause a run",
        description: "Nodes that run go on to their end, none starts until it is resumed, also after a restart and on any node. With `mode` `now` they are ended and tried again, except those that must not run twice. Its time limits stand still.",
        body: Body::Optional(form::<PauseRequest>, SMALL),
        answers: CHANGE,
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/executions/{execution}/pause",
            "pauseExecution",
            WorkflowOp::PauseRun,
        )
    },
    Route {
        summary: "Resume a run",
        description: "Ends what `pause` began; nodes that are done are not run again.",
        answers: CHANGE,
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/executions/{execution}/resume",
            "resumeExecution",
            WorkflowOp::ResumeRun,
        )
    },
    Route {
        summary: "Cancel a run",
        description: "Nothing more of it and of its parts starts, what runs is ended, and what its definition takes back is taken back.",
        query: &[ENDING],
        body: Body::Optional(form::<CancelRequest>, SMALL),
        answers: ENDED,
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/executions/{execution}/cancel",
            "cancelExecution",
            WorkflowOp::CancelRun,
        )
    },
    Route {
        summary: "Terminate a run",
        description: "As `cancel`, but nothing is taken back.",
        query: &[ENDING],
        body: Body::Optional(form::<CancelRequest>, SMALL),
        answers: ENDED,
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/executions/{execution}/terminate",
            "terminateExecution",
            WorkflowOp::TerminateRun,
        )
    },
    Route {
        summary: "What the nodes of a run share",
        description: "With its version, which `PUT` names.",
        answers: CONTEXT,
        ..route(
            Verb::Get,
            "/api/v1/executions/{execution}/context",
            "getContext",
            WorkflowOp::Context,
        )
    },
    Route {
        summary: "Write what the nodes of a run share",
        description: "Keys with new values; `null` removes one, what is absent stays. A conflict when it was written since the version that this was made from.",
        body: Body::Required(form::<ContextPatch>, SMALL),
        answers: CONTEXT,
        problems: &[404, 409],
        ..route(
            Verb::Put,
            "/api/v1/executions/{execution}/context",
            "writeContext",
            WorkflowOp::WriteContext,
        )
    },
    Route {
        summary: "A large value of a run",
        description: "What is shown of a run holds `{\"$large\": VALUE, \"bytes\": SIZE}` in the place of values of 64 KiB or more; here is the value.",
        answers: &[ok(Content::Json(form::<serde_json::Value>), "The value.")],
        ..route(
            Verb::Get,
            "/api/v1/executions/{execution}/values/{value}",
            "executionValue",
            WorkflowOp::Value,
        )
    },
    Route {
        summary: "Fork a run at a node",
        description: "A new run takes over what was done before the node, with its receipts: none of it is called again. The node and what comes after it are done anew, with another input if one is given. It is a conflict, `irreversible`, when one of them called something irreversible, or may have, unless `confirm` says that it may be done again.",
        body: Body::Required(form::<ForkRequest>, LARGE),
        answers: &[answer(
            201,
            Content::Json(form::<ExecutionSummary>),
            "The new run, at the address in `Location`.",
        )],
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/executions/{execution}/fork",
            "forkExecution",
            WorkflowOp::Fork,
        )
    },
    Route {
        summary: "Replay a run",
        description: "Decides the recorded run anew, with its own definition, another version or one that is not published, against what was recorded. Nothing is done. The first decision that is another one is named.",
        query: &[parameter::<bool>(
            "dry",
            "That nothing is done, which is always so.",
        )],
        body: Body::Optional(form::<ReplayRequest>, DRAFT),
        answers: &[ok(
            Content::Json(form::<ReplayView>),
            "How far the decisions are the same.",
        )],
        ..route(
            Verb::Post,
            "/api/v1/executions/{execution}/replay",
            "replayExecution",
            WorkflowOp::Replay,
        )
    },
    Route {
        summary: "Try a definition against the last runs of a workflow",
        description: "Decides recorded runs anew, the newest ones first, with a definition that is to be adopted, and names the first divergence of each that would go another way. Nothing is done.",
        body: Body::Optional(form::<CheckRequest>, DRAFT),
        answers: &[ok(
            Content::Json(form::<CheckView>),
            "How many runs would go the same way, and where the others would not.",
        )],
        ..route(
            Verb::Post,
            "/api/v1/workflows/{workflow}/check",
            "checkWorkflow",
            WorkflowOp::Check,
        )
    },
    Route {
        summary: "The graph of a run as a picture",
        description: "For a terminal with a mark for where each node stands, for Graphviz, or for Mermaid.",
        query: &[parameter::<Format>(
            "format",
            "`text`, `dot` or `mermaid`; `text` when absent.",
        )],
        answers: &[ok(
            Content::Other("text/plain; charset=utf-8"),
            "The picture.",
        )],
        ..route(
            Verb::Get,
            "/api/v1/executions/{execution}/graph",
            "executionGraph",
            WorkflowOp::Draw,
        )
    },
    Route {
        summary: "The events of a run",
        description: "Those so far, then each as it happens, until the run is settled: `workflow.started`, `workflow.paused`, `workflow.resumed`, `workflow.completed`, `workflow.failed`, `workflow.cancelled`; of nodes `workflow.node.started`, `workflow.node.waiting`, `workflow.node.completed`, `workflow.node.failed`, `workflow.node.skipped`. Each has its position as id; send the last one as `Last-Event-ID` to go on after it.",
        query: &[parameter::<u64>(
            "since",
            "Only events after this position.",
        )],
        answers: &[
            ok(
                Content::Events(form::<Vec<EventView>>),
                "The events; as JSON those so far.",
            ),
            answer(
                204,
                Content::Empty,
                "The run is settled and was told to its end.",
            ),
        ],
        ..route(
            Verb::Get,
            "/api/v1/executions/{execution}/events",
            "executionEvents",
            WorkflowOp::Events,
        )
    },
];
