//! `troupe stop`, `pause`, `resume` and `hold`: what operators end, and what they keep from starting.

use std::str::FromStr;

use clap::{Args, Subcommand};
use protocol::{
    agent::StopMode,
    api::{HoldRequest, HoldView, Reach},
    hold::Target,
    id::{HoldId, TaskId},
};

use super::{
    exit::{Exit, Failure, Outcome},
    output::Output,
    task::each,
};
use crate::client::Client;

/// What is stopped, paused or resumed.
#[derive(Debug, Clone)]
enum Scope {
    Task(TaskId),
    All(Target),
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Task(id));
        }
        let target: Target = text.parse().map_err(|_| {
            format!(
                "`{text}` is neither a task's id nor `cluster`, `session:ID`, `user:NAME`, \
                 `agent:NAME` or `node:NAME`"
            )
        })?;
        match target.is_scope() {
            true => Ok(Self::All(target)),
            false => Err(format!("{target} is no scope; `troupe hold add` holds it")),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Stop {
    /// A task's id, session:ID, user:NAME, agent:NAME, node:NAME or cluster
    #[arg(required = true, value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// Why
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct Pause {
    /// A task's id, session:ID, user:NAME, agent:NAME, node:NAME or cluster
    #[arg(required = true, value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// Why
    #[arg(long, default_value = "")]
    reason: String,
    /// End running attempts and try them again later, instead of letting them end
    #[arg(long)]
    now: bool,
}

#[derive(Debug, Args)]
pub(super) struct Resume {
    /// A task's id, session:ID, user:NAME, agent:NAME, node:NAME or cluster
    #[arg(required = true, value_name = "SCOPE")]
    scopes: Vec<Scope>,
}

impl Stop {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        let reason = self.reason;
        each(self.scopes, output, async |scope| match scope {
            Scope::Task(id) => {
                let view = client.cancel_task(id, &reason).await?;
                output.show(&view)?;
                confirmed(&view.reach)
            }
            Scope::All(scope) => {
                let view = client.stop_scope(scope, &reason).await?;
                output.show(&view)?;
                confirmed(&view.reach)
            }
        })
        .await
    }
}

impl Pause {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        let reason = self.reason;
        let mode = match self.now {
            true => StopMode::Now,
            false => StopMode::Graceful,
        };
        each(self.scopes, output, async |scope| match scope {
            Scope::Task(id) => {
                let view = client.pause_task(id, &reason, mode).await?;
                output.show(&view)?;
                confirmed(&view.reach)
            }
            Scope::All(scope) => {
                let view = client.pause_scope(scope, &reason, mode).await?;
                output.show(&view)?;
                confirmed(&view.reach)
            }
        })
        .await
    }
}

impl Resume {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        each(self.scopes, output, async |scope| match scope {
            Scope::Task(id) => {
                let view = client.resume_task(id).await?;
                output.show(&view)?;
                confirmed(&view.reach)
            }
            Scope::All(scope) => {
                let view = client.resume_scope(scope).await?;
                output.show(&view)?;
                confirmed(&view.reach)
            }
        })
        .await
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Hold {
    /// Let the steps that need something wait: agent:NAME, agent_type:TYPE, tool:NAME, provider:HOST
    Add {
        /// What is to be held
        target: Target,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        /// Also when nothing here has this name yet
        #[arg(long)]
        ahead: bool,
    },
    /// List what is held, and the scopes that are paused
    List,
    /// Let the steps that wait go on
    #[command(visible_alias = "lift")]
    Remove {
        /// The ids of holds, or what they hold
        #[arg(required = true, value_name = "HOLD")]
        holds: Vec<String>,
    },
}

impl Hold {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        match self {
            Self::Add {
                target,
                reason,
                ahead,
            } => {
                let request = HoldRequest {
                    target,
                    reason,
                    ahead,
                };
                let change = client.hold(&request).await?;
                output.show(&change)?;
                confirmed(&change.reach)
            }
            Self::List => output.show(&client.holds().await?),
            Self::Remove { holds } => {
                each(holds, output, async |text| {
                    let id = named(client, &text).await?;
                    let change = client.lift(id).await?;
                    output.show(&change)?;
                    confirmed(&change.reach)
                })
                .await
            }
        }
    }
}

/// The hold of this id, or on this target.
async fn named(client: &Client, text: &str) -> Result<HoldId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let holds = client.holds().await?.items;
    let found = holds
        .iter()
        .find(|HoldView { target, .. }| target.to_string() == text);
    found
        .map(|hold| hold.id)
        .ok_or_else(|| Failure::new(Exit::NotFound, format!("nothing holds {text}")))
}

/// What could not be confirmed makes a partial failure of it.
pub(super) fn confirmed(reach: &Reach) -> Outcome {
    if reach.unconfirmed.is_empty() {
        return Ok(Exit::Ok);
    }
    let open = reach.unconfirmed.iter().map(|open| match open.until {
        Some(until) => format!(
            "{}: {} (its lease ends it by {until} unless the node renews that)",
            open.node, open.what
        ),
        None => format!("{}: {}", open.node, open.what),
    });
    let open: Vec<_> = open.collect();
    Err(Failure::new(Exit::Usage, "not all of it could be confirmed").because(open.join("; ")))
}
