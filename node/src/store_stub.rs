//! Stands in for the SQLite store until it is merged.

use std::path::Path;

pub(crate) async fn open(path: &Path) -> Result<runtime::store::Shared, runtime::store::Error> {
    Err(runtime::store::Error::Unusable(format!(
        "the store that would open {} is not merged yet",
        path.display()
    )))
}
