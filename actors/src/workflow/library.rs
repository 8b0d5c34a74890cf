//! Compiled definitions, by workflow and version.

mod handle;

pub(crate) use handle::Library;
