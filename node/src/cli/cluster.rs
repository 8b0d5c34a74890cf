//! `troupe nodes`, `troupe node` and `troupe token`: who is in the cluster, and who may join.

use std::time::Duration;

use clap::{Args, Subcommand};
use protocol::{
    api::{MemberStatus, MemberView, TokenRequest},
    member::NodeRole,
    time::Span,
};
use tokio::time::{Instant, interval_at};

use super::{
    exit::{Exit, Failure, Outcome},
    output::Output,
    task::{each, word},
};
use crate::client::{Client, Error};

/// The time between two looks at a node that drains.
const LOOK: Duration = Duration::from_millis(500);

/// Looks in a row at which a node must have nothing: what was on its way to it when it was told
/// has arrived by then.
const QUIET: u32 = 3;

pub(super) async fn nodes(client: &Client, output: &Output) -> Outcome {
    output.show(&client.nodes().await?)
}

#[derive(Debug, Subcommand)]
pub(super) enum Node {
    /// Show a node
    Get {
        /// Its name
        name: String,
    },
    /// Let a node hand over what it has, and wait until it has nothing left
    Drain(Drain),
    /// Let a node that was drained take part again
    Resume {
        /// Its name
        name: String,
    },
    /// Take nodes out of the cluster for good: their certificates count no more
    Remove {
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Drain {
    /// Its name
    name: String,
    /// Return at once; `troupe node get` shows how far it is
    #[arg(long)]
    no_wait: bool,
    /// Wait this long at most; the node goes on
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
}

impl Node {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        match self {
            Self::Get { name } => output.show(&client.member(&name).await?),
            Self::Drain(drain) => drain.run(client, output).await,
            Self::Resume { name } => output.show(&client.resume_node(&name).await?),
            Self::Remove { names } => {
                each(names, output, async |name| {
                    client.remove_node(&name).await?;
                    Ok(Exit::Ok)
                })
                .await
            }
        }
    }
}

impl Drain {
    async fn run(self, client: &Client, output: &Output) -> Outcome {
        let mut node = client.drain_node(&self.name).await?;
        if self.no_wait {
            return output.show(&node);
        }
        let until = self.timeout.map(|Span(limit)| Instant::now() + limit);
        let (mut quiet, mut told) = (0, String::new());
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        loop {
            let progress = progress(&node);
            if progress != told {
                output.note(&progress);
                told = progress;
            }
            match node.state {
                MemberStatus::Draining => quiet = if has_nothing(&node) { quiet + 1 } else { 0 },
                // It ended meanwhile, and has nothing for sure.
                MemberStatus::Left | MemberStatus::Dead | MemberStatus::Removed => quiet = QUIET,
                MemberStatus::Up | MemberStatus::Suspect => {
                    return Err(Failure::new(
                        Exit::Conflict,
                        format!("node {} takes part again", self.name),
                    )
                    .because("somebody resumed it, or it was restarted"));
                }
            }
            if quiet >= QUIET {
                output.note(&format!(
                    "{} has nothing left; stop it, or `troupe node resume {}`",
                    self.name, self.name
                ));
                return output.show(&node);
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err(
                    Failure::new(Exit::Usage, format!("the time to wait is over: {told}"))
                        .help("the node goes on draining; wait again with the same command"),
                );
            }
            looks.tick().await;
            node = client.member(&self.name).await?;
        }
    }
}

fn has_nothing(node: &MemberView) -> bool {
    node.shards.unwrap_or(0) == 0 && node.running.unwrap_or(0) == 0
}

/// How far a node is, in a line.
fn progress(node: &MemberView) -> String {
    let (name, state) = (&node.name, node.state.as_str());
    let running = node.running.unwrap_or(0);
    match node.shards {
        Some(shards) => format!("{name} is {state}: {shards} shards, {running} attempts run"),
        None => format!("{name} is {state}: {running} attempts run"),
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token with which one node can join, and show it this once
    Create {
        /// What the node may do: control, worker, edge [default: all that the cluster allows]
        #[arg(long, value_name = "ROLE,...", value_delimiter = ',', value_parser = word::<NodeRole>)]
        roles: Option<Vec<NodeRole>>,
        /// For how long it counts [default: 1h]
        #[arg(long, value_name = "TIME")]
        ttl: Option<Span>,
    },
    /// List tokens, the newest first
    List,
    /// Take tokens back; a node that joined stays
    Revoke {
        /// Their ids, as the list shows them
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

impl Token {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        match self {
            Self::Create { roles, ttl } => {
                let request = TokenRequest {
                    roles: roles.map(Into::into),
                    ttl,
                };
                output.show(&client.create_token(&request).await?)
            }
            Self::List => output.show(&client.tokens().await?),
            Self::Revoke { ids } => {
                each(ids, output, async |id| {
                    client.revoke_token(&id).await.map_err(not_revoked)?;
                    Ok(Exit::Ok)
                })
                .await
            }
        }
    }
}

fn not_revoked(error: Error) -> Failure {
    let failure = Failure::from(error);
    match failure.exit {
        Exit::NotFound => failure.help("`troupe token list` shows the tokens that there are"),
        _ => failure,
    }
}
