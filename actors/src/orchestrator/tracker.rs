//! How many tasks there are in each state, as the store has them.

mod actor;

pub(crate) use actor::task_tracker;
