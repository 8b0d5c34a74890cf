//! [`Session`]: one link from its opening to its end, and all that either side awaits over it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use protocol::{
    id::NodeId,
    wire::{Hello, Lane, Service, Signal, WIRE_VERSION, frame},
};
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    task::AbortHandle,
    time::Instant,
};

use super::{
    Inner,
    inbox::Inbox,
    meters::Meters,
    outgoing::{Need, Outgoing},
    parcel::{self, Parcel},
    trace::current_trace,
    window::{Arrivals, Tally},
};
use crate::cluster::{Fault, Link};

/// What a request ends with.
pub(super) type Answer = Result<Vec<u8>, Fault>;

pub(super) struct Session {
    pub(super) link: Arc<dyn Link>,
    /// How many links this node opened before.
    pub(super) turn: u64,
    pub(super) runtime: Handle,
    pub(super) inbox: Arc<Inbox>,
    pub(super) inner: Weak<Inner>,
    pub(super) meters: Meters,
    pub(super) opened: Instant,
    wake: Notify,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) stage: Stage,
    pub(super) out: Outgoing,
    pub(super) arrivals: BTreeMap<Lane, Arrivals>,
    pub(super) pending: HashMap<u64, oneshot::Sender<Answer>>,
    pub(super) running: HashMap<u64, AbortHandle>,
    pub(super) heard: Instant,
    pub(super) echoed: Option<Instant>,
    pub(super) rtt: Option<Duration>,
    beaten: Instant,
    waking: Waking,
}

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The other's hello is awaited.
    Greeting,
    /// It came.
    Open,
    /// The link is gone.
    Ended,
}

/// Whether the task that drives the session was told to send what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waking {
    No,
    Told,
}

/// What a heartbeat found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vitality {
    Alive,
    Silent(Duration),
    Over,
}

impl Session {
    pub(super) fn new(
        link: Arc<dyn Link>,
        turn: u64,
        runtime: Handle,
        inbox: Arc<Inbox>,
        inner: &Arc<Inner>,
    ) -> Self {
        let now = Instant::now();
        Self {
            meters: Meters::new(&link.peer().name),
            link,
            turn,
            runtime,
            inbox,
            inner: Arc::downgrade(inner),
            opened: now,
            wake: Notify::new(),
            state: Mutex::new(State {
                stage: Stage::Greeting,
                out: Outgoing::new(inner.tuning.limits),
                arrivals: BTreeMap::new(),
                pending: HashMap::new(),
                running: HashMap::new(),
                heard: now,
                echoed: None,
                rtt: None,
                beaten: now,
                waking: Waking::No,
            }),
        }
    }

