//! Routes of the tree of actors: as it is, as it was, and what operators do to one of them.

use protocol::{
    access::Role,
    api::{
        ActionRequest, ActionView, ActorAction, ActorMessages, ActorView, EntityState, LifeEvent,
        Page, TreeDelta, TreeDiff, TreeView,
    },
    time::{Span, Timestamp},
};

use super::{
    Answers, Body, Content, Operation, Parameter, Route, SMALL, Verb, form,
    row::{ok, parameter},
};
use crate::edge::access::Access;

/// What the routes of this page do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TreeOp {
    Show,
    Diff,
    Stream,
    Actor,
    Messages,
    State,
    Act(ActorAction),
    Life,
    LifeStream,
}

const fn get(path: &'static str, id: &'static str, operation: TreeOp) -> Route {
    Route::at(Verb::Get, path, id, Operation::Tree(operation))
}

const fn act(path: &'static str, id: &'static str, action: ActorAction) -> Route {
    Route {
        method: Verb::Post,
        access: Access::Least(Role::Operator),
        query: &[ONE_NODE],
        body: Body::Optional(form::<ActionRequest>, SMALL),
        answers: ACTED,
        problems: &[404],
        ..get(path, id, TreeOp::Act(action))
    }
}

const ACTED: &[Answers] = &[ok(
    Content::Json(form::<ActionView>),
    "It was done: the actor after that.",
)];

const START: Parameter = parameter::<String>(
    "path",
    "Where to start, such as `/agents`; `/` when absent.",
);
const NODE: Parameter = parameter::<String>(
    "node",
    "Only actors of this node; of all nodes when absent.",
);
const ONE_NODE: Parameter = parameter::<String>(
    "node",
    "The node that it runs on; needed when several have an actor at the path.",
);
const GLOB: Parameter = parameter::<String>(
    "path",
    "A pattern such as `/tasks/*` or `/agents/**`: `*` stands for any part of one name, `**` for any number of names.",
);
const KIND: Parameter = parameter::<String>(
    "kind",
    "Words with commas between them, such as `failed,restarted` for what became of actors, or `task,agent` for what they are.",
);

