//! `troupe task`: create, look at, wait for, stop.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use protocol::{
    api::{Assignment, Consistency, TaskPatch, TaskQuery, TaskView},
    id::TaskId,
    plan::StepSpec,
    task::{Priority, TaskSpec, TaskStatus},
    template::TemplateUse,
    time::{Span, Timestamp},
};
use serde::de::{DeserializeOwned, IntoDeserializer, value::StrDeserializer};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    exit::{Exit, Failure, Outcome},
    output::Output,
    read_text,
    run::Progress,
    template,
};
use crate::{
    client::{Client, Unsettled},
    edge::read_json,
};

mod logs;

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Create a task
    Create(Box<Create>),
    /// List tasks, the newest first
    List(List),
    /// Show a task with its steps
    Get {
        /// The task
        id: TaskId,
        /// Wait until it is settled, this long at most
        #[arg(long, value_name = "TIME")]
        wait: Option<Span>,
    },
    /// Follow a task until it is settled
    Watch {
        /// The task
        id: TaskId,
        /// Only events after this position
        #[arg(long, default_value_t = 0, value_name = "SEQ")]
        after: u64,
    },
    /// Stop tasks and all that they run
    Cancel {
        /// The tasks
        #[arg(required = true)]
        ids: Vec<TaskId>,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Show what a settled task gave
    Result {
        /// The task
        id: TaskId,
    },
    /// Show every attempt of every step
    Attempts {
        /// The task
        id: TaskId,
    },
    /// Print what the programs of a task wrote to standard output and standard error
    Logs(logs::Logs),
    /// Remove settled tasks from sight; their records stay
    Delete {
        /// The tasks
        #[arg(required = true)]
        ids: Vec<TaskId>,
        /// Stop them first if they are not settled
        #[arg(long)]
        cancel: bool,
    },
    /// Bind unsettled steps to one agent
    Assign {
        /// The task
        id: TaskId,
        /// The agent's name or id
        #[arg(long)]
        agent: String,
        /// Only this step
        #[arg(long)]
        step: Option<String>,
    },
    /// Change a task that is not settled
    Update {
        /// The task
        id: TaskId,
        /// What is to be done
        #[arg(long)]
        description: Option<String>,
        /// How urgent it is, from 0 to 9
        #[arg(long, value_parser = priority)]
        priority: Option<Priority>,
        /// Free JSON
        #[arg(long, value_parser = json::<Map<String, Value>>)]
        metadata: Option<Map<String, Value>>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// What is to be done
    #[arg(required_unless_present = "template")]
    description: Option<String>,
    /// Make it of this task template; what else is given takes the place of what that says
    #[arg(long, value_name = "NAME", conflicts_with_all = ["agent", "capability", "steps"])]
    template: Option<String>,
    /// Fill a blank of the template: text, or JSON where the parameter is no string
    #[arg(long = "param", value_name = "NAME=VALUE", requires = "template", value_parser = template::param)]
    params: Vec<(String, String)>,
    /// One step, by this agent
    #[arg(long, conflicts_with_all = ["capability", "steps"])]
    agent: Option<String>,
    /// One step, by any agent that can do this
    #[arg(long, conflicts_with = "steps")]
    capability: Option<String>,
    /// The steps, as a YAML or JSON list; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    steps: Option<PathBuf>,
    /// What the steps are given, as JSON
    #[arg(long, value_name = "JSON", value_parser = json::<Value>)]
    input: Option<Value>,
    /// How urgent it is, from 0 to 9
    #[arg(long, value_parser = priority)]
    priority: Option<Priority>,
    /// Free JSON, returned unchanged
    #[arg(long, value_name = "JSON", value_parser = json::<Map<String, Value>>)]
    metadata: Option<Map<String, Value>>,
    /// Start it at this moment, as 2030-01-01T08:00:00Z, and not before
    #[arg(long, value_name = "MOMENT")]
    start_at: Option<Timestamp>,
    /// Makes a repeat of this command harmless: the same key makes one task
    #[arg(long)]
    key: Option<String>,
    /// Wait until it is settled, this long at most; then its end decides the exit code
    #[arg(long, value_name = "TIME")]
    wait: Option<Span>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only this status
    #[arg(long, value_parser = word::<TaskStatus>)]
    status: Option<TaskStatus>,
    /// Only this user's
    #[arg(long)]
    user: Option<String>,
    /// Only parts of this task
    #[arg(long, value_name = "ID")]
    parent: Option<TaskId>,
    /// Only tasks whose description contains this
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// With all that the cluster had committed when it is asked, or not at all
    #[arg(long, value_name = "eventual|strong", value_parser = word::<Consistency>)]
    consistency: Option<Consistency>,
    /// How many, at most 200
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

impl Task {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        match self {
            Self::Create(create) => create.run(client, output).await,
            Self::List(list) => output.show(&client.tasks(&list.query()).await?),
            Self::Get { id, wait: None } => output.show(&client.task(id).await?),
            Self::Get {
                id,
                wait: Some(wait),
            } => settled(client, client.task(id).await?, wait, output).await,
            Self::Watch { id, after } => watch(client, id, after, output).await,
            Self::Cancel { ids, reason } => {
                each(ids, output, async |id| {
                    output.show(&client.cancel_task(id, &reason).await?)
                })
                .await
            }
            Self::Result { id } => output.show(&client.task_result(id).await?),
            Self::Attempts { id } => output.show(&client.attempts(id).await?),
            Self::Logs(logs) => logs.run(client, output).await,
            Self::Delete { ids, cancel } => {
                let unsettled = if cancel {
                    Unsettled::Cancel
                } else {
                    Unsettled::Keep
                };
                each(ids, output, async |id| {
                    client.delete_task(id, unsettled).await?;
                    Ok(Exit::Ok)
                })
                .await
            }
            Self::Assign { id, agent, step } => {
                let agent_id = agent;
                let to = Assignment { agent_id, step };
                output.show(&client.assign_task(id, &to).await?)
            }
            Self::Update {
                id,
                description,
                priority,
                metadata,
            } => {
                let patch = TaskPatch {
                    description,
                    priority,
                    metadata,
                };
                output.show(&client.amend_task(id, &patch).await?)
            }
        }
    }
}

impl List {
    fn query(self) -> TaskQuery {
        TaskQuery {
            status: self.status,
            user_id: self.user,
            parent_id: self.parent,
            q: self.search,
            limit: self.limit,
            cursor: self.cursor,
            consistency: self.consistency.unwrap_or_default(),
        }
    }
}

impl Create {
    async fn run(self, client: &Client, output: &Output) -> Outcome {
        let (key, wait) = (self.key.clone(), self.wait);
        let key = key.as_deref();
        let first = wait.map(|wait| wait.0.min(LONGEST_WAIT));
        let started = Instant::now();
        let task = match self.template {
            Some(name) => {
                let asked = TemplateUse {
                    description: self.description,
                    input: self.input,
                    priority: self.priority,
                    start_at: self.start_at,
                    metadata: self.metadata,
                    ..template::filled(client, name, self.params).await?
                };
                client.submit_template(&asked, key, first).await?
            }
            None => client.submit(&self.spec()?, key, first).await?,
        };
        match wait {
            None => output.show(&task),
            Some(Span(wait)) => {
                let left = wait.saturating_sub(started.elapsed());
                settled(client, task, Span(left), output).await
            }
        }
    }

    fn spec(self) -> Result<TaskSpec, Failure> {
        let mut spec = TaskSpec {
            description: self.description.unwrap_or_default(),
            priority: self.priority.unwrap_or_default(),
            metadata: self.metadata.unwrap_or_default(),
            start_at: self.start_at,
            ..TaskSpec::default()
        };
        let input = self.input.unwrap_or_default();
        match self.steps {
            Some(file) => {
                let text = read_text(&file)?;
                spec.steps = serde_saphyr::from_str(&text).map_err(|error| {
                    let message = format!("{} holds no list of steps", file.display());
                    Failure::new(Exit::Usage, message)
                        .because(error.render())
                        .help("write a list such as [{id: a, agent: x}, {id: b, agent: y, needs: [a]}]")
                })?;
                spec.input = input;
            }
            None if self.agent.is_some() || self.capability.is_some() => {
                spec.steps = vec![StepSpec {
                    id: "main".to_owned(),
                    agent: self.agent,
                    capability: self.capability,
                    description: None,
                    input,
                    needs: Vec::new(),
                    effect: protocol::plan::Effect::default(),
                    retry: None,
                    timeout: None,
                }];
            }
            None => spec.input = input,
        }
        Ok(spec)
    }
}

/// What the node lets a request wait at most.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

/// Waits until `task` is settled, shows it, and exits as it ended.
async fn settled(client: &Client, mut task: TaskView, wait: Span, output: &Output) -> Outcome {
    let deadline = Instant::now() + wait.0;
    while !task.status.is_terminal() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        task = client.await_task(task.id, left.min(LONGEST_WAIT)).await?;
    }
    output.show(&task)?;
    Ok(end(task.status))
}

