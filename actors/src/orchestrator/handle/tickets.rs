//! Tickets that stand in for tokens, and count on whichever node they are shown.

use std::{fmt, sync::Arc};

use protocol::{
    access::{Caller, DEFAULT_TENANT, Role},
    id::NodeId,
    member::MemberState,
};
use serde::{Deserialize, Serialize};

use super::{Answer, Orchestrator, cases::RedeemTicket};
use crate::orchestrator::members;

/// Keeps the tickets that callers of this node were given; the program that finds out who they are
/// provides it.
pub trait TicketDesk: fmt::Debug + Send + Sync {
    /// Whom the ticket with this SHA-256, in hex, stands for; it counts no more.
    fn redeem(&self, sha256: &str) -> Option<Lent>;
}

/// What a ticket is worth on another node than the one that gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lent {
    /// For whom it was given.
    pub caller: Caller,
    /// SHA-256, in hex, of the administrator's token of another node for which it was given; absent
    /// for a token of the node that gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
}

impl Orchestrator {
    /// Lets other nodes redeem tickets of this one; only the first time counts.
    pub fn provide_tickets(&self, desk: Arc<dyn TicketDesk>) {
        let _ = self.0.tickets.set(desk);
    }

    /// Whether this is the newest start of a node that nobody removed. Never waits.
    #[must_use]
    pub fn is_newest(&self, node: NodeId) -> bool {
        let Some(roll) = &self.0.roll else {
            return node == self.0.id;
        };
        let roster = roll.membership.roster();
        let mut newest = members::latest(&roster).into_values();
        newest.any(|row| row.member.node == node && row.state != MemberState::Removed)
    }

    /// Whom a ticket of another node stands for, by its SHA-256 in hex; it counts no more.
    ///
    /// # Errors
    ///
    /// `Unavailable` when that node cannot be reached; nobody knows then whether the ticket still counts.
    pub async fn redeem_ticket(&self, node: NodeId, sha256: String) -> Answer<Option<Lent>> {
        // Who asks is found out only by this.
        let nobody = Caller {
            tenant: DEFAULT_TENANT.to_owned(),
            user: "ticket".to_owned(),
            role: Role::Viewer,
        };
        self.carry_out(&nobody, RedeemTicket { node, sha256 }).await
    }
}
