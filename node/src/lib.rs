//! One process of a Troupe cluster.

#[cfg(feature = "edge")]
pub mod edge;
