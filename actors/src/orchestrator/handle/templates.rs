//! Task templates, and tasks that are made of them.

use std::time::Duration;

use protocol::{
    access::Caller,
    api::{Page, TemplateQuery, TemplateSummary, TemplateView},
    id::TemplateId,
    template::{TemplateSpec, TemplateUse},
};

use super::{
    Answer, Orchestrator, Submission,
    cases::{
        CreateTemplate, DeleteTemplate, ListTemplates, ShowTemplate, SubmitTemplate, UpdateTemplate,
    },
};

impl Orchestrator {
    /// Makes a task template.
    ///
    /// # Errors
    ///
    /// `Invalid` with each field that is wrong, `Conflict` when its name is taken.
    pub async fn create_template(
        &self,
        caller: &Caller,
        spec: TemplateSpec,
    ) -> Answer<TemplateView> {
        self.carry_out(caller, CreateTemplate { spec }).await
    }

    /// A page of task templates, the newest first.
    ///
    /// # Errors
    ///
    /// `Invalid` when the cursor is none of ours.
    pub async fn templates(
        &self,
        caller: &Caller,
        query: TemplateQuery,
    ) -> Answer<Page<TemplateSummary>> {
        self.carry_out(caller, ListTemplates { query }).await
    }

    /// One task template, by id or name, as all the methods below take it.
    ///
    /// # Errors
    ///
    /// `NotFound` also when it belongs to another tenant.
    pub async fn template(&self, caller: &Caller, template: &str) -> Answer<TemplateView> {
        let template = template.to_owned();
        self.carry_out(caller, ShowTemplate { template }).await
    }

    /// Lets a template say something else; tasks that were made of it stay as they are.
    ///
    /// # Errors
    ///
    /// `Forbidden` when it is another user's, or as [`create_template`](Self::create_template).
    pub async fn update_template(
        &self,
        caller: &Caller,
        template: &str,
        spec: TemplateSpec,
    ) -> Answer<TemplateView> {
        let id = self.template_id(caller, template).await?;
        self.carry_out(caller, UpdateTemplate { id, spec }).await
    }

    /// Removes a template from sight; tasks that were made of it go on.
    ///
    /// # Errors
    ///
    /// As [`update_template`](Self::update_template).
    pub async fn delete_template(&self, caller: &Caller, template: &str) -> Answer<()> {
        let id = self.template_id(caller, template).await?;
        self.carry_out(caller, DeleteTemplate { id }).await
    }

    /// Makes a task of a template, as [`submit`](Self::submit) does of a specification.
    ///
    /// # Errors
    ///
    /// `Invalid` names each parameter that is missing, unknown or of another type, and what of the task is
    /// wrong; else as [`submit`](Self::submit).
    pub async fn submit_template(
        &self,
        caller: &Caller,
        asked: TemplateUse,
        key: Option<(String, [u8; 32])>,
        wait: Option<Duration>,
    ) -> Answer<Submission> {
        let case = SubmitTemplate { asked, key, wait };
        self.carry_out(caller, case).await
    }

    async fn template_id(&self, caller: &Caller, template: &str) -> Answer<TemplateId> {
        match template.parse() {
            Ok(id) => Ok(id),
            Err(_) => Ok(self.template(caller, template).await?.id),
        }
    }
}
