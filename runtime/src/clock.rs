//! Time and chance, passed in rather than reached for.
//!
//! Rules take `now` and a drawn number as arguments; shells get them from a [`Clock`] and [`Dice`].
//! A [`TestClock`] stands still until it is moved, and seeded dice fall the same way each time.

mod handle;

pub use handle::{Clock, Dice, TestClock};
