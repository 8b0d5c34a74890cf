//! Virtual actors: always addressable, in memory only while there is something to do.
//!
//! An [`Entity`] says what it does with a message, a [`Host`] brings it to life on the first one:
//! replays its stream, keeps one activation at most, lets it go when it is idle, restarts it after
//! a failure, and takes it out of service (*parks* it) when it fails again and again.

pub mod activation;
mod actor;
mod handle;

use protocol::entity::EntityKind;
use ractor::ActorProcessingErr;

pub use actor::Context;
pub use handle::{Broadcast, Host, Seed, TellError};

use crate::{journal::EventSourced, supervision::Message};

/// What an entity of one kind does. The value itself is its volatile part: made anew at each
/// activation, gone at passivation.
pub trait Entity: Default + Send + Sync + 'static {
    /// What is recorded.
    type State: EventSourced;
    /// What it is told.
    type Message: Message;
    /// What all entities of the kind share.
    type Services: Clone + Send + Sync + 'static;
    /// The first word of its address.
    const KIND: EntityKind;
    /// The folder of the supervision tree in which its actors stand.
    const FOLDER: &'static str;

    /// Runs once after the state was loaded, before the first message; not for new entities.
    fn recover(
        context: &mut Context<Self>,
    ) -> impl Future<Output = Result<(), ActorProcessingErr>> + Send;

    /// Whether a person holds an entity that stands so: the supervision tree shows it as paused.
    #[must_use]
    fn is_paused(_: &Self::State) -> bool {
        false
    }

    /// Takes a message. An error ends the activation; the next one replays what was committed.
    fn handle(
        context: &mut Context<Self>,
        message: Self::Message,
    ) -> impl Future<Output = Result<(), ActorProcessingErr>> + Send;
}
