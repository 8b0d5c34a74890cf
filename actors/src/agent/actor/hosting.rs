//! Sees that one node hosts the agent: the same as long as it fits, another when it does not.

use std::sync::Arc;

use protocol::id::NodeId;
use tokio::task::AbortHandle;

use super::{
    Cx, agent_id,
    message::{Message, Placed},
};
use crate::{
    agent::placing,
    host::{Fact, Offer, Order, Retire, Running, Stamp},
    registry::view::path_of,
    task::links::proxy_of,
};

/// How soon a node is looked for again when the one that was chosen did not take the agent.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// How long a node is looked for that has an agent's code before operators hear of it.
const LOOKED_FOR: std::time::Duration = std::time::Duration::from_secs(3);

/// Where the agent is hosted, and where it is on its way to.
#[derive(Debug, Default)]
pub(super) struct Hosting {
    /// The node that hosts it, its name, and the position of the events that it knows.
    host: Option<(NodeId, Arc<str>, u64)>,
    /// Nodes that may host it, because they were asked to or did once, and those on which attempts
    /// of then go on.
    maybe: Vec<NodeId>,
    /// Where it is to go though it could stay.
    wish: Option<NodeId>,
    /// Counts the moves; only the last one counts.
    moves: u64,
    under_way: Option<Move>,
}

/// The way to another node.
#[derive(Debug)]
struct Move {
    to: NodeId,
    /// The position of the events that the node is told.
    version: u64,
    /// Nodes that are told first to host it no more.
    leaving: Vec<NodeId>,
    going: AbortHandle,
}

impl Drop for Move {
    fn drop(&mut self) {
        self.going.abort();
    }
}

/// Puts the agent into the registry, or brings the entry that is there up to date, and sees that it
/// is hosted.
pub(super) fn enlist(cx: &mut Cx) {
    let id = agent_id(cx);
    let known = cx.services.registry.get(id);
    // The owner before this one said where it is; or this one did, before it failed.
    let host = known.and_then(|agent| agent.facts().host.clone());
    if let Some((node, name)) = host
        && !cx.services.hosts.around.cluster.gone(node)
    {
        cx.volatile.hosting.maybe.push(node);
        cx.volatile.hosting.host = Some((node, name, 0));
    }
    show(cx, Running::GoesOn);
}

/// Tells registries and host how the agent is now.
pub(super) fn show(cx: &mut Cx, running: Running) {
    settle(cx, running);
    announce(cx);
}

/// Nodes came or went.
pub(super) fn place(cx: &mut Cx) {
    let (target, head) = (target(cx), cx.state.head());
    let hosting = &cx.volatile.hosting;
    let is_there = match (&hosting.host, &hosting.under_way) {
        (_, Some(going)) => Some((going.to, going.version)),
        (Some((node, _, version)), None) => Some((*node, *version)),
        (None, None) => None,
    };
    if is_there != target.map(|(node, _)| (node, head)) {
        show(cx, Running::GoesOn);
    }
}

/// A node hosts it that should not: the owner before this one asked it to, say.
pub(super) fn retake(cx: &mut Cx, node: NodeId) {
    let is_gone = cx.services.hosts.around.cluster.gone(node);
    let hosting = &mut cx.volatile.hosting;
    let under_way = hosting.under_way.as_ref().map(|going| going.to);
    let present = hosting.host.as_ref().map(|(node, ..)| *node);
    if is_gone || under_way.or(present) == Some(node) || hosting.maybe.contains(&node) {
        return;
    }
    hosting.maybe.push(node);
    // A move that is under way comes to its end first: however many such nodes tell, it arrives.
    if under_way.is_none() {
        show(cx, Running::GoesOn);
    }
}

/// Another node has fewer agents: an idle one moves there.
pub(super) fn share(cx: &mut Cx, to: NodeId) {
    let entry = cx.volatile.entry.as_ref();
    let idle = entry.is_some_and(|agent| agent.load(&agent.facts()).taken == 0);
    let hosting = &cx.volatile.hosting;
    let settled = hosting.under_way.is_none() && hosting.maybe.len() == 1;
    if !idle || !settled || cx.state.deleted {
        return;
    }
    cx.volatile.hosting.wish = Some(to);
    if target(cx).is_some_and(|(node, _)| node == to) {
        show(cx, Running::GoesOn);
    }
    cx.volatile.hosting.wish = None;
}

