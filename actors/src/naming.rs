//! What of a tenant has a name: looked for in the store.

mod handle;

pub(crate) use handle::named;
