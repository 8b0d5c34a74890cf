//! Task templates, and tasks that are made of them.

use std::time::Duration;

use protocol::{
    api::{Page, TaskView, TemplateQuery, TemplateSummary, TemplateView},
    template::{TemplateSpec, TemplateUse},
};
use reqwest::Method;

use super::{Answer, Client, Route};

fn template(name: &str) -> Route {
    Route::to(["task-templates", name])
}

impl Client {
    /// Makes a task template.
    ///
    /// # Errors
    ///
    /// When the node cannot be reached or refuses, as for all the methods below.
    pub async fn create_template(&self, spec: &TemplateSpec) -> Answer<TemplateView> {
        self.send(Method::POST, Route::to(["task-templates"]), spec)
            .await
    }

    /// A page of task templates, the newest first.
    pub async fn templates(&self, query: &TemplateQuery) -> Answer<Page<TemplateSummary>> {
        let route = Route::to(["task-templates"])
            .with("limit", query.limit)
            .with("cursor", query.cursor.as_deref());
        self.get(route).await
    }

    /// One task template, by id or name, as all the methods below take it.
    pub async fn template(&self, name: &str) -> Answer<TemplateView> {
        self.get(template(name)).await
    }

    /// Lets a task template say something else.
    pub async fn update_template(&self, name: &str, spec: &TemplateSpec) -> Answer<TemplateView> {
        self.send(Method::PUT, template(name), spec).await
    }

    /// Removes a task template from sight.
    pub async fn delete_template(&self, name: &str) -> Answer<()> {
        self.delete(template(name)).await
    }

    /// Makes a task of a template, as [`submit`](Self::submit) does of a specification.
    pub async fn submit_template(
        &self,
        asked: &TemplateUse,
        key: Option<&str>,
        wait: Option<Duration>,
    ) -> Answer<TaskView> {
        self.submit_body(asked, key, wait).await
    }
}