/// The agent's code was on no node, and may have come since.
pub(super) fn lacking(cx: &Cx) -> Option<String> {
    if target(cx).is_some() {
        return None;
    }
    let spec = cx.state.spec.as_ref().filter(|_| !cx.state.deleted)?;
    cx.services.hosts.lacking(spec)
}

/// The node that is to host the agent.
fn target(cx: &Cx) -> Option<(NodeId, Arc<str>)> {
    let spec = cx.state.spec.as_ref().filter(|_| !cx.state.deleted)?;
    let hosting = &cx.volatile.hosting;
    let present = match (&hosting.under_way, &hosting.host) {
        (Some(going), _) => Some(going.to),
        (None, Some((node, ..))) => Some(*node),
        (None, None) => None,
    };
    let hosts = &cx.services.hosts;
    let mut sites = hosts.around.cluster.sites();
    sites.retain(|site| match hosts.offer(site.node, spec) {
        Offer::Made => true,
        Offer::Lacking => false,
        // Where it is hosted it was taken in.
        Offer::Unknown => Some(site.node) == present,
    });
    let present = hosting.wish.or(present);
    let site = placing::choose(agent_id(cx), &spec.placement, present, &sites)?;
    Some((site.node, site.name.clone()))
}

/// Moves the agent to the node that is to host it, or tells that node what has changed.
fn settle(cx: &mut Cx, running: Running) {
    let Some(spec) = cx.state.spec.clone() else {
        return;
    };
    let target = target(cx);
    let (hosts, head) = (cx.services.hosts.clone(), cx.state.head());
    let retire = retire(cx, running);
    let mut order = Order {
        agent: agent_id(cx),
        tenant: cx.state.tenant().into(),
        spec: Arc::new(*spec),
        mode: cx.state.mode,
        stamp: retire.stamp,
        running,
        held: 0,
    };
    let (own, id) = (cx.services.agents.clone(), cx.id());
    let sites = hosts.around.cluster.sites();
    let hosting = &mut cx.volatile.hosting;
    let present = hosting.host.as_ref().map(|(node, ..)| *node);
    let unseen = move |node: NodeId| {
        let is_seen = sites.iter().any(|site| site.node == node);
        !is_seen || present.is_some_and(|present| present != node)
    };
    hosting.moves += 1;
    hosting.under_way = None;
    hosting
        .maybe
        .retain(|node| !hosts.around.cluster.gone(*node));
    let leaving: Vec<NodeId> = hosting
        .maybe
        .iter()
        .copied()
        .filter(|node| target.as_ref().is_none_or(|(to, _)| to != node))
        .collect();
    let me = hosts.me();
    if let Some((node, name)) = &target
        && *node == me
        && leaving.is_empty()
    {
        if hosts.host(order).is_ok() {
            hosting.maybe = vec![me];
            hosting.host = Some((me, name.clone(), head));
            return;
        }
        hosting.host = None;
        cx.tell_self_after(AGAIN, Message::Place);
        return;
    }
    let stays = |node: &NodeId| target.as_ref().is_some_and(|(to, _)| to == node);
    if hosting.host.as_ref().is_some_and(|(node, ..)| !stays(node)) {
        hosting.host = None;
    }
    hosting.maybe.extend(target.iter().map(|(node, _)| *node));
    hosting.maybe.sort_unstable();
    hosting.maybe.dedup();
    if target.is_none() {
        cx.tell_self_after(LOOKED_FOR, Message::Lacking);
    }
    let hosting = &mut cx.volatile.hosting;
    if target.is_none() && leaving.is_empty() {
        return;
    }
    let move_number = hosting.moves;
    let to = target.map(|(node, _)| node);
    let left = leaving.clone();
    let going = tokio::spawn(async move {
        // First nobody hosts it, then one does: its slots are never open twice.
        let mut busy = Vec::new();
        for node in leaving {
            let unseen = unseen(node);
            let running = hosts.retire_at(node, Retire { unseen, ..retire }).await;
            order.held = order.held.saturating_add(running);
            if running > 0 {
                busy.push(node);
            }
        }
        let hosted = match to {
            Some(node) if hosts.host_at(node, &order).await => Placed::On(node, busy),
            Some(_) | None => Placed::Nowhere,
        };
        own.tell_active(
            id,
            Message::Placed {
                move_number,
                hosted,
            },
        );
    });
    if let Some(to) = to {
        hosting.under_way = Some(Move {
            to,
            version: head,
            leaving: left,
            going: going.abort_handle(),
        });
    }
}

