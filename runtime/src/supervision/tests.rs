//! How supervision behaves on running actors.
