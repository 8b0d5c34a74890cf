//! How a node becomes part of a cluster: its papers, who lets others in, and the links it keeps.

mod desk;
mod enrol;
mod footing;
mod links;
mod papers;
mod renewal;

pub use enrol::EnrolError;
pub(crate) use enrol::{Company, Enrolled, Join, enrol};
pub(crate) use footing::{Footing, Place, stand};
pub(crate) use links::Links;
#[cfg(feature = "cli")]
pub(crate) use papers::Papers;
