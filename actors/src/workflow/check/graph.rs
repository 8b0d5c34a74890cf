//! Nodes and edges as a graph: what is unknown, goes round, overlaps, or is never reached.

use std::collections::HashMap;

use protocol::workflow::{Definition, Shape};
use serde_json::json;

use super::{Findings, MAX_LOOPS, element, field, names, set::Set, work::within};
use crate::workflow::{condition::Condition, expression::Uses};

/// What the node of shapes that are one is called.
const ONLY: &str = "main";

/// What leads from one node to another.
#[derive(Debug)]
struct Arc {
    from: usize,
    to: usize,
    path: String,
    /// Its condition never holds.
    dead: bool,
}

/// The graph of a definition; nodes by their places.
#[derive(Debug)]
pub(super) struct Web<'a> {
    pub(super) ids: HashMap<&'a str, usize>,
    arcs: Vec<Arc>,
    outgoing: Vec<Vec<usize>>,
    incoming: Vec<Vec<usize>>,
    /// Edges that go back: from, to, and which edge.
    back: Vec<(usize, usize, usize)>,
    /// The nodes, each after those before it; those on a circle and behind it are left out.
    order: Vec<usize>,
    /// How many arcs lead to each node from those that are left out.
    left: Vec<usize>,
    /// The nodes from which a way leads to each.
    earlier: Vec<Set>,
    /// The nodes that each edge that goes back repeats.
    bodies: Vec<Set>,
    /// The edges that go back which repeat each node.
    loops: Vec<Set>,
}

impl<'a> Web<'a> {
    pub(super) fn new(definition: &'a Definition, found: &mut Findings) -> Self {
        let nodes = &definition.nodes;
        let mut ids = HashMap::new();
        for (at, node) in nodes.iter().enumerate() {
            ids.entry(node.id.as_str()).or_insert(at);
        }
        // Shapes of one node do not write it down.
        if matches!(definition.shape, Shape::Hierarchical | Shape::Mixture) && nodes.is_empty() {
            ids.insert(ONLY, 0);
        }
        let mut web = Self {
            ids,
            arcs: Vec::new(),
            outgoing: vec![Vec::new(); nodes.len()],
            incoming: vec![Vec::new(); nodes.len()],
            back: Vec::new(),
            order: Vec::new(),
            left: Vec::new(),
            earlier: Vec::new(),
            bodies: Vec::new(),
            loops: Vec::new(),
        };
        web.add_edges(definition, found);
        for (to, node) in nodes.iter().enumerate() {
            let needs = field(&element("nodes", to), "needs");
            for (at, need) in node.needs.iter().enumerate() {
                let path = element(&needs, at);
                if let Some(from) = web.find(need, &path, Some(&node.id), found) {
                    web.add(from, to, path, false);
                }
            }
        }
        if definition.shape == Shape::Sequential {
            for to in 1..nodes.len() {
                web.add(to - 1, to, element("nodes", to), false);
            }
        }
        web.close();
        web
    }

    fn add_edges(&mut self, definition: &Definition, found: &mut Findings) {
        for (at, edge) in definition.edges.iter().enumerate() {
            let path = element("edges", at);
            let from = self.find(&edge.from, &field(&path, "from"), None, found);
            let to = self.find(&edge.to, &field(&path, "to"), None, found);
            let (Some(from), Some(to)) = (from, to) else {
                continue;
            };
            match edge.back {
                Some(_) => self.back.push((from, to, at)),
                None => self.add(from, to, path, edge.condition.as_ref().is_some_and(never)),
            }
        }
    }

    fn find(
        &self,
        id: &str,
        path: &str,
        node: Option<&str>,
        found: &mut Findings,
    ) -> Option<usize> {
        let place = self.ids.get(id).copied();
        let place = place.filter(|at| *at < self.outgoing.len());
        if place.is_none() {
            let hint = found.meant(id, self.ids.keys().copied());
            found.add(node, path, format!("there is no node `{id}`{hint}"));
        }
        place
    }

