//! What a session does with a frame: all of it is read before any of it counts.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use protocol::{
    id::NodeId,
    wire::{
        Envelope, Hello, Lane, Service, Signal, WIRE_VERSION,
        frame::{self, BadFrame, Frame},
        speaks,
    },
};
use tokio::time::Instant;

use super::{
    Inner, handling,
    inbox::Told,
    outgoing::Pace,
    parcel,
    session::{Answer, Session, Stage, State},
    window::{Arrival, Tally, Unfair},
};
use crate::cluster::{Fault, Handler, Incoming, MAX_PAYLOAD};

/// A message of the largest size, with its head.
const LARGEST: Tally = Tally {
    envelopes: 1,
    bytes: MAX_PAYLOAD + 64,
};

/// Why a peer is not listened to any longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Breach {
    #[error(transparent)]
    Frame(#[from] BadFrame),
    #[error(
        "it speaks version {0} of the mesh, this node {WIRE_VERSION}: \
         upgrade nodes one version at a time"
    )]
    Version(u16),
    #[error(transparent)]
    Unfair(#[from] Unfair),
    #[error("a message is on a lane where it does not belong")]
    Lane,
    #[error("a correlation is used twice")]
    Twice,
    #[error("it takes no answers")]
    Answers,
    #[error("its window is too small for one message")]
    Window,
}

/// A request of the peer, and what answers it.
struct Request {
    id: u64,
    answer: BoxFuture<'static, Answer>,
}

/// What a frame led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// All is done.
    Taken,
    /// The peer can be reached over this link; how many links it opened before.
    Opened { turn: u64 },
}

impl Session {
    pub(super) fn receive(
        self: &Arc<Self>,
        inner: &Arc<Inner>,
        frame: &[u8],
    ) -> Result<Received, Breach> {
        self.meters.bytes_received(frame.len());
        let frame = Frame::read(frame)?;
        match frame {
            Frame::Hello(hello) => return self.hello(inner, hello),
            Frame::Signals(signals) => {
                let signals = signals.collect::<Result<Vec<_>, _>>()?;
                self.signals(inner, &signals)?;
            }
            Frame::Bulk {
                lane,
                number,
                envelopes,
            } => {
                let mut read = Vec::with_capacity(inner.tuning.limits.batch);
                for envelope in envelopes {
                    read.push(envelope?);
                }
                self.meters.received(read.len());
                if lane == Lane::CALLS {
                    self.calls(inner, number, &read)?;
                } else {
                    self.tells(inner, lane, number, &read)?;
                }
            }
        }
        Ok(Received::Taken)
    }

    fn hello(&self, inner: &Inner, hello: Hello) -> Result<Received, Breach> {
        if !speaks(hello.version) {
            return Err(Breach::Version(hello.version));
        }
        let window = Tally {
            envelopes: hello.window as usize,
            bytes: hello.window_bytes as usize,
        };
        if !LARGEST.within(window) {
            return Err(Breach::Window);
        }
        let now = Instant::now();
        let mut state = self.lock();
        state.heard = now;
        let before = state.stage;
        if before == Stage::Greeting {
            state.stage = Stage::Open;
            state.out.granted(window);
        }
        drop(state);
        if !hello.heard {
            self.greet(inner, Stage::Open);
        }
        if before == Stage::Greeting {
            self.send(frame::signals(&[self.heartbeat(now)]));
        }
        Ok(match before {
            Stage::Greeting => Received::Opened { turn: hello.turn },
            Stage::Open | Stage::Ended => Received::Taken,
        })
    }

