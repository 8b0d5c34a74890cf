//! What starts tasks and workflows when something happens: an event of this cluster, or a webhook.
//!
//! [`Plan`] says whether something is meant and what is started for it, [`Trigger`] what is recorded.
//! One follower a node reads the journal for all triggers that the node owns.

mod actor;
mod happening;
mod plan;
mod signature;
mod state;

pub(crate) use actor::{
    Command, Hooked, Message, TriggerEntity, Watching, end_of_journal, follower, hook_secret,
};
pub use happening::{Happened, What, depth, happenings, scope};
pub use plan::{Plan, checked};
pub use signature::{Delivery, Unsigned, signature_of, verified};
pub use state::Trigger;
