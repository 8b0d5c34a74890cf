//! What belongs to a definition of which shape, and what it must have.

use protocol::workflow::{Definition, Mode, Shape};

use super::{Findings, element, field, names, work};

pub(super) fn check(definition: &Definition, found: &mut Findings) {
    belongs(definition, found);
    match definition.shape {
        Shape::Sequential | Shape::Concurrent | Shape::Graph => {
            if definition.nodes.is_empty() {
                found.add(None, "nodes", "a workflow has at least one node");
            }
        }
        Shape::Hierarchical => match &definition.director {
            Some(director) => work::director(None, "director", director, found),
            None => found.add(None, "", "a hierarchical workflow has a `director`"),
        },
        Shape::Mixture => {
            names::experts(None, "experts", &definition.experts, found);
            work::experts(None, "experts", &definition.experts, found);
            match &definition.choose {
                Some(choose) => work::choose(None, "choose", choose, found),
                None => found.add(None, "", "a mixture has `choose`"),
            }
        }
    }
    for (path, span) in [
        ("timeout", definition.timeout),
        ("queue_timeout", definition.queue_timeout),
        ("defaults.timeout", definition.defaults.timeout),
    ] {
        work::span(None, path, span, found);
    }
    work::retry(None, "defaults.retry", definition.defaults.retry, found);
}

/// Fields that other shapes have.
fn belongs(definition: &Definition, found: &mut Findings) {
    let shape = definition.shape;
    let called = called(shape);
    let graph = matches!(shape, Shape::Sequential | Shape::Concurrent | Shape::Graph);
    let given = [
        ("nodes", !definition.nodes.is_empty(), graph),
        (
            "mode",
            definition.mode != Mode::default(),
            shape == Shape::Concurrent,
        ),
        (
            "director",
            definition.director.is_some(),
            shape == Shape::Hierarchical,
        ),
        (
            "experts",
            !definition.experts.is_empty(),
            shape == Shape::Mixture,
        ),
        (
            "choose",
            definition.choose.is_some(),
            shape == Shape::Mixture,
        ),
    ];
    for (name, is_given, fits) in given {
        if is_given && !fits {
            found.add(None, name, format!("{called} workflow has no `{name}`"));
        }
    }
    if shape == Shape::Graph {
        return;
    }
    for (at, edge) in definition.edges.iter().enumerate() {
        // The order of the nodes is that of a sequence; only ways back are to be said.
        if shape != Shape::Sequential || edge.back.is_none() {
            let path = element("edges", at);
            found.add(
                None,
                path,
                format!("{called} workflow has no such edge; its type says the order"),
            );
        }
    }
    for (at, node) in definition.nodes.iter().enumerate() {
        if !node.needs.is_empty() {
            let path = field(&element("nodes", at), "needs");
            let message =
                format!("nodes of {called} workflow have no `needs`; its type says the order");
            found.add(Some(&node.id), path, message);
        }
    }
}

const fn called(shape: Shape) -> &'static str {
    match shape {
        Shape::Sequential => "a sequential",
        Shape::Concurrent => "a concurrent",
        Shape::Graph => "a graph",
        Shape::Hierarchical => "a hierarchical",
        Shape::Mixture => "a mixture",
    }
}
