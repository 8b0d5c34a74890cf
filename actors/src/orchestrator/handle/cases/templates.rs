//! Task templates: making, changing, reading and removing them, and tasks that are made of them.

use std::time::Duration;

use protocol::{
    access::{Caller, Role},
    api::{Page, TemplateQuery, TemplateSummary, TemplateView},
    entity::EntityKind,
    id::TemplateId,
    task::TaskSpec,
    template::{TemplateSpec, TemplateUse},
};
use runtime::{entity::Seed, store::StreamRow};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    Answer, Effect, Orchestrator, Place, SubmitTask, UseCase, at_least,
    pages::{Leaf, page, streams_of},
    submission::idempotency,
    unanswered, unreachable,
};
use crate::{
    Rejection,
    orchestrator::Submission,
    schedule::invalid,
    template::{self, Command, Message, checked, name_taken, named, view},
};

/// A new template.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct CreateTemplate {
    pub(in super::super) spec: TemplateSpec,
}

impl UseCase for CreateTemplate {
    type Answer = TemplateView;
    const NAME: &'static str = "template.create";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::New
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TemplateView> {
        let Self { spec } = self;
        at_least(caller, Role::Developer)?;
        holds(&spec)?;
        if let Some(other) = at.template_named(caller, &spec.name).await? {
            return Err(name_taken(&spec.name, other.stream));
        }
        let id = TemplateId::from_uuid(at.fresh_id()?);
        let seed = Seed {
            tenant: caller.tenant.as_str().into(),
            name: Some(spec.name.as_str().into()),
        };
        let (reply, made) = oneshot::channel();
        let message = Message {
            caller: caller.clone(),
            command: Command::Write(Box::new(spec)),
            reply,
        };
        let templates = &at.own()?.services.templates;
        let created = templates.create(id.into(), seed, message).await;
        created.map_err(unreachable)?;
        made.await.unwrap_or_else(|_| Err(unanswered()))
    }
}

fn holds(spec: &TemplateSpec) -> Answer<()> {
    let wrong = checked(spec);
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(invalid(wrong))
    }
}

/// What a template says from now on.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct UpdateTemplate {
    pub(in super::super) id: TemplateId,
    pub(in super::super) spec: TemplateSpec,
}

impl UseCase for UpdateTemplate {
    type Answer = TemplateView;
    const NAME: &'static str = "template.update";
    // What says the same is not written again.
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TemplateView> {
        let Self { id, mut spec } = self;
        at_least(caller, Role::Developer)?;
        let known = at.find_template(caller, &id.to_string()).await?;
        if spec.name.is_empty() {
            spec.name = known.name;
        }
        holds(&spec)?;
        let command = Command::Write(Box::new(spec));
        at.change_template(caller, id, command).await
    }
}

/// The removal of a template from sight.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct DeleteTemplate {
    pub(in super::super) id: TemplateId,
}

impl UseCase for DeleteTemplate {
    type Answer = ();
    const NAME: &'static str = "template.delete";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<()> {
        at_least(caller, Role::Developer)?;
        let deleted = at.change_template(caller, self.id, Command::Delete).await;
        deleted.map(drop)
    }
}

/// The template that a name or an id means.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowTemplate {
    pub(in super::super) template: String,
}

impl UseCase for ShowTemplate {
    type Answer = TemplateView;
    const NAME: &'static str = "template.show";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TemplateView> {
        at_least(caller, Role::Viewer)?;
        at.find_template(caller, &self.template).await
    }
}

/// A page of templates, the newest first.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ListTemplates {
    pub(in super::super) query: TemplateQuery,
}

impl UseCase for ListTemplates {
    type Answer = Page<TemplateSummary>;
    const NAME: &'static str = "template.list";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Page<TemplateSummary>> {
        at_least(caller, Role::Viewer)?;
        let TemplateQuery { limit, cursor } = self.query;
        let leaf = Leaf {
            limit,
            cursor: cursor.as_deref(),
            ..Leaf::default()
        };
        let brief = |row: &StreamRow| Ok(summary(view(row)?));
        page(at, streams_of(caller, EntityKind::Template), leaf, brief).await
    }
}

