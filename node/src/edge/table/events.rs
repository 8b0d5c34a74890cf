//! Routes of what happens in the cluster, as it happens.

use protocol::api::{Happening, SocketFrame, SocketTicket};

use super::{Answers, Content, Operation, Parameter, Route, Verb, form};

/// What the routes of this page do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum EventOp {
    Stream,
    Socket,
    /// The same under the name that it has for clients of the original system.
    Client,
    Ticket,
}

const fn get(path: &'static str, id: &'static str, operation: EventOp) -> Route {
    Route {
        query: WANTED,
        ..Route::at(Verb::Get, path, id, Operation::Event(operation))
    }
}

const WANTED: &[Parameter] = &[
    Parameter {
        name: "types",
        description: "Names with commas between them, such as `task.*,workflow.node.*,worker.status`; all when absent.",
        schema: form::<String>,
    },
    Parameter {
        name: "since",
        description: "Also what was recorded after this position, the `id` of an event; 0 is the beginning.",
        schema: form::<String>,
    },
];

const WANTED_OF_SOCKET: &[Parameter] = &[
    WANTED[0],
    WANTED[1],
    Parameter {
        name: "ticket",
        description: "What `POST /api/v1/ws/ticket` gave, instead of a token.",
        schema: form::<String>,
    },
];

const fn socket(path: &'static str, id: &'static str, operation: EventOp) -> Route {
    Route {
        summary: "Follow the cluster's events over a WebSocket",
        description: "The same as `GET /api/v1/events`, each event as a text message `{\"id\", \"event\", \"data\"}`. A text message of the client, such as `{\"types\": \"task.*\", \"entity\": \"task_0198…\"}`, narrows what is told from then on and is answered by an event named `filtered`, or `problem`. A ping comes every 20 s; who says nothing for 50 s is left, who takes nothing for 5 s is closed with 4008, whose token is withdrawn with 1008, and 1001 says that the node stops. Needs HTTP/1.1; pages of other sites are refused. A web page, which cannot send a token with it, names a ticket.",
        query: WANTED_OF_SOCKET,
        answers: &[Answers {
            status: 101,
            when: "The WebSocket.",
            content: Content::Socket(form::<SocketFrame>),
        }],
        problems: &[426],
        ..get(path, id, operation)
    }
}

pub(super) static ROUTES: &[Route] = &[
    Route {
        summary: "Follow the cluster's events",
        description: "Server-sent events named after what happened: `task.submitted`, `task.settled`, `agent.mode_set`, whatever is recorded of the caller's tasks and agents, and of runs of workflows also as `workflow.started`, `workflow.node.completed`, in the order of the journal, from now on or after `since` or `Last-Event-ID`; and `worker.status`, first as each node is and then a second later at most when one joins, is suspect, dead or up, drains or leaves, and every two seconds at most when its load changes. A frame without data moves the position alone.",
        answers: &[Answers {
            status: 200,
            when: "What happens; what is recorded has the position after it as its `id`.",
            content: Content::Feed(form::<Happening>),
        }],
        ..get("/api/v1/events", "followEvents", EventOp::Stream)
    },
    Route {
        method: Verb::Post,
        summary: "Take a ticket for a WebSocket",
        description: "For web pages, which cannot send a token when they open a WebSocket: `/api/v1/ws?ticket=…` is then whoever asked for the ticket. It counts once, for 30 s, at any edge while the node that gave it runs. When the token for which it was given is withdrawn, the WebSocket is closed with 1008.",
        query: &[],
        answers: &[Answers {
            status: 201,
            when: "The ticket.",
            content: Content::Json(form::<SocketTicket>),
        }],
        problems: &[429],
        ..get("/api/v1/ws/ticket", "socketTicket", EventOp::Ticket)
    },
    socket("/api/v1/ws", "openSocket", EventOp::Socket),
    socket("/ws/client", "openClientSocket", EventOp::Client),
];
