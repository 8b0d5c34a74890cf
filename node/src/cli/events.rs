//! `troupe events`: what became of actors, so far and as it happens.

use clap::Args;
use protocol::api::{
    Happening, LifeEvent, LifeGap, LifeQuery, TreeQuery, WorkerChange, WorkerStatus,
};
use runtime::clock::Clock;

use super::{
    exit::{Failure, Outcome},
    output::{Output, visible},
    tree::Moment,
    view::{life_line, moment},
};
use crate::client::{Client, LifeNews};

#[derive(Debug, Args)]
pub(super) struct Events {
    /// Go on with what happens from now on, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Only of actors whose path matches, such as '/tasks/*' or '/agents/**'
    #[arg(long, value_name = "GLOB")]
    path: Option<String>,
    /// Only this, as a list: started, stopped, failed, restarted, parked, moved, stuck, node_lost,
    /// or kinds of actors such as agent,task
    #[arg(long, value_name = "LIST")]
    kind: Option<String>,
    /// From this moment on: 2027-01-15T08:00:00Z, or so long ago: 30s, 10m [default: an hour ago; with
    /// --follow, now]
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Only of this node
    #[arg(long, value_name = "NAME", conflicts_with = "follow")]
    node: Option<String>,
    /// Up to this moment
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    until: Option<Moment>,
    /// The last so many, at most
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Instead of actors' lives, events of tasks, runs and agents and how nodes are, by names as a list:
    /// 'task.*,workflow.node.*,agent.mode_set,worker.status', or '*'; from now on, until interrupted
    #[arg(long, value_name = "LIST", conflicts_with_all = ["path", "kind", "since", "node", "until", "limit"])]
    types: Option<String>,
}

impl Events {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        if let Some(types) = self.types {
            let mut happenings = client.happenings(&types);
            loop {
                happened(&happenings.next_steadily().await?, output)?;
            }
        }
        let now = Clock::system().now();
        let query = LifeQuery {
            path: self.path,
            kind: self.kind,
            node: self.node,
            from: self.since.map(|since| since.seen_from(now)),
            to: self.until.map(|until| until.seen_from(now)),
            limit: self.limit,
        };
        let absent = absent(client, query.path.as_deref()).await?;
        if !self.follow {
            if let Some(path) = absent {
                output.note(&format!("nothing stands at {path} now"));
            }
            return output.show(&client.life(&query).await?);
        }
        if let Some(path) = absent {
            output.note(&format!("nothing stands at {path} now; waiting"));
        }
        let mut lives = client.lives(&query);
        loop {
            match lives.next_steadily().await? {
                LifeNews::Turn(event) => tell(&event, output)?,
                LifeNews::Gap(LifeGap { node }) => {
                    output.note(&format!(
                        "what became of actors on {node} meanwhile is not told; \
                         `troupe events --node {node}` shows what is kept of it"
                    ));
                    continue;
                }
            };
        }
    }
}

/// The path that was asked for, where it is no pattern and nothing stands there: it may be misspelt.
async fn absent<'a>(client: &Client, path: Option<&'a str>) -> Result<Option<&'a str>, Failure> {
    let Some(path) = path.filter(|path| path.starts_with('/') && !path.contains('*')) else {
        return Ok(None);
    };
    let query = TreeQuery {
        path: Some(path.to_owned()),
        depth: Some(0),
        limit: Some(1),
        ..TreeQuery::default()
    };
    match client.tree(&query).await {
        Ok(_) => Ok(None),
        Err(error) if error.status() == Some(404) => Ok(Some(path)),
        Err(error) => Err(error.into()),
    }
}

/// One line for what happened.
fn happened(what: &Happening, output: &Output) -> Outcome {
    if output.is_for_programs() {
        return output.line(what);
    }
    let line = match what {
        Happening::Recorded(event) if output.is_quiet() => event.entity.to_string(),
        Happening::Recorded(event) => {
            let kind = event.event["type"].as_str().unwrap_or("event");
            let (at, entity, by) = (moment(event.at), event.entity, &event.actor);
            format!("{at}  {kind}  {entity}  by {by}")
        }
        Happening::Worker(worker) if output.is_quiet() => worker.node.name.clone(),
        Happening::Worker(worker) => worker_line(worker),
    };
    output.text(&format!("{}\n", visible(&line)))
}

fn worker_line(worker: &WorkerStatus) -> String {
    let (at, node) = (moment(worker.at), &worker.node);
    let (name, state) = (&node.name, node.state.as_str());
    match (worker.change, worker.was) {
        (WorkerChange::Status, Some(was)) => {
            format!("{at}  node {name} is {state}, was {}", was.as_str())
        }
        (WorkerChange::Joined, _) => format!("{at}  node {name} joined and is {state}"),
        (WorkerChange::Known | WorkerChange::Status, _) => format!("{at}  node {name} is {state}"),
        (WorkerChange::Load, _) => {
            let count =
                |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
            let (running, agents) = (count(node.running), count(node.agents));
            format!("{at}  node {name} runs {running}, with {agents} agents")
        }
    }
}

fn tell(event: &LifeEvent, output: &Output) -> Outcome {
    if output.is_for_programs() {
        return output.line(event);
    }
    let line = match output.is_quiet() {
        true => event.path.clone(),
        false => life_line(event),
    };
    output.text(&format!("{}\n", visible(&line)))
}