/// The exit code that says how a task ended.
pub(super) const fn end(status: TaskStatus) -> Exit {
    match status {
        TaskStatus::Completed => Exit::Ok,
        TaskStatus::Failed => Exit::Failed,
        TaskStatus::Cancelled => Exit::Cancelled,
        // The time to wait is over.
        TaskStatus::Pending | TaskStatus::Planning | TaskStatus::Executing | TaskStatus::Paused => {
            Exit::Usage
        }
    }
}

async fn watch(client: &Client, id: TaskId, after: u64, output: &Output) -> Outcome {
    let mut events = client.events(id, after);
    let mut progress = Progress::default();
    while let Some(event) = events.next().await? {
        if output.is_for_programs() {
            output.line(&event)?;
        } else if output.is_quiet() {
            output.text(&format!("{}\n", event.seq))?;
        } else {
            for line in progress.apply(&event) {
                output.text(&format!("{}\n", super::output::visible(&line)))?;
            }
        }
    }
    Ok(end(client.task(id).await?.status))
}

/// Does the same to each; if only a part succeeds, tells the rest and exits so.
pub(super) async fn each<T>(
    items: Vec<T>,
    output: &Output,
    mut call: impl AsyncFnMut(T) -> Outcome,
) -> Outcome {
    let count = items.len();
    let mut failures = Vec::new();
    for item in items {
        if let Err(failure) = call(item).await {
            failures.push(failure);
        }
    }
    let all = failures.len() == count;
    match failures.pop() {
        None => Ok(Exit::Ok),
        Some(last) if all && failures.is_empty() => Err(last),
        Some(mut last) => {
            for failure in &failures {
                failure.report(output);
            }
            if !all {
                last.exit = Exit::Usage;
            }
            Err(last)
        }
    }
}

