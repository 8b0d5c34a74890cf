//! `troupe run`: a job file, from its agents to its report, in one command.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use protocol::{
    agent::AgentSpec,
    api::{AgentUpdate, AgentView, TaskView},
    task::TaskStatus,
};
use serde_json::json;

use super::{
    Global,
    exit::{Exit, Failure, Outcome},
    output::Output,
    start::{self, Signals, use_this_program},
    task::end,
};
use crate::{
    client::{self, Client},
    config::Config,
    job::{Bound, Job},
    node::{DirError, Node, StartError, random_hex},
};

mod progress;
mod record;
mod report;
mod screen;

pub(super) use progress::Progress;
use record::{Record, Records};
use screen::Screen;

/// Time for attempts that run when the command ends; what is cut off is recovered.
const GRACE: Duration = Duration::from_secs(5);
/// How long another process may take to say where its node is.
const FIND: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Run {
    /// The job file, such as examples/repo_review.yaml
    file: PathBuf,
    /// What the job is given; may be given several times
    #[arg(short, long = "input", value_name = "NAME=VALUE", value_parser = pair)]
    inputs: Vec<(String, String)>,
    /// Finish the run of this job, with these inputs, that was begun last
    #[arg(long)]
    resume: bool,
    /// Where to serve HTTP meanwhile [default: 127.0.0.1:8000, or a free port]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("must have the form NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Run {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        // All that can be wrong with the file is told before anything starts.
        let job = Job::read(&self.file)?;
        let bound = job.bind(&self.inputs)?;
        global.start_logging()?;
        let mut config = global.checked()?;
        match self.listen {
            Some(listen) => config.edge.listen = listen,
            None => prefer_free_port(&mut config),
        }
        use_this_program(&mut config);
        let records = Records::of(&config.node.data_dir, &self.file, &bound)?;
        let record = self.record(&records, &bound, output)?;

        let mut signals = Signals::listen()?;
        let place = Place::find(global, config).await?;
        let work = Work {
            client: place.client(),
            records,
            output,
            stays: matches!(place, Place::Elsewhere(_)),
        };
        let outcome = tokio::select! {
            outcome = work.finish(record) => outcome,
            () = signals.next() => Ok(work.interrupted()),
            reason = place.gave_up() => Err(start::gave_up(reason)),
        };
        if let Place::Here { node, .. } = place {
            let exit = outcome
                .as_ref()
                .map_or_else(|failure| failure.exit, |exit| *exit);
            start::stop(*node, GRACE, signals, exit).await?;
        }
        outcome
    }

    /// What is to be submitted: as the last time, or anew.
    fn record(&self, records: &Records, bound: &Bound, output: &Output) -> Result<Record, Failure> {
        let last = records.last()?;
        if !self.resume {
            if let Some(last) = last.filter(|last| last.ended.is_none()) {
                output.note(&format!(
                    "note: an earlier run of this job{} was not finished; it goes on beside this one. \
                     `--resume` joins it instead.",
                    last.task.map(|id| format!(", {id},")).unwrap_or_default()
                ));
            }
            let record = Record::new(format!("run-{}", random_hex::<16>()), bound);
            // Before the task is made: if this process dies right after, the key finds the task.
            records.write(&record)?;
            return Ok(record);
        }
        let Some(last) = last else {
            return Err(Failure::new(
                Exit::NotFound,
                "no run of this job with these inputs was begun in this data directory",
            )
            .help("leave out --resume to begin one"));
        };
        if last.ended.is_none() && !last.is_of(bound) {
            return Err(Failure::new(
                Exit::Conflict,
                "the job file was changed since the run was begun, so there is no telling how to finish it",
            )
            .help("put the file back to how it was, or leave out --resume to begin anew"));
        }
        Ok(last)
    }
}

/// `run` alone takes another port when the usual one is taken: its user wants the job, not the port.
fn prefer_free_port(config: &mut Config) {
    let taken = TcpListener::bind(config.edge.listen)
        .is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse);
    if taken {
        config.edge.listen.set_port(0);
    }
}

/// Where the job runs.
enum Place {
    /// In a node of this process.
    Here {
        node: Box<Node>,
        /// Certificates to trust: what the node shows may be of its own making.
        trusted: Option<PathBuf>,
    },
    /// In the node that has the data directory already.
    Elsewhere(Client),
}

