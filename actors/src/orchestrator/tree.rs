//! The tree of a whole cluster: how what its nodes tell is put together. Pure.
//!
//! - `page`: one page of several nodes' actors.

mod page;

pub(super) use page::Pages;
