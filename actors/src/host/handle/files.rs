//! Files that steps left on this node, for whoever asks elsewhere.

use std::sync::Arc;

use protocol::{member::NodeRole, wire::Service};
use runtime::cluster::{Fault, Incoming};
use tokio::sync::Semaphore;

use super::Hosts;
use crate::host::{
    file::{Answer, Request},
    message::read,
};

/// Pieces that are read at the same time.
const READING: usize = 16;

impl Hosts {
    /// Answers other nodes about files from now on.
    pub(super) fn serve_files(&self) {
        let (doors, turns) = (self.doors.clone(), Arc::new(Semaphore::new(READING)));
        self.around.net.serve(
            Service::FILE,
            Arc::new(move |incoming| {
                let (doors, turns) = (doors.clone(), turns.clone());
                Box::pin(async move {
                    let request = asked(&incoming)?;
                    let _turn = turns.acquire().await;
                    let reading = tokio::task::spawn_blocking(move || {
                        Answer::to(&request, doors.data_dir()).map(|answer| answer.encode())
                    });
                    match reading.await {
                        Ok(Ok(answer)) => Ok(answer),
                        Ok(Err(error)) => {
                            tracing::warn!(%error, "an artifact could not be read");
                            Err(Fault::Refused("the artifact cannot be read now".to_owned()))
                        }
                        Err(_) => Err(Fault::Refused("the node is stopping".to_owned())),
                    }
                })
            }),
        );
    }
}

/// What a node wants, if it may: files go to those that found out who their callers are.
fn asked(incoming: &Incoming) -> Result<Request, Fault> {
    let from = &incoming.from;
    if !from.roles.has(NodeRole::Control) && !from.roles.has(NodeRole::Edge) {
        tracing::warn!(
            target: "audit",
            node = %from.node,
            name = from.name,
            "a node that serves no users asked for a file; it was refused"
        );
        let message = "only nodes with the role control or edge may ask for files";
        return Err(Fault::Refused(message.to_owned()));
    }
    read(&incoming.payload).map_err(|error| Fault::Refused(error.to_string()))
}
