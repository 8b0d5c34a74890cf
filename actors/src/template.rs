//! Tasks with blanks: templates that clients write down once and fill often.
//!
//! [`checked`] says what is wrong with one, [`render`] makes a task of one. [`Template`] is what its events
//! say; a `TemplateEntity` records them.

mod actor;
mod check;
mod handle;
mod render;
mod state;

pub(crate) use actor::{Command, Message, TemplateEntity, name_taken};
pub use check::{checked, is_name};
pub(crate) use handle::{find, make, of_name, view};
pub use render::{named, render};
pub use state::Template;

/// Bytes that a task may have as JSON, as `POST /tasks` takes it.
const LONGEST: usize = 1 << 20;
