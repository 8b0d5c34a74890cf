//! Agents on the node that hosts them: slots, attempts that run, health checks.
//!
//! An agent's owner decides which node hosts it and keeps its record; the host is the authority over
//! its slots. `Hosts` is what a node hosts, `Hosted` one agent's part, with an agent-proxy that
//! runs its attempts. Tasks anywhere reach it through the same `Hosts` of their own node.

pub(crate) mod actor;
mod booking;
pub mod diary;
mod file;
mod handle;
mod message;
mod store;
mod worker;

pub(crate) use actor::proxy::Run;
pub(crate) use file::{Answer as FileAnswer, PIECE as FILE_PIECE, Request as FileRequest};
pub(crate) use handle::record;
pub(crate) use handle::{End, Hosted, Hosts, Local, Offer, Parts, Post, Report};
pub(crate) use message::{
    Digest, Ended, Fact, Figures, Notice, Order, Page, Receipt, Retire, Running, Stamp, read, write,
};
pub(crate) use store::Ledger;
pub use worker::{Error as WorkerError, Setup as WorkerSetup, Worker};
