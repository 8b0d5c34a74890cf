//! `troupe events`: what became of actors, so far and as it happens.

use clap::Args;
use protocol::api::{LifeEvent, LifeGap, LifeQuery};
use runtime::clock::Clock;

use super::{
    exit::Outcome,
    output::{Output, visible},
    tree::Moment,
    view::life_line,
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
}

impl Events {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        let now = Clock::system().now();
        let query = LifeQuery {
            path: self.path,
            kind: self.kind,
            node: self.node,
            from: self.since.map(|since| since.seen_from(now)),
            to: self.until.map(|until| until.seen_from(now)),
            limit: self.limit,
        };
        if !self.follow {
            return output.show(&client.life(&query).await?);
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
