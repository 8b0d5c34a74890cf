//! Finds a template by what a client calls it.

use protocol::{
    api::TemplateView,
    entity::EntityKind,
    id::TemplateId,
    task::TaskSpec,
    template::{TemplateSpec, TemplateUse},
};
use runtime::store::{self, Shared, StreamRow};

use super::{is_name, render};
use crate::{Rejection, naming, schedule::invalid};

/// The row of the template of this tenant that has this name.
pub(crate) async fn of_name(
    store: &Shared,
    tenant: &str,
    name: &str,
) -> Result<Option<StreamRow>, store::Error> {
    if !is_name(name) {
        return Ok(None);
    }
    naming::named(store, tenant, EntityKind::Template, name).await
}

/// A template of this tenant, by name or id.
pub(crate) async fn find(
    store: &Shared,
    tenant: &str,
    template: &str,
) -> Result<TemplateView, Rejection> {
    let row = match template.parse::<TemplateId>() {
        Ok(id) => {
            let row = store.stream(id.into()).await?;
            row.filter(|row| row.tenant == tenant && !row.summary.hidden)
        }
        Err(_) => of_name(store, tenant, template).await?,
    };
    let Some(row) = row else {
        let shown: String = template.chars().take(80).collect();
        return Err(Rejection::not_found(format!("template {shown}")));
    };
    view(&row)
}

/// A template as its row says.
pub(crate) fn view(row: &StreamRow) -> Result<TemplateView, Rejection> {
    let view: TemplateView = serde_json::from_str(&row.summary.body)
        .map_err(|error| store::Error::Corrupt(format!("the row of {}: {error}", row.stream)))?;
    let id = TemplateId::from_uuid(row.stream.key());
    Ok(TemplateView { id, ..view })
}

/// The task that a template of this tenant makes.
pub(crate) async fn make(
    store: &Shared,
    tenant: &str,
    asked: &TemplateUse,
) -> Result<TaskSpec, Rejection> {
    let found = find(store, tenant, &asked.template).await;
    let TemplateView {
        name,
        description,
        params,
        task,
        ..
    } = found.map_err(|rejection| match rejection {
        Rejection::NotFound { what } => {
            let remedy = "GET /api/v1/task-templates lists those that there are";
            Rejection::field("template", format!("there is no {what}; {remedy}"))
        }
        other => other,
    })?;
    let spec = TemplateSpec {
        name,
        description,
        params,
        task,
    };
    render(&spec, asked).map_err(invalid)
}
