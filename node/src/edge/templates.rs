//! Handlers of task templates.

use http::StatusCode;
use protocol::api::TemplateQuery;

use super::{
    answer::Answer, body, problem::Refused, request::Call, shared::Shared, table::TemplateOp,
};

pub(super) async fn handle(
    operation: TemplateOp,
    shared: &Shared,
    call: &Call,
    bytes: &[u8],
) -> Result<Answer, Refused> {
    let at = &shared.orchestrator;
    let caller = call.caller()?;
    match operation {
        TemplateOp::Create => {
            let made = at.create_template(caller, body::parse(bytes)?).await?;
            let location = format!("/api/v1/task-templates/{}", made.name);
            Ok(Answer::with_status(StatusCode::CREATED, &made)?.at(&location))
        }
        TemplateOp::List => {
            let query = TemplateQuery {
                limit: call.query.limit()?,
                cursor: call.query.text("cursor").map(str::to_owned),
            };
            let page = at.templates(caller, query).await;
            Answer::json(&page.map_err(|wrong| Refused::from(wrong).in_query())?)
        }
        TemplateOp::Get => Answer::json(&at.template(caller, call.part(0)?).await?),
        TemplateOp::Update => {
            let spec = body::parse(bytes)?;
            Answer::json(&at.update_template(caller, call.part(0)?, spec).await?)
        }
        TemplateOp::Delete => {
            at.delete_template(caller, call.part(0)?).await?;
            Ok(Answer::nothing())
        }
    }
}
