//! Frames of event streams.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{entity::EntityId, time::Timestamp};

/// One event of one entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventView {
    /// Whose event it is.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub entity: EntityId,
    /// Its position in the entity's stream, without gaps; the cursor to resume after it.
    pub seq: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Who asked for it.
    pub actor: String,
    /// What happened; `type` names it.
    pub event: Value,
}
