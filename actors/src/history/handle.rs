//! Where a node's past goes, and who takes that of others in.

use std::{sync::Arc, time::Duration};

use protocol::{id::NodeId, time::Timestamp, wire::Service};
use runtime::{
    chronicle::{Archive, Keeping, Retention, Setup, Tidied, Unkept, chronicle},
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

    async fn hand_over(&self, segment: &Segment) -> Result<(), Unkept> {
        let payload = pack(segment);
        let mut why = Unkept::Away("there is no control node at the moment".to_owned());
        for (number, node) in self.cluster.controls().into_iter().take(TRIES).enumerate() {
            let (net, payload) = (&self.net, payload.clone());
            let asked = net.ask(node, Service::HISTORY, payload, KEPT_WITHIN);
            why = match (verdict(asked.await), why) {
                (Ok(()), _) => return Ok(()),
                // Another may take it yet.
                (Err(Unkept::Refused(_)), away @ Unkept::Away(_)) if number > 0 => away,
                (Err(other), _) => other,
            };
        }
        Err(why)
    }
}

/// What became of a segment that was handed over; see [`serve`].
fn verdict(asked: Result<Vec<u8>, Fault>) -> Result<(), Unkept> {
    match asked {
        Ok(later) if later.is_empty() => Ok(()),
        Ok(later) => Err(Unkept::Away(String::from_utf8_lossy(&later).into_owned())),
        Err(fault @ (Fault::TooLarge { .. } | Fault::Refused(_))) => {
            Err(Unkept::Refused(fault.to_string()))
        }
        Err(
            fault @ (Fault::Unreachable(_)
            | Fault::Lost(_)
            | Fault::Deadline(_)
            | Fault::Overloaded(_)
            | Fault::NoService(_)),
        ) => Err(Unkept::Away(fault.to_string())),
    }
}

impl Archive for Afar {
    fn keep<'a>(&'a self, segment: &'a Segment) -> Keeping<'a> {
        Box::pin(self.hand_over(segment))
    }

    /// Those that keep it see to that.
    fn tidy(&self, _: Timestamp) -> Answer<'_, Tidied> {
        Box::pin(async { Ok(Tidied::All) })
    }
}

/// Takes in the past of nodes without a store from now on; of each node from itself alone. The answer is
/// empty when a segment is kept, and else tells why it is not kept yet; what is refused never will be.
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
                match store.inscribe(&segment).await.map_err(Unkept::from) {
                    Ok(()) => Ok(Vec::new()),
                    Err(Unkept::Away(why)) => Ok(why.into_bytes()),
                    Err(Unkept::Refused(why)) => refused(&why),
                }
            })
        }),
    );
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_what_no_other_try_can_change_is_given_up() {
        let node = NodeId::from_uuid(Uuid::nil());
        let too_large = Fault::TooLarge { size: 2, limit: 1 };
        for (asked, is_refused) in [
            (Ok(b"the disk is full".to_vec()), false),
            (Err(Fault::Unreachable(node)), false),
            (Err(Fault::NoService(node)), false),
            (Err(Fault::Overloaded(node)), false),
            (Err(too_large), true),
            (Err(Fault::Refused("not yours".to_owned())), true),
        ] {
            let why = verdict(asked).unwrap_err();
            assert_eq!(matches!(why, Unkept::Refused(_)), is_refused, "{why}");
        }
        assert!(verdict(Ok(Vec::new())).is_ok());
    }
}