    pub(super) fn node(&self) -> NodeId {
        self.link.peer().node
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a frame to the link; every one goes this way.
    pub(super) fn send(&self, frame: Vec<u8>) {
        self.meters.bytes_sent(frame.len());
        self.link.send(frame);
    }

    /// Says hello.
    pub(super) fn greet(&self, inner: &Inner, stage: Stage) {
        self.send(frame::hello(&Hello {
            version: WIRE_VERSION,
            turn: self.turn,
            window: inner.tuning.limits.window,
            window_bytes: inner.tuning.limits.window_bytes,
            heard: stage != Stage::Greeting,
        }));
    }

    /// Sends a request as soon as the window lets it go.
    pub(super) fn request(
        &self,
        service: Service,
        payload: Vec<u8>,
        until: Instant,
    ) -> Result<(u64, oneshot::Receiver<Answer>), Fault> {
        let (reply, answer) = oneshot::channel();
        let mut state = self.lock();
        self.check_open(&state)?;
        let id = state.out.number();
        let request = Parcel::Request {
            id,
            service,
            until,
            trace: current_trace(),
            payload,
        };
        self.push(&mut state, request)?;
        state.pending.insert(id, reply);
        if state.pending.len() == 1 && state.running.is_empty() {
            self.flush(&mut state);
        } else {
            self.flush_soon(&mut state);
        }
        Ok((id, answer))
    }

    pub(super) fn tell(&self, service: Service, payload: Vec<u8>) -> Result<(), Fault> {
        let mut state = self.lock();
        self.check_open(&state)?;
        let tell = Parcel::Tell {
            service,
            trace: current_trace(),
            payload,
        };
        self.push(&mut state, tell)?;
        self.flush_soon(&mut state);
        Ok(())
    }

    fn check_open(&self, state: &State) -> Result<(), Fault> {
        match state.stage {
            Stage::Open => Ok(()),
            Stage::Greeting | Stage::Ended => Err(Fault::Unreachable(self.node())),
        }
    }

    fn push(&self, state: &mut State, parcel: Parcel) -> Result<(), Fault> {
        state.out.push(parcel, Need::Can).map_err(|_| {
            self.meters.overloaded();
            Fault::Overloaded(self.node())
        })
    }

    /// Whoever made a request waits no more.
    pub(super) fn withdraw(&self, id: u64) {
        let mut state = self.lock();
        if state.pending.remove(&id).is_none() {
            return;
        }
        if id > state.out.requests_sent() {
            state.out.withdraw(id);
        } else {
            self.must(&mut state, Parcel::Cancel { id });
            self.flush_soon(&mut state);
        }
    }

    /// Answers a request of the peer.
    pub(super) fn respond(&self, id: u64, answer: Answer) {
        let mut state = self.lock();
        // A request that was cancelled needs no answer.
        if state.running.remove(&id).is_none() {
            return;
        }
        self.reply(&mut state, id, answer);
        // The task that drives the session is not woken for nothing: on an idle node that is a thread.
        if state.running.is_empty() {
            self.flush(&mut state);
        } else {
            self.flush_soon(&mut state);
        }
    }

    /// Queues an answer.
    pub(super) fn reply(&self, state: &mut State, id: u64, answer: Answer) {
        let weight = answer.as_ref().map_or(0, Vec::len);
        let parcel = match answer {
            Ok(_) if state.out.full(Lane::CALLS, weight) => {
                // Not `Overloaded`: that would say that nothing happened.
                let words = "it was done, but too many answers wait to be sent".to_owned();
                self.meters.overloaded();
                Parcel::Fault {
                    id,
                    fault: Fault::Refused(words),
                }
            }
            Ok(payload) => Parcel::Reply { id, payload },
            Err(fault) => Parcel::Fault { id, fault },
        };
        self.must(state, parcel);
    }

    /// Queues what may not be turned away.
    fn must(&self, state: &mut State, parcel: Parcel) {
        if state.stage == Stage::Open {
            // Nothing that must is turned away.
            let _ = state.out.push(parcel, Need::Must);
        }
    }

    /// The peer may count a frame of its own as done.
    pub(super) fn finished(&self, lane: Lane, number: u64, tally: Tally) {
        let Some(inner) = self.inner.upgrade() else {
            return;
        };
        let window = inner.window();
        let mut state = self.lock();
        let arrivals = state.arrivals.entry(lane).or_default();
        if let Some(number) = arrivals.done(number, tally, window) {
            self.link
                .send(frame::signals(&[Signal::Done { lane, number }]));
        }
    }

    /// Sends all that the windows let go.
    pub(super) fn flush(&self, state: &mut State) {
        state.waking = Waking::No;
        if state.stage == Stage::Open {
            state.out.flush(Instant::now(), |frame| {
                self.meters.sent(frame.envelopes);
                self.send(frame.bytes);
            });
        }
    }

    /// Sends at once when a frame is full; else when all that runs now had its turn to add to it.
    pub(super) fn flush_soon(&self, state: &mut State) {
        if state.out.crowded() {
            self.flush(state);
        } else if state.waking == Waking::No {
            state.waking = Waking::Told;
            self.wake.notify_one();
        }
    }

    /// Sends what waits, shows the peer that this node lives, and closes a silent link; ends with it.
    pub(super) async fn drive(self: Arc<Self>) {
        let Some(every) = self
            .inner
            .upgrade()
            .map(|inner| inner.tuning.timing.heartbeat)
        else {
            return;
        };
        let mut beats = tokio::time::interval_at(self.opened + every, every);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.wake.notified() => {
                    // Whoever else is ready to add to the frame comes first.
                    tokio::task::yield_now().await;
                    let mut state = self.lock();
                    if state.stage == Stage::Ended {
                        return;
                    }
                    self.flush(&mut state);
                }
                now = beats.tick() => match self.beat(now) {
                    Vitality::Alive => {}
                    Vitality::Silent(how_long) => {
                        let reason = format!("nothing was heard for {} s", how_long.as_secs());
                        self.fail(&reason);
                        return;
                    }
                    Vitality::Over => return,
                },
            }
        }
    }

    fn beat(&self, now: Instant) -> Vitality {
        let Some(inner) = self.inner.upgrade() else {
            return Vitality::Over;
        };
        let timing = inner.tuning.timing;
        let mut state = self.lock();
        if state.stage == Stage::Ended {
            return Vitality::Over;
        }
        // This process itself stood still: what came in meanwhile waits to be read.
        if now.duration_since(state.beaten) >= timing.suspect {
            state.heard = now;
        }
        state.beaten = now;
        let since = match state.stage {
            Stage::Greeting => self.opened,
            Stage::Open | Stage::Ended => state.heard,
        };
        let silent = now.duration_since(since);
        if silent >= timing.dead {
            return Vitality::Silent(silent);
        }
        if state.stage == Stage::Greeting {
            self.greet(&inner, Stage::Greeting);
            return Vitality::Alive;
        }
        let mut signals = vec![self.heartbeat(now)];
        for (lane, arrivals) in &mut state.arrivals {
            let number = arrivals.say();
            signals.extend(number.map(|number| Signal::Done {
                lane: *lane,
                number,
            }));
        }
        self.meters.queued(state.out.queued());
        self.send(frame::signals(&signals));
        Vitality::Alive
    }

    pub(super) fn heartbeat(&self, now: Instant) -> Signal {
        Signal::Heartbeat {
            sent_us: self.clock(now),
        }
    }

    /// Microseconds of this session's own clock.
    pub(super) fn clock(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.opened);
        u64::try_from(age.as_micros()).unwrap_or(u64::MAX)
    }

    /// Closes the link for a reason that lies with the peer.
    pub(super) fn fail(&self, reason: &str) {
        self.link.close(reason);
        if let Some(inner) = self.inner.upgrade() {
            let heard = self.lock().heard;
            inner.end(&self.link, reason, inner.lived(heard));
        }
    }

    /// The link is gone: whoever waits is told what is known.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.stage = Stage::Ended;
        let pending = std::mem::take(&mut state.pending);
        let running = std::mem::take(&mut state.running);
        let sent = state.out.requests_sent();
        state.out.clear();
        drop(state);
        self.wake.notify_one();
        self.meters.queued(0);
        for (id, reply) in pending {
            // Whoever gave up meanwhile needs no answer.
            let _ = reply.send(Err(parcel::lost(id, sent, self.node())));
        }
        for handler in running.into_values() {
            handler.abort();
        }
    }
}
