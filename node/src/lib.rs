//! One process of Troupe.
#![warn(missing_docs)]

pub mod config;
#[cfg(feature = "edge")]
#[path = "edge_stub.rs"]
pub mod edge;

#[cfg(feature = "cli")]
pub mod job;

pub use config::Config;
