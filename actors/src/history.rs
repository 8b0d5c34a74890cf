//! The past of the supervision trees, as a cluster keeps it: nodes with a store in that, the others at
//! one that has it; and the end of what was lost.

mod actor;
mod handle;
mod loss;
mod parcel;

pub(crate) use actor::losses;
pub(crate) use handle::{Afar, children, serve};
