//! Read models folded from the journal, a moment behind it.
//!
//! A [`Projection`] says how a record changes rows; the projector reads the journal from where it
//! stopped and writes rows and cursor in one transaction, so that no record counts twice.

mod actor;
mod handle;

use protocol::record::Record;
use serde::{Serialize, de::DeserializeOwned};

pub use actor::projector;
pub use handle::rebuild;

/// A read model.
pub trait Projection: Send + Sync + 'static {
    /// Its name in the store.
    const VIEW: &'static str;
    /// One row.
    type Row: Default + Serialize + DeserializeOwned + Send + Sync;
    /// What one record means to one row.
    type Change: Send;

    /// The rows that a record changes, each by key.
    fn changes(&self, record: &Record) -> Vec<(String, Self::Change)>;

    /// Changes one row.
    fn fold(row: &mut Self::Row, change: Self::Change);
}
