//! Pictures of a definition: for Graphviz, for Mermaid, and for a terminal.
//!
//! They also show definitions that are not right yet: edges to nowhere are left out.

mod dot;
mod mermaid;
mod sketch;
mod text;

use protocol::workflow::Definition;

use sketch::Sketch;

/// For Graphviz.
#[must_use]
pub fn dot(definition: &Definition) -> String {
    dot::draw(&Sketch::of(definition))
}

/// For Mermaid, as Markdown on many sites shows it.
#[must_use]
pub fn mermaid(definition: &Definition) -> String {
    mermaid::draw(&Sketch::of(definition))
}

/// For a terminal, with a mark before the name of each node that has one.
///
/// Nodes stand below those that they come after. What is too wide for that is a list.
#[must_use]
pub fn text(definition: &Definition, mark: impl Fn(&str) -> Option<String>) -> String {
    text::draw(&Sketch::of(definition), &mark)
}

#[cfg(test)]
mod tests;
