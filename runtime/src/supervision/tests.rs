//! How supervision behaves on running actors.

mod addresses;
mod failures;
mod fixture;
mod stops;
mod strategies;
