//! Routes that stop, pause and resume scopes, and hold dependencies.

use protocol::{
    access::Role,
    api::{HoldChange, HoldRequest, HoldView, Page, ScopeRequest, ScopeTurn, ScopeView},
};

use super::{Answers, Body, Content, Operation, Route, SMALL, Verb, form, row::ok};

/// What the routes of this page do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum HoldOp {
    Stop,
    Pause,
    Resume,
    List,
    Place,
    Lift,
}

const fn route(method: Verb, path: &'static str, id: &'static str, operation: HoldOp) -> Route {
    Route {
        body: Body::Required(form::<ScopeTurn>, SMALL),
        answers: SCOPE,
        ..Route::at(method, path, id, Operation::Hold(operation)).changed_by(Role::Operator)
    }
}

const SCOPE: &[Answers] = &[ok(
    Content::Json(form::<ScopeView>),
    "How far it got; `unconfirmed` tells what did not answer in time.",
)];

const CHANGE: &[Answers] = &[ok(
    Content::Json(form::<HoldChange>),
    "The hold, and how far that got.",
)];

pub(super) static ROUTES: &[Route] = &[
    Route {
        summary: "Stop a scope",
        description: "Cancels every task of a session, a user or the whole cluster, and answers when all of it is gone on every node; a task whose end was not seen is named with its cause in `unconfirmed`. The cluster and its nodes are for operators of the default tenant. An agent is stopped and a node is paused; what they ran is tried elsewhere, where that may be.",
        problems: &[404],
        ..route(Verb::Post, "/api/v1/stop", "stopScope", HoldOp::Stop)
    },
    Route {
        summary: "Pause a scope",
        description: "Nothing in it starts until it is resumed: neither of what is there nor of what is submitted later, also after restarts. Attempts that run go on to their end; with `mode` `now` they are ended and tried again.",
        body: Body::Required(form::<ScopeRequest>, SMALL),
        problems: &[404],
        ..route(Verb::Post, "/api/v1/pause", "pauseScope", HoldOp::Pause)
    },
    Route {
        summary: "Resume a scope",
        description: "Ends what `pause` began. What else pauses a task, or holds what it needs, keeps doing so.",
        problems: &[404],
        ..route(Verb::Post, "/api/v1/resume", "resumeScope", HoldOp::Resume)
    },
    Route {
        summary: "List holds",
        description: "Scopes that are paused and dependencies that are held, by whom, since when and why; the first placed first.",
        body: Body::None,
        answers: &[ok(
            Content::Json(form::<Page<HoldView>>),
            "The holds, all on one page.",
        )],
        ..route(Verb::Get, "/api/v1/holds", "listHolds", HoldOp::List)
    },
    Route {
        summary: "Hold a dependency",
        description: "Just the steps that need the agent, the agents of a type, the tool or the provider wait, and `why` says so. What is held already is not held twice. A name that nothing here has is refused, unless `ahead` says that it is meant for what comes later.",
        body: Body::Required(form::<HoldRequest>, SMALL),
        answers: CHANGE,
        problems: &[404],
        ..route(Verb::Post, "/api/v1/holds", "placeHold", HoldOp::Place)
    },
    Route {
        summary: "Lift a hold",
        description: "What waited for it starts.",
        body: Body::None,
        answers: CHANGE,
        problems: &[404],
        ..route(
            Verb::Delete,
            "/api/v1/holds/{hold}",
            "liftHold",
            HoldOp::Lift,
        )
    },
];
