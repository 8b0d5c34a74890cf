//! `troupe why`, `log` and `status`: what the node is doing.

use clap::Args;
use protocol::id::TaskId;

use super::{
    exit::{Exit, Outcome},
    output::Output,
};
use crate::client::Client;

#[derive(Debug, Args)]
pub(super) struct Why {
    /// The task
    task: TaskId,
}

impl Why {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        output.show(&client.why(self.task).await?)
    }
}

#[derive(Debug, Args)]
pub(super) struct Log {
    /// off, error, warn, info, debug or trace, or by part: info,actors=debug
    level: Option<String>,
    /// The node's name [default: the one that answers]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
}

impl Log {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        let node = self.node.as_deref();
        let view = match &self.level {
            Some(level) => client.set_log_level(node, level).await?,
            None => client.log_level(node).await?,
        };
        output.show(&view)
    }
}

pub(super) async fn status(client: &Client, output: &Output) -> Outcome {
    let health = client.health().await?;
    output.show(&health)?;
    if health.status == "ok" && health.checks.iter().all(|check| check.ok) {
        Ok(Exit::Ok)
    } else {
        Ok(Exit::Unreachable)
    }
}
