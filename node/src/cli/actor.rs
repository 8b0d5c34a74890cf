//! `troupe inspect` and `troupe actor`: one actor in full, and what operators do to it.

use clap::{Args, Subcommand};

use super::{exit::Outcome, output::Output, task::each};
use crate::client::{Client, Deed};

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The actor, such as /agents/reviewer; `troupe tree` shows them
    path: String,
    /// The node it is on, where it stands on several
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
}

impl Inspect {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        output.show(&client.actor(&self.path, self.node.as_deref()).await?)
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
}

#[derive(Debug, Subcommand)]
pub(super) enum Actor {
    /// End actors in order and begin them anew
    Restart(Which),
    /// End actors in order; they do not begin anew by themselves
    Stop(Which),
    /// End actors at once, in the middle of what they are at
    Kill(Which),
    /// Let actors take nothing new
    Pause(Which),
    /// Let paused actors go on
    Resume(Which),
    /// Let actors that are parked after too many failures try again
    Release(Which),
}

impl Actor {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        let (deed, Which { paths, node }) = match self {
            Self::Restart(which) => (Deed::Restart, which),
            Self::Stop(which) => (Deed::Stop, which),
            Self::Kill(which) => (Deed::Kill, which),
            Self::Pause(which) => (Deed::Pause, which),
            Self::Resume(which) => (Deed::Resume, which),
            Self::Release(which) => (Deed::Release, which),
        };
        each(paths, output, async |path| {
            let after = client.turn_actor(&path, node.as_deref(), deed).await?;
            output.show(&after)
        })
        .await
    }
}