    fn add(&mut self, from: usize, to: usize, path: String, dead: bool) {
        self.outgoing[from].push(self.arcs.len());
        self.incoming[to].push(self.arcs.len());
        self.arcs.push(Arc {
            from,
            to,
            path,
            dead,
        });
    }

    fn after(&self, node: usize) -> impl Iterator<Item = usize> {
        self.outgoing[node].iter().map(|arc| self.arcs[*arc].to)
    }

    /// Nodes right before one.
    pub(super) fn before(&self, node: usize) -> impl Iterator<Item = usize> {
        self.incoming[node].iter().map(|arc| self.arcs[*arc].from)
    }

    /// What follows from its arcs, for all nodes at once: looked for from each node and each loop alone,
    /// the largest definitions would cost billions of steps.
    fn close(&mut self) {
        (self.order, self.left) = self.in_order();
        let size = self.outgoing.len();
        self.earlier = vec![Set::default(); size];
        for step in 0..self.order.len() {
            let at = self.order[step];
            let mut earlier = Set::of_none(size);
            for from in self.before(at) {
                earlier.add(from);
                earlier.add_all(&self.earlier[from]);
            }
            self.earlier[at] = earlier;
        }
        for at in (0..size).filter(|at| self.left[*at] > 0) {
            self.earlier[at] = self.earlier_round_about(at);
        }
        self.bodies = self.back.iter().map(|back| self.body(*back)).collect();
        let of = |at: usize| {
            let mut loops = Set::of_none(self.bodies.len());
            let bodies = self.bodies.iter().enumerate();
            let around = bodies.filter(|(_, body)| body.has(at));
            around.for_each(|(index, _)| loops.add(index));
            loops
        };
        self.loops = (0..size).map(of).collect();
    }

    /// The nodes in order, and how many arcs are left to each.
    fn in_order(&self) -> (Vec<usize>, Vec<usize>) {
        let mut left: Vec<usize> = self.incoming.iter().map(Vec::len).collect();
        let mut order: Vec<usize> = (0..left.len()).filter(|at| left[*at] == 0).collect();
        let mut next = 0;
        while let Some(&at) = order.get(next) {
            next += 1;
            for to in self.after(at) {
                left[to] -= 1;
                if left[to] == 0 {
                    order.push(to);
                }
            }
        }
        (order, left)
    }

    /// The nodes before one that is on a circle or behind it.
    fn earlier_round_about(&self, node: usize) -> Set {
        let mut earlier = Set::of_none(self.outgoing.len());
        let mut open: Vec<usize> = self.before(node).collect();
        while let Some(at) = open.pop() {
            if earlier.has(at) {
                continue;
            }
            earlier.add(at);
            if self.left[at] > 0 {
                open.extend(self.before(at));
            } else {
                earlier.add_all(&self.earlier[at]);
            }
        }
        earlier
    }

    fn body(&self, (from, to, _): (usize, usize, usize)) -> Set {
        let size = self.outgoing.len();
        let mut body = Set::of_none(size);
        for at in 0..size {
            let is_ahead = at == to || self.earlier[at].has(to);
            if is_ahead && (at == from || self.earlier[from].has(at)) {
                body.add(at);
            }
        }
        body
    }

    /// Whether one can be over when a node starts: those before it can, and those of its loops from the
    /// time before.
    pub(super) fn is_known_to(&self, node: usize, one: usize) -> bool {
        let has = |sets: &[Set]| sets.get(node).is_some_and(|set| set.has(one));
        let loops = |at: usize| self.loops.get(at);
        (one != node && has(&self.earlier))
            || loops(node)
                .zip(loops(one))
                .is_some_and(|(its, others)| its.meets(others))
    }
}

/// Whether a condition refers to nothing and does not hold.
fn never(condition: &protocol::workflow::Condition) -> bool {
    let Ok(condition) = Condition::compile(condition) else {
        return false;
    };
    let mut uses = Uses::default();
    condition.uses(&mut uses);
    uses == Uses::default() && condition.holds(&json!({})) == Ok(false)
}

