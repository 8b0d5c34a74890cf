//! Routes of the node itself.

use protocol::{
    access::Role,
    api::{HealthView, LogRequest, LogView, NodeView, StoreView},
};
use serde_json::{Map, Value};

use super::{Answers, Body, Content, Operation, Parameter, Route, SMALL, Verb, form};
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
    Route {
        method: Verb::Get,
        path,
        id,
        access: Access::Least(Role::Viewer),
        summary: "",
        description: "",
        query: &[],
        body: Body::None,
        answers: &[],
        problems: &[],
        operation: Operation::System(operation),
    }
}

const HEALTH: &[Answers] = &[Answers {
    status: 200,
    when: "How the node is.",
    content: Content::Json(form::<HealthView>),
}];

const LOG: &[Answers] = &[Answers {
    status: 200,
    when: "The level in force.",
    content: Content::Json(form::<LogView>),
}];

const OF_NODE: &[Parameter] = &[Parameter {
    name: "node",
    description: "The node by its name; the one that answers when absent.",
    schema: form::<String>,
}];

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
        answers: &[Answers {
            status: 200,
            when: "The measurements.",
            content: Content::Other("text/plain"),
        }],
        ..get("/metrics", "metrics", SystemOp::Metrics)
    },
    Route {
        summary: "The node that answers",
        description: "Its names, its version, and how many entities it has in memory.",
        answers: &[Answers {
            status: 200,
            when: "The node.",
            content: Content::Json(form::<NodeView>),
        }],
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
        answers: &[Answers {
            status: 200,
            when: "The store.",
            content: Content::Json(form::<StoreView>),
        }],
        ..get("/api/v1/store", "store", SystemOp::Store)
    },
    Route {
        method: Verb::Post,
        summary: "Tools for an operator's agent",
        description: "The Model Context Protocol, streamable HTTP without sessions, in the revisions 2026-07-28 and 2025-11-25 and the three before: tools that look at the cluster, and for operators tools that pause, stop and restart. Each tool is a route of this document, with its roles and its limits. `troupe mcp` speaks the same over standard input and output.",
        body: Body::Required(form::<Map<String, Value>>, SMALL),
        answers: &[
            Answers {
                status: 200,
                when: "The answer to a message, as JSON-RPC has it.",
                content: Content::Json(form::<Map<String, Value>>),
            },
            Answers {
                status: 202,
                when: "The message needs no answer.",
                content: Content::Empty,
            },
        ],
        problems: &[400],
        ..get("/mcp", "mcp", SystemOp::Mcp)
    },
    Route {
        summary: "This document",
        description: "The whole HTTP contract as OpenAPI 3.1.",
        answers: &[Answers {
            status: 200,
            when: "The document.",
            content: Content::Json(form::<Map<String, Value>>),
        }],
        ..get("/api/v1/openapi.json", "openapi", SystemOp::OpenApi)
    },
];
