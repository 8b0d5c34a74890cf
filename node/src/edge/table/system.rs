//! Routes of the node itself.

use protocol::{
    access::Role,
    api::{HealthView, LogRequest, LogView, NodeView, StoreView},
};
use serde_json::{Map, Value};

use super::{
    Answers, Body, Content, Operation, Parameter, Route, SMALL, Verb, form,
    row::{answer, ok, parameter},
};
use crate::edge::access::Access;

/// What the routes of this page do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SystemOp {
    Health,
    Live,
    Ready,
    Metrics,
    Node,
    Log,
    SetLog,
    Store,
    OpenApi,
    Mcp,
}

const fn get(path: &'static str, id: &'static str, operation: SystemOp) -> Route {
    Route::at(Verb::Get, path, id, Operation::System(operation))
}

const HEALTH: &[Answers] = &[ok(Content::Json(form::<HealthView>), "How the node is.")];

const LOG: &[Answers] = &[ok(Content::Json(form::<LogView>), "The level in force.")];

const OF_NODE: &[Parameter] = &[parameter::<String>(
    "node",
    "The node by its name; the one that answers when absent.",
)];

pub(super) static ROUTES: &[Route] = &[
    Route {
        access: Access::Open,
        summary: "How the node is",
        description: "Answers `ok`, `degraded` or `draining`. What was looked at is shown to callers with a token only.",
        answers: HEALTH,
        ..get("/health", "health", SystemOp::Health)
    },
    Route {
        access: Access::Open,
        summary: "Whether the process lives",
        description: "Answers as long as the process can answer at all; for a supervisor that restarts it.",
        answers: HEALTH,
        ..get("/health/live", "live", SystemOp::Live)
    },
    Route {
        access: Access::Open,
        summary: "Whether the node takes work",
        description: "Answers 503 while the node starts or drains, and while its lease is not renewed, and says why; for a load balancer.",
        answers: HEALTH,
        problems: &[503],
        ..get("/health/ready", "ready", SystemOp::Ready)
    },
    Route {
        summary: "Measurements",
        description: "Every counter, gauge and histogram of the node, as Prometheus reads them.",
        answers: &[ok(Content::Other("text/plain"), "The measurements.")],
        ..get("/metrics", "metrics", SystemOp::Metrics)
    },
    Route {
        summary: "The node that answers",
        description: "Its names, its version, and how many entities it has in memory.",
        answers: &[ok(Content::Json(form::<NodeView>), "The node.")],
        ..get("/api/v1/node", "node", SystemOp::Node)
    },
    Route {
        access: Access::Least(Role::Operator),
        summary: "How much a node logs",
        description: "The level in force, of the whole or by part.",
        query: OF_NODE,
        answers: LOG,
        problems: &[404, 409, 503],
        ..get("/api/v1/node/log", "log", SystemOp::Log)
    },
    Route {
        method: Verb::Put,
        access: Access::Least(Role::Admin),
        summary: "Change how much a node logs",
        description: "From now on, until it ends or is told otherwise. Who did it stands in the log.",
        query: OF_NODE,
        body: Body::Required(form::<LogRequest>, SMALL),
        answers: LOG,
        problems: &[404, 409, 503],
        ..get("/api/v1/node/log", "setLog", SystemOp::SetLog)
    },
    Route {
        access: Access::Least(Role::Operator),
        summary: "The store",
        description: "Its engine and schema, and how much it holds.",
        answers: &[ok(Content::Json(form::<StoreView>), "The store.")],
        ..get("/api/v1/store", "store", SystemOp::Store)
    },
    Route {
        method: Verb::Post,
        summary: "Tools for an operator's agent",
        description: "The Model Context Protocol, streamable HTTP without sessions, in the revisions 2026-07-28 and 2025-11-25 and the three before: tools that look at the cluster, and for operators tools that pause, stop and restart. Each tool is a route of this document, with its roles and its limits. `troupe mcp` speaks the same over standard input and output.",
        body: Body::Required(form::<Map<String, Value>>, SMALL),
        answers: &[
            ok(
                Content::Json(form::<Map<String, Value>>),
                "The answer to a message, as JSON-RPC has it.",
            ),
            answer(202, Content::Empty, "The message needs no answer."),
        ],
        problems: &[400],
        ..get("/mcp", "mcp", SystemOp::Mcp)
    },
    Route {
        summary: "This document",
        description: "The whole HTTP contract as OpenAPI 3.1.",
        answers: &[ok(
            Content::Json(form::<Map<String, Value>>),
            "The document.",
        )],
        ..get("/api/v1/openapi.json", "openapi", SystemOp::OpenApi)
    },
];
