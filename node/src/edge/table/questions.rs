//! Routes of questions to people: the inbox, and what is done to what lies in it.

use protocol::{
    api::{AnswerRequest, DelegateRequest, Page, QuestionSummary, QuestionView},
    id::TaskId,
    question::{Addressee, QuestionStatus},
};

use super::{
    Answers, Body, Content, Operation, Route, SMALL, Verb, form,
    row::{CURSOR, LIMIT, ok, parameter},
};

/// Bytes that an answer may have with what is around it.
const ANSWER: usize = 260 * 1024;

/// What the routes of this page do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum QuestionOp {
    List,
    Get,
    Claim,
    Release,
    Answer,
    Delegate,
}

const fn route(method: Verb, path: &'static str, id: &'static str, operation: QuestionOp) -> Route {
    Route {
        // Whoever is asked may answer, whatever else they may do: each question says who that is.
        answers: QUESTION,
        problems: &[404],
        ..Route::at(method, path, id, Operation::Question(operation))
    }
}

const QUESTION: &[Answers] = &[ok(
    Content::Json(form::<QuestionView>),
    "The question as it stands then.",
)];

pub(super) static ROUTES: &[Route] = &[
    Route {
        summary: "List questions",
        description: "The inbox: questions to people that the caller is asked or was asked, the newest first; operators see all of their tenant. A page may have fewer items than asked for although more follow.",
        query: &[
            parameter::<QuestionStatus>("status", "Only this status."),
            parameter::<Addressee>(
                "role",
                "Only those that are put to this role, or to `user:NAME`.",
            ),
            parameter::<bool>(
                "mine",
                "With `true` only those that are put to the caller by name, or that the caller claimed or answered.",
            ),
            parameter::<TaskId>("task", "Only those of this task."),
            LIMIT,
            CURSOR,
        ],
        answers: &[ok(
            Content::Json(form::<Page<QuestionSummary>>),
            "A page of questions.",
        )],
        problems: &[],
        ..route(
            Verb::Get,
            "/api/v1/questions",
            "listQuestions",
            QuestionOp::List,
        )
    },
    Route {
        summary: "One question",
        description: "In full, with the JSON Schema that an answer must fit.",
        ..route(
            Verb::Get,
            "/api/v1/questions/{question}",
            "getQuestion",
            QuestionOp::Get,
        )
    },
    Route {
        summary: "Claim a question",
        description: "The caller is about to answer it: nobody but an administrator can meanwhile. A deadline goes on, and ends the claim when it passes.",
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/questions/{question}/claim",
            "claimQuestion",
            QuestionOp::Claim,
        )
    },
    Route {
        summary: "Release a question",
        description: "Whoever claimed it will not answer after all.",
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/questions/{question}/release",
            "releaseQuestion",
            QuestionOp::Release,
        )
    },
    Route {
        summary: "Answer a question",
        description: "Once: a second answer is refused, and `first` tells what the first one was, by whom and when. An answer that does not fit the question's schema is refused with the places that do not, and the question stays open.",
        body: Body::Required(form::<AnswerRequest>, ANSWER),
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/questions/{question}/answer",
            "answerQuestion",
            QuestionOp::Answer,
        )
    },
    Route {
        summary: "Delegate a question",
        description: "Another role or user is asked instead of those who are asked now; the deadline stays.",
        body: Body::Required(form::<DelegateRequest>, SMALL),
        problems: &[404, 409],
        ..route(
            Verb::Post,
            "/api/v1/questions/{question}/delegate",
            "delegateQuestion",
            QuestionOp::Delegate,
        )
    },
];
