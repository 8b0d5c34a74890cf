//! Questions to people.

use protocol::{
    access::Caller,
    api::{Page, QuestionQuery, QuestionSummary, QuestionView},
    id::{CommandId, QuestionId, TaskId},
    question::{Addressee, Asking, QuestionSpec},
};
use runtime::clock::Dice;
use serde_json::Value;

use super::{
    Answer, Orchestrator,
    cases::{Deal, DealWith, ListQuestions, PutQuestion, ShowQuestion, TakeQuestionBack},
};

impl Orchestrator {
    /// A page of the questions that the caller is asked, or may see otherwise; the newest first.
    ///
    /// # Errors
    ///
    /// `Invalid` when the cursor is none of ours.
    pub async fn questions(
        &self,
        caller: &Caller,
        query: &QuestionQuery,
    ) -> Answer<Page<QuestionSummary>> {
        let query = query.clone();
        self.carry_out(caller, ListQuestions { query }).await
    }

    /// A question in full.
    ///
    /// # Errors
    ///
    /// `NotFound` also when it is not the caller's to see, as for all the methods below.
    pub async fn question(&self, caller: &Caller, id: QuestionId) -> Answer<QuestionView> {
        self.carry_out(caller, ShowQuestion { id }).await
    }

    /// Says that the caller is about to answer: nobody else may meanwhile.
    ///
    /// # Errors
    ///
    /// `Forbidden` when others are asked, `Conflict` when somebody else claimed it, `Preceded` when it is
    /// over.
    pub async fn claim_question(&self, caller: &Caller, id: QuestionId) -> Answer<QuestionView> {
        self.deal(caller, id, Deal::Claim).await
    }

    /// Says that whoever claimed it will not answer after all.
    ///
    /// # Errors
    ///
    /// As [`claim_question`](Self::claim_question); `Conflict` also when nobody claimed it.
    pub async fn release_question(&self, caller: &Caller, id: QuestionId) -> Answer<QuestionView> {
        self.deal(caller, id, Deal::Release).await
    }

    /// Asks somebody else instead; the deadline stays.
    ///
    /// # Errors
    ///
    /// As [`claim_question`](Self::claim_question).
    pub async fn delegate_question(
        &self,
        caller: &Caller,
        id: QuestionId,
        to: Addressee,
    ) -> Answer<QuestionView> {
        self.deal(caller, id, Deal::Delegate { to }).await
    }

    /// Answers a question, once for all.
    ///
    /// # Errors
    ///
    /// As [`claim_question`](Self::claim_question); `Invalid` when the answer does not fit the question's
    /// schema, which leaves it open.
    pub async fn answer_question(
        &self,
        caller: &Caller,
        id: QuestionId,
        answer: Value,
    ) -> Answer<QuestionView> {
        let fresh = Dice::system().uuid_v7(self.0.tree.clock().now());
        let command = CommandId::from_uuid(fresh);
        self.deal(caller, id, Deal::Answer { answer, command })
            .await
    }

    async fn deal(&self, caller: &Caller, id: QuestionId, deal: Deal) -> Answer<QuestionView> {
        self.carry_out(caller, DealWith { id, deal }).await
    }

    /// Puts a question to people in the name of a task of the caller's, which is told what came of it. The
    /// same `id` again is the same question.
    ///
    /// # Errors
    ///
    /// `NotFound` when the task is not the caller's to see, `Invalid` when the question makes no sense.
    pub async fn ask_people(
        &self,
        caller: &Caller,
        id: QuestionId,
        (task, node): (TaskId, &str),
        asking: Asking,
    ) -> Answer<QuestionView> {
        let spec = Box::new(QuestionSpec {
            task,
            node: node.to_owned(),
            user: caller.user.clone(),
            asking,
        });
        self.carry_out(caller, PutQuestion { id, spec }).await
    }

    /// Takes back a question of such a task: nobody waits for its answer any more. One that is over stays
    /// as it is.
    ///
    /// # Errors
    ///
    /// `NotFound` when the task is not the caller's to see, or did not ask this.
    pub async fn withdraw_question(
        &self,
        caller: &Caller,
        id: QuestionId,
        task: TaskId,
        reason: String,
    ) -> Answer<()> {
        let case = TakeQuestionBack { id, task, reason };
        self.carry_out(caller, case).await
    }
}
