//! `troupe workflow check`: what is wrong with definitions, without a node.

use std::path::{Path, PathBuf};

use actors::workflow::{check::Problem, read};
use clap::Args;
use protocol::{api::CheckRequest, workflow::Definition};
use serde::Serialize;

use crate::{
    cli::{
        exit::{Exit, Failure, Outcome},
        output::{Output, visible},
        read_text,
    },
    client::Client,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    /// Files with definitions, YAML or JSON; `-` for standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Decide the last runs of this workflow anew with the definition, on a node; the exit code is 3 when
    /// any would go another way
    #[arg(long, value_name = "WORKFLOW")]
    against: Option<String>,
    /// How many of the last runs, at most 200
    #[arg(long, value_name = "N", requires = "against", default_value_t = 20)]
    runs: u32,
}

#[derive(Debug, Serialize)]
struct Report {
    files: Vec<Checked>,
}

#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    problems: Vec<Told>,
}

#[derive(Debug, Serialize)]
struct Told {
    line: Option<u32>,
    node: Option<String>,
    path: String,
    message: String,
}

impl Check {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let mut files = Vec::new();
        for path in &self.files {
            let problems = read::checked(&read_text(path)?).err().unwrap_or_default();
            files.push(Checked::new(path, problems));
        }
        let exit = match files.iter().all(|file| file.problems.is_empty()) {
            true => Exit::Ok,
            false => Exit::Failed,
        };
        if output.is_for_programs() {
            output.data(&Report { files })?;
        } else {
            output.text(&files.iter().map(Checked::lines).collect::<String>())?;
        }
        Ok(exit)
    }

    /// Whether it takes a node.
    pub(super) const fn is_against(&self) -> bool {
        self.against.is_some()
    }

    /// The definitions against what was recorded, once each of them holds.
    pub(super) async fn run_against(self, client: &Client, output: &Output) -> Outcome {
        let Some(workflow) = &self.against else {
            return self.run(output);
        };
        let mut exit = Exit::Ok;
        for path in &self.files {
            let source = read_text(path)?;
            if let Err(problems) = read::checked(&source) {
                let file = Checked::new(path, problems);
                let failure = Failure::new(Exit::Failed, "this is not a definition");
                return Err(failure.because(file.lines().trim_end()));
            }
            let request = CheckRequest {
                source: Some(source),
                runs: Some(self.runs),
                ..CheckRequest::default()
            };
            let checked = client.check_workflow(workflow, &request).await?;
            if !checked.diverged.is_empty() {
                exit = Exit::DIVERGED;
            }
            output.show(&checked)?;
        }
        Ok(exit)
    }
}

/// Reads a definition, whether or not it holds.
pub(super) fn definition(path: &Path) -> Result<Definition, Failure> {
    match read::read(&read_text(path)?) {
        Ok(read) => Ok(read.definition),
        Err(problems) => {
            let file = Checked::new(path, problems);
            let failure = Failure::new(Exit::Failed, "this is not a definition");
            Err(failure.because(file.lines().trim_end()))
        }
    }
}

impl From<Problem> for Told {
    fn from(problem: Problem) -> Self {
        Self {
            line: problem.line,
            node: problem.node,
            path: problem.path,
            message: problem.message,
        }
    }
}

impl Checked {
    fn new(path: &Path, problems: Vec<Problem>) -> Self {
        Self {
            file: path.display().to_string(),
            problems: problems.into_iter().map(Told::from).collect(),
        }
    }

    /// As compilers print it, so that editors find the line.
    fn lines(&self) -> String {
        if self.problems.is_empty() {
            return format!("{}: OK\n", visible(&self.file));
        }
        let line = |told: &Told| {
            let line = told.line.map(|line| format!("{line}:")).unwrap_or_default();
            let node = told.node.as_ref().map(|node| format!("node {node}: "));
            let place = match told.path.as_str() {
                "" => String::new(),
                path => format!(" ({path})"),
            };
            let node = node.unwrap_or_default();
            let text = format!("{}:{line} {node}{}{place}", self.file, told.message);
            visible(&text) + "\n"
        };
        self.problems.iter().map(line).collect()
    }
}
