//! `troupe workflow`: definitions and their runs.

use clap::Subcommand;

use super::{exit::Outcome, output::Output};

mod check;
mod graph;

#[derive(Debug, Subcommand)]
pub(super) enum Workflow {
    /// Say what is wrong with definitions, line by line; needs no node
    Check(check::Check),
    /// Draw the graph of a definition; needs no node
    Graph(graph::Graph),
}

impl Workflow {
    pub(super) fn run(self, output: &Output) -> Outcome {
        match self {
            Self::Check(check) => check.run(output),
            Self::Graph(graph) => graph.run(output),
        }
    }
}
