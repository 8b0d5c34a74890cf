//! Questions to people.

use protocol::{
    api::{AnswerRequest, DelegateRequest, Page, QuestionQuery, QuestionSummary, QuestionView},
    id::QuestionId,
    question::{Addressee, QuestionStatus},
};
use reqwest::Method;
use serde_json::Value;

use super::{Answer, Client, Route};

impl Client {
    /// A page of the caller's inbox, the newest first.
    ///
    /// # Errors
    ///
    /// When the node cannot be reached or refuses, as for all the methods below.
    pub async fn questions(&self, query: &QuestionQuery) -> Answer<Page<QuestionSummary>> {
        let route = Route::to(["questions"])
            .with("status", query.status.map(QuestionStatus::as_str))
            .with("role", query.role.as_ref())
            .with("mine", query.mine.then_some(true))
            .with("task", query.task)
            .with("limit", query.limit)
            .with("cursor", query.cursor.as_deref());
        self.get(route).await
    }

    /// A question in full.
    pub async fn question(&self, id: QuestionId) -> Answer<QuestionView> {
        self.get(question(id, [])).await
    }

    /// Says that the caller is about to answer.
    pub async fn claim_question(&self, id: QuestionId) -> Answer<QuestionView> {
        self.post(question(id, ["claim"])).await
    }

    /// Says that whoever claimed it will not answer after all.
    pub async fn release_question(&self, id: QuestionId) -> Answer<QuestionView> {
        self.post(question(id, ["release"])).await
    }

    /// Answers a question, once for all.
    pub async fn answer_question(&self, id: QuestionId, answer: Value) -> Answer<QuestionView> {
        let body = AnswerRequest { answer };
        self.send(Method::POST, question(id, ["answer"]), &body)
            .await
    }

    /// Asks somebody else instead.
    pub async fn delegate_question(&self, id: QuestionId, to: Addressee) -> Answer<QuestionView> {
        let body = DelegateRequest { to };
        self.send(Method::POST, question(id, ["delegate"]), &body)
            .await
    }
}

fn question<const N: usize>(id: QuestionId, rest: [&str; N]) -> Route {
    let id = id.to_string();
    Route::to(["questions", &id].into_iter().chain(rest))
}
