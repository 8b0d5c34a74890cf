//! What runs of workflows promise, by their rules alone: order, joins, skips, loops, compensation.

#![cfg(test)]

mod budget;
mod doubts;
mod ends;
mod graphs;
mod large;
mod play;
mod random;
mod shapes;
