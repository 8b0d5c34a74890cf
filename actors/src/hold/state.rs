//! What a hold's events say.

use protocol::{
    api::HoldView,
    hold::{EVENT_VERSION, Event, Target, default_tenant},
    id::HoldId,
    record::Summary,
    time::Timestamp,
};
use runtime::journal::EventSourced;
use serde::{Deserialize, Serialize};

/// How lists find holds that stand.
pub(crate) const STANDS: &str = "placed";

/// A hold as its events say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What is held; absent only before the first event.
    pub target: Option<Target>,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who placed it.
    pub by: String,
    /// Whose tasks and agents it keeps.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// Since when.
    pub since: Timestamp,
    /// Whether it was lifted.
    pub lifted: bool,
    /// Who lifted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_by: Option<String>,
}

impl Hold {
    /// As clients see it.
    #[must_use]
    pub fn view(&self, id: HoldId) -> Option<HoldView> {
        Some(HoldView {
            id,
            target: self.target.clone()?,
            reason: self.reason.clone(),
            by: self.by.clone(),
            since: self.since,
        })
    }
}

impl EventSourced for Hold {
    type Event = Event;
    const EVENT_VERSION: u16 = EVENT_VERSION;
    const STATE_VERSION: u16 = 1;

    fn apply(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::Placed {
                target,
                reason,
                user,
                tenant,
            } => {
                self.target = Some(target.clone());
                self.reason.clone_from(reason);
                self.by.clone_from(user);
                self.tenant.clone_from(tenant);
                self.since = at;
            }
            Event::Lifted { user } => {
                self.lifted = true;
                self.lifted_by = Some(user.clone());
            }
        }
    }

    fn summary(&self) -> Summary {
        let status = if self.lifted { "lifted" } else { STANDS };
        Summary {
            status: status.to_owned(),
            // There is nothing to go on with: it is read where it is needed.
            open: false,
            hidden: false,
            user: self.by.clone(),
            name: None,
            // Strings and times always can be written.
            body: serde_json::to_string(self).unwrap_or_default(),
            ..Summary::default()
        }
    }
}
