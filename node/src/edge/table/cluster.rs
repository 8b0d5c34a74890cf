//! Routes of the cluster: its nodes, and the tokens with which others join.

use protocol::{
    access::Role,
    api::{MemberView, NewToken, Page, TokenRequest, TokenView},
};

use super::{
    Body, Content, Operation, Route, SMALL, Verb, form,
    row::{answer, ok},
};
use crate::edge::access::Access;

/// What the routes of this page do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ClusterOp {
    Nodes,
    Node,
    Drain,
    Resume,
    Remove,
    CreateToken,
    Tokens,
    RevokeToken,
}

const fn route(
    method: Verb,
    path: &'static str,
    id: &'static str,
    least: Role,
    operation: ClusterOp,
) -> Route {
    Route {
        access: Access::Least(least),
        ..Route::at(method, path, id, Operation::Cluster(operation))
    }
}

pub(super) static ROUTES: &[Route] = &[
    Route {
        summary: "List nodes",
        description: "Every node of the cluster by name, those that left or died within a day among them. Counts and load are what each node said of itself with the last renewal of its lease, a second or two ago.",
        answers: &[ok(
            Content::Json(form::<Page<MemberView>>),
            "The nodes, all on one page.",
        )],
        ..route(
            Verb::Get,
            "/api/v1/nodes",
            "listNodes",
            Role::Viewer,
            ClusterOp::Nodes,
        )
    },
    Route {
        summary: "One node",
        description: "By name. Counts and load are asked of the node itself, if it can be reached.",
        answers: &[ok(Content::Json(form::<MemberView>), "The node.")],
        problems: &[404],
        ..route(
            Verb::Get,
            "/api/v1/nodes/{node}",
            "getNode",
            Role::Viewer,
            ClusterOp::Node,
        )
    },
    Route {
        summary: "Drain a node",
        description: "It hands over what it owns and takes no new agents; attempts that run on it end in their time. It has drained when `shards` and `running` are 0. It takes part again when it is resumed or restarted.",
        answers: &[answer(
            202,
            Content::Json(form::<MemberView>),
            "The node, which drains.",
        )],
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/nodes/{node}/drain",
            "drainNode",
            Role::Operator,
            ClusterOp::Drain,
        )
    },
    Route {
        summary: "Let a node take part again",
        description: "Ends what `drain` began.",
        answers: &[ok(Content::Json(form::<MemberView>), "The node.")],
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/nodes/{node}/resume",
            "resumeNode",
            Role::Operator,
            ClusterOp::Resume,
        )
    },
    Route {
        summary: "Remove a node",
        description: "For good: its certificates count no more, its links are closed, others take over what it owned, and its name is free. The last control node cannot be removed while it lives.",
        answers: &[answer(204, Content::Empty, "It is out of the cluster.")],
        problems: &[404, 409],
        ..route(
            Verb::Delete,
            "/api/v1/nodes/{node}",
            "removeNode",
            Role::Admin,
            ClusterOp::Remove,
        )
    },
    Route {
        summary: "Make a join token",
        description: "One node can join with it, once, until it expires; after an hour when `ttl` is absent. This answer alone shows it.",
        body: Body::Optional(form::<TokenRequest>, SMALL),
        answers: &[answer(
            201,
            Content::Json(form::<NewToken>),
            "The token, and the command that joins with it.",
        )],
        problems: &[409],
        ..route(
            Verb::Post,
            "/api/v1/tokens",
            "createToken",
            Role::Admin,
            ClusterOp::CreateToken,
        )
    },
    Route {
        summary: "List join tokens",
        description: "The newest first: those that let a node in, and those that could within the last day. No secrets.",
        answers: &[ok(
            Content::Json(form::<Page<TokenView>>),
            "The tokens, all on one page.",
        )],
        ..route(
            Verb::Get,
            "/api/v1/tokens",
            "listTokens",
            Role::Admin,
            ClusterOp::Tokens,
        )
    },
    Route {
        summary: "Revoke a join token",
        description: "Nobody joins with it any more. A node that did is taken out with `DELETE /api/v1/nodes/{node}`.",
        answers: &[answer(204, Content::Empty, "It is of no use any more.")],
        problems: &[404, 409],
        ..route(
            Verb::Delete,
            "/api/v1/tokens/{token}",
            "revokeToken",
            Role::Admin,
            ClusterOp::RevokeToken,
        )
    },
];
