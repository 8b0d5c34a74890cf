//! What a workflow's events say, and what changes one.

use std::sync::Arc;

use protocol::{
    access::Caller,
    api::{VersionView, WorkflowSummary, WorkflowView},
    id::WorkflowId,
    record::Summary,
    time::Timestamp,
    workflow::{Definition, EVENT_VERSION, Event, Status},
};
use runtime::journal::EventSourced;
use serde::{Deserialize, Serialize};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use uuid::Uuid;

use super::draft::Draft;
use crate::Rejection;

/// Characters of a description that lists show.
const BRIEF: usize = 200;

/// A workflow as its events say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    /// Every version, the first one first.
    pub versions: Vec<Version>,
    /// Whether runs of it may begin.
    pub status: Status,
    /// Who made it.
    pub user: String,
    /// Whether it was removed from sight.
    pub deleted: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// One version of a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Which.
    pub number: u32,
    /// The text that was given, byte for byte.
    pub source: String,
    /// What it says.
    pub definition: Arc<Definition>,
    /// Who gave it.
    pub user: String,
    /// When.
    pub at: Timestamp,
}

impl Workflow {
    /// The newest version; none before the first event.
    #[must_use]
    pub fn newest(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// A version by its number.
    #[must_use]
    pub fn version(&self, number: u32) -> Option<&Version> {
        self.versions
            .iter()
            .find(|version| version.number == number)
    }

    /// What follows when a client changes it: another definition, another status.
    ///
    /// # Errors
    ///
    /// `Forbidden` when it is somebody else's, `Invalid` when the definition has another name.
    pub fn change(
        &self,
        caller: &Caller,
        draft: Option<Draft>,
        status: Option<Status>,
    ) -> Result<Vec<Event>, Rejection> {
        if let Some(newest) = self.newest() {
            self.may_change(caller)?;
            let name = &newest.definition.name;
            if let Some(other) = draft.as_ref().map(|draft| &draft.definition.name)
                && other != name
            {
                return Err(Rejection::field(
                    "name",
                    format!(
                        "is `{other}`; this workflow is called `{name}`, and a name stays: make another one with POST /api/v1/workflows"
                    ),
                ));
            }
        }
        let published = draft.and_then(|draft| self.publish(caller, draft));
        let turned = status.filter(|status| *status != self.status);
        let turned = turned.map(|status| self::turned(caller, status));
        Ok(published.into_iter().chain(turned).collect())
    }

    fn publish(&self, caller: &Caller, draft: Draft) -> Option<Event> {
        let user = caller.user.clone();
        match self.newest() {
            Some(newest) if *newest.definition == *draft.definition => {
                (newest.source != draft.source).then_some(Event::Rewritten {
                    source: draft.source,
                    user,
                })
            }
            newest => Some(Event::Published {
                version: newest.map_or(1, |newest| newest.number + 1),
                source: draft.source,
                definition: draft.definition,
                user,
            }),
        }
    }

    /// What follows when a client removes it; nothing when it is gone.
    ///
    /// # Errors
    ///
    /// `Forbidden` when it is somebody else's.
    pub fn delete(&self, caller: &Caller) -> Result<Vec<Event>, Rejection> {
        self.may_change(caller)?;
        let user = caller.user.clone();
        let gone = (!self.deleted).then_some(Event::Deleted { user });
        Ok(gone.into_iter().collect())
    }

    fn may_change(&self, caller: &Caller) -> Result<(), Rejection> {
        if caller.sees_all_users() || caller.user == self.user {
            return Ok(());
        }
        Err(Rejection::Forbidden {
            message: format!(
                "this workflow is {}'s; another user needs the role operator to change it",
                self.user
            ),
        })
    }

    /// One version of it, as clients see it.
    #[must_use]
    pub fn view(&self, id: WorkflowId, version: &Version) -> WorkflowView {
        let definition = &version.definition;
        // Byte for byte, if that is JSON.
        let given = RawValue::from_string(version.source.clone()).ok();
        let source = given.is_none().then(|| version.source.clone());
        WorkflowView {
            id,
            workflow_id: id,
            user_id: self.user.clone(),
            name: definition.name.clone(),
            description: definition.description.clone(),
            workflow_type: definition.shape,
            status: self.status,
            version: version.number,
            // A definition always can be written.
            dag_definition: given
                .or_else(|| to_raw_value(definition).ok())
                .unwrap_or_default(),
            source,
            context: definition.context.clone(),
            result: Value::Null,
            metadata: definition.metadata.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    /// Its versions, the newest first.
    pub fn versions(&self) -> impl Iterator<Item = VersionView> {
        self.versions.iter().rev().map(|version| VersionView {
            version: version.number,
            user_id: version.user.clone(),
            description: brief(&version.definition.description),
            nodes: u32::try_from(version.definition.nodes.len()).unwrap_or(u32::MAX),
            created_at: version.at,
        })
    }

    /// What lists show. The id is not part of the state: lists put it in.
    #[must_use]
    pub fn brief(&self) -> Option<WorkflowSummary> {
        let id = WorkflowId::from_uuid(Uuid::nil());
        let newest = self.newest()?;
        Some(WorkflowSummary {
            id,
            workflow_id: id,
            name: newest.definition.name.clone(),
            description: brief(&newest.definition.description),
            workflow_type: newest.definition.shape,
            status: self.status,
            version: newest.number,
            user_id: self.user.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

fn brief(text: &str) -> String {
    text.chars().take(BRIEF).collect()
}

fn turned(caller: &Caller, status: Status) -> Event {
    let user = caller.user.clone();
    match status {
        Status::Active => Event::Activated { user },
        Status::Draft | Status::Archived => Event::Deactivated { status, user },
    }
}

impl EventSourced for Workflow {
    type Event = Event;
    const EVENT_VERSION: u16 = EVENT_VERSION;
    const STATE_VERSION: u16 = 1;

    fn apply(&mut self, event: &Event, at: Timestamp) {
        self.updated_at = at;
        match event {
            Event::Published {
                version,
                source,
                definition,
                user,
            } => {
                if self.versions.is_empty() {
                    self.user.clone_from(user);
                    self.created_at = at;
                }
                self.versions.push(Version {
                    number: *version,
                    source: source.clone(),
                    definition: Arc::new((**definition).clone()),
                    user: user.clone(),
                    at,
                });
            }
            Event::Rewritten { source, .. } => {
                if let Some(newest) = self.versions.last_mut() {
                    newest.source.clone_from(source);
                }
            }
            Event::Activated { .. } => self.status = Status::Active,
            Event::Deactivated { status, .. } => self.status = *status,
            Event::Deleted { .. } => self.deleted = true,
        }
    }

    fn summary(&self) -> Summary {
        let brief = self.brief();
        Summary {
            status: self.status.as_str().to_owned(),
            // There is nothing to go on with: it is read where it is needed.
            open: false,
            hidden: self.deleted,
            user: self.user.clone(),
            name: brief.as_ref().map(|brief| brief.name.clone()),
            // Strings, numbers and times always can be written.
            body: serde_json::to_string(&brief).unwrap_or_default(),
            ..Summary::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::access::{DEFAULT_TENANT, Role};
    use serde_json::json;

    use super::*;

    fn user(name: &str) -> Caller {
        Caller {
            tenant: DEFAULT_TENANT.to_owned(),
            user: name.to_owned(),
            role: Role::Developer,
        }
    }

    fn draft(source: &Value) -> Draft {
        Draft {
            source: source.to_string(),
            definition: serde_json::from_value(source.clone()).unwrap(),
        }
    }

    fn described(text: &str) -> Draft {
        draft(&json!({ "name": "n", "description": text }))
    }

    fn made(changes: Vec<Result<Vec<Event>, Rejection>>, mut workflow: Workflow) -> Workflow {
        for event in changes.into_iter().flat_map(Result::unwrap) {
            workflow.apply(&event, Timestamp::from_micros(1));
        }
        workflow
    }

    fn workflow() -> Workflow {
        let first = Workflow::default().change(&user("ann"), Some(described("a")), None);
        made(vec![first], Workflow::default())
    }

    #[test]
    fn another_definition_is_another_version_and_the_same_one_is_none() {
        let workflow = workflow();
        let again = workflow.change(&user("ann"), Some(described("a")), None);
        assert_eq!(again.unwrap(), []);
        let other = workflow.change(&user("ann"), Some(described("b")), None);
        let workflow = made(vec![other], workflow);
        let numbers: Vec<u32> = workflow.versions().map(|version| version.version).collect();
        assert_eq!(numbers, [2, 1]);
        assert_eq!(workflow.version(1).unwrap().definition.description, "a");
        assert_eq!(workflow.newest().unwrap().definition.description, "b");
    }

    #[test]
    fn a_text_that_says_the_same_in_other_words_replaces_the_text_alone() {
        let workflow = workflow();
        let source = "{\"description\":\"a\" , \"name\":\"n\"}";
        let rewritten = Draft {
            source: source.to_owned(),
            ..described("a")
        };
        let change = workflow.change(&user("ann"), Some(rewritten), None);
        let workflow = made(vec![change], workflow);
        let newest = workflow.newest().unwrap();
        assert_eq!((newest.number, newest.source.as_str()), (1, source));
        let view = workflow.view(WorkflowId::from_uuid(Uuid::nil()), newest);
        assert_eq!(view.dag_definition.get(), source);
    }

    #[test]
    fn a_name_stays() {
        let other = draft(&json!({ "name": "m" }));
        let refused = workflow().change(&user("ann"), Some(other), None);
        let Err(Rejection::Invalid { errors, .. }) = refused else {
            panic!("it was taken");
        };
        assert_eq!(errors[0].field, "name");
    }

    #[test]
    fn only_its_user_and_operators_change_it() {
        let workflow = workflow();
        let bob = workflow.change(&user("bob"), None, Some(Status::Archived));
        assert_eq!(bob.unwrap_err().code(), "forbidden");
        assert_eq!(
            workflow.delete(&user("bob")).unwrap_err().code(),
            "forbidden"
        );
        let archived = workflow.change(&Caller::admin(), None, Some(Status::Archived));
        let workflow = made(vec![archived], workflow);
        assert_eq!(workflow.status, Status::Archived);
        let again = workflow.change(&user("ann"), None, Some(Status::Active));
        assert_eq!(made(vec![again], workflow).status, Status::Active);
    }

    #[test]
    fn what_is_removed_gives_its_name_free_and_keeps_its_versions() {
        let workflow = workflow();
        let deleted = workflow.delete(&user("ann"));
        let workflow = made(vec![deleted], workflow);
        assert!(workflow.summary().hidden);
        assert!(workflow.version(1).is_some());
        assert_eq!(workflow.delete(&user("ann")).unwrap(), []);
    }
}
