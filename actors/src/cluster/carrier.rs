//! [`Carrier`]: asks and answers of many sizes, over links whose messages are small.
//!
//! What fits into a message travels as it is. What does not is cut into pieces, one on its way at a
//! time; before the last of them has arrived nothing is done about it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use protocol::{id::NodeId, time::Timestamp, wire::Service};
use runtime::cluster::{Fault, Handler, Incoming};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{
    Asking, Net,
    parcel::{Arrived, Frame, Limits, PIECE, Parcels, pieces, plain},
};

/// How long one piece may take before it is sent again.
const PIECE_WITHIN: Duration = Duration::from_secs(2);

/// How often one piece is sent.
const TRIES: u32 = 3;

/// What each piece adds to the time that a question may take.
const ALLOWANCE: Duration = Duration::from_millis(250);

/// Long messages that are told at the same time.
const TELLING: usize = 8;

/// A [`Net`] whose messages may be as large as its limits say. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Carrier {
    net: Arc<dyn Net>,
    desk: Arc<Desk>,
    telling: Arc<Semaphore>,
}

/// Where parcels lie; handlers hold this alone, so that a net does not keep itself.
#[derive(Debug)]
struct Desk {
    parcels: Mutex<Parcels>,
    began: Instant,
}

impl Desk {
    fn parcels(&self) -> MutexGuard<'_, Parcels> {
        self.parcels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A moment that no change of the wall clock moves.
    fn now(&self) -> Timestamp {
        Timestamp::default().plus(self.began.elapsed())
    }
}

/// What a parcel weighs while a handler has it.
struct Weight<'a> {
    desk: &'a Desk,
    from: NodeId,
    size: usize,
}

impl Drop for Weight<'_> {
    fn drop(&mut self) {
        self.desk.parcels().handled(self.from, self.size);
    }
}

impl Carrier {
    /// Carries over this net.
    #[must_use]
    pub fn new(net: Arc<dyn Net>, limits: Limits) -> Self {
        Self {
            net,
            desk: Arc::new(Desk {
                parcels: Mutex::new(Parcels::new(limits)),
                began: Instant::now(),
            }),
            telling: Arc::new(Semaphore::new(TELLING)),
        }
    }

    /// Asks another node, and waits until then at the latest, however many pieces there are.
    ///
    /// # Errors
    ///
    /// As [`Net::ask`]. A fault of which [`Fault::nothing_happened`] holds means just that, also when
    /// some of the pieces arrived.
    pub async fn ask_until(
        &self,
        to: NodeId,
        service: Service,
        payload: Vec<u8>,
        until: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let limit = self.desk.parcels().largest();
        if payload.len() > limit {
            let size = payload.len();
            return Err(Fault::TooLarge { size, limit });
        }
        let answered = if payload.len() <= PIECE {
            self.send(to, service, plain(payload), until).await?
        } else {
            self.send_in_pieces(to, service, &payload, until).await?
        };
        self.fetch(to, service, answered, until).await
    }

    async fn send_in_pieces(
        &self,
        to: NodeId,
        service: Service,
        payload: &[u8],
        until: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let parcel = self.desk.parcels().number();
        let part = |index| Frame::part(parcel, payload, index).unwrap_or(Frame::Gone);
        let last = pieces(payload) - 1;
        for index in 0..last {
            let kept = self.insist(to, service, &part(index), until).await;
            let kept = kept.map_err(|fault| untouched(to, fault))?;
            if Frame::decode(&kept) != Some(Frame::Kept) {
                return Err(Fault::Overloaded(to));
            }
        }
        self.send(to, service, part(last).encode(), until).await
    }

    /// The whole of an answer, which may have come in pieces.
    async fn fetch(
        &self,
        from: NodeId,
        service: Service,
        answered: Vec<u8>,
        until: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let (parcel, of, mut answer) = match Frame::decode(&answered) {
            None => return Ok(answered),
            Some(Frame::Whole(answer)) => return Ok(answer.to_vec()),
            Some(Frame::Part {
                parcel, of, bytes, ..
            }) => (parcel, of, bytes.to_vec()),
            // The last piece followed on nothing.
            Some(Frame::Gone) => return Err(Fault::Overloaded(from)),
            Some(Frame::Next { .. } | Frame::Kept) => return Err(Fault::Lost(from)),
        };
        let largest = self.desk.parcels().largest();
        for index in 1..of {
            let next = Frame::Next { parcel, index };
            let piece = self.insist(from, service, &next, until).await;
            match Frame::decode(&piece.map_err(|_| Fault::Lost(from))?) {
                Some(Frame::Part { bytes, .. }) if answer.len() + bytes.len() <= largest => {
                    answer.extend_from_slice(bytes);
                }
                Some(
                    Frame::Part { .. }
                    | Frame::Whole(_)
                    | Frame::Next { .. }
                    | Frame::Kept
                    | Frame::Gone,
                )
                | None => return Err(Fault::Lost(from)),
            }
        }
        Ok(answer)
    }

