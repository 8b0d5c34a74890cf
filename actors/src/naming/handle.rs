//! Looks for what has a name, page by page.

use protocol::entity::EntityKind;
use runtime::store::{self, Shared, StreamQuery, StreamRow};

/// Rows of a page.
const PAGE: u32 = 200;

/// The entity of this tenant that has this name.
pub(crate) async fn named(
    store: &Shared,
    tenant: &str,
    kind: EntityKind,
    name: &str,
) -> Result<Option<StreamRow>, store::Error> {
    let mut query = StreamQuery {
        tenant: tenant.to_owned(),
        kind,
        status: None,
        user: None,
        parent: None,
        runs: None,
        text: Some(name.to_owned()),
        before: None,
        limit: PAGE,
    };
    loop {
        let rows = store.list(&query).await?;
        let full = rows.len() >= PAGE as usize;
        query.before = rows.last().filter(|_| full).map(|row| row.stream);
        let mut rows = rows.into_iter();
        let found = rows.find(|row| row.summary.name.as_deref() == Some(name));
        if found.is_some() || query.before.is_none() {
            return Ok(found);
        }
    }
}
