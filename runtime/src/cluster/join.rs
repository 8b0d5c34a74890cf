//! How a machine becomes a node: it shows a one-time token and is given a certificate.
//!
//! The token names the cluster by the fingerprint of its authority, so that the machine knows whom
//! it tells its secret. A [`Desk`] answers on a node's mesh port; [`request`] asks.

mod client;
mod desk;
mod limit;
#[cfg(test)]
mod tests;
mod token;

pub use client::{Applicant, JoinError, Joined, request};
pub(super) use desk::serve;
pub use desk::{Desk, Grant, Granting};
pub use token::{InvalidToken, Token, digest};
