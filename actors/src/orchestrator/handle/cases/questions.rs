//! Questions to people: the inbox, and what is done to what lies in it.

use std::time::Duration;

use protocol::{
    access::{Caller, Role},
    api::{Page, QuestionQuery, QuestionSummary, QuestionView},
    id::{CommandId, QuestionId, TaskId},
    question::{Addressee, QuestionSpec},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Answer, Effect, LONGEST_PAGE, Orchestrator, PAGE, Place, UseCase, at_least, unanswered,
    unreachable, visible,
};
use crate::{
    Rejection,
    question::{Command, NotPut, Undone},
};

impl From<Undone> for Rejection {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Rejected(rejection) => rejection,
            Undone::Untold(error) => unreachable(error),
            Undone::Unanswered => unanswered(),
        }
    }
}

impl From<NotPut> for Rejection {
    fn from(error: NotPut) -> Self {
        match error {
            NotPut::Refused(error) => Self::field(error.field, error.message),
            NotPut::Later(message) => Self::Unavailable {
                message,
                retry_after: Duration::from_secs(1),
            },
        }
    }
}

/// A page of the inbox.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ListQuestions {
    pub(in super::super) query: QuestionQuery,
}

impl UseCase for ListQuestions {
    type Answer = Page<QuestionSummary>;
    const NAME: &'static str = "question.list";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Page<QuestionSummary>> {
        at_least(caller, Role::Viewer)?;
        let limit = self.query.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
        let questions = &at.own()?.services.questions;
        questions.list(caller, &self.query, limit).await
    }
}

/// A question in full.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowQuestion {
    pub(in super::super) id: QuestionId,
}

impl UseCase for ShowQuestion {
    type Answer = QuestionView;
    const NAME: &'static str = "question.show";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<QuestionView> {
        at_least(caller, Role::Viewer)?;
        let questions = &at.own()?.services.questions;
        Ok(questions.show(caller, self.id).await?)
    }
}

/// What a person does with a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(in super::super) enum Deal {
    Claim,
    Release,
    Delegate {
        to: Addressee,
    },
    Answer {
        answer: Value,
        /// Tells a repeat of this very request from another answer.
        command: CommandId,
    },
}

/// A person does something with a question.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct DealWith {
    pub(in super::super) id: QuestionId,
    pub(in super::super) deal: Deal,
}

impl UseCase for DealWith {
    type Answer = QuestionView;
    const NAME: &'static str = "question.deal";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    /// A claim that was released meanwhile is not claimed anew by a repeat.
    fn effect(&self) -> Effect {
        match self.deal {
            Deal::Claim | Deal::Answer { .. } => Effect::Repeats,
            Deal::Release | Deal::Delegate { .. } => Effect::Once,
        }
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<QuestionView> {
        at_least(caller, Role::Viewer)?;
        let Self { id, deal } = self;
        let (done, command) = match deal {
            Deal::Claim => ("claimed", Command::Claim),
            Deal::Release => ("released", Command::Release),
            Deal::Delegate { to } => ("delegated", Command::Delegate(to)),
            Deal::Answer { answer, command } => ("answered", Command::Answer { answer, command }),
        };
        let questions = &at.own()?.services.questions;
        let view = questions.command(caller, id, command).await??;
        tracing::info!(
            target: "audit", by = %caller, question = %id, task = %view.summary.task, to = %view.summary.to,
            done, "a person dealt with a question"
        );
        Ok(view)
    }
}

/// A program puts a question for a task of its caller's.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct PutQuestion {
    pub(in super::super) id: QuestionId,
    pub(in super::super) spec: Box<QuestionSpec>,
}

impl UseCase for PutQuestion {
    type Answer = QuestionView;
    const NAME: &'static str = "question.put";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<QuestionView> {
        at_least(caller, Role::Developer)?;
        let Self { id, mut spec } = self;
        let row = visible(at, caller, spec.task).await?;
        spec.user = row.summary.user;
        let questions = &at.own()?.services.questions;
        questions.ask(id, &caller.tenant, *spec).await?;
        // Who asks sees what was made of it, whoever may answer.
        let asked = Caller {
            role: Role::Admin,
            ..caller.clone()
        };
        Ok(questions.show(&asked, id).await?)
    }
}

/// A program takes back a question that it put.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct TakeQuestionBack {
    pub(in super::super) id: QuestionId,
    pub(in super::super) task: TaskId,
    pub(in super::super) reason: String,
}

impl UseCase for TakeQuestionBack {
    type Answer = ();
    const NAME: &'static str = "question.take_back";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<()> {
        at_least(caller, Role::Developer)?;
        let task = visible(at, caller, self.task).await?;
        let questions = &at.own()?.services.questions;
        let row = at.own()?.journal.store().stream(self.id.into()).await?;
        match row {
            Some(row) if row.summary.parent == Some(task.stream) => {
                Ok(questions.withdraw(self.id, &self.reason).await?)
            }
            Some(_) | None => Err(Rejection::not_found(format!("question {}", self.id))),
        }
    }
}
