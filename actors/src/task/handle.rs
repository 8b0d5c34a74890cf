//! What other nodes tell the tasks that this one owns.

use std::sync::Arc;

use protocol::{id::NodeId, wire::Service};
use runtime::cluster::Fault;

use crate::{
    cluster::Owner,
    host::{Ended, Receipt, read, record, write},
    services::Services,
};

/// Takes results from other nodes from now on. Whose attempt it is, its token proves.
pub(crate) fn serve(services: &Services) {
    let own = services.clone();
    services.hosts.around.net.serve(
        Service::TASK,
        Arc::new(move |incoming| {
            let services = own.clone();
            Box::pin(async move {
                let ended: Ended =
                    read(&incoming.payload).map_err(|error| Fault::Refused(error.to_string()))?;
                let receipt = receive(&services, incoming.from.node, &ended).await;
                Ok(write(&receipt))
            })
        }),
    );
}

async fn receive(services: &Services, from: NodeId, ended: &Ended) -> Receipt {
    // Whoever sends it on knows a later owner, or will.
    if services.hosts.owner(ended.task) != Owner::Here {
        return Receipt::Again;
    }
    if let Some(figures) = &ended.load {
        services
            .directory
            .loads(from, std::slice::from_ref(figures));
    }
    record(&services.tasks, ended).await
}
