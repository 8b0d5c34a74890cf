//! What others call: addresses, spawning, and the handle of a supervisor.

mod address;
mod child;
mod reply;
mod spawner;
mod supervisor;

pub(super) use self::{
    address::Slot,
    child::{Context, Start},
    spawner::{Origin, launch},
    supervisor::Fate,
};
pub use self::{
    address::{Address, CallError, Gone, Message},
    child::{branch, child, child_at},
    reply::{Answer, Reply},
    spawner::{SpawnError, spawn, spawn_at, spawn_in, spawn_root},
    supervisor::{ChildView, Overdue, Rejection, Supervisor, SupervisorRef},
};
