//! Tickets with which a web page opens a WebSocket: a browser cannot send a token with it, and one in
//! the address would stand in logs and histories. A ticket counts once, for half a minute, on any node:
//! it names the one that gave it, which another one asks.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actors::{
    Orchestrator,
    orchestrator::{Lent, TicketDesk},
};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use protocol::{api::SocketTicket, id::NodeId, record::ChainHash};
use runtime::clock::{Clock, Dice};
use sha2::{Digest, Sha256};
use tokio::{sync::Semaphore, time::Instant};
use uuid::Uuid;

use super::{
    answer::Answer,
    auth::{Credential, Known},
    problem::Refused,
    table::{EventOp, Operation},
};

/// How long a ticket counts.
const VALID: Duration = Duration::from_secs(30);

/// Tickets that are out at once: of the node, and of one user.
const MOST: usize = 10_000;
const MOST_OF_ONE: usize = 100;

/// Tickets of other nodes that are asked about at once: whoever shows one is not known yet.
const MOST_ASKED: usize = 32;

/// What a ticket begins with; the id of the node follows that gave it, then the secret.
const PREFIX: &str = "troupe_ticket_";
const DIGITS_OF_NODE: usize = 32;
const DIGITS_OF_SECRET: usize = 64;

/// Tickets of this node that were not used yet, by their SHA-256.
pub(crate) struct Tickets {
    here: NodeId,
    out: Mutex<HashMap<String, Ticket>>,
    asked: Semaphore,
}

struct Ticket {
    known: Known,
    until: Instant,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

impl Tickets {
    /// None yet.
    pub(crate) fn new(here: NodeId) -> Self {
        Self {
            here,
            out: Mutex::default(),
            asked: Semaphore::new(MOST_ASKED),
        }
    }

    /// A new one for who is `known`.
    pub(crate) fn give(&self, known: Known, clock: &Clock) -> Result<Answer, Refused> {
        let ticket = self.issue(known, Instant::now())?;
        let expires_at = clock.now().plus(VALID);
        Answer::with_status(StatusCode::CREATED, &SocketTicket { ticket, expires_at })
    }

    fn issue(&self, known: Known, now: Instant) -> Result<String, Refused> {
        let mut out = self.lock();
        out.retain(|_, ticket| ticket.until > now);
        let of_one = out
            .values()
            .filter(|ticket| ticket.known.caller == known.caller);
        if out.len() >= MOST || of_one.count() >= MOST_OF_ONE {
            let full = "too many tickets were taken and not used; each counts for 30 s";
            let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tickets", full);
            return Err(refused.retry(VALID));
        }
        let secret = [Dice::system().token(), Dice::system().token()].concat();
        let secret = secret
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let ticket = format!("{PREFIX}{}{secret}", self.here.uuid().simple());
        let until = now + VALID;
        out.insert(hash(&ticket), Ticket { known, until });
        Ok(ticket)
    }

    /// Whose ticket it is; it counts no more.
    fn take(&self, sha256: &str, now: Instant) -> Option<Known> {
        let ticket = self.lock().remove(sha256)?;
        (ticket.until > now).then_some(ticket.known)
    }

