//! What tests of this and other crates need around a runtime: a private database server.

pub mod postgres;
