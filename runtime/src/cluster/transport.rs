//! Links over the network: TLS and greetings of our own, then ractor_cluster on streams that are
//! authenticated already.
//!
//! ractor_cluster's own listener, dialler, reconnection and authentication are not used: one silent
//! connection stops its listener, it never notices a frozen peer, and it believes any name. It gets
//! finished streams, one remotable actor, and a name that no other process has. A link ends by
//! failing its stream, never by stopping a session. In logs it must be held at `info`: at `debug` it
//! writes whole messages.

mod connector;
pub(super) mod dial;
mod encounter;
pub(super) mod fault;
pub(super) mod framing;
mod gateway;
pub(super) mod greeting;
mod link;
mod listener;
mod network;
mod sessions;
mod settings;
pub(super) mod socket;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
#[cfg(test)]
mod tests;
mod wire;

pub use fault::DialError;
pub use network::Network;
pub use settings::{Admit, LinkView, NetworkError, Settings};

/// What one frame may weigh.
pub const MAX_FRAME: usize = 1024 * 1024;
