//! Routes of agents.

use protocol::{
    access::Role,
    agent::{AgentSpec, AgentStatus, AgentType},
    api::{
        AgentChange, AgentLogLine, AgentStats, AgentUpdate, AgentView, EventView, HealthReport,
        Page, StopRequest,
    },
};
use serde_json::{Map, Value};

use super::{
    Answers, Body, CONSISTENCY, Content, Operation, Route, SMALL, Verb, form,
    row::{CURSOR, LIMIT, answer, ok, parameter},
};

/// What the routes of this page do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AgentOp {
    Register,
    List,
    Stats,
    Get,
    Update,
    Delete,
    Start,
    Stop,
    Pause,
    Resume,
    Check,
    Config,
    SetConfig,
    Events,
    Logs,
}

const fn route(method: Verb, path: &'static str, id: &'static str, operation: AgentOp) -> Route {
    Route {
        answers: AGENT,
        problems: &[404],
        ..Route::at(method, path, id, Operation::Agent(operation)).changed_by(Role::Operator)
    }
}

const AGENT: &[Answers] = &[ok(Content::Json(form::<AgentView>), "The agent.")];
const CONFIG: &[Answers] = &[ok(
    Content::Json(form::<Map<String, Value>>),
    "Its configuration.",
)];

pub(super) static ROUTES: &[Route] = &[
    Route {
        summary: "Register an agent",
        description: "Its proxy is in the supervision tree when this answers. With `verify`, its endpoint is checked, called, and its answer looked at first; what fails is named, and nothing is stored.",
        body: Body::Required(form::<AgentSpec>, SMALL),
        answers: &[answer(
            201,
            Content::Json(form::<AgentView>),
            "The agent, at the address in `Location`.",
        )],
        problems: &[409],
        ..route(
            Verb::Post,
            "/api/v1/agents/register",
            "registerAgent",
            AgentOp::Register,
        )
    },
    Route {
        summary: "List agents",
        description: "By name. With `capability`, only agents that a step could be given to now: active ones whose last health check is recent and good.",
        query: &[
            parameter::<AgentStatus>("status", "Only this status."),
            parameter::<String>("capability", "Only agents that offer it."),
            parameter::<AgentType>("type", "Only this type."),
            parameter::<String>(
                "meta.*",
                "Only agents whose metadata has this value under the name after `meta.`.",
            ),
            CONSISTENCY,
            LIMIT,
            CURSOR,
        ],
        answers: &[ok(
            Content::Json(form::<Page<AgentView>>),
            "A page of agents; `total` counts all that match.",
        )],
        problems: &[],
        ..route(Verb::Get, "/api/v1/agents", "listAgents", AgentOp::List)
    },
    Route {
        summary: "Totals over all agents",
        description: "How many there are, what became of their attempts, how long those took and what they cost.",
        query: &[CONSISTENCY],
        answers: &[ok(Content::Json(form::<AgentStats>), "The totals.")],
        problems: &[],
        ..route(
            Verb::Get,
            "/api/v1/agents/stats",
            "agentStats",
            AgentOp::Stats,
        )
    },
    Route {
        summary: "One agent",
        description: "By id or name.",
        query: &[CONSISTENCY],
        ..route(
            Verb::Get,
            "/api/v1/agents/{agent}",
            "getAgent",
            AgentOp::Get,
        )
    },
    Route {
        summary: "Change an agent",
        description: "What is absent stays as it is. Steps that run keep the old configuration; the next one uses the new.",
        body: Body::Required(form::<AgentUpdate>, SMALL),
        problems: &[404, 409],
        ..route(
            Verb::Put,
            "/api/v1/agents/{agent}",
            "updateAgent",
            AgentOp::Update,
        )
    },
    Route {
        summary: "Remove an agent",
        description: "Its queued steps go to other agents; its history stays.",
        answers: &[answer(204, Content::Empty, "It is gone.")],
        ..route(
            Verb::Delete,
            "/api/v1/agents/{agent}",
            "deleteAgent",
            AgentOp::Delete,
        )
    },
    Route {
        summary: "Start an agent",
        description: "It takes steps from now on.",
        answers: &[
            ok(Content::Json(form::<AgentView>), "It was started before."),
            answer(202, Content::Json(form::<AgentView>), "It is started."),
        ],
        ..route(
            Verb::Post,
            "/api/v1/agents/{agent}/start",
            "startAgent",
            AgentOp::Start,
        )
    },
    Route {
        summary: "Stop an agent",
        description: "It takes nothing new. Running steps end first, or at once with the mode `now`, to be tried elsewhere; then this answers when nothing of it runs on any node any more, and `reach` names what could not be confirmed in time.",
        body: Body::Optional(form::<StopRequest>, SMALL),
        answers: &[answer(
            202,
            Content::Json(form::<AgentChange>),
            "It takes nothing new, and what of it is gone.",
        )],
        ..route(
            Verb::Post,
            "/api/v1/agents/{agent}/stop",
            "stopAgent",
            AgentOp::Stop,
        )
    },
    Route {
        summary: "Pause an agent",
        description: "Running steps end, nothing new starts, what is queued stays. It stays paused over a restart.",
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/agents/{agent}/pause",
            "pauseAgent",
            AgentOp::Pause,
        )
    },
    Route {
        summary: "Resume an agent",
        description: "It goes on with what is queued; nothing that is recorded runs again.",
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/agents/{agent}/resume",
            "resumeAgent",
            AgentOp::Resume,
        )
    },
    Route {
        summary: "Check an agent's health now",
        description: "Its status follows what the check finds.",
        answers: &[ok(
            Content::Json(form::<HealthReport>),
            "What the check found.",
        )],
        ..route(
            Verb::Post,
            "/api/v1/agents/{agent}/health",
            "checkAgent",
            AgentOp::Check,
        )
    },
    Route {
        summary: "An agent's configuration",
        description: "Secrets are named by environment variable, never by value.",
        answers: CONFIG,
        ..route(
            Verb::Get,
            "/api/v1/agents/{agent}/config",
            "getAgentConfig",
            AgentOp::Config,
        )
    },
    Route {
        summary: "Replace an agent's configuration",
        description: "Checked for the agent's type; a wrong field is named and nothing changes.",
        body: Body::Required(form::<Map<String, Value>>, SMALL),
        answers: CONFIG,
        problems: &[404, 409],
        ..route(
            Verb::Put,
            "/api/v1/agents/{agent}/config",
            "setAgentConfig",
            AgentOp::SetConfig,
        )
    },
    Route {
        summary: "What happened to an agent",
        description: "Its recorded events, the first one first.",
        query: &[
            parameter::<u64>("since", "Only events after this position."),
            LIMIT,
        ],
        answers: &[ok(Content::Json(form::<Vec<EventView>>), "Its events.")],
        ..route(
            Verb::Get,
            "/api/v1/agents/{agent}/events",
            "agentEvents",
            AgentOp::Events,
        )
    },
    Route {
        summary: "What an agent does",
        description: "Lines about its life and its attempts, the last ones of each, the first one first; attempts as far as the node that hosts it remembers, and of tasks that are not yours to see without what they say. With `follow`, server-sent events that go on as lines come.",
        query: &[
            parameter::<String>(
                "since",
                "Only lines after this one: the `cursor` of a line, which is the `id` of its frame, or a moment as microseconds since 1970.",
            ),
            parameter::<String>("follow", "`1` or `true`: go on as lines come."),
        ],
        answers: &[ok(
            Content::Json(form::<Vec<AgentLogLine>>),
            "Its lines; with `follow`, each as a frame.",
        )],
        ..route(
            Verb::Get,
            "/api/v1/agents/{agent}/logs",
            "agentLogs",
            AgentOp::Logs,
        )
    },
];
