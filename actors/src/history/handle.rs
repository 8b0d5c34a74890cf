//! Where a node's past goes, and who takes that of others in.

use std::{sync::Arc, time::Duration};

use protocol::{id::NodeId, time::Timestamp, wire::Service};
use runtime::{
    chronicle::{Archive, Retention, Setup, chronicle},
    cluster::Fault,
    store::{self, Answer, Segment},
    supervision::{ChildSpec, Tree, sentry},
};

use super::parcel::{pack, unpack};
use crate::{
    cluster::{Cluster, Net},
    config::History,
};

/// How long one control node may take to keep a segment.
const KEPT_WITHIN: Duration = Duration::from_secs(2);

/// How many are asked, one after the other, before it is tried later.
const TRIES: usize = 2;

/// What looks over the tree of a node and writes its past.
pub(crate) fn children(
    tree: &Tree,
    (node, name): (NodeId, &str),
    history: &History,
    archive: Arc<dyn Archive>,
) -> [ChildSpec; 2] {
    let setup = Setup {
        tree: tree.clone(),
        node,
        name: name.to_owned(),
        archive,
        retention: Retention::from(history),
    };
    [sentry(tree), chronicle(setup)]
}

/// The archive of a node without a store: a control node keeps its segments.
#[derive(Debug)]
pub(crate) struct Afar {
    cluster: Arc<dyn Cluster>,
    net: Arc<dyn Net>,
}

impl Afar {
    pub(crate) fn new(cluster: Arc<dyn Cluster>, net: Arc<dyn Net>) -> Self {
        Self { cluster, net }
    }

    async fn hand_over(&self, segment: &Segment) -> Result<(), store::Error> {
        let payload = pack(segment);
        let mut fault = None;
        for node in self.cluster.controls().into_iter().take(TRIES) {
            let (net, payload) = (&self.net, payload.clone());
            let asked = net.ask(node, Service::HISTORY, payload, KEPT_WITHIN);
            match asked.await {
                Ok(_) => return Ok(()),
                Err(other) => fault = Some(other),
            }
        }
        let why = fault.map_or_else(
            || "there is no control node at the moment".to_owned(),
            |fault| fault.to_string(),
        );
        Err(store::Error::Unavailable(why))
    }
}

impl Archive for Afar {
    fn keep<'a>(&'a self, segment: &'a Segment) -> Answer<'a, ()> {
        Box::pin(self.hand_over(segment))
    }

    /// Those that keep it see to that.
    fn tidy(&self, _: Timestamp) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// Takes in the past of nodes without a store from now on; of each node from itself alone.
pub(crate) fn serve(net: &dyn Net, store: store::Shared) {
    net.serve(
        Service::HISTORY,
        Arc::new(move |incoming| {
            let store = store.clone();
            Box::pin(async move {
                let refused = |why: &str| Err(Fault::Refused(why.to_owned()));
                let Some(segment) = unpack(&incoming.payload) else {
                    return refused("it is no segment of a past that this build knows");
                };
                let from = &incoming.from;
                if segment.node != from.node || segment.name != from.name {
                    return refused("a node may write its own past alone");
                }
                match store.inscribe(&segment).await {
                    Ok(()) => Ok(Vec::new()),
                    Err(error) => refused(&error.to_string()),
                }
            })
        }),
    );
}
