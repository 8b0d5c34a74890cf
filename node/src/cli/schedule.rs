//! `troupe schedule` and `troupe trigger`: what starts by itself.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use protocol::{
    api::{FiringState, Page, ScheduleQuery},
    id::{ScheduleId, TriggerId},
    plan::StepSpec,
    schedule::{Missed, Overlap, ScheduleSpec, Target},
    task::TaskSpec,
    time::{Span, Timestamp},
    trigger::TriggerSpec,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    exit::{Exit, Failure, Outcome},
    output::Output,
    read_text,
    task::{each, json, word},
    template,
};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(super) enum Schedule {
    /// Start a task or a workflow by the clock
    Create(Box<Create>),
    /// List schedules, the newest first
    List(List),
    /// Show a schedule
    Get {
        /// Its id or name
        schedule: String,
    },
    /// Let no slot fire until it is resumed
    Pause {
        /// Ids or names
        #[arg(required = true, value_name = "SCHEDULE")]
        schedules: Vec<String>,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let slots fire again
    Resume(Names),
    /// Start a run now
    Fire(Names),
    /// What became of its slots, and how the runs stand
    Runs {
        /// Its id or name
        schedule: String,
    },
    /// Remove schedules; what they started goes on
    Delete(Names),
}

#[derive(Debug, Subcommand)]
pub(super) enum Trigger {
    /// Start a task or a workflow when something happens
    Create {
        /// The whole of it as a YAML or JSON file; `-` reads standard input
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// List triggers, the newest first
    List(List),
    /// Show a trigger
    Get {
        /// Its id or name
        trigger: String,
    },
    /// Let it start nothing until it is resumed
    Pause {
        /// Ids or names
        #[arg(required = true, value_name = "TRIGGER")]
        triggers: Vec<String>,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let it start again
    Resume(Names),
    /// What it started, and how the runs stand
    Runs {
        /// Its id or name
        trigger: String,
    },
    /// Remove triggers; what they started goes on
    Delete(Names),
}

#[derive(Debug, Args)]
pub(super) struct Names {
    /// Ids or names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only this status: active, paused, or of schedules finished
    #[arg(long)]
    status: Option<String>,
    /// How many, at most 200
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Its name
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// The whole of it as a YAML or JSON file; `-` reads standard input
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "name", "cron", "tz", "at", "every", "jitter", "missed", "overlap", "workflow", "task",
            "agent", "template", "params", "input",
        ]
    )]
    file: Option<PathBuf>,
    /// Its slots: minute, hour, day of month, month, day of week; seconds may stand before
    #[arg(long, value_name = "CRON")]
    cron: Option<String>,
    /// The time zone of --cron, as Europe/Berlin; UTC when absent
    #[arg(long, value_name = "ZONE", requires = "cron")]
    tz: Option<String>,
    /// Its only slot, as 2030-01-01T08:00:00Z
    #[arg(long, value_name = "MOMENT", conflicts_with = "cron")]
    at: Option<Timestamp>,
    /// The time between two slots, as 15m
    #[arg(long, value_name = "TIME", conflicts_with_all = ["cron", "at"])]
    every: Option<Span>,
    /// Fire each slot up to this much later
    #[arg(long, value_name = "TIME")]
    jitter: Option<Span>,
    /// What becomes of slots at which nobody was there: skip, once, all
    #[arg(long, value_parser = word::<Missed>)]
    missed: Option<Missed>,
    /// While an earlier run goes on: allow, skip, queue, `cancel_previous`
    #[arg(long, value_parser = word::<Overlap>)]
    overlap: Option<Overlap>,
    /// Start this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Start a task of this description
    #[arg(long, value_name = "TEXT", conflicts_with = "workflow")]
    task: Option<String>,
    /// One step of the task, by this agent
    #[arg(long, requires = "task")]
    agent: Option<String>,
    /// Start a task that is made of this template, as it is then
    #[arg(long, value_name = "NAME", conflicts_with_all = ["workflow", "task"])]
    template: Option<String>,
    /// Fill a blank of the template: text, or JSON where the parameter is no string
    #[arg(long = "param", value_name = "NAME=VALUE", requires = "template", value_parser = template::param)]
    params: Vec<(String, String)>,
    /// What the run is given, as JSON
    #[arg(long, value_name = "JSON", value_parser = json::<Value>)]
    input: Option<Value>,
}

impl Create {
    async fn spec(self, client: &Client) -> Result<ScheduleSpec, Failure> {
        if let Some(file) = &self.file {
            return from_file(file, "schedule");
        }
        let made = match self.template {
            Some(template) => Some(template::filled(client, template, self.params).await?),
            None => None,
        };
        let (template, params) =
            made.map_or_else(Default::default, |made| (Some(made.template), made.params));
        let input = self.input.unwrap_or_default();
        let step = |agent: String| StepSpec {
            id: "main".to_owned(),
            agent: Some(agent),
            capability: None,
            description: None,
            input: Value::Null,
            needs: Vec::new(),
            effect: protocol::plan::Effect::default(),
            retry: None,
            timeout: None,
        };
        let target = match self.task {
            None => Target {
                workflow: self.workflow,
                input,
                template,
                params,
                ..Target::default()
            },
            Some(description) => Target {
                task: Some(Box::new(TaskSpec {
                    description,
                    steps: self.agent.map(step).into_iter().collect(),
                    input,
                    ..TaskSpec::default()
                })),
                ..Target::default()
            },
        };
        Ok(ScheduleSpec {
            name: self.name.unwrap_or_default(),
            cron: self.cron,
            tz: self.tz,
            at: self.at,
            every: self.every,
            jitter: self.jitter,
            missed: self.missed.unwrap_or_default(),
            overlap: self.overlap.unwrap_or_default(),
            target,
            ..ScheduleSpec::default()
        })
    }
}