/// Reads a flag's value as JSON.
pub(super) fn json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    read_json(text).map_err(|why| format!("not the JSON that is expected: {why}"))
}

/// Reads one of an enum's words, as the API spells it.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let word: StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    T::deserialize(word).map_err(|error| error.to_string())
}

pub(super) fn priority(text: &str) -> Result<Priority, String> {
    let number: u8 = text.parse().map_err(|_| "not a number from 0 to 9")?;
    Priority::try_from(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_how_a_task_ended() {
        for (status, code) in [
            (TaskStatus::Completed, 0),
            (TaskStatus::Failed, 1),
            (TaskStatus::Cancelled, 7),
            (TaskStatus::Executing, 2),
        ] {
            assert_eq!(end(status).code(), code);
        }
    }

    #[test]
    fn flags_are_read_as_the_api_spells_them() {
        assert_eq!(word("executing"), Ok(TaskStatus::Executing));
        assert!(word::<TaskStatus>("Executing").is_err());
        assert_eq!(priority("9"), Ok(Priority::MAX));
        assert!(priority("10").is_err() && priority("x").is_err());
        assert!(json::<Map<String, Value>>("[1]").is_err());
    }

    #[test]
    fn json_in_flags_is_held_to_what_the_api_takes() {
        let deep = "[".repeat(65) + &"]".repeat(65);
        for (text, why) in [
            (r#"{"a": 1, "a": 2}"#, "`a` is given twice"),
            (
                r#"{"$serde_json::private::RawValue": "[5]"}"#,
                "cannot be given",
            ),
            (deep.as_str(), "more than 64 deep"),
            ("{", "is not JSON"),
        ] {
            let told = json::<Value>(text).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}
