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

use super::{Answers, Body, CONSISTENCY, Content, Operation, Parameter, Route, SMALL, Verb, form};
use crate::edge::access::Access;

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
    let access = match method {
        Verb::Get => Role::Viewer,
        Verb::Post | Verb::Put | Verb::Delete => Role::Operator,
    };
    Route {
        method,
        path,
        id,
        access: Access::Least(access),
        summary: "",
        description: "",
        query: &[],
        body: Body::None,
        answers: AGENT,
        problems: &[404],
        operation: Operation::Agent(operation),
    }
}

const fn ok(content: Content, when: &'static str) -> Answers {
    Answers {
        status: 200,
        when,
        content,
    }
}

const AGENT: &[Answers] = &[ok(Content::Json(form::<AgentView>), "The agent.")];
const CONFIG: &[Answers] = &[ok(
    Content::Json(form::<Map<String, Value>>),
    "Its configuration.",
)];

pub(crate) const LIMIT: Parameter = Parameter {
    name: "limit",
    description: "Items a page; 50 when absent.",
    schema: |_| schemars::json_schema!({"type": "integer", "minimum": 1, "maximum": 200}),
};
pub(crate) const CURSOR: Parameter = Parameter {
    name: "cursor",
    description: "`next_cursor` of the page before.",
    schema: form::<String>,
};

pub(super) static ROUTES: &[Route] = &[
    Route {
        summary: "Register an agent",
        description: "Its proxy is in the supervision tree when this answers. With `verify`, its endpoint is checked, called, and its answer looked at first; what fails is named, and nothing is stored.",
        body: Body::Required(form::<AgentSpec>, SMALL),
        answers: &[Answers {
            status: 201,
            when: "The agent, at the address in `Location`.",
            content: Content::Json(form::<AgentView>),
        }],
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
            Parameter {
                name: "status",
                description: "Only this status.",
                schema: form::<AgentStatus>,
            },
            Parameter {
                name: "capability",
                description: "Only agents that offer it.",
                schema: form::<String>,
            },
            Parameter {
                name: "type",
                description: "Only this type.",
                schema: form::<AgentType>,
            },
            Parameter {
                name: "meta.*",
                description: "Only agents whose metadata has this value under the name after `meta.`.",
                schema: form::<String>,
            },
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
        answers: &[Answers {
            status: 204,
            when: "It is gone.",
            content: Content::Empty,
        }],
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
            Answers {
                status: 202,
                when: "It is started.",
                content: Content::Json(form::<AgentView>),
            },
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
        answers: &[Answers {
            status: 202,
            when: "It takes nothing new, and what of it is gone.",
            content: Content::Json(form::<AgentChange>),
        }],
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
            Parameter {
                name: "since",
                description: "Only events after this position.",
                schema: form::<u64>,
            },
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
            Parameter {
                name: "since",
                description: "Only lines after this one: the `cursor` of a line, which is the `id` of its frame, or a moment as microseconds since 1970.",
                schema: form::<String>,
            },
            Parameter {
                name: "follow",
                description: "`1` or `true`: go on as lines come.",
                schema: form::<String>,
            },
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
