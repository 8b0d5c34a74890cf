//! How a node and what it runs come to an end.
