//! Job files: agents and steps in one YAML file, for `troupe run`.
//!
//! [`Job::read`] reads and reviews one; nothing starts unless all of it holds, and what does not hold
//! is shown with its line. [`Job::bind`] puts the caller's inputs in.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use protocol::{
    agent::AgentSpec,
    plan::StepSpec,
    task::{Budget, TaskSpec},
};
use serde_json::{Map, Value, json};

mod file;
mod inputs;
mod review;

pub use inputs::{Input, InputError, InputType};

/// A job file that was read and reviewed.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What the caller gives.
    pub inputs: BTreeMap<String, Input>,
    /// The agents that do it.
    pub agents: Vec<AgentSpec>,
    /// What they do.
    pub steps: Vec<StepSpec>,
    /// Limits of the whole.
    pub budget: Budget,
    /// The step whose text or artifact is shown at the end.
    pub report: Option<String>,
}

/// A job with its inputs: what is registered and what is submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// To be registered, or updated where they differ.
    pub agents: Vec<AgentSpec>,
    /// To be submitted.
    pub spec: TaskSpec,
}

impl Job {
    /// Reads and reviews a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or something in it does not hold; then with line and caret.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let folder = path
            .canonicalize()
            .ok()
            .and_then(|path| path.parent().map(Path::to_owned))
            .unwrap_or_default();
        Self::parse(&text, path, &folder)
    }

    /// Reviews `text`; programs that it names by a relative path lie below `folder`.
    ///
    /// # Errors
    ///
    /// When something in it does not hold, with line and caret.
    pub fn parse(text: &str, path: &Path, folder: &Path) -> Result<Self, Error> {
        let faults = match file::parse(text) {
            Ok(written) => match review::review(&written) {
                faults if faults.is_empty() => return Ok(written.into_job(folder)),
                faults => faults,
            },
            Err(fault) => vec![fault],
        };
        Err(Error::Faults(Faults {
            path: path.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
            faults,
        }))
    }

    /// Puts in what the caller gave as `--input NAME=VALUE`.
    ///
    /// # Errors
    ///
    /// When an input is unknown, missing, or not of its type.
    pub fn bind(&self, given: &[(String, String)]) -> Result<Bound, InputError> {
        let inputs = inputs::bind(&self.inputs, given)?;
        let mut metadata = Map::new();
        metadata.insert("job".to_owned(), json!(self.name));
        if let Some(report) = &self.report {
            metadata.insert("report".to_owned(), json!(report));
        }
        Ok(Bound {
            agents: self.agents.clone(),
            spec: TaskSpec {
                description: self.description.clone(),
                steps: self.steps.clone(),
                input: Value::Object(inputs),
                budget: self.budget.clone(),
                metadata,
                ..TaskSpec::default()
            },
        })
    }
}

/// Why there is no job.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in the file does not hold.
    #[error("{0}")]
    Faults(Faults),
}

/// What does not hold in a job file; prints with line and caret.
#[derive(Debug)]
pub struct Faults {
    path: PathBuf,
    lines: Vec<String>,
    faults: Vec<Fault>,
}

/// One thing that does not hold, and where: line and column from 1, or 0 when unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    line: u64,
    column: u64,
    message: String,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}", self.path.display())?;
            if fault.line > 0 {
                write!(f, ":{}:{}", fault.line, fault.column)?;
            }
            write!(f, ": {}", fault.message)?;
            let line = usize::try_from(fault.line)
                .ok()
                .and_then(|line| self.lines.get(line.checked_sub(1)?));
            if let Some(line) = line {
                let number = fault.line.to_string();
                let margin = " ".repeat(number.len());
                let before: String = line
                    .chars()
                    .take(usize::try_from(fault.column).unwrap_or(1).saturating_sub(1))
                    .map(|c| if c == '\t' { '\t' } else { ' ' })
                    .collect();
                write!(f, "\n{margin} |\n{number} | {line}\n{margin} | {before}^")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
name: demo
inputs:
  path: { type: path, default: . }
agents:
  - name: counter
    agent_type: command
    capabilities: [count]
    config: { argv: [./bin/count.sh, ./x], timeout: 5s }
  - { name: git, type: command, config: { argv: [git, log] } }
steps:
  - id: size
    agent: counter
  - id: log
    agent: git
  - id: gather
    capability: count
    needs: [size, log]
report: gather
";

    fn parse(text: &str) -> Result<Job, String> {
        Job::parse(text, Path::new("demo.yaml"), Path::new("/jobs"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_good_file_becomes_agents_and_a_task() {
        let job = parse(GOOD).unwrap();
        let bound = job.bind(&[]).unwrap();
        assert_eq!(
            bound.agents[0].config["argv"],
            json!(["/jobs/bin/count.sh", "./x"])
        );
        assert_eq!(bound.agents[1].config["argv"], json!(["git", "log"]));
        assert_eq!(bound.spec.description, "demo");
        assert_eq!(bound.spec.steps[2].needs, ["size", "log"]);
        assert!(bound.spec.input["path"].is_string());
        assert_eq!(
            bound.spec.metadata["report"],
            Value::String("gather".into())
        );
    }

    #[test]
    fn what_does_not_hold_is_refused_with_its_line() {
        for (from, to, place, message) in [
            (
                "agent: git",
                "agent: gti",
                "demo.yaml:14:12: ",
                "unknown agent `gti` (known: counter, git)",
            ),
            (
                "capability: count",
                "capability: cnt",
                "demo.yaml:16:17: ",
                "unknown capability `cnt` (known: count)",
            ),
            (
                "[size, log]",
                "[size, lgo]",
                "demo.yaml:17:19: ",
                "step `gather` names the unknown step `lgo`",
            ),
            (
                "id: log",
                "id: size",
                "demo.yaml:13:9: ",
                "step `size` stands in line 11 already",
            ),
            (
                "agent: counter",
                "agent: counter\n    needs: [gather]",
                "demo.yaml:13:13: ",
                "circle: gather → size → gather",
            ),
            (
                "report: gather",
                "report: gathr",
                "demo.yaml:18:9: ",
                "unknown step `gathr`",
            ),
            (
                "    agent: git",
                "    agnt: git",
                "demo.yaml:14:5: ",
                "agnt",
            ),
            (
                "type: command,",
                "type: comand,",
                "demo.yaml:9:24: ",
                "comand",
            ),
            (
                "    agent: git\n",
                "",
                "demo.yaml:13:9: ",
                "step `log` names neither",
            ),
            (
                "id: log",
                "id: a b",
                "demo.yaml:13:9: ",
                "`a b` is not a name",
            ),
            ("type: path", "type: paht", "demo.yaml:3:17: ", "paht"),
            ("[size, log]", "[size, log", "demo.yaml:1", ""),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let error = parse(&text).expect_err(to);
            assert!(error.contains(place), "{place} is not in {error}");
            assert!(error.contains(message), "{message} is not in {error}");
            assert!(error.lines().last().unwrap().ends_with('^'), "{error}");
        }
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let text = GOOD
            .replace("agent: git", "agent: gti")
            .replace("log]", "lgo]");
        let error = parse(&text).unwrap_err();
        assert_eq!(error.matches("demo.yaml:").count(), 2, "{error}");
    }
}
