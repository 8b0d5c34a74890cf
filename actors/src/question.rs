//! Questions to people: put into an inbox, passed on when nobody answers, answered once.
//!
//! A [`Question`] is an entity with a stream of its own, whatever became of the node that asked. While it
//! waits it is a row and, with a deadline, a reminder. `Questions` is how tasks ask and operators answer;
//! what came of a question is told to the task that asked until that has recorded it.

mod actor;
mod handle;
mod inbox;
mod rules;
mod state;

pub(crate) use actor::Command;
pub use handle::{Askers, Heard, Telling};
pub(crate) use handle::{NotPut, Questions, Tasks, Undone, serve};
pub use inbox::Inbox;
pub use rules::{LONGEST_ANSWER, Refusal, may, may_act, review, sees};
pub(crate) use rules::{NEVER_ASKED, NEVER_COUNTS};
pub use state::{Question, Settled};