pub(super) fn check(definition: &Definition, web: &Web<'_>, found: &mut Findings) {
    if let Some(circle) = circle(web) {
        return say_circle(definition, web, &circle, found);
    }
    loops(definition, web, found);
    unreached(definition, web, found);
}

/// Arcs that make a circle, if any do.
fn circle(web: &Web<'_>) -> Option<Vec<usize>> {
    let left = &web.left;
    let start = left.iter().position(|left| *left > 0)?;
    // Whoever is left has one before it that is left: going back long enough goes round.
    let mut seen = vec![None; left.len()];
    let mut way = Vec::new();
    let mut at = start;
    loop {
        if let Some(first) = seen[at] {
            let mut circle = way.split_off(first);
            circle.reverse();
            return Some(circle);
        }
        seen[at] = Some(way.len());
        let is_left = |arc: &&usize| left[web.arcs[**arc].from] > 0;
        let Some(&arc) = web.incoming[at].iter().find(is_left) else {
            return Some(way);
        };
        way.push(arc);
        at = web.arcs[arc].from;
    }
}

/// Begins with the node of the circle that the definition names first.
fn say_circle(definition: &Definition, web: &Web<'_>, circle: &[usize], found: &mut Findings) {
    let first = (0..circle.len()).min_by_key(|at| web.arcs[circle[*at]].from);
    let (back, front) = circle.split_at(first.unwrap_or_default());
    let circle: Vec<&Arc> = front
        .iter()
        .chain(back)
        .map(|arc| &web.arcs[*arc])
        .collect();
    let id = |at: usize| definition.nodes[at].id.as_str();
    let (Some(start), Some(last)) = (circle.first(), circle.last()) else {
        return;
    };
    let way: Vec<&str> = circle.iter().map(|arc| id(arc.from)).collect();
    let message = format!(
        "{} → {} is a circle; an edge that goes back has a `loop`",
        way.join(" → "),
        id(start.from)
    );
    found.add(Some(id(last.to)), last.path.as_str(), message);
}

fn loops(definition: &Definition, web: &Web<'_>, found: &mut Findings) {
    if web.back.len() > MAX_LOOPS {
        let message = format!("at most {MAX_LOOPS} edges go back");
        return found.add(None, "edges", message);
    }
    for (at, (from, to, index)) in web.back.iter().enumerate() {
        let edge = &definition.edges[*index];
        let path = field(&element("edges", *index), "loop");
        let most = edge.back.unwrap_or_default().max_iterations;
        within(None, &field(&path, "max_iterations"), most, 1, 1_000, found);
        if !web.bodies[at].has(*from) || !web.bodies[at].has(*to) {
            let message = format!(
                "it does not go back: nothing leads from `{}` to `{}`",
                edge.to, edge.from
            );
            found.add(None, path, message);
            continue;
        }
        for (other, (.., index)) in web.back[..at].iter().enumerate() {
            if overlap(&web.bodies[at], &web.bodies[other]) {
                let other = names::key(&definition.edges[*index]);
                let message = format!(
                    "it repeats some of the nodes that `{other}` repeats, but neither all of them nor only them"
                );
                found.add(None, path.as_str(), message);
            }
        }
    }
}

/// Whether two sets share some, and each has some that the other has not.
fn overlap(one: &Set, other: &Set) -> bool {
    one.meets(other) && one.exceeds(other) && other.exceeds(one)
}

fn unreached(definition: &Definition, web: &Web<'_>, found: &mut Findings) {
    let mut dead = vec![false; web.order.len()];
    for &at in &web.order {
        let node = &definition.nodes[at];
        let arcs = &web.incoming[at];
        let cut = |arc: &usize| web.arcs[*arc].dead || dead[web.arcs[*arc].from];
        let path = element("nodes", at);
        let id = Some(node.id.as_str());
        if !arcs.is_empty() && arcs.iter().all(cut) {
            dead[at] = true;
            found.add(id, path, "it is never reached: no edge to it is ever taken");
        } else if node.when.as_ref().is_some_and(never) {
            dead[at] = true;
            found.add(id, field(&path, "when"), "it never runs: this never holds");
        }
    }
}
