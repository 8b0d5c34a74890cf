//! Tickets with which a web page opens a WebSocket: a browser cannot send a token with it, and one in
//! the address would stand in logs and histories. A ticket counts once, for half a minute, on the node
//! that gave it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use protocol::{access::Caller, api::SocketTicket};
use runtime::clock::{Clock, Dice};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{
    answer::Answer,
    problem::Refused,
    table::{EventOp, Operation},
};

/// How long a ticket counts.
const VALID: Duration = Duration::from_secs(30);

/// Tickets that are out at once: of the node, and of one user.
const MOST: usize = 10_000;
const MOST_OF_ONE: usize = 100;

/// What a ticket begins with.
const PREFIX: &str = "troupe_ticket_";

/// Tickets that were not used yet, by their SHA-256.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<HashMap<[u8; 32], Ticket>>);

struct Ticket {
    caller: Arc<Caller>,
    until: Instant,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

impl Tickets {
    /// A new one for `caller`.
    pub(crate) fn give(&self, caller: &Caller, clock: &Clock) -> Result<Answer, Refused> {
        let ticket = self.issue(caller, Instant::now())?;
        let expires_at = clock.now().plus(VALID);
        Answer::with_status(StatusCode::CREATED, &SocketTicket { ticket, expires_at })
    }

    fn issue(&self, caller: &Caller, now: Instant) -> Result<String, Refused> {
        let mut out = self.lock();
        out.retain(|_, ticket| ticket.until > now);
        let of_one = out.values().filter(|ticket| *ticket.caller == *caller);
        if out.len() >= MOST || of_one.count() >= MOST_OF_ONE {
            let full = "too many tickets were taken and not used; each counts for 30 s";
            let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tickets", full);
            return Err(refused.retry(VALID));
        }
        let secret = [Dice::system().token(), Dice::system().token()].concat();
        let secret = secret
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let ticket = format!("{PREFIX}{secret}");
        let until = now + VALID;
        let caller = Arc::new(caller.clone());
        out.insert(hash(&ticket), Ticket { caller, until });
        Ok(ticket)
    }

    /// Whose ticket it is; it counts no more.
    fn redeem(&self, ticket: &str, now: Instant) -> Option<Arc<Caller>> {
        let ticket = self.lock().remove(&hash(ticket))?;
        (ticket.until > now).then_some(ticket.caller)
    }

    /// The caller whom a request names by a ticket instead of a token, where that is possible.
    pub(crate) fn caller(
        &self,
        operation: Operation,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Option<Arc<Caller>> {
        let (Operation::Event(EventOp::Socket | EventOp::Client), Some(query)) = (operation, query)
        else {
            return None;
        };
        let pairs = query.split('&');
        let given = pairs.filter_map(|pair| pair.strip_prefix("ticket="));
        // Two answers to "who are you" are none, and both are spent.
        let callers: Vec<_> = given
            .map(|ticket| self.redeem(ticket, Instant::now()))
            .collect();
        match callers.as_slice() {
            [caller] if !headers.contains_key(AUTHORIZATION) => caller.clone(),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Ticket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(ticket: &str) -> [u8; 32] {
    Sha256::digest(ticket.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: Operation = Operation::Event(EventOp::Socket);

    fn caller(user: &str) -> Caller {
        Caller {
            user: user.to_owned(),
            tenant: "acme".to_owned(),
            ..Caller::admin()
        }
    }

    #[test]
    fn a_ticket_counts_once_and_for_whom_it_was_given() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let ann = tickets.issue(&caller("ann"), now).unwrap();
        let bob = tickets.issue(&caller("bob"), now).unwrap();
        assert!(ann != bob && ann.len() == PREFIX.len() + 64, "{ann}");
        assert_eq!(tickets.redeem(&bob, now).as_deref(), Some(&caller("bob")));
        assert_eq!(tickets.redeem(&bob, now), None);
        assert_eq!(tickets.redeem(&ann, now).as_deref(), Some(&caller("ann")));
        assert_eq!(tickets.redeem("troupe_ticket_", now), None);
    }

    #[test]
    fn a_ticket_counts_for_half_a_minute() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let late = tickets.issue(&caller("ann"), now).unwrap();
        assert_eq!(tickets.redeem(&late, now + VALID), None);
        let soon = tickets.issue(&caller("ann"), now).unwrap();
        let last = now + VALID - Duration::from_millis(1);
        assert!(tickets.redeem(&soon, last).is_some());
    }

    #[test]
    fn one_user_has_so_many_tickets_and_keeps_none_from_others() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        for _ in 0..MOST_OF_ONE {
            tickets.issue(&caller("ann"), now).unwrap();
        }
        let refused = tickets.issue(&caller("ann"), now).unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        tickets.issue(&caller("bob"), now).unwrap();
        tickets.issue(&caller("ann"), now + VALID).unwrap();
        assert_eq!(tickets.lock().len(), 1);
    }

    #[test]
    fn a_ticket_opens_nothing_but_a_websocket_and_nothing_beside_a_token() {
        let tickets = Tickets::default();
        let query = || {
            let ticket = tickets.issue(&caller("ann"), Instant::now());
            format!("types=task.*&ticket={}", ticket.unwrap())
        };
        let none = HeaderMap::new();
        let other = Operation::Event(EventOp::Stream);
        assert_eq!(tickets.caller(other, &none, Some(&query())), None);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, "Bearer x".parse().unwrap())]);
        assert_eq!(tickets.caller(SOCKET, &headers, Some(&query())), None);
        let twice = format!("{}&{}", query(), query());
        assert_eq!(tickets.caller(SOCKET, &none, Some(&twice)), None);
        let one = query();
        assert!(tickets.caller(SOCKET, &none, Some(&one)).is_some());
        assert_eq!(tickets.caller(SOCKET, &none, Some(&one)), None);
        assert_eq!(tickets.caller(SOCKET, &none, None), None);
    }
}
