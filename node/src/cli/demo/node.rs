//! `troupe demo node`: one node of a demonstration, which ends with whoever started it.

use std::{io::Write, net::SocketAddr};

use clap::Args;
use protocol::member::NodeRole;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use super::super::{
    Global,
    exit::{Exit, Failure, Outcome},
    start,
    task::word,
};
use crate::{Config, node::Node, telemetry};

/// What a node says of itself once it serves, on one line of standard output.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Announcement {
    pub(super) url: Option<String>,
    pub(super) token: Option<String>,
    pub(super) mesh: Option<String>,
    /// A join token for each node that is to come.
    pub(super) invitations: Vec<String>,
}

/// It is told everything here: neither a file nor the environment changes a demonstration.
#[derive(Debug, Args)]
pub(in super::super) struct DemoNode {
    #[arg(long)]
    name: String,
    #[arg(long, value_delimiter = ',', value_parser = word::<NodeRole>)]
    roles: Vec<NodeRole>,
    #[arg(long)]
    store: Option<String>,
    #[arg(long)]
    mesh: SocketAddr,
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    join: Option<String>,
    #[arg(long, env = "TROUPE_JOIN_TOKEN", hide_env_values = true)]
    join_token: Option<String>,
    /// How many others are to be let in.
    #[arg(long, default_value_t = 0)]
    invite: usize,
}

impl DemoNode {
    /// Runs until standard input ends, as it does when the one who holds it does.
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let mut config = Config::default();
        if let Some(dir) = &global.data_dir {
            config.node.data_dir.clone_from(dir);
        }
        config.node.name = self.name;
        config.cluster.roles = self.roles.into();
        config.store.url = self.store;
        config.edge.listen = self.listen;
        "warn".clone_into(&mut config.log.level);
        telemetry::start_logging(&config.log);
        start::use_this_program(&mut config);
        let mut node = Node::builder().config(config).mesh(self.mesh);
        if let Some(address) = self.join {
            node = node.join(address, self.join_token);
        }
        let node = node.start().await?;
        let mut invitations = Vec::new();
        for _ in 0..self.invite {
            invitations.push(node.join_token().await?);
        }
        say(&Announcement {
            url: node.url().map(str::to_owned),
            token: node.token().map(str::to_owned),
            mesh: node.member().mesh.clone(),
            invitations,
        })?;
        let mut nothing = [0];
        // Whoever started it is gone when this ends, with an error or without.
        let over = tokio::io::stdin();
        tokio::pin!(over);
        tokio::select! {
            _ = over.read(&mut nothing) => Ok(Exit::Ok),
            reason = node.gave_up() => Err(start::gave_up(reason)),
        }
    }
}

fn say(announcement: &Announcement) -> Result<(), Failure> {
    let unsaid = |error: &dyn std::error::Error| {
        Failure::new(Exit::Failed, "the node cannot say where it is").because(error)
    };
    let line = serde_json::to_string(announcement).map_err(|error| unsaid(&error))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| unsaid(&error))
}