/// A new task of a template.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct SubmitTemplate {
    pub(in super::super) asked: TemplateUse,
    /// The client's key, and the SHA-256 of the body that came with it.
    pub(in super::super) key: Option<(String, [u8; 32])>,
    /// How long to wait for its end.
    pub(in super::super) wait: Option<Duration>,
}

impl UseCase for SubmitTemplate {
    type Answer = Submission;
    const NAME: &'static str = "task.submit_template";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::New
    }

    fn effect(&self) -> Effect {
        // Under a key, the second time finds what the first one made.
        match self.key {
            Some(_) => Effect::Repeats,
            None => Effect::Once,
        }
    }

    fn wait(&self) -> Duration {
        self.wait.unwrap_or_default()
    }

    fn waited(&mut self, time: Duration) {
        self.wait = self.wait.map(|wait| wait.saturating_sub(time));
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Submission> {
        let Self { asked, key, wait } = self;
        at_least(caller, Role::Developer)?;
        match at.render(caller, &asked).await {
            Ok(spec) => {
                let made = SubmitTask { spec, key, wait }.perform(at, caller).await;
                made.map_err(|rejection| of_template(rejection, &asked))
            }
            // The template may have said something else when the key was used first.
            Err(rejection) => {
                let key = key.map(|key| idempotency(caller, key));
                let made = at.made_before(caller, key.as_ref(), wait).await?;
                made.ok_or(rejection)
            }
        }
    }
}

/// The same, with fields that the template gave named as the template's.
fn of_template(rejection: Rejection, asked: &TemplateUse) -> Rejection {
    let Rejection::Invalid {
        code,
        message,
        mut errors,
    } = rejection
    else {
        return rejection;
    };
    let mut is_templates = false;
    for error in &mut errors {
        let field = named(&error.field, asked);
        is_templates |= field != error.field;
        error.field = field;
    }
    let message = match is_templates {
        true => format!("template `{}` makes no task: {message}", asked.template),
        false => message,
    };
    Rejection::Invalid {
        code,
        message,
        errors,
    }
}

fn summary(view: TemplateView) -> TemplateSummary {
    let required = view.params.iter().filter(|param| param.is_required());
    TemplateSummary {
        id: view.id,
        required: required.map(|param| param.name.clone()).collect(),
        params: view.params.into_iter().map(|param| param.name).collect(),
        name: view.name,
        description: view.description,
        version: view.version,
        user_id: view.user_id,
        updated_at: view.updated_at,
    }
}

impl Orchestrator {
    pub(in super::super) async fn template_named(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Answer<Option<StreamRow>> {
        let store = self.own()?.journal.store();
        Ok(template::of_name(store, &caller.tenant, name).await?)
    }

    /// A template of the caller's tenant, by name or id.
    async fn find_template(&self, caller: &Caller, template: &str) -> Answer<TemplateView> {
        let store = self.own()?.journal.store();
        template::find(store, &caller.tenant, template).await
    }

    async fn render(&self, caller: &Caller, asked: &TemplateUse) -> Answer<TaskSpec> {
        let store = self.own()?.journal.store();
        template::make(store, &caller.tenant, asked).await
    }

    async fn change_template(
        &self,
        caller: &Caller,
        id: TemplateId,
        command: Command,
    ) -> Answer<TemplateView> {
        let caller = caller.clone();
        let templates = &self.own()?.services.templates;
        let answer = templates.ask(id.into(), |reply| Message {
            caller,
            command,
            reply,
        });
        let answer = answer.await.map_err(unreachable)?;
        answer.unwrap_or_else(|| Err(unanswered()))
    }
}