impl Place {
    async fn find(global: &Global, config: Config) -> Result<Self, Failure> {
        if global.url.is_some() {
            return Ok(Self::Elsewhere(global.client()?));
        }
        let dir = config.node.data_dir.clone();
        let own = config.edge.tls.as_ref().map(|tls| tls.cert.clone());
        let trusted = global.cacert.clone().or(own);
        match Node::builder().config(config).start().await {
            Ok(node) => Ok(Self::Here {
                node: Box::new(node),
                trusted,
            }),
            Err(StartError::Dir(error @ DirError::Locked { .. })) => {
                // It may be starting at this very moment.
                let deadline = tokio::time::Instant::now() + FIND;
                loop {
                    match global.find(None, &dir) {
                        Ok(client) if client.health().await.is_ok() => {
                            return Ok(Self::Elsewhere(client));
                        }
                        Ok(_) | Err(_) if tokio::time::Instant::now() < deadline => {
                            tokio::time::sleep(Duration::from_millis(200)).await;
                        }
                        Ok(_) | Err(_) => return Err(error.into()),
                    }
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Why the node of this process cannot go on, if that happens.
    async fn gave_up(&self) -> String {
        match self {
            Self::Here { node, .. } => node.gave_up().await,
            Self::Elsewhere(_) => std::future::pending().await,
        }
    }

    fn client(&self) -> Result<Client, client::Error> {
        match self {
            Self::Here { node, trusted } => {
                let (url, token) = (node.url(), node.token());
                let client = Client::new(url.unwrap_or_default(), token.unwrap_or_default())?;
                match trusted {
                    Some(file) => client.trusting(file),
                    None => Ok(client),
                }
            }
            Self::Elsewhere(client) => Ok(client.clone()),
        }
    }
}

/// What `run` does once a node answers.
struct Work<'a> {
    client: Result<Client, client::Error>,
    records: Records,
    output: &'a Output,
    /// Whether the node outlives this command.
    stays: bool,
}

impl Work<'_> {
    async fn finish(&self, mut record: Record) -> Outcome {
        let client = match &self.client {
            Ok(client) => client,
            Err(error) => return Err(Failure::new(Exit::Failed, error.to_string())),
        };
        for agent in &record.agents {
            register(client, agent).await?;
        }
        let task = client.submit(&record.spec, Some(&record.key), None).await?;
        record.task = Some(task.id);
        self.records.write(&record)?;
        let task = if task.status.is_terminal() {
            // A resumed run that had ended: nothing happens any more.
            task
        } else {
            self.follow(client, task).await?
        };
        record.ended = Some(task.status);
        self.records.write(&record)?;
        self.show(client, &record, &task).await
    }

    /// Shows the steps as they run, until the task is settled.
    async fn follow(&self, client: &Client, task: TaskView) -> Result<TaskView, Failure> {
        let mut screen = Screen::new(self.output, &task);
        let mut events = client.events(task.id, 0);
        while let Some(event) = events.next().await? {
            screen.show(&event);
        }
        drop(screen);
        Ok(client.task(task.id).await?)
    }

    async fn show(&self, client: &Client, record: &Record, task: &TaskView) -> Outcome {
        if self.output.is_quiet() || self.output.is_for_programs() {
            self.output.show(task)?;
            return Ok(end(task.status));
        }
        if task.status == TaskStatus::Completed {
            let step = record.spec.metadata.get("report");
            let step = step.and_then(serde_json::Value::as_str);
            if let Some(report) = report::find(client, task, step).await? {
                self.output.text(&report.text)?;
                if let Some(place) = report.place {
                    self.output.note(&format!("\nThe report lies in {place}"));
                }
            }
            self.output.note(&format!("{} completed", task.id));
            return Ok(Exit::Ok);
        }
        Err(report::failure(task))
    }

    fn interrupted(&self) -> Exit {
        self.output.note(if self.stays {
            "\ninterrupted: the task goes on in the node. The same command with --resume follows it; \
             `troupe task cancel` stops it."
        } else {
            "\ninterrupted: what was completed is kept. The same command with --resume finishes the rest."
        });
        Exit::Interrupted
    }
}

/// Registers an agent, or changes the one of its name to be the same.
async fn register(client: &Client, spec: &AgentSpec) -> Result<(), Failure> {
    match client.agent(&spec.name).await {
        Ok(found) if is_same(&found, spec) => Ok(()),
        Ok(found) if found.agent_type == spec.agent_type => {
            let update = AgentUpdate {
                description: Some(spec.description.clone()),
                endpoint: spec.endpoint.clone(),
                capabilities: Some(spec.capabilities.clone()),
                config: Some(spec.config.clone()),
                metadata: Some(spec.metadata.clone()),
                max_tasks: Some(spec.max_tasks),
                resources: Some(spec.resources),
                placement: Some(spec.placement.clone()),
            };
            client.update_agent(&spec.name, &update).await?;
            Ok(())
        }
        Ok(found) => Err(Failure::new(
            Exit::Conflict,
            format!(
                "agent `{}` is registered as {}, not as {}",
                spec.name,
                found.agent_type.as_str(),
                spec.agent_type.as_str()
            ),
        )
        .help("give the agent another name in the job file, or use another --data-dir")),
        Err(error) if error.status() == Some(404) => {
            client.register_agent(spec).await?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn is_same(found: &AgentView, spec: &AgentSpec) -> bool {
    found.agent_type == spec.agent_type
        && found.description == spec.description
        && found.endpoint == spec.endpoint
        && found.capabilities == spec.capabilities
        && json!(found.config) == json!(spec.config)
        && json!(found.metadata) == json!(spec.metadata)
        && found.max_tasks == spec.max_tasks
        && found.resources == spec.resources
        && found.placement == spec.placement
}
