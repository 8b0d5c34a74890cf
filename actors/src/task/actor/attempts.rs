//! What becomes of attempts that were under way when their task, or their node, went away.

use std::collections::HashMap;

use protocol::{
    id::{AgentId, NodeId},
    task::{Event, Failure, TokenHash},
};

use super::{Cx, Message, moment};
use crate::task::rules::{Sighting, sighting};

/// Attempts whose node is gone, or that this node does not run though it was to, are lost. Other
/// nodes are asked; until they answer, theirs run.
pub(super) fn settle_lost(cx: &Cx) -> Vec<Event> {
    let why = Failure::new(
        "node_lost",
        "the process that ran it ended before its result was recorded",
    );
    let hosts = cx.services.hosts.clone();
    let seen = |node| sighting(node, hosts.me(), |node| hosts.around.cluster.gone(node));
    let mut elsewhere: HashMap<NodeId, Vec<(AgentId, TokenHash)>> = HashMap::new();
    for step in &cx.state.steps {
        let Some(attempt) = step.running() else {
            continue;
        };
        if seen(attempt.node) == Sighting::Elsewhere {
            let named = (attempt.agent, attempt.token.clone());
            elsewhere.entry(attempt.node).or_default().push(named);
        }
    }
    for (node, attempts) in elsewhere {
        ask(cx, node, attempts);
    }
    cx.state.lose(&why, moment(&cx.services), |attempt| {
        match seen(attempt.node) {
            Sighting::Gone => true,
            Sighting::Here => !hosts.knows(attempt.agent, &attempt.token),
            Sighting::Elsewhere => false,
        }
    })
}

/// Asks a node which attempts it runs, until it answers or is gone.
fn ask(cx: &Cx, node: NodeId, attempts: Vec<(AgentId, TokenHash)>) {
    let (hosts, tasks, id) = (cx.services.hosts.clone(), cx.host().clone(), cx.id());
    tokio::spawn(async move {
        let tokens = attempts.iter().map(|(_, token)| token.clone()).collect();
        let known = hosts.query(node, attempts).await;
        let attempts = tokens;
        tasks.tell_active(id, Message::Asked { attempts, known });
    });
}

/// Attempts that their node does not know never ran: it takes them in no more.
pub(super) fn asked(cx: &Cx, attempts: &[TokenHash], known: Option<&[bool]>) -> Vec<Event> {
    let Some(known) = known else {
        return lose_gone(cx);
    };
    let unknown = attempts.iter().zip(known).filter(|(_, known)| !**known);
    let unknown: Vec<_> = unknown.map(|(token, _)| token).collect();
    let why = Failure::new(
        "not_started",
        "its host had not taken it over when its task moved",
    );
    cx.state.never_ran(&why, moment(&cx.services), |attempt| {
        unknown.contains(&&attempt.token)
    })
}

/// What ran on nodes that are gone is lost.
pub(super) fn lose_gone(cx: &Cx) -> Vec<Event> {
    if cx.state.running() == 0 {
        return Vec::new();
    }
    let cluster = &cx.services.hosts.around.cluster;
    let why = Failure::new("node_lost", "the node that ran it is gone");
    cx.state.lose(&why, moment(&cx.services), |attempt| {
        cluster.gone(attempt.node)
    })
}
