//! An actor that does as it is told, and a log of what happened to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{Semaphore, mpsc};

use crate::{
    clock::{Clock, Dice},
    supervision::{
        Address, Backoff, ChildSpec, Intensity, Message, Reply, Restart, Spec, Strategy,
        Supervisor, SupervisorRef, Tree, child, spawn_root,
    },
};

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn tree() -> Tree {
    Tree::with_dice("one", Clock::system(), Dice::seeded(1))
}

/// Restarts at once and as often as needed.
pub(super) fn eager(strategy: Strategy) -> Spec {
    Spec {
        strategy,
        intensity: Intensity::UNLIMITED,
        backoff: Backoff::NONE,
    }
}

#[derive(Debug)]
pub(super) enum Order {
    Ping(Reply<u32>),
    Fail,
    Panic,
    Stop,
    DropReply(Reply<()>),
    /// Says that it has begun, then waits for a permit that may never come.
    Hold(Reply<()>, Arc<Semaphore>),
    HangAtStop,
    FailAtStop,
}

impl ractor::Message for Order {}

impl Message for Order {
    fn name(&self) -> &'static str {
        match self {
            Self::Ping(_) => "Ping",
            Self::Fail => "Fail",
            Self::Panic => "Panic",
            Self::Stop => "Stop",
            Self::DropReply(_) => "DropReply",
            Self::Hold(..) => "Hold",
            Self::HangAtStop => "HangAtStop",
            Self::FailAtStop => "FailAtStop",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    ErrorAtStart,
    PanicAtStart,
    PanicAfterStart,
    PanicWhenMade,
}

pub(super) struct Puppet;

#[derive(Clone)]
pub(super) struct Strings {
    name: &'static str,
    log: mpsc::UnboundedSender<String>,
    incarnations: Arc<AtomicU32>,
    /// What happens to incarnations from one number up to another.
    mishap: Option<(Mishap, u32, u32)>,
}

#[derive(Debug, thiserror::Error)]
#[error("the string broke")]
struct Broken(#[source] std::fmt::Error);

fn broken() -> ActorProcessingErr {
    Broken(std::fmt::Error).into()
}

pub(super) struct State {
    strings: Strings,
    incarnation: u32,
    at_stop: Option<Order>,
}

impl Strings {
    /// All incarnations meet with `mishap`.
    pub(super) fn with_mishap(self, mishap: Mishap) -> Self {
        let mishap = Some((mishap, 0, u32::MAX));
        Self { mishap, ..self }
    }

    fn say(&self, what: &str) {
        let _ = self.log.send(format!("{} {what}", self.name));
    }

    fn meets(&self, mishap: Mishap, incarnation: u32) -> bool {
        self.mishap
            .is_some_and(|(is, from, to)| is == mishap && (from..to).contains(&incarnation))
    }
}

impl Actor for Puppet {
    type Msg = Order;
    type State = State;
    type Arguments = Strings;

    async fn pre_start(
        &self,
        _: ActorRef<Order>,
        strings: Strings,
    ) -> Result<State, ActorProcessingErr> {
        let incarnation = strings.incarnations.load(Ordering::SeqCst);
        if strings.meets(Mishap::ErrorAtStart, incarnation) {
            strings.say("failed");
            return Err(broken());
        }
        if strings.meets(Mishap::PanicAtStart, incarnation) {
            strings.say("failed");
            panic!("no strings");
        }
        strings.say("up");
        Ok(State {
            strings,
            incarnation,
            at_stop: None,
        })
    }

    async fn post_start(
        &self,
        _: ActorRef<Order>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        assert!(
            !state
                .strings
                .meets(Mishap::PanicAfterStart, state.incarnation),
            "no strings"
        );
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Order>,
        order: Order,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match order {
            Order::Ping(reply) => reply.send(state.incarnation),
            Order::Fail => return Err(broken()),
            Order::Panic => panic!("no strings"),
            Order::Stop => myself.stop(None),
            Order::DropReply(reply) => drop(reply),
            Order::Hold(reply, permits) => {
                reply.send(());
                permits.acquire().await?.forget();
            }
            order @ (Order::HangAtStop | Order::FailAtStop) => state.at_stop = Some(order),
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<Order>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.strings.say("down");
        match state.at_stop {
            Some(Order::HangAtStop) => std::future::pending().await,
            Some(Order::FailAtStop) => Err(broken()),
            _ => Ok(()),
        }
    }
}

/// What happened, in order.
pub(super) struct Log(mpsc::UnboundedReceiver<String>);

/// Makes puppets that write to one log.
#[derive(Clone)]
pub(super) struct Stage(mpsc::UnboundedSender<String>);

pub(super) fn stage() -> (Stage, Log) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Stage(sender), Log(receiver))
}

impl Stage {
    pub(super) fn strings(&self, name: &'static str) -> Strings {
        Strings {
            name,
            log: self.0.clone(),
            incarnations: Arc::default(),
            mishap: None,
        }
    }