fn retire(cx: &Cx, running: Running) -> Retire {
    Retire {
        agent: agent_id(cx),
        stamp: stamp(cx),
        running,
        unseen: false,
    }
}

/// A move came to its end.
pub(super) fn placed(cx: &mut Cx, move_number: u64, hosted: Placed) {
    let hosting = &mut cx.volatile.hosting;
    if hosting.moves != move_number {
        return;
    }
    let going = hosting.under_way.take();
    let version = going.as_ref().map_or(0, |going| going.version);
    match hosted {
        Placed::On(node, busy) => {
            let sites = cx.services.hosts.around.cluster.sites();
            let name = sites.iter().find(|site| site.node == node);
            let name = name.map_or_else(|| node.to_string().into(), |site| site.name.clone());
            let left = going.as_ref().map_or(&[][..], |going| &going.leaving);
            // Those that told since that they host it stay to be told.
            hosting.maybe.retain(|node| !left.contains(node));
            hosting.maybe.extend(busy);
            hosting.maybe.push(node);
            hosting.maybe.sort_unstable();
            hosting.maybe.dedup();
            hosting.host = Some((node, name, version));
            if hosting.maybe.len() > 1 {
                cx.tell_self_after(AGAIN, Message::Ending);
            }
        }
        Placed::Nowhere => {
            hosting.host = None;
            cx.tell_self_after(AGAIN, Message::Place);
        }
    }
    announce(cx);
}

/// Attempts that went on where the agent was before may have ended: its host opens their slots.
pub(super) fn ending(cx: &mut Cx) {
    let hosting = &cx.volatile.hosting;
    if hosting.under_way.is_none() && hosting.maybe.len() > 1 {
        settle(cx, Running::GoesOn);
    }
}

/// The agent was removed: nobody hosts it, nobody knows it.
pub(super) fn remove(cx: &mut Cx) {
    let retire = retire(cx, Running::Ends);
    let id = agent_id(cx);
    cx.services.directory.remove(id, retire.stamp);
    let hosting = &mut cx.volatile.hosting;
    hosting.under_way = None;
    for node in std::mem::take(&mut hosting.maybe) {
        let hosts = cx.services.hosts.clone();
        if node == hosts.me() {
            let _ = hosts.retire(retire);
        } else {
            tokio::spawn(async move { hosts.retire_at(node, retire).await });
        }
    }
}

/// Tells every registry of the cluster how the agent is now.
pub(super) fn announce(cx: &mut Cx) {
    let Some(spec) = cx.state.spec.clone().filter(|_| !cx.state.deleted) else {
        return;
    };
    let agent = path_of(cx.state.tenant(), &spec.name);
    let host = cx.volatile.hosting.host.as_ref();
    let proxy = host.map(|(_, name, _)| proxy_of(&agent, Some(name.to_string())));
    cx.show_links(proxy.into_iter().collect());
    let host = &cx.volatile.hosting.host;
    let fact = Fact {
        agent: agent_id(cx),
        tenant: cx.state.tenant().to_owned(),
        spec: Arc::new(*spec),
        mode: cx.state.mode,
        health: cx.state.health,
        created_at: cx.state.created_at,
        updated_at: cx.state.updated_at,
        host: host.as_ref().map(|(node, name, _)| (*node, name.clone())),
        stamp: stamp(cx),
    };
    cx.services.directory.announce(fact);
    cx.volatile.entry = cx.services.registry.get(agent_id(cx));
}

/// Greater than that of any word before.
fn stamp(cx: &Cx) -> Stamp {
    let epoch = cx.state.owned_under();
    let now = u64::try_from(cx.services.clock.now().as_micros()).unwrap_or(0);
    let entry = cx.services.registry.get(agent_id(cx));
    let before = entry.map(|agent| agent.facts().stamp);
    let moment = match before {
        Some(before) if before.epoch == epoch => now.max(before.moment + 1),
        Some(_) | None => now,
    };
    Stamp { epoch, moment }
}
