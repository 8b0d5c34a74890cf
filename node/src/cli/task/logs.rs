//! `troupe task logs`: what the programs behind a task's steps wrote.

use clap::Args;
use protocol::{
    api::{AttemptView, StepView},
    id::TaskId,
    task::{AttemptStatus, StepStatus},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    cli::{
        exit::{Exit, Failure, Outcome},
        output::{Output, visible, visible_lines},
    },
    client::{self, Client},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Logs {
    /// The task
    id: TaskId,
    /// Only this step
    #[arg(long)]
    step: Option<String>,
    /// This attempt, not the last one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
}

/// What one attempt left to read.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Log {
    step: String,
    attempt: u32,
    stdout: String,
    stderr: String,
    /// Whether there was more, of which nothing is kept.
    truncated: bool,
    /// Why it did not succeed; the last lines of its standard error stand here.
    error: Option<String>,
}

impl Logs {
    pub(in crate::cli) async fn run(self, client: &Client, output: &Output) -> Outcome {
        let task = client.task(self.id).await?;
        let steps = task.plan.as_ref().map_or(&[][..], |plan| &plan.steps);
        let wanted = |step: &&StepView| self.step.as_ref().is_none_or(|id| *id == step.id);
        let steps: Vec<&StepView> = steps.iter().filter(wanted).collect();
        if let (Some(id), []) = (&self.step, &steps[..]) {
            let message = format!("{} has no step `{id}`", self.id);
            return Err(Failure::new(Exit::NotFound, message).help("`troupe task get` shows them"));
        }
        let mut logs = Vec::new();
        for step in steps {
            if let Some(attempt) = chosen(step, self.attempt) {
                logs.extend(log(client, self.id, step, attempt).await?);
            }
        }
        if output.is_for_programs() {
            return output.data(&logs);
        }
        if logs.is_empty() {
            output.note("no program of this task has written anything that is kept");
        }
        let several = logs.len() > 1;
        for log in &logs {
            if several && !output.is_quiet() {
                let (step, attempt) = (visible(&log.step), log.attempt);
                output.text(&format!("==> {step}, attempt {attempt} <==\n"))?;
            }
            log.show(output)?;
        }
        Ok(Exit::Ok)
    }
}

impl Log {
    fn show(&self, output: &Output) -> Outcome {
        output.text(&visible_lines(&self.stdout))?;
        output.error_text(&visible_lines(&self.stderr));
        if self.truncated {
            output.note(&format!("{} wrote more, which was not kept", self.step));
        }
        if let Some(error) = &self.error {
            output.error_text(&format!("{}\n", visible_lines(error)));
        }
        Ok(Exit::Ok)
    }
}

fn chosen(step: &StepView, number: Option<u32>) -> Option<&AttemptView> {
    match number {
        Some(number) => step.attempts.iter().find(|one| one.number == number),
        None => step.attempts.last(),
    }
}

/// What an attempt left, if it is the call of a program or failed.
async fn log(
    client: &Client,
    task: TaskId,
    step: &StepView,
    attempt: &AttemptView,
) -> Result<Option<Log>, client::Error> {
    let mut log = Log {
        step: step.id.clone(),
        attempt: attempt.number,
        error: attempt.error.as_ref().map(|error| error.message.clone()),
        ..Log::default()
    };
    let gave_output =
        step.status == StepStatus::Completed && attempt.status == AttemptStatus::Succeeded;
    if !gave_output {
        return Ok(log.error.is_some().then_some(log));
    }
    let output = &step.output;
    let Value::String(stderr) = &output["stderr"] else {
        // Whatever this agent is, it is no program.
        return Ok(None);
    };
    let stdout = match (&output["stdout"], &output["json"]) {
        (Value::String(text), _) => text.clone(),
        (_, Value::Null) => String::new(),
        (_, json) => serde_json::to_string_pretty(json).unwrap_or_default() + "\n",
    };
    let number = attempt.number.to_string();
    let cut = output["truncated"] == true;
    let mut whole = false;
    for (stream, shown, text) in [
        ("stdout.txt", &stdout, &mut log.stdout),
        ("stderr.txt", stderr, &mut log.stderr),
    ] {
        *text = shown.clone();
        for name in kept(output, stream).filter(|_| cut) {
            let file = client.artifact(task, [&step.id, &number, name]).await?;
            let file = String::from_utf8_lossy(&file);
            // A program may leave a file of the same name; only ours begins as the output does.
            if file.starts_with(shown.as_str()) && file.len() > shown.len() {
                *text = file.into_owned();
                whole = true;
            }
        }
    }
    log.truncated = cut && !whole;
    Ok(Some(log))
}

/// Names of the files that may hold all of a stream: another file may have had the name first.
fn kept<'a>(output: &'a Value, stream: &'a str) -> impl Iterator<Item = &'a str> {
    let files = output["artifacts"].as_array().into_iter().flatten();
    files
        .filter_map(|file| file["name"].as_str())
        .filter(move |name| {
            let number = name.strip_suffix(stream);
            number.is_some_and(|rest| rest.is_empty() || rest.ends_with('-'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_file_of_a_stream_is_found_though_its_name_was_taken() {
        let output = json!({ "artifacts": [
            { "name": "stdout.txt" }, { "name": "my_stdout.txt" }, { "name": "2-stdout.txt" },
            { "name": "stderr.txt" },
        ] });
        let names: Vec<&str> = kept(&output, "stdout.txt").collect();
        assert_eq!(names, ["stdout.txt", "2-stdout.txt"]);
        assert_eq!(kept(&json!("text"), "stdout.txt").count(), 0);
    }
}
