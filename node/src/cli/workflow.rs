//! `troupe workflow`: what is written down once, and its runs.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use protocol::{
    agent::StopMode,
    api::{
        ExecutionQuery, ExecutionStatus, ForkRequest, ReplayRequest, WorkflowDraft, WorkflowQuery,
    },
    id::TaskId,
    time::Span,
    workflow::Status,
};

use super::{
    exit::{Exit, Outcome},
    hold::confirmed,
    output::Output,
    read_text,
    task::{each, word},
};
use crate::client::Client;

mod check;
mod draw;
mod graph;
mod run;
mod watch;

pub(super) use run::Run;

#[derive(Debug, Subcommand)]
pub(super) enum Workflow {
    /// Say what is wrong with definitions, line by line, or which recorded runs would go another way with one
    Check(check::Check),
    /// Draw the graph of a definition; needs no node
    Graph(graph::Graph),
    /// Print the JSON Schema of definitions, for editors; needs no node
    Schema,
    /// Start a run of a workflow, or of the one that a file describes
    Run(Box<Run>),
    /// Make a workflow from a file, JSON or YAML
    Create {
        /// The file; `-` reads standard input
        file: PathBuf,
        /// Whether runs of it may begin
        #[arg(long, value_enum, default_value_t)]
        status: Standing,
    },
    /// Give a workflow another definition, which makes a version, or another status
    Update {
        /// Its name or id
        workflow: String,
        /// The file with the definition; `-` reads standard input
        #[arg(required_unless_present = "status")]
        file: Option<PathBuf>,
        /// Whether runs of it may begin
        #[arg(long, value_enum)]
        status: Option<Standing>,
    },
    /// List workflows, the newest first
    List(List),
    /// Show a workflow with its definition, or a run
    Get {
        /// Its name or id, or the id of a run
        #[arg(value_name = "WORKFLOW|RUN")]
        workflow: String,
        /// In this version; in the newest without it
        #[arg(long)]
        version: Option<u32>,
        /// Print the definition alone, byte for byte as it was given
        #[arg(long)]
        source: bool,
    },
    /// List the versions of a workflow
    Versions {
        /// Its name or id
        workflow: String,
    },
    /// Remove workflows from sight; their runs go on
    Delete {
        /// Their names or ids
        #[arg(required = true, value_name = "WORKFLOW")]
        workflows: Vec<String>,
    },
    /// Let no node start: of one run, or of all runs of a workflow
    Pause {
        /// The id of a run, or a workflow's name or id
        #[arg(required = true, value_name = "RUN|WORKFLOW")]
        what: Vec<String>,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        /// End running attempts and try them again later, instead of letting them end
        #[arg(long)]
        now: bool,
    },
    /// Let a paused run go on, or all runs of a workflow
    Resume {
        /// The id of a run, or a workflow's name or id
        #[arg(required = true, value_name = "RUN|WORKFLOW")]
        what: Vec<String>,
    },
    /// Stop runs, and take back what their definitions say
    Cancel {
        /// The runs
        #[arg(required = true, value_name = "RUN")]
        runs: Vec<TaskId>,
        /// Take nothing back
        #[arg(long)]
        terminate: bool,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        /// How long to wait for all of it to be gone
        #[arg(long, value_name = "TIME")]
        wait: Option<Span>,
    },
    /// Follow a run until it is settled: its nodes, their states, times and attempts
    Watch {
        /// The run
        run: TaskId,
    },
    /// Begin a run with what another one had before a node: none of it is done again
    Fork {
        /// The run
        run: TaskId,
        /// The node from which on everything is done anew
        #[arg(long, value_name = "NODE")]
        from: String,
        /// What that node is handed: JSON, or @FILE with JSON or YAML
        #[arg(long, value_name = "JSON|@FILE")]
        input: Option<String>,
        /// Do nodes again that called something irreversible
        #[arg(long)]
        confirm: bool,
        /// Follow the new run until it is settled; its end decides the exit code
        #[arg(long)]
        watch: bool,
    },
    /// Decide recorded runs anew, with nothing done; the exit code tells whether any went another way
    Replay {
        /// The runs
        #[arg(required = true, value_name = "RUN")]
        runs: Vec<TaskId>,
        /// With this version of their workflow
        #[arg(long, conflicts_with = "file")]
        version: Option<u32>,
        /// With the definition in this file, which need not be published
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// That nothing is done, which is always so
        #[arg(long)]
        dry: bool,
    },
    /// Print a large value of a run, to which what is shown of it refers
    Value {
        /// The run
        run: TaskId,
        /// What stands at `$large`
        value: String,
    },
    /// List runs, the newest first; with an id show one
    Runs(Runs),
}