    /// Sends what may arrive twice, a few times.
    async fn insist(
        &self,
        to: NodeId,
        service: Service,
        frame: &Frame<'_>,
        until: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let mut tries = 1;
        loop {
            let soon = until.min(Instant::now() + PIECE_WITHIN);
            let sent = self.send(to, service, frame.encode(), soon).await;
            match sent {
                Err(Fault::Lost(_) | Fault::Deadline(_))
                    if tries < TRIES && Instant::now() < until =>
                {
                    tries += 1;
                }
                sent => return sent,
            }
        }
    }

    async fn send(
        &self,
        to: NodeId,
        service: Service,
        frame: Vec<u8>,
        until: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let left = until.saturating_duration_since(Instant::now());
        let asked = self.net.ask(to, service, frame, left);
        timeout(left, asked)
            .await
            .unwrap_or(Err(Fault::Deadline(to)))
    }
}

/// What it means that a piece before the last did not arrive.
fn untouched(to: NodeId, fault: Fault) -> Fault {
    match fault {
        Fault::Lost(_) | Fault::Deadline(_) => Fault::Unreachable(to),
        Fault::Refused(_) => Fault::Overloaded(to),
        fault @ (Fault::Unreachable(_)
        | Fault::Overloaded(_)
        | Fault::TooLarge { .. }
        | Fault::NoService(_)) => fault,
    }
}

impl Net for Carrier {
    /// A long question may take longer than `within`, by a little for each of its pieces.
    fn ask(&self, to: NodeId, service: Service, payload: Vec<u8>, within: Duration) -> Asking {
        let carrier = self.clone();
        let allowance = ALLOWANCE * (pieces(&payload).saturating_sub(1));
        Box::pin(async move {
            let until = Instant::now() + within + allowance;
            carrier.ask_until(to, service, payload, until).await
        })
    }

    fn tell(&self, to: NodeId, service: Service, payload: Vec<u8>) -> Result<(), Fault> {
        if payload.len() <= PIECE {
            return self.net.tell(to, service, plain(payload));
        }
        let (size, limit) = (payload.len(), self.desk.parcels().largest());
        if size > limit {
            return Err(Fault::TooLarge { size, limit });
        }
        let Ok(turn) = self.telling.clone().try_acquire_owned() else {
            return Err(Fault::Overloaded(to));
        };
        let asking = self.ask(to, service, payload, PIECE_WITHIN);
        tokio::spawn(async move {
            if let Err(error) = asking.await {
                tracing::debug!(%to, %error, "a long message was not told");
            }
            drop(turn);
        });
        Ok(())
    }

    fn serve(&self, service: Service, handler: Handler) {
        let desk = self.desk.clone();
        self.net.serve(
            service,
            Arc::new(move |incoming| {
                let (desk, handler) = (desk.clone(), handler.clone());
                Box::pin(async move { desk.take_in(incoming, &handler).await })
            }),
        );
    }
}

impl Desk {
    async fn take_in(&self, incoming: Incoming, handler: &Handler) -> Result<Vec<u8>, Fault> {
        let from = incoming.from.node;
        let (payload, weight) = match Frame::decode(&incoming.payload) {
            None => {
                let to = incoming.from.clone();
                return self.leave(to.node, handler(incoming).await?);
            }
            Some(Frame::Whole(payload)) => (payload.to_vec(), None),
            Some(Frame::Part {
                parcel,
                index,
                of,
                bytes,
            }) => {
                let now = self.now();
                let arrived = self
                    .parcels()
                    .arrived((from, parcel), (index, of), bytes, now);
                match arrived {
                    Arrived::Whole(payload) => {
                        let size = payload.len();
                        let desk = self;
                        (payload, Some(Weight { desk, from, size }))
                    }
                    Arrived::Kept => return Ok(Frame::Kept.encode()),
                    Arrived::Gone => return Ok(Frame::Gone.encode()),
                }
            }
            Some(Frame::Next { parcel, index }) => {
                let now = self.now();
                return Ok(self.parcels().fetched(from, parcel, index, now));
            }
            Some(Frame::Kept | Frame::Gone) => {
                return Err(Fault::Refused("the request cannot be read".to_owned()));
            }
        };
        let incoming = Incoming {
            payload,
            ..incoming
        };
        let answer = handler(incoming).await;
        drop(weight);
        self.leave(from, answer?)
    }

    /// An answer as one message, with more to fetch when it is long.
    fn leave(&self, to: NodeId, answer: Vec<u8>) -> Result<Vec<u8>, Fault> {
        if answer.len() <= PIECE {
            return Ok(plain(answer));
        }
        let (size, now) = (answer.len(), self.now());
        self.parcels().leave(to, answer, now).ok_or_else(|| {
            Fault::Refused(format!(
                "an answer of {size} bytes is too large to be passed between nodes, or too many are on their way"
            ))
        })
    }
}

#[cfg(test)]
mod tests;
