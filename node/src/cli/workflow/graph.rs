//! `troupe workflow graph`: a picture of a definition, without a node.

use std::path::PathBuf;

use actors::workflow::draw;
use clap::{Args, ValueEnum};

use super::check::definition;
use crate::cli::{exit::Outcome, output::Output};

#[derive(Debug, Args)]
pub(in crate::cli) struct Graph {
    /// The file with the definition, YAML or JSON; `-` for standard input
    file: PathBuf,
    /// What is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// For this terminal
    #[default]
    Text,
    /// For Graphviz
    Dot,
    /// For Mermaid, as Markdown shows it
    Mermaid,
}

impl Graph {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let definition = definition(&self.file)?;
        output.text(&match self.format {
            Format::Text => draw::text(&definition, |_| None),
            Format::Dot => draw::dot(&definition),
            Format::Mermaid => draw::mermaid(&definition),
        })
    }
}
