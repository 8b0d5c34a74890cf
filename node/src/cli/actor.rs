//! `troupe inspect` and `troupe actor`: one actor in full, and what operators do to it.

use clap::{Args, Subcommand};

use protocol::{api::ActorAction, time::Span};

use super::{exit::Outcome, output::Output, task::each};
use crate::client::Client;

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The actor, such as /agents/reviewer; `troupe tree` shows them
    path: String,
    /// The node it is on, where it stands on several
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// The messages that it handles, instead: it is listened to for so long
    #[arg(long, value_name = "SPAN", num_args = 0..=1, default_missing_value = "2s")]
    messages: Option<Span>,
    /// What its events made of it, instead; with a position, up to that event
    #[arg(long, value_name = "POSITION", num_args = 0..=1, conflicts_with = "messages")]
    state: Option<Option<u64>>,
}

impl Inspect {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        let (path, node) = (&self.path, self.node.as_deref());
        if let Some(wait) = self.messages {
            output.note(&format!("{path} is listened to for {wait}"));
            return output.show(&client.actor_messages(path, node, Some(wait)).await?);
        }
        if let Some(at) = self.state {
            return output.show(&client.entity_state(path, at).await?);
        }
        output.show(&client.actor(path, node).await?)
    }
}

/// Which actors.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The actors, such as /agents/reviewer; `troupe tree` shows them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// The node they are on, where they stand on several
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Why
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum Actor {
    /// End actors in order; they begin anew from what is recorded
    Restart(Which),
    /// End tasks with all that they run, and agents, for good
    Stop(Which),
    /// End actors at once, as in a crash; they begin anew from what is recorded
    Kill(Which),
    /// Let tasks and agents start nothing until they are resumed
    Pause(Which),
    /// Let paused ones go on
    Resume(Which),
    /// Let those that are parked after too many failures try again
    Release(Which),
}

impl Actor {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        let (action, which) = match self {
            Self::Restart(which) => (ActorAction::Restart, which),
            Self::Stop(which) => (ActorAction::Stop, which),
            Self::Kill(which) => (ActorAction::Kill, which),
            Self::Pause(which) => (ActorAction::Pause, which),
            Self::Resume(which) => (ActorAction::Resume, which),
            Self::Release(which) => (ActorAction::Release, which),
        };
        let Which {
            paths,
            node,
            reason,
        } = which;
        each(paths, output, async |path| {
            let done = client.act_on_actor(&path, node.as_deref(), action, &reason);
            output.show(&done.await?)
        })
        .await
    }
}
