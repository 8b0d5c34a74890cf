//! What is shown at the end of a run: the report, or why there is none.

use protocol::{
    api::{StepView, TaskView},
    task::{StepStatus, TaskStatus},
};
use serde_json::Value;

use crate::{
    cli::{
        exit::{Exit, Failure},
        output::visible_lines,
        task::end,
    },
    client::{self, Client},
};

/// A text, and the file that holds it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) text: String,
    pub(super) place: Option<String>,
}

/// What the named step gave: the first file that it left, or else what it printed.
pub(super) async fn find(
    client: &Client,
    task: &TaskView,
    step: Option<&str>,
) -> Result<Option<Report>, client::Error> {
    let steps = task.plan.as_ref().map_or(&[][..], |plan| &plan.steps);
    let Some(step) = step.and_then(|id| steps.iter().find(|step| step.id == id)) else {
        return Ok(None);
    };
    let Some((name, place)) = artifact(step) else {
        return Ok(printed(step).map(|text| Report { text, place: None }));
    };
    let attempt = step
        .attempts
        .last()
        .map_or(1, |last| last.number)
        .to_string();
    let bytes = client.artifact(task.id, [&step.id, &attempt, name]).await?;
    Ok(Some(Report {
        text: shown(&String::from_utf8_lossy(&bytes)),
        place: Some(place.to_owned()),
    }))
}

/// Name and path of the file to show: a text for people before anything else.
fn artifact(step: &StepView) -> Option<(&str, &str)> {
    let files: Vec<(&str, &str)> = step.output["artifacts"]
        .as_array()?
        .iter()
        .filter_map(|file| Some((file["name"].as_str()?, file["path"].as_str()?)))
        .collect();
    let readable = files
        .iter()
        .find(|(name, _)| name.ends_with(".md") || name.ends_with(".txt"));
    readable.or(files.first()).copied()
}

fn printed(step: &StepView) -> Option<String> {
    match (&step.output["stdout"], &step.output) {
        (Value::String(text), _) | (_, Value::String(text)) => Some(shown(text)),
        (_, Value::Null) => None,
        (_, other) => serde_json::to_string_pretty(other)
            .ok()
            .map(|text| text + "\n"),
    }
}

/// A report may quote anything; it must not drive the terminal.
fn shown(text: &str) -> String {
    let mut text = visible_lines(text);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Why a run that was not completed ended, step by step.
pub(super) fn failure(task: &TaskView) -> Failure {
    let message = match &task.error {
        Some(error) => format!("{} {}: {}", task.id, task.status.as_str(), error.message),
        None => format!("{} {}", task.id, task.status.as_str()),
    };
    let mut failure = Failure::new(end(task.status), message);
    for step in task.plan.iter().flat_map(|plan| &plan.steps) {
        let error = step.error.as_ref();
        if matches!(step.status, StepStatus::Failed | StepStatus::Unknown)
            && let Some(error) = error
        {
            failure = failure.because(format!("step {}: {}", step.id, error.message));
        }
    }
    debug_assert!(failure.exit != Exit::Ok || task.status == TaskStatus::Completed);
    failure.help("remove the cause, then run the same command without --resume to begin anew")
}
