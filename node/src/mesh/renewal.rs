//! A fresh certificate for a node that has no authority, from one that has.

use std::{sync::Arc, time::Duration};

use protocol::{member::NodeRole, wire::Service};
use runtime::{
    clock::Clock,
    cluster::{Fault, Mesh, identity::Authority, transport::Network},
};

const PATIENCE: Duration = Duration::from_secs(5);

/// Asks control nodes, one after another, to certify the key of a request.
pub(super) async fn ask(mesh: &Mesh, csr: &str) -> Result<String, String> {
    let mut failure = "no control node can be reached".to_owned();
    for peer in mesh.peers() {
        if !peer.roles.has(NodeRole::Control) {
            continue;
        }
        let payload = csr.as_bytes().to_vec();
        match mesh
            .ask(peer.node, Service::CERTIFICATE, payload, PATIENCE)
            .await
        {
            Ok(answer) => return String::from_utf8(answer).map_err(|error| error.to_string()),
            Err(fault) => failure = fault.to_string(),
        }
    }
    Err(failure)
}

/// Certifies whoever is linked, as who it is by its present certificate.
pub(super) fn serve(
    mesh: &Mesh,
    network: &Network,
    authority: Arc<Authority>,
    life: Duration,
    clock: Clock,
) {
    let network = network.clone();
    mesh.serve(
        Service::CERTIFICATE,
        Arc::new(move |incoming| {
            let issued = std::str::from_utf8(&incoming.payload)
                .map_err(|error| error.to_string())
                .and_then(|csr| {
                    let subject = network
                        .subject(incoming.from.node)
                        .ok_or("there is no link to you")?;
                    authority
                        .issue(csr, &subject, life, clock.now())
                        .map_err(|error| error.to_string())
                });
            Box::pin(async move { issued.map(String::into_bytes).map_err(Fault::Refused) })
        }),
    );
}