    /// Counts a frame in; `None` when it is not to be acted on.
    fn arrive(
        &self,
        inner: &Inner,
        (lane, number): (Lane, u64),
        envelopes: &[Envelope<'_>],
    ) -> Result<Option<(std::sync::MutexGuard<'_, State>, Tally)>, Breach> {
        let tally = envelopes.iter().fold(Tally::default(), |sum, envelope| {
            sum.plus(Tally::of(envelope.weight()))
        });
        let mut state = self.lock();
        state.heard = Instant::now();
        // Before its hello a peer cannot know that it may send: it was lost, as this is now.
        if state.stage != Stage::Open {
            return Ok(None);
        }
        let arrivals = state.arrivals.entry(lane).or_default();
        match arrivals.take(number, tally, inner.window())? {
            Arrival::New => Ok(Some((state, tally))),
            Arrival::Stale => Ok(None),
        }
    }

    fn tells(
        self: &Arc<Self>,
        inner: &Arc<Inner>,
        lane: Lane,
        number: u64,
        envelopes: &[Envelope<'_>],
    ) -> Result<(), Breach> {
        let service = Service(lane.0);
        let messages = envelopes.iter().map(|envelope| match envelope {
            Envelope::Tell {
                service: of,
                trace,
                payload,
            } if *of == service => Ok((*trace, payload.to_vec())),
            Envelope::Tell { .. }
            | Envelope::Request { .. }
            | Envelope::Reply { .. }
            | Envelope::Fault { .. }
            | Envelope::Cancel { .. } => Err(Breach::Lane),
        });
        let messages = messages.collect::<Result<Vec<_>, _>>()?;
        // A lane exists only for what is served, or a peer could open 65,000.
        if inner.handler(service).is_none() {
            self.lock().heard = Instant::now();
            let done = Signal::Done { lane, number };
            self.send(frame::signals(&[done]));
            return Ok(());
        }
        let Some((state, tally)) = self.arrive(inner, (lane, number), envelopes)? else {
            return Ok(());
        };
        drop(state);
        let told = Told {
            session: self.clone(),
            number,
            tally,
            messages,
        };
        self.inbox.push(inner, service, told);
        Ok(())
    }

    fn calls(
        self: &Arc<Self>,
        inner: &Arc<Inner>,
        number: u64,
        envelopes: &[Envelope<'_>],
    ) -> Result<(), Breach> {
        let arrived = self.arrive(inner, (Lane::CALLS, number), envelopes)?;
        let Some((mut state, tally)) = arrived else {
            return Ok(());
        };
        let alone = envelopes.len() == 1 && state.running.is_empty();
        let mut lone = None;
        for envelope in envelopes {
            match self.call(inner, &mut state, *envelope)? {
                Some(request) if alone => lone = Some(request),
                Some(request) => self.start(&mut state, request),
                None => {}
            }
        }
        if state.out.calls() > 2 * inner.tuning.limits.queue + 2 * inner.tuning.limits.handlers {
            return Err(Breach::Answers);
        }
        drop(state);
        self.finished(Lane::CALLS, number, tally);
        if let Some(request) = lone {
            self.hasten(request);
        }
        Ok(())
    }

    /// Takes one envelope; a request comes back, to be started.
    fn call(
        &self,
        inner: &Inner,
        state: &mut State,
        envelope: Envelope<'_>,
    ) -> Result<Option<Request>, Breach> {
        match envelope {
            Envelope::Request {
                id,
                service,
                left_ms,
                trace,
                payload,
            } => {
                if state.running.contains_key(&id) {
                    return Err(Breach::Twice);
                }
                match self.handler(inner, state, service) {
                    Ok(handler) => {
                        let incoming = Incoming {
                            from: self.link.peer().clone(),
                            payload: payload.to_vec(),
                            left: Duration::from_millis(left_ms.into()),
                        };
                        let answer = handling::answer(inner.me, handler, incoming, trace).boxed();
                        return Ok(Some(Request { id, answer }));
                    }
                    Err(fault) => {
                        self.reply(state, id, Err(fault));
                        self.flush_soon(state);
                    }
                }
            }
            Envelope::Reply { id, payload } => settle(state, id, Ok(payload.to_vec())),
            Envelope::Fault { id, why } => settle(state, id, Err(parcel::fault(why))),
            Envelope::Cancel { id } => {
                if let Some(handler) = state.running.remove(&id) {
                    handler.abort();
                }
            }
            Envelope::Tell { .. } => return Err(Breach::Lane),
        }
        Ok(None)
    }

    fn handler(&self, inner: &Inner, state: &State, service: Service) -> Result<Handler, Fault> {
        let me: NodeId = inner.me;
        let handler = inner.handler(service).ok_or(Fault::NoService(me))?;
        if state.running.len() >= inner.tuning.limits.handlers {
            self.meters.overloaded();
            return Err(Fault::Overloaded(me));
        }
        Ok(handler)
    }

    /// Runs the handler of a request in a task of its own.
    fn start(self: &Arc<Self>, state: &mut State, request: Request) {
        let Request { id, answer } = request;
        let session = self.clone();
        // It cannot answer before it is among the running: that takes the lock that is held here.
        let task = self.runtime.spawn(async move {
            let answer = answer.await;
            session.respond(id, answer);
        });
        state.running.insert(id, task.abort_handle());
    }

    /// Answers at once what needs no waiting: a task more would be a thread more that wakes up, and on
    /// an idle node that takes longer than most handlers.
    fn hasten(self: &Arc<Self>, mut request: Request) {
        let answered = {
            let _runtime = self.runtime.enter();
            request.answer.as_mut().now_or_never()
        };
        let mut state = self.lock();
        match answered {
            Some(answer) => {
                self.reply(&mut state, request.id, answer);
                self.flush(&mut state);
            }
            None if state.stage == Stage::Open => self.start(&mut state, request),
            None => {}
        }
    }

    fn signals(&self, inner: &Inner, signals: &[Signal]) -> Result<(), Breach> {
        let now = Instant::now();
        let mut state = self.lock();
        state.heard = now;
        for signal in signals {
            match *signal {
                Signal::Heartbeat { sent_us } => self.echo(inner, &mut state, now, sent_us),
                Signal::Echo { sent_us } => {
                    if let Some(took) = self.clock(now).checked_sub(sent_us) {
                        let took = Duration::from_micros(took);
                        state.rtt = Some(took);
                        state.out.paced(if took < inner.tuning.timing.heartbeat {
                            Pace::Fast
                        } else {
                            Pace::Slow
                        });
                        self.meters.rtt(took);
                    }
                }
                Signal::Done { lane, number } => state.out.done(lane, number)?,
            }
        }
        self.flush(&mut state);
        Ok(())
    }

    /// Not more often than heartbeats may come, or a peer could fill our memory with echoes.
    fn echo(&self, inner: &Inner, state: &mut State, now: Instant, sent_us: u64) {
        let least = inner.tuning.timing.heartbeat / 4;
        let soon = state.echoed.is_some_and(|last| now - last < least);
        if !soon {
            state.echoed = Some(now);
            let echo = Signal::Echo { sent_us };
            self.send(frame::signals(&[echo]));
        }
    }
}

fn settle(state: &mut State, id: u64, answer: Result<Vec<u8>, Fault>) {
    if let Some(reply) = state.pending.remove(&id) {
        // Whoever gave up meanwhile needs no answer.
        let _ = reply.send(answer);
    }
}