impl List {
    fn query(self) -> ScheduleQuery {
        ScheduleQuery {
            status: self.status,
            limit: self.limit,
            cursor: self.cursor,
        }
    }
}

pub(super) fn from_file<T: DeserializeOwned>(
    file: &std::path::Path,
    what: &str,
) -> Result<T, Failure> {
    let text = read_text(file)?;
    serde_saphyr::from_str(&text).map_err(|error| {
        let message = format!("{} holds no {what}", file.display());
        Failure::new(Exit::Usage, message).because(error.render())
    })
}

/// The one of this name, page by page.
async fn named<T>(
    text: &str,
    what: &str,
    list: impl AsyncFn(ScheduleQuery) -> Result<Page<T>, Failure>,
    name: impl Fn(&T) -> &str,
) -> Result<T, Failure> {
    let mut query = ScheduleQuery {
        limit: Some(200),
        ..ScheduleQuery::default()
    };
    loop {
        let page = list(query.clone()).await?;
        if let Some(found) = page.items.into_iter().find(|item| name(item) == text) {
            return Ok(found);
        }
        if page.next_cursor.is_none() {
            let message = format!("there is no {what} {text}");
            return Err(Failure::new(Exit::NotFound, message));
        }
        query.cursor = page.next_cursor;
    }
}

async fn schedule_id(client: &Client, text: &str) -> Result<ScheduleId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let list = async |query: ScheduleQuery| Ok(client.schedules(&query).await?);
    let found = named(text, "schedule", list, |schedule| &schedule.name);
    Ok(found.await?.id)
}

async fn trigger_id(client: &Client, text: &str) -> Result<TriggerId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let list = async |query: ScheduleQuery| Ok(client.triggers(&query).await?);
    let found = named(text, "trigger", list, |trigger| &trigger.name);
    Ok(found.await?.id)
}

impl Schedule {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        let id = async |text: String| schedule_id(client, &text).await;
        match self {
            Self::Create(create) => {
                let spec = create.spec(client).await?;
                output.show(&client.create_schedule(&spec).await?)
            }
            Self::List(list) => output.show(&client.schedules(&list.query()).await?),
            Self::Get { schedule } => output.show(&client.schedule(id(schedule).await?).await?),
            Self::Pause { schedules, reason } => {
                each(schedules, output, async |text| {
                    output.show(&client.pause_schedule(id(text).await?, &reason).await?)
                })
                .await
            }
            Self::Resume(Names { names }) => {
                each(names, output, async |text| {
                    output.show(&client.resume_schedule(id(text).await?).await?)
                })
                .await
            }
            Self::Fire(Names { names }) => {
                each(names, output, async |text| {
                    let firing = client.fire_schedule(id(text).await?).await?;
                    output.show(&firing)
                })
                .await
            }
            Self::Runs { schedule } => {
                output.show(&client.schedule_runs(id(schedule).await?).await?)
            }
            Self::Delete(Names { names }) => {
                each(names, output, async |text| {
                    client.delete_schedule(id(text).await?).await?;
                    Ok(Exit::Ok)
                })
                .await
            }
        }
    }
}

impl Trigger {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        let id = async |text: String| trigger_id(client, &text).await;
        match self {
            Self::Create { file } => {
                let spec: TriggerSpec = from_file(&file, "trigger")?;
                output.show(&client.create_trigger(&spec).await?)
            }
            Self::List(list) => output.show(&client.triggers(&list.query()).await?),
            Self::Get { trigger } => output.show(&client.trigger(id(trigger).await?).await?),
            Self::Pause { triggers, reason } => {
                each(triggers, output, async |text| {
                    output.show(&client.pause_trigger(id(text).await?, &reason).await?)
                })
                .await
            }
            Self::Resume(Names { names }) => {
                each(names, output, async |text| {
                    output.show(&client.resume_trigger(id(text).await?).await?)
                })
                .await
            }
            Self::Runs { trigger } => output.show(&client.trigger_runs(id(trigger).await?).await?),
            Self::Delete(Names { names }) => {
                each(names, output, async |text| {
                    client.delete_trigger(id(text).await?).await?;
                    Ok(Exit::Ok)
                })
                .await
            }
        }
    }
}

/// As tables show it.
pub(super) const fn state(state: FiringState) -> &'static str {
    match state {
        FiringState::Starting => "starting",
        FiringState::Retrying => "retrying",
        FiringState::Started => "started",
        FiringState::NotStarted => "not started",
        FiringState::Queued => "queued",
        FiringState::Passed => "passed",
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Global;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        global: Global,
        #[command(subcommand)]
        schedule: Schedule,
    }

    #[test]
    fn a_file_stands_alone_but_for_where_the_node_is() {
        let read = |words: &str| Command::try_parse_from(words.split(' '));
        let made = read("troupe --data-dir d create --file f").unwrap();
        assert_eq!(made.global.data_dir, Some(PathBuf::from("d")));
        assert!(matches!(made.schedule, Schedule::Create(_)));
        assert!(read("troupe create --file f -o json").is_ok());
        assert!(read("troupe create n --file f").is_err());
        assert!(read("troupe create --file f --every 1s").is_err());
        assert!(read("troupe create").is_err());
    }
}
