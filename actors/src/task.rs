//! Tasks: what becomes of what a client asked for.

pub mod retry;