    pub(super) fn puppet(
        &self,
        name: &'static str,
        restart: Restart,
    ) -> (ChildSpec, Address<Order>) {
        self.cursed(name, restart, None)
    }

    /// A puppet whose incarnations in `from..to` meet with `mishap`.
    pub(super) fn cursed(
        &self,
        name: &'static str,
        restart: Restart,
        mishap: Option<(Mishap, u32, u32)>,
    ) -> (ChildSpec, Address<Order>) {
        let strings = Strings {
            mishap,
            ..self.strings(name)
        };
        child::<Puppet>(name, "puppet", restart, move || {
            let incarnation = strings.incarnations.fetch_add(1, Ordering::SeqCst) + 1;
            assert!(
                !strings.meets(Mishap::PanicWhenMade, incarnation),
                "no strings"
            );
            (Puppet, strings.clone())
        })
    }

    /// Permanent puppets of these names.
    pub(super) fn troupe<const N: usize>(
        &self,
        names: [&'static str; N],
    ) -> (Vec<ChildSpec>, [Address<Order>; N]) {
        let puppets = names.map(|name| self.puppet(name, Restart::Permanent));
        let addresses = std::array::from_fn(|at| puppets[at].1.clone());
        (puppets.map(|(spec, _)| spec).into(), addresses)
    }
}

impl Log {
    /// Waits for exactly these events, in this order.
    pub(super) async fn expect(&mut self, events: &[&str]) {
        for event in events {
            assert_eq!(
                self.0.recv().await.as_deref(),
                Some(*event),
                "of {events:?}"
            );
        }
    }

    /// Whatever happens before this does.
    pub(super) async fn until(&mut self, event: &str) {
        let happens = async {
            while let Some(happened) = self.0.recv().await
                && happened != event
            {}
        };
        let happens = tokio::time::timeout(60 * SECOND, happens);
        happens.await.expect(event);
    }

    /// Nothing happens while this much of virtual time goes by.
    pub(super) async fn expect_nothing_for(&mut self, time: Duration) {
        let event = tokio::time::timeout(time, self.0.recv()).await;
        assert!(event.is_err(), "{event:?}");
    }

    /// Nothing happened that was not waited for.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

pub(super) async fn root(tree: &Tree, spec: Spec, children: Vec<ChildSpec>) -> SupervisorRef {
    let root = Supervisor::start(tree, "/", spec, children, None);
    root.await.unwrap()
}

/// A puppet at `/a` that nobody supervises.
pub(super) async fn solo(tree: &Tree, stage: &Stage) -> Address<Order> {
    let actor = spawn_root(tree, "/a", "puppet", Puppet, stage.strings("a"));
    actor.await.unwrap()
}

/// Which incarnation answers.
pub(super) async fn ping(address: &Address<Order>) -> u32 {
    address.call(SECOND, Order::Ping).await.unwrap()
}

/// Makes the actor hold, and comes back when it does.
pub(super) async fn hold(address: &Address<Order>) -> Arc<Semaphore> {
    let permits = Arc::new(Semaphore::new(0));
    let given = Arc::clone(&permits);
    let held = address.call(SECOND, |reply| Order::Hold(reply, given));
    held.await.unwrap();
    permits
}
