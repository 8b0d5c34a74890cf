//! Tickets of one node that are shown to another.

use std::sync::{Arc, Mutex};

use actors::{
    Rejection,
    orchestrator::{Lent, TicketDesk},
};
use protocol::{
    access::{Caller, Role},
    member::NodeRole,
};

use crate::{
    net::Trouble,
    nodes::{Nodes, user, within, without_store},
};

/// Has the one ticket `t`.
#[derive(Debug)]
struct Desk(Mutex<Option<Caller>>);

impl TicketDesk for Desk {
    fn redeem(&self, sha256: &str) -> Option<Lent> {
        let caller = self.0.lock().unwrap().take_if(|_| sha256 == "t")?;
        Some(Lent {
            caller,
            admin: None,
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_ticket_counts_once_on_a_node_without_a_link_to_the_one_that_gave_it() {
    let nodes = Nodes::start().await;
    let edge = [NodeRole::Edge].into_iter().collect();
    let home = without_store(&nodes.net, "home", edge, nodes.owners.clone());
    nodes.net.part(nodes.id(&nodes.c), nodes.id(&home));
    let ann = user("ann", Role::Viewer);
    home.provide_tickets(Arc::new(Desk(Mutex::new(Some(ann.clone())))));
    let redeem = |node, ticket: &str| {
        let redeemed = nodes.c.redeem_ticket(node, ticket.to_owned());
        within(redeemed)
    };
    let at_home = nodes.id(&home);
    assert_eq!(redeem(at_home, "other").await, Ok(None));
    let lent = redeem(at_home, "t").await.unwrap().unwrap();
    assert_eq!(lent.caller, ann);
    assert_eq!(redeem(at_home, "t").await, Ok(None));
    nodes.net.trouble(at_home, Trouble::Cut);
    let silent = redeem(at_home, "t").await;
    assert!(
        matches!(silent, Err(Rejection::Unavailable { .. })),
        "{silent:?}"
    );
}
