//! The tree of a whole cluster: how what its nodes tell is put together. Pure.
//!
//! - `page`: one page of several nodes' actors.
//! - `position`: how far a reader has read what becomes of them; `frames`: what it is told.
//! - `filter`: which of it is wanted.

mod filter;
mod frames;
mod page;
mod position;

pub(super) use filter::{LifeFilter, Standing};
pub(super) use frames::{Heard, News, deltas, hide_links, hush, lives};
pub use frames::{LifeFrame, Told};
pub(super) use page::Pages;
pub(super) use position::Position;
