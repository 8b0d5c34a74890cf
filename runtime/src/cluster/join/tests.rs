//! Joins over real sockets.
