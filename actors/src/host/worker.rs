//! A node without a store: it hosts agents for those that have one.

mod handle;

pub use handle::{Error, Setup, Worker};
