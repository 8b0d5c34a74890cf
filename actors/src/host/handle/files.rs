//! Files that steps left on this node, for whoever asks elsewhere.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use protocol::{id::NodeId, member::NodeRole, wire::Service};
use runtime::cluster::{Fault, Incoming};
use tokio::sync::Semaphore;

use super::Hosts;
use crate::cluster::Net;
use crate::host::{
    file::{Answer, Request},
    message::{read, write},
};

/// Pieces that are read at the same time.
const READING: usize = 16;

impl Hosts {
    /// Answers other nodes about files from now on.
    pub(super) fn serve_files(&self) {
        let (doors, turns) = (self.doors.clone(), Arc::new(Semaphore::new(READING)));
        // The net keeps this handler, and would keep itself by it.
        let net = Arc::downgrade(&self.around.net);
        self.around.net.serve(
            Service::FILE,
            Arc::new(move |incoming| {
                let (doors, turns, net) = (doors.clone(), turns.clone(), net.clone());
                Box::pin(async move {
                    let request = asked(&incoming)?;
                    if let Some(holder) = request.beyond {
                        return pass_on(&net, holder, request, incoming.left).await;
                    }
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

/// Asks the node that has the file, to which whoever asked has no link.
async fn pass_on(
    net: &Weak<dyn Net>,
    holder: NodeId,
    request: Request,
    within: Duration,
) -> Result<Vec<u8>, Fault> {
    let net = net
        .upgrade()
        .ok_or_else(|| Fault::Refused("the node is stopping".to_owned()))?;
    let request = Request {
        beyond: None,
        ..request
    };
    let asking = net.ask(holder, Service::FILE, write(&request), within);
    asking.await
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
