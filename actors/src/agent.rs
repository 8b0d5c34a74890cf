//! Agents: what stands between a step and the tool that does it.

pub mod breaker;
pub mod stats;
