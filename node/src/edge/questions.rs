//! Handlers of questions to people.

use protocol::{
    api::{AnswerRequest, DelegateRequest, QuestionQuery},
    id::QuestionId,
};

use super::{
    answer::Answer, body, problem::Refused, request::Call, shared::Shared, table::QuestionOp,
};

pub(super) async fn handle(
    operation: QuestionOp,
    shared: &Shared,
    call: &Call,
    bytes: &[u8],
) -> Result<Answer, Refused> {
    let orchestrator = &shared.orchestrator;
    let caller = call.caller()?;
    let id = || -> Result<QuestionId, Refused> {
        let id = call.part(0)?.parse();
        id.map_err(|_| Refused::not_found("this question"))
    };
    let view = match operation {
        QuestionOp::List => {
            let page = orchestrator.questions(caller, &query(call)?).await;
            return Answer::json(&page.map_err(|wrong| Refused::from(wrong).in_query())?);
        }
        QuestionOp::Get => orchestrator.question(caller, id()?).await?,
        QuestionOp::Claim => orchestrator.claim_question(caller, id()?).await?,
        QuestionOp::Release => orchestrator.release_question(caller, id()?).await?,
        QuestionOp::Answer => {
            let AnswerRequest { answer } = body::parse(bytes)?;
            orchestrator.answer_question(caller, id()?, answer).await?
        }
        QuestionOp::Delegate => {
            let DelegateRequest { to } = body::parse(bytes)?;
            orchestrator.delegate_question(caller, id()?, to).await?
        }
    };
    Answer::json(&view)
}

fn query(call: &Call) -> Result<QuestionQuery, Refused> {
    let query = &call.query;
    Ok(QuestionQuery {
        status: query.word("status")?,
        role: query.get("role")?,
        mine: query.get("mine")?.unwrap_or_default(),
        task: query.get("task")?,
        limit: query.limit()?,
        cursor: query.text("cursor").map(str::to_owned),
    })
}