/// Whether runs of a workflow may begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Standing {
    /// Not yet
    Draft,
    /// Yes
    #[default]
    Active,
    /// No more
    Archived,
}

impl From<Standing> for Status {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Draft => Self::Draft,
            Standing::Active => Self::Active,
            Standing::Archived => Self::Archived,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only this status
    #[arg(long, value_enum)]
    status: Option<Standing>,
    /// Only workflows whose name or description contains this
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// How many, at most 200
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Runs {
    /// Only runs of this workflow, by name or id; or the id of a run, to show that one
    #[arg(value_name = "WORKFLOW|RUN")]
    of: Option<String>,
    /// Only this status
    #[arg(long, value_parser = word::<ExecutionStatus>)]
    status: Option<ExecutionStatus>,
    /// Only this user's
    #[arg(long)]
    user: Option<String>,
    /// How many, at most 200
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

impl Workflow {
    /// Does what needs no node, or gives the rest back.
    pub(super) fn alone(self, output: &Output) -> Result<Outcome, Self> {
        match self {
            Self::Check(check) if !check.is_against() => Ok(check.run(output)),
            Self::Graph(graph) => Ok(graph.run(output)),
            Self::Schema => Ok(schema(output)),
            with_a_node => Err(with_a_node),
        }
    }

    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        match self {
            Self::Check(check) => check.run_against(client, output).await,
            Self::Graph(graph) => graph.run(output),
            Self::Schema => schema(output),
            Self::Run(run) => run.run(client, output).await,
            Self::Create { file, status } => {
                let draft = WorkflowDraft {
                    source: Some(read_text(&file)?),
                    status: Some(status.into()),
                    ..WorkflowDraft::default()
                };
                output.show(&client.create_workflow(&draft).await?)
            }
            Self::Update {
                workflow,
                file,
                status,
            } => {
                let draft = WorkflowDraft {
                    source: file.as_deref().map(read_text).transpose()?,
                    status: status.map(Status::from),
                    ..WorkflowDraft::default()
                };
                output.show(&client.update_workflow(&workflow, &draft).await?)
            }
            Self::List(list) => output.show(&client.workflows(&list.query()).await?),
            Self::Get {
                workflow,
                version,
                source,
            } => {
                if let Ok(run) = workflow.parse::<TaskId>() {
                    return output.show(&client.execution(run).await?);
                }
                let found = client.workflow(&workflow, version).await?;
                match source {
                    true => {
                        let json = found.dag_definition.get();
                        output.text(found.source.as_deref().unwrap_or(json))
                    }
                    false => output.show(&found),
                }
            }
            Self::Versions { workflow } => output.show(&client.workflow_versions(&workflow).await?),
            Self::Delete { workflows } => {
                each(workflows, output, async |workflow| {
                    client.delete_workflow(&workflow).await?;
                    Ok(Exit::Ok)
                })
                .await
            }
            Self::Pause { what, reason, now } => pause(client, output, what, &reason, now).await,
            Self::Resume { what } => resume(client, output, what).await,
            Self::Cancel {
                runs,
                terminate,
                reason,
                wait,
            } => {
                let wait = wait.map(|Span(wait)| wait);
                each(runs, output, async |run| {
                    let change = match terminate {
                        true => client.terminate_execution(run, &reason, wait).await?,
                        false => client.cancel_execution(run, &reason, wait).await?,
                    };
                    output.show(&change)?;
                    confirmed(&change.reach)
                })
                .await
            }
            Self::Fork {
                run,
                from,
                input,
                confirm,
                watch,
            } => {
                let request = ForkRequest {
                    from_node: from,
                    input: input.as_deref().map(run::input).transpose()?,
                    confirm,
                };
                let forked = client.fork_execution(run, &request).await?;
                match watch {
                    true => watch::watch(client, forked.id, output).await,
                    false => output.show(&forked),
                }
            }
            Self::Replay {
                runs,
                version,
                file,
                dry: _,
            } => replay(client, output, runs, version, file.as_deref()).await,
            Self::Value { run, value } => {
                let value = client.execution_value(run, &value).await?;
                output.text(&format!("{value}\n"))
            }
            Self::Watch { run } => watch::watch(client, run, output).await,
            Self::Runs(runs) => runs.run(client, output).await,
        }
    }
}

fn schema(output: &Output) -> Outcome {
    let schema = protocol::workflow::schema();
    output.text(&format!(
        "{}\n",
        serde_json::to_string_pretty(&schema).unwrap_or_default()
    ))
}

async fn pause(
    client: &Client,
    output: &Output,
    what: Vec<String>,
    reason: &str,
    now: bool,
) -> Outcome {
    let mode = match now {
        true => StopMode::Now,
        false => StopMode::Graceful,
    };
    each(what, output, async |what| match what.parse::<TaskId>() {
        Ok(run) => {
            let change = client.pause_execution(run, reason, mode).await?;
            output.show(&change)?;
            confirmed(&change.reach)
        }
        Err(_) => {
            let reach = client.pause_workflow(&what, reason, mode).await?;
            output.show(&reach)?;
            confirmed(&reach.reach)
        }
    })
    .await
}

async fn replay(
    client: &Client,
    output: &Output,
    runs: Vec<TaskId>,
    version: Option<u32>,
    file: Option<&Path>,
) -> Outcome {
    let request = ReplayRequest {
        version,
        dag_definition: None,
        source: file.map(read_text).transpose()?,
    };
    let mut diverged = false;
    let replayed = each(runs, output, async |run| {
        let view = client.replay_execution(run, &request).await?;
        diverged |= view.divergence.is_some();
        output.show(&view)
    });
    let exit = replayed.await?;
    Ok(if diverged { Exit::Failed } else { exit })
}

async fn resume(client: &Client, output: &Output, what: Vec<String>) -> Outcome {
    each(what, output, async |what| match what.parse::<TaskId>() {
        Ok(run) => {
            let change = client.resume_execution(run).await?;
            output.show(&change)?;
            confirmed(&change.reach)
        }
        Err(_) => {
            let reach = client.resume_workflow(&what).await?;
            output.show(&reach)?;
            confirmed(&reach.reach)
        }
    })
    .await
}

impl List {
    fn query(self) -> WorkflowQuery {
        WorkflowQuery {
            status: self.status.map(Status::from),
            q: self.search,
            limit: self.limit,
            cursor: self.cursor,
        }
    }
}

impl Runs {
    async fn run(self, client: &Client, output: &Output) -> Outcome {
        if let Some(run) = self.of.as_deref().and_then(|of| of.parse::<TaskId>().ok()) {
            return output.show(&client.execution(run).await?);
        }
        let query = ExecutionQuery {
            workflow: self.of,
            status: self.status,
            user_id: self.user,
            limit: self.limit,
            cursor: self.cursor,
        };
        output.show(&client.executions(&query).await?)
    }
}

/// The exit code that says how a run ended.
const fn end(status: ExecutionStatus) -> Exit {
    match status {
        ExecutionStatus::Completed => Exit::Ok,
        ExecutionStatus::Failed => Exit::Failed,
        ExecutionStatus::Cancelled => Exit::Cancelled,
        // The time to wait is over.
        ExecutionStatus::Pending
        | ExecutionStatus::Running
        | ExecutionStatus::Waiting
        | ExecutionStatus::Paused => Exit::Usage,
    }
}