    /// The caller whom a request names by a ticket instead of a token, where that is possible.
    ///
    /// # Errors
    ///
    /// When a ticket was shown that stands for nobody, or nobody can be asked for whom it stands.
    pub(crate) async fn known(
        &self,
        orchestrator: &Orchestrator,
        operation: Operation,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<Option<Known>, Refused> {
        let (Operation::Event(EventOp::Socket | EventOp::Client), Some(query)) = (operation, query)
        else {
            return Ok(None);
        };
        let shown = shown(query);
        // Two answers to "who are you" are none, and both are spent.
        let [ticket] = shown.as_slice() else {
            for ticket in &shown {
                self.take(&hash(ticket), Instant::now());
            }
            return Ok(None);
        };
        if let Some(known) = self.take(&hash(ticket), Instant::now()) {
            return Ok((!headers.contains_key(AUTHORIZATION)).then_some(known));
        }
        if headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        match home(ticket).filter(|node| *node != self.here && orchestrator.is_newest(*node)) {
            Some(node) => self.ask(orchestrator, node, ticket).await.map(Some),
            None => Err(Refused::ticket()),
        }
    }

    /// Whom a ticket stands for that another node gave.
    async fn ask(
        &self,
        orchestrator: &Orchestrator,
        node: NodeId,
        ticket: &str,
    ) -> Result<Known, Refused> {
        let Ok(_one_of_few) = self.asked.try_acquire() else {
            let full = "too many tickets of other nodes are asked about at the moment";
            return Err(Refused::unavailable("overloaded", full));
        };
        let lent = orchestrator.redeem_ticket(node, hash(ticket)).await;
        let lent = lent.map_err(|rejection| {
            tracing::debug!(%rejection, %node, "a ticket could not be asked about");
            Refused::unavailable(
                "ticket_home_silent",
                "the node that gave this ticket does not answer; take another one here, with `POST /api/v1/ws/ticket`",
            )
        })?;
        let lent = lent.ok_or_else(Refused::ticket)?;
        Ok(Known {
            caller: lent.caller.into(),
            credential: lent.admin.map_or(Credential::Of(node), Credential::Admin),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Ticket>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TicketDesk for Tickets {
    fn redeem(&self, sha256: &str) -> Option<Lent> {
        let known = self.take(sha256, Instant::now())?;
        Some(Lent {
            caller: (*known.caller).clone(),
            admin: match known.credential {
                Credential::Admin(sha256) => Some(sha256),
                Credential::Own | Credential::Of(_) => None,
            },
        })
    }
}

/// The tickets that a query names.
fn shown(query: &str) -> Vec<&str> {
    let pairs = query.split('&');
    pairs
        .filter_map(|pair| pair.strip_prefix("ticket="))
        .collect()
}

/// The node that gave a ticket, as the ticket says.
fn home(ticket: &str) -> Option<NodeId> {
    let digits = ticket.strip_prefix(PREFIX)?;
    let whole = digits.len() == DIGITS_OF_NODE + DIGITS_OF_SECRET;
    if !whole || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let node = digits.get(..DIGITS_OF_NODE)?;
    Uuid::try_parse(node).ok().map(NodeId::from_uuid)
}

/// SHA-256 in hex.
fn hash(ticket: &str) -> String {
    ChainHash(Sha256::digest(ticket.as_bytes()).into()).to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use protocol::access::Caller;

    use super::*;

    fn node(number: u128) -> NodeId {
        NodeId::from_uuid(Uuid::from_u128(number))
    }

    fn tickets() -> Tickets {
        Tickets::new(node(7))
    }

    fn known(user: &str) -> Known {
        let caller = Caller {
            user: user.to_owned(),
            tenant: "acme".to_owned(),
            ..Caller::admin()
        };
        Known {
            caller: Arc::new(caller),
            credential: Credential::Own,
        }
    }

    #[test]
    fn a_ticket_counts_once_and_for_whom_it_was_given() {
        let (tickets, now) = (tickets(), Instant::now());
        let ann = tickets.issue(known("ann"), now).unwrap();
        let bob = tickets.issue(known("bob"), now).unwrap();
        assert!(ann != bob && ann.len() == PREFIX.len() + 96, "{ann}");
        assert_eq!(tickets.take(&hash(&bob), now), Some(known("bob")));
        assert_eq!(tickets.take(&hash(&bob), now), None);
        assert_eq!(tickets.take(&hash(&ann), now), Some(known("ann")));
        assert_eq!(tickets.take(&hash("troupe_ticket_"), now), None);
    }

    #[test]
    fn a_ticket_counts_for_half_a_minute() {
        let (tickets, now) = (tickets(), Instant::now());
        let late = tickets.issue(known("ann"), now).unwrap();
        assert_eq!(tickets.take(&hash(&late), now + VALID), None);
        let soon = tickets.issue(known("ann"), now).unwrap();
        let last = now + VALID - Duration::from_millis(1);
        assert!(tickets.take(&hash(&soon), last).is_some());
    }

    #[test]
    fn one_user_has_so_many_tickets_and_keeps_none_from_others() {
        let (tickets, now) = (tickets(), Instant::now());
        for _ in 0..MOST_OF_ONE {
            tickets.issue(known("ann"), now).unwrap();
        }
        let refused = tickets.issue(known("ann"), now).unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        tickets.issue(known("bob"), now).unwrap();
        tickets.issue(known("ann"), now + VALID).unwrap();
        assert_eq!(tickets.lock().len(), 1);
    }

    #[test]
    fn a_ticket_names_the_node_that_gave_it_and_nothing_else_does() {
        let ticket = tickets().issue(known("ann"), Instant::now()).unwrap();
        assert_eq!(home(&ticket), Some(node(7)));
        for wrong in [
            "",
            PREFIX,
            &ticket[..ticket.len() - 1],
            &ticket.replace("ticket", "admin"),
            &format!("{PREFIX}{}", "ü".repeat(48)),
            &format!("{PREFIX}{}", "-".repeat(96)),
        ] {
            assert_eq!(home(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn another_node_is_told_for_whom_a_ticket_is_and_by_which_token_once() {
        let tickets = tickets();
        let admin = Known {
            caller: Arc::new(Caller::admin()),
            credential: Credential::Admin("a1".to_owned()),
        };
        let ticket = hash(&tickets.issue(admin, Instant::now()).unwrap());
        let lent = Lent {
            caller: Caller::admin(),
            admin: Some("a1".to_owned()),
        };
        assert_eq!(tickets.redeem(&ticket), Some(lent));
        assert_eq!(tickets.redeem(&ticket), None);
        let own = hash(&tickets.issue(known("ann"), Instant::now()).unwrap());
        assert_eq!(tickets.redeem(&own).unwrap().admin, None);
    }

    #[test]
    fn a_query_may_name_several() {
        assert_eq!(shown("types=task.*&ticket=a&ticket=b"), ["a", "b"]);
        assert!(shown("tickets=a&since=ticket=b").is_empty());
    }
}
