//! Keeps a link to one known node: dials for ever, more slowly while it fails.

use std::{sync::Arc, time::Duration};

use protocol::id::NodeId;
use tokio::time::sleep;

use super::{dial::dial, network::Inner};
use crate::supervision::{Backoff, Streak};

/// From half a second to ten between two attempts, a random part of it.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(500),
    cap: Duration::from_secs(10),
    quiet: Duration::from_secs(10),
};

/// Whether `me` is the one that dials: the later start, unless it alone can be dialled.
pub(super) fn dials(me: NodeId, other: NodeId, listens: Listens) -> bool {
    me != other && (me > other || listens == Listens::No)
}

/// Whether others can dial this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listens {
    Yes,
    No,
}

/// Runs until its task is aborted.
pub(super) async fn connect(network: Arc<Inner>, node: NodeId, address: String) {
    let mut streak = Streak::default();
    let mut last = None;
    loop {
        let began = network.clock().monotonic();
        match network.link_to(node) {
            Some(link) => link.gone.cancelled().await,
            None => match dial(&network, &address).await {
                Ok(link) => {
                    last = None;
                    network.dialled(None);
                    link.gone.cancelled().await;
                }
                Err(error) => {
                    // Said once, and again when it changes.
                    let line = error.to_string();
                    network.dialled(Some(error));
                    if last.as_ref() != Some(&line) {
                        tracing::warn!(%node, "{line}");
                        last = Some(line);
                    }
                }
            },
        }
        let lasted = network.clock().monotonic().saturating_sub(began);
        let wait = streak.fail(&BACKOFF, lasted, network.dice().unit());
        tokio::select! {
            () = sleep(wait) => {}
            () = network.nudged() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn of_two_nodes_one_dials() {
        let [early, late] = [1, 2].map(|id| NodeId::from_uuid(Uuid::from_u128(id)));
        assert!(dials(late, early, Listens::Yes));
        assert!(!dials(early, late, Listens::Yes));
        assert!(!dials(early, early, Listens::No));
        // Nobody can dial a worker behind a wall.
        assert!(dials(early, late, Listens::No));
    }
}
