//! Tickets of one node that are shown to another.

use protocol::{access::Caller, id::NodeId};
use serde::{Deserialize, Serialize};

use super::{Answer, Effect, Orchestrator, Place, UseCase};
use crate::orchestrator::handle::tickets::Lent;

/// Redeems a ticket on the node that gave it.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct RedeemTicket {
    pub(in super::super) node: NodeId,
    pub(in super::super) sha256: String,
}

impl UseCase for RedeemTicket {
    type Answer = Option<Lent>;
    const NAME: &'static str = "ticket.redeem";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Node(self.node)
    }

    async fn perform(self, at: &Orchestrator, _: &Caller) -> Answer<Option<Lent>> {
        let desk = at.0.tickets.get();
        Ok(desk.and_then(|desk| desk.redeem(&self.sha256)))
    }
}
