//! `troupe workflow run`: starts a run, and follows it if that is asked for.

use std::{path::Path, time::Duration};

use clap::Args;
use protocol::{
    api::{ExecuteRequest, WorkflowDraft},
    id::TaskId,
    task::Priority,
    time::{Span, Timestamp},
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{end, watch::watch};
use crate::{
    cli::{
        exit::{Exit, Failure, Outcome},
        output::Output,
        read_text,
        task::{json, priority},
    },
    client::Client,
};

/// What the node lets a request wait at most.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Args)]
pub(in crate::cli) struct Run {
    /// The name or id of a workflow, or a file: its workflow is made, or gets a new version, first
    #[arg(value_name = "NAME|FILE")]
    workflow: String,
    /// What the run is given: JSON, or @FILE with JSON or YAML
    #[arg(long, value_name = "JSON|@FILE")]
    input: Option<String>,
    /// Which version; the newest without it
    #[arg(long)]
    version: Option<u32>,
    /// How urgent it is, from 0 to 9
    #[arg(long, value_parser = priority)]
    priority: Option<Priority>,
    /// Start it at this moment, as 2030-01-01T08:00:00Z, and not before
    #[arg(long, value_name = "MOMENT")]
    at: Option<Timestamp>,
    /// Free JSON, returned unchanged
    #[arg(long, value_name = "JSON", value_parser = json::<Map<String, Value>>)]
    metadata: Option<Map<String, Value>>,
    /// Makes a repeat of this command harmless: the same key makes one run
    #[arg(long)]
    key: Option<String>,
    /// Follow it until it is settled; its end decides the exit code
    #[arg(long, conflicts_with = "wait")]
    watch: bool,
    /// Wait until it is settled, this long at most; then its end decides the exit code
    #[arg(long, value_name = "TIME")]
    wait: Option<Span>,
}

/// What of a definition is needed to find its workflow.
#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

impl Run {
    pub(in crate::cli) async fn run(self, client: &Client, output: &Output) -> Outcome {
        let input = self.input.as_deref().map(input).transpose()?;
        let file = Path::new(&self.workflow);
        let workflow = match file.is_file() || self.workflow == "-" {
            true => publish(client, file).await?,
            false => self.workflow,
        };
        let request = ExecuteRequest {
            input: input.unwrap_or_default(),
            version: self.version,
            priority: self.priority,
            start_at: self.at,
            metadata: self.metadata.unwrap_or_default(),
            ..ExecuteRequest::default()
        };
        let begun = client.execute(&workflow, &request, self.key.as_deref());
        let begun = begun.await?;
        match (self.watch, self.wait) {
            (true, _) => {
                if !output.is_for_programs() && !output.is_quiet() {
                    output.note(&begun.id.to_string());
                }
                watch(client, begun.id, output).await
            }
            (false, Some(Span(wait))) => settled(client, begun.id, wait, output).await,
            (false, None) => output.show(&begun),
        }
    }
}

/// Makes the workflow of a file, or gives it this definition, and tells its name.
async fn publish(client: &Client, file: &Path) -> Result<String, Failure> {
    let text = read_text(file)?;
    let named: Named = serde_saphyr::from_str(&text).map_err(|error| {
        let message = format!("{} describes no workflow", file.display());
        Failure::new(Exit::Usage, message)
            .because(error.render())
            .help("`troupe workflow check FILE` says what is wrong")
    })?;
    let draft = WorkflowDraft {
        source: Some(text),
        ..WorkflowDraft::default()
    };
    match client.update_workflow(&named.name, &draft).await {
        Ok(change) => Ok(change.workflow.name),
        Err(error) if error.status() == Some(404) => Ok(client.create_workflow(&draft).await?.name),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn input(given: &str) -> Result<Value, Failure> {
    let unreadable = |cause: String| {
        Failure::new(Exit::Usage, "the input is not JSON")
            .because(cause)
            .help("give it as --input '{\"key\": \"value\"}', or in a file as --input @FILE")
    };
    match given.strip_prefix('@') {
        Some(file) => {
            let text = read_text(Path::new(file))?;
            let is_said = |line: &str| !line.is_empty() && !line.starts_with('#');
            if !text.lines().map(str::trim).any(is_said) {
                return Err(unreadable("the file has nothing in it".to_owned()));
            }
            if serde_json::from_str::<IgnoredAny>(&text).is_ok() {
                return json(&text).map_err(unreadable);
            }
            let value =
                serde_saphyr::from_str(&text).map_err(|error| unreadable(error.render()))?;
            protocol::json::check(&value).map_err(|error| unreadable(error.to_string()))?;
            Ok(value)
        }
        None => json(given).map_err(unreadable),
    }
}

/// Waits until a run is settled, shows it, and exits as it ended.
async fn settled(client: &Client, run: TaskId, wait: Duration, output: &Output) -> Outcome {
    let deadline = Instant::now() + wait;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let task = client.await_task(run, left.min(LONGEST_WAIT)).await?;
        if task.status.is_terminal() || left.is_zero() {
            let run = client.execution(run).await?;
            output.show(&run)?;
            return Ok(end(run.status));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn input_is_json_or_a_file_with_it() {
        assert_eq!(input(r#"{"a": [1]}"#).unwrap(), json!({"a": [1]}));
        assert!(input("{").is_err() && input("@/nowhere/at/all").is_err());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("input.yaml");
        std::fs::write(&file, "a:\n  - 1\n").unwrap();
        let given = format!("@{}", file.display());
        assert_eq!(input(&given).unwrap(), json!({"a": [1]}));
    }

    #[test]
    fn a_file_with_nothing_in_it_is_no_input() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("input.yaml");
        let given = format!("@{}", file.display());
        for nothing in ["", " \n\t\n", "# to be filled in\n"] {
            std::fs::write(&file, nothing).unwrap();
            assert!(input(&given).is_err(), "{nothing:?}");
        }
        // What says that it is null is.
        std::fs::write(&file, "null\n").unwrap();
        assert_eq!(input(&given).unwrap(), json!(null));
    }
}