pub(super) static ROUTES: &[Route] = &[
    Route {
        summary: "The supervision tree",
        description: "Every actor of the cluster from `path` down: where it stands, what it is doing, how often it was restarted and why. The same from every node. Sorted by nodes, then by paths; nodes that do not answer within 2 s are named as `silent`, and a `node` that is dead is not found. With `at`, as it was then; a moment before what is kept is refused, and told from when on it is.",
        query: &[
            START,
            parameter::<u32>("depth", "How many levels below it; all when absent."),
            NODE,
            parameter::<Timestamp>("at", "As it was then, to the second; as it is when absent."),
            parameter::<String>("after", "The `next` of the page before."),
            parameter::<u32>(
                "limit",
                "Rows of a page, from 1 to 10,000; 1,000 when absent.",
            ),
        ],
        answers: &[ok(
            Content::Json(form::<TreeView>),
            "The tree, parents before children.",
        )],
        problems: &[404],
        ..get("/api/v1/tree", "tree", TreeOp::Show)
    },
    Route {
        summary: "What changed in the tree",
        description: "What died, moved or restarted between two moments, and why. Moments before what is kept are refused, and so are two between which too much happened. A path at which nothing stands or ever stood, as far as is kept, is not found.",
        query: &[
            START,
            NODE,
            parameter::<Timestamp>("from", "The earlier moment."),
            parameter::<Timestamp>("to", "The later one; now when absent."),
        ],
        answers: &[ok(
            Content::Json(form::<TreeDiff>),
            "Each actor whose row differs.",
        )],
        problems: &[404],
        ..get("/api/v1/tree/diff", "treeDiff", TreeOp::Diff)
    },
    Route {
        summary: "Follow the tree",
        description: "Server-sent events named `delta`. Each node tells all its rows first, in frames of which the first is a `reset`, then what changes, a second later at most. A node that is not heard of any more has a `reset` without rows. With `Last-Event-ID`, what came since; a cursor that a node does not know leads to its `reset`. Without one, a path at which nothing stands or ever stood, as far as is kept, is not found.",
        query: &[START],
        answers: &[ok(
            Content::Feed(form::<TreeDelta>),
            "The frames, each with the cursor after it as its `id`.",
        )],
        problems: &[404],
        ..get("/api/v1/tree/stream", "followTree", TreeOp::Stream)
    },
    Route {
        summary: "What became of actors",
        description: "Starts, ends, failures, restarts, moves, as far as they are kept; the newest last. When there is more than `limit`, or than is read for one request, `next_cursor` is the `to` of what came before.",
        query: &[
            GLOB,
            KIND,
            NODE,
            parameter::<Timestamp>(
                "from",
                "After this moment; an hour before `to` when absent.",
            ),
            parameter::<Timestamp>("to", "Not after this moment; now when absent."),
            parameter::<u32>(
                "limit",
                "The last so many, from 1 to 10,000; 1,000 when absent.",
            ),
        ],
        answers: &[ok(
            Content::Json(form::<Page<LifeEvent>>),
            "What became of them; `total` counts them when these are all.",
        )],
        problems: &[404],
        ..get("/api/v1/life", "life", TreeOp::Life)
    },
    Route {
        summary: "Follow what becomes of actors",
        description: "Server-sent events named `life`, from now on or after `Last-Event-ID`; with `from` or `limit`, what is kept of it comes first. An event named `gap` names a `node` of whose actors it is not known what became of them meanwhile, as after a long break. A frame without data moves the cursor alone.",
        query: &[
            GLOB,
            KIND,
            parameter::<Timestamp>("from", "Also what happened after this moment."),
            parameter::<u32>(
                "limit",
                "Also the last so many that are kept, from 1 to 10,000.",
            ),
        ],
        answers: &[ok(
            Content::Feed(form::<LifeEvent>),
            "What becomes of them, each with the cursor after it as its `id`.",
        )],
        ..get("/api/v1/life/stream", "followLife", TreeOp::LifeStream)
    },
    Route {
        summary: "The messages of an actor",
        description: "The last messages that the actor at a path of the tree handled, at most 100: by name, when, and how long each took; never what is in them. They are kept from the first time on that somebody asks for them, and for a minute after the last, of at most 64 actors of a node: with `wait`, it is answered after so long. An actor that is itself called `messages` or `state` is reached with the first letter percent-encoded.",
        query: &[
            ONE_NODE,
            parameter::<Span>(
                "wait",
                "Listen for so long before it is answered, such as `5s`; at most `30s`.",
            ),
        ],
        answers: &[ok(Content::Json(form::<ActorMessages>), "The messages.")],
        problems: &[404, 409, 429],
        ..get(
            "/api/v1/actors/{path}/messages",
            "actorMessages",
            TreeOp::Messages,
        )
    },
    Route {
        summary: "The state of an entity, as it is or was",
        description: "What the events of the entity at a path of the tree, such as a task, an agent or a hold, made of it: up to the event at a position of its stream, or up to the last. It need not run anywhere. What is secret is left out.",
        query: &[parameter::<u64>(
            "at",
            "The position of the last event that counts, from 1; the last when absent.",
        )],
        answers: &[ok(Content::Json(form::<EntityState>), "Its state.")],
        problems: &[404],
        ..get("/api/v1/actors/{path}/state", "entityState", TreeOp::State)
    },
    Route {
        summary: "One actor",
        description: "The actor at a path of the tree, such as `/api/v1/actors/agents/reviewer`: its row, its children, its last failures and turns, and of an entity what is recorded; what it has to do with others, and what is left of a task's budget. What is secret is left out. When several nodes have an actor there, `node` says which is meant.",
        query: &[ONE_NODE],
        answers: &[ok(Content::Json(form::<ActorView>), "The actor.")],
        problems: &[404, 409],
        ..get("/api/v1/actors/{path}", "actor", TreeOp::Actor)
    },
    Route {
        summary: "Restart an actor",
        description: "A task, an agent or a hold ends what its actor does and begins again from what is recorded; what runs below `/system` is begun again by its supervisor.",
        ..act(
            "/api/v1/actors/{path}/restart",
            "restartActor",
            ActorAction::Restart,
        )
    },
    Route {
        summary: "Stop an actor",
        description: "Cancels a task with all that it runs; stops an agent.",
        ..act("/api/v1/actors/{path}/stop", "stopActor", ActorAction::Stop)
    },
    Route {
        summary: "Kill an actor",
        description: "As a crash would: it ends in the middle of what it does and begins again.",
        ..act("/api/v1/actors/{path}/kill", "killActor", ActorAction::Kill)
    },
    Route {
        summary: "Pause an actor",
        description: "Nothing more of the task starts, or the agent takes nothing new, until it is resumed.",
        ..act(
            "/api/v1/actors/{path}/pause",
            "pauseActor",
            ActorAction::Pause,
        )
    },
    Route {
        summary: "Resume an actor",
        description: "A paused task or agent goes on.",
        ..act(
            "/api/v1/actors/{path}/resume",
            "resumeActor",
            ActorAction::Resume,
        )
    },
    Route {
        summary: "Release a parked actor",
        description: "A task, an agent or a hold that failed again and again is in service again.",
        ..act(
            "/api/v1/actors/{path}/release",
            "releaseActor",
            ActorAction::Release,
        )
    },
];
