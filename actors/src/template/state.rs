//! What a template's events say, and what changes one.

use std::sync::Arc;

use protocol::{
    access::Caller,
    api::TemplateView,
    id::TemplateId,
    record::Summary,
    template::{EVENT_VERSION, Event, TemplateSpec},
    time::Timestamp,
};
use runtime::journal::EventSourced;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Rejection;

/// A template as its events say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// What it says.
    pub spec: Arc<TemplateSpec>,
    /// How often it was written; 0 before the first event.
    pub version: u32,
    /// Who made it.
    pub user: String,
    /// Whether it was removed from sight.
    pub deleted: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl Template {
    /// What follows when a client writes it; nothing when it says that already.
    ///
    /// # Errors
    ///
    /// `Forbidden` when it is somebody else's, `Invalid` when it gets another name.
    pub fn write(
        &self,
        caller: &Caller,
        spec: Box<TemplateSpec>,
    ) -> Result<Option<Event>, Rejection> {
        if self.version > 0 {
            self.may_change(caller)?;
            let name = &self.spec.name;
            if spec.name != *name {
                let message = format!(
                    "is `{}`; this template is called `{name}`, and a name stays: make another one with POST /api/v1/task-templates",
                    spec.name
                );
                return Err(Rejection::field("name", message));
            }
        }
        let user = caller.user.clone();
        let is_new = self.version == 0 || *self.spec != *spec;
        Ok(is_new.then_some(Event::Written { spec, user }))
    }

    /// What follows when a client removes it.
    ///
    /// # Errors
    ///
    /// `Forbidden` when it is somebody else's.
    pub fn delete(&self, caller: &Caller) -> Result<Event, Rejection> {
        self.may_change(caller)?;
        let user = caller.user.clone();
        Ok(Event::Deleted { user })
    }

    fn may_change(&self, caller: &Caller) -> Result<(), Rejection> {
        if caller.sees_all_users() || caller.user == self.user {
            return Ok(());
        }
        Err(Rejection::Forbidden {
            message: format!(
                "this template is {}'s; another user needs the role operator to change it",
                self.user
            ),
        })
    }

    /// It, as clients see it.
    #[must_use]
    pub fn view(&self, id: TemplateId) -> TemplateView {
        TemplateView {
            id,
            name: self.spec.name.clone(),
            description: self.spec.description.clone(),
            params: self.spec.params.clone(),
            task: self.spec.task.clone(),
            version: self.version,
            user_id: self.user.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

impl EventSourced for Template {
    type Event = Event;
    const EVENT_VERSION: u16 = EVENT_VERSION;
    const STATE_VERSION: u16 = 1;

    fn apply(&mut self, event: &Event, at: Timestamp) {
        self.updated_at = at;
        match event {
            Event::Written { spec, user } => {
                if self.version == 0 {
                    self.user.clone_from(user);
                    self.created_at = at;
                }
                self.spec = Arc::new((**spec).clone());
                self.version += 1;
            }
            Event::Deleted { .. } => self.deleted = true,
        }
    }

    fn summary(&self) -> Summary {
        // The id is not part of the state: who reads the row puts it in.
        let view = self.view(TemplateId::from_uuid(Uuid::nil()));
        Summary {
            status: "active".to_owned(),
            // There is nothing to go on with: it is read where it is needed.
            open: false,
            hidden: self.deleted,
            user: self.user.clone(),
            name: Some(self.spec.name.clone()),
            // Whole, so that a task is made of it after one look. JSON always can be written.
            body: serde_json::to_string(&view).unwrap_or_default(),
            ..Summary::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::access::{DEFAULT_TENANT, Role};

    use super::*;

    fn user(name: &str) -> Caller {
        Caller {
            tenant: DEFAULT_TENANT.to_owned(),
            user: name.to_owned(),
            role: Role::Developer,
        }
    }

    fn spec(name: &str, description: &str) -> Box<TemplateSpec> {
        Box::new(TemplateSpec {
            name: name.to_owned(),
            description: description.to_owned(),
            ..TemplateSpec::default()
        })
    }

    fn template() -> Template {
        let mut template = Template::default();
        let first = template.write(&user("ann"), spec("n", "a")).unwrap();
        template.apply(&first.unwrap(), Timestamp::from_micros(1));
        template
    }

    #[test]
    fn what_says_the_same_is_not_written_again() {
        let mut template = template();
        assert_eq!(template.write(&user("ann"), spec("n", "a")), Ok(None));
        let other = template.write(&user("ann"), spec("n", "b")).unwrap();
        template.apply(&other.unwrap(), Timestamp::from_micros(2));
        assert_eq!((template.version, template.user.as_str()), (2, "ann"));
        assert_eq!(template.created_at, Timestamp::from_micros(1));
    }

    #[test]
    fn a_name_stays_and_others_need_a_higher_role() {
        let template = template();
        let renamed = template.write(&user("ann"), spec("m", "a"));
        assert_eq!(renamed.unwrap_err().code(), "invalid");
        for refused in [
            template.write(&user("bob"), spec("n", "b")).err(),
            template.delete(&user("bob")).err(),
        ] {
            assert_eq!(refused.unwrap().code(), "forbidden");
        }
    }

    #[test]
    fn what_is_deleted_is_hidden_and_frees_its_name() {
        let mut template = template();
        let gone = template.delete(&user("ann")).unwrap();
        template.apply(&gone, Timestamp::from_micros(2));
        assert!(template.summary().hidden);
    }
}
