//! Steps that ask people: they give their attempts back, wait as rows, and go on with the answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actors::{
    Rejection,
    adapter::{Adapter, Answer, Call, CallError, Colleagues},
};
use protocol::{
    access::{Caller, Role},
    api::{QuestionQuery, QuestionSummary, TreeQuery},
    entity::EntityKind,
    id::{QuestionId, TaskId},
    question::{Asking, QuestionStatus},
    task::TaskStatus,
    time::Span,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    cluster::Town,
    support::{System, until, user},
};

/// Asks people what its input says, one after another, and gives back what they answered.
#[derive(Debug, Default)]
pub(crate) struct Curious {
    calls: AtomicUsize,
}

impl Curious {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Adapter for Curious {
    fn call<'a>(
        &'a self,
        _: &'a Call,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        unreachable!("it is called with its colleagues")
    }

    fn call_among<'a>(
        &'a self,
        call: &'a Call,
        colleagues: &'a Colleagues,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let ask = |text: &str| Asking {
                text: text.to_owned(),
                schema: Some(json!({ "type": "boolean" })),
                deadline: (text == "late?").then_some(Span(Duration::from_millis(1))),
                ..Asking::default()
            };
            if call.input == json!("together") {
                let one = colleagues.ask_people_as("one", ask("one?"));
                let two = colleagues.ask_people_as("two", ask("two?"));
                let (one, two) = tokio::join!(one, two);
                return Ok(json!([one?, two?]));
            }
            let mut answers = Vec::new();
            for text in call.input.as_array().into_iter().flatten() {
                let text = text.as_str().unwrap_or_default();
                answers.push(colleagues.ask_people(ask(text)).await?);
            }
            Ok(json!({ "attempt": call.attempt, "answers": answers }))
        })
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(std::future::ready(Ok("it asks".to_owned())))
    }
}

async fn system() -> (System, Arc<Curious>) {
    let curious = Arc::new(Curious::default());
    let natives = [("curious", curious.clone() as Arc<dyn Adapter>)];
    let system = System::start_beside(&["one"], natives).await;
    system
        .agent(json!({ "name": "curious", "agent_type": "native", "capabilities": ["ask"] }))
        .await;
    (system, curious)
}

impl System {
    async fn asks(&self, input: Value) -> TaskId {
        self.submit_task(json!({
            "description": "asks", "steps": [{ "id": "a", "agent": "curious", "input": input }],
        }))
        .await
    }

    /// The question of a task that waits, when it is in the inbox.
    pub(crate) async fn waiting(&self, task: TaskId) -> QuestionSummary {
        until(async || self.inbox(task).await.pop()).await
    }

    /// When nobody waits for its answer any more.
    pub(crate) async fn is_withdrawn(&self, question: QuestionId) {
        until(async || {
            let view = self.question(&self.admin, question).await.unwrap();
            (view.summary.status == QuestionStatus::Withdrawn).then_some(())
        })
        .await;
    }

    async fn inbox(&self, task: TaskId) -> Vec<QuestionSummary> {
        let query = QuestionQuery {
            status: Some(QuestionStatus::Open),
            task: Some(task),
            ..QuestionQuery::default()
        };
        self.questions(&self.admin, &query).await.unwrap().items
    }
}

#[tokio::test]
async fn a_step_that_asks_people_runs_only_before_and_after_it_waits() {
    let (system, curious) = system().await;
    let id = system.asks(json!(["first?", "second?"])).await;
    for (text, answer) in [("first?", true), ("second?", false)] {
        let question = until(async || {
            let mut open = system.inbox(id).await;
            open.pop().filter(|question| question.question == text)
        })
        .await;
        assert_eq!(
            (question.task, &*question.node, &*question.user),
            (id, "a", "admin")
        );
        until(async || {
            let why = system.why_not(id).await;
            why.contains(&question.id.to_string()).then_some(())
        })
        .await;
        // Nothing of it runs or stands in the tree meanwhile.
        let agent = system.agent_view("curious").await;
        assert_eq!(agent.running_tasks, 0);
        for folder in ["/tasks", "/questions"] {
            let below = TreeQuery {
                path: Some(folder.to_owned()),
                ..TreeQuery::default()
            };
            until(async || {
                let tree = system.tree(&system.admin, &below).await.unwrap();
                (tree.total == 1).then_some(())
            })
            .await;
        }
        let answered = system.answer_question(&system.admin, question.id, json!(answer));
        answered.await.unwrap();
    }
    let task = system.completed(id).await;
    assert_eq!(
        task.result,
        json!({ "attempt": 3, "answers": [true, false] })
    );
    assert_eq!(curious.calls(), 3);
    until(async || system.inbox(id).await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn questions_that_are_asked_together_are_put_together() {
    let (system, curious) = system().await;
    let id = system.asks(json!("together")).await;
    let open = until(async || Some(system.inbox(id).await).filter(|open| open.len() == 2)).await;
    for question in &open {
        let answer = json!(question.question == "one?");
        let answered = system.answer_question(&system.admin, question.id, answer);
        answered.await.unwrap();
    }
    assert_eq!(system.completed(id).await.result, json!([true, false]));
    assert_eq!(curious.calls(), 2);
}

#[tokio::test]
async fn a_step_whose_question_nobody_answers_fails_with_that() {
    let (system, _) = system().await;
    let id = system.asks(json!(["late?"])).await;
    let task = system.settled(id).await;
    assert_eq!(task.status, TaskStatus::Failed);
    assert_eq!(task.error.unwrap().code, "no_answer");
}

#[tokio::test]
async fn a_step_that_asks_what_makes_no_sense_fails_with_that() {
    let (system, _) = system().await;
    let id = system.asks(json!([""])).await;
    let task = system.settled(id).await;
    assert_eq!(task.error.unwrap().code, "invalid_question");
}

#[tokio::test]
async fn a_cancelled_task_takes_its_question_back() {
    let (system, _) = system().await;
    let id = system.asks(json!(["first?"])).await;
    let question = system.waiting(id).await;
    let cancelled = system.cancel_task(&system.admin, id, "why not".to_owned());
    assert_eq!(cancelled.await.unwrap().status, TaskStatus::Cancelled);
    system.is_withdrawn(question.id).await;
    let late = system.answer_question(&system.admin, question.id, json!(true));
    let Rejection::Preceded { code, .. } = late.await.unwrap_err() else {
        panic!("nobody wants to know");
    };
    assert_eq!(code, "withdrawn");
}

#[tokio::test]
async fn a_task_that_waits_for_people_outlives_its_process() {
    let (system, curious) = system().await;
    let id = system.asks(json!(["first?"])).await;
    let question = system.waiting(id).await;
    let again = Arc::new(Curious::default());
    let natives = [("curious", again.clone() as Arc<dyn Adapter>)];
    let system = system.crash_beside(natives).await;
    let bob = user("bob");
    let forbidden = system.answer_question(&bob, question.id, json!(true));
    assert_eq!(forbidden.await.unwrap_err().code(), "not_found");
    let wrong = system.answer_question(&system.admin, question.id, json!("yes"));
    assert_eq!(wrong.await.unwrap_err().code(), "answer_mismatch");
    let ops = Caller {
        user: "ops".to_owned(),
        role: Role::Operator,
        ..Caller::admin()
    };
    let answered = system.answer_question(&ops, question.id, json!(true));
    assert_eq!(
        answered.await.unwrap().summary.answered_by.as_deref(),
        Some("ops")
    );
    let task = system.completed(id).await;
    assert_eq!(task.result["answers"], json!([true]));
    assert_eq!((curious.calls(), again.calls()), (1, 1));
}

#[tokio::test]
async fn an_answer_reaches_its_task_although_the_question_loses_its_node() {
    let town = Town::routed(&["a", "b", "c"]).await;
    town.curious("b").await;
    // Questions belong to whoever is the first on the map, so to A; the task to B.
    let id = town
        .work("b", json!({ "agent": "curious", "input": ["first?"] }))
        .await;
    let admin = Caller::admin();
    let question = until(async || {
        let all = QuestionQuery::default();
        let page = town["b"].questions(&admin, &all).await.ok()?;
        page.items.into_iter().next()
    })
    .await;
    assert_eq!(town.owner(question.id), Some(town["a"].id));
    // What A says does not arrive at B any more, so that the answer is on disk and not told.
    town.part(town["b"].id);
    let answered = town["a"].answer_question(&admin, question.id, json!(true));
    assert!(!answered.await.unwrap().delivered);
    town.vanish(&town["a"]);
    town.bury(town["a"].id);
    town.meet(town["b"].id);
    town.give(question.id, town["c"].id);
    let view = town["c"].question(&admin, question.id).await.unwrap();
    assert_eq!((view.answer, view.delivered), (Some(json!(true)), false));
    // C takes over what is unfinished, as a placer has it do.
    let second = town["c"].answer_question(&admin, question.id, json!(false));
    let Rejection::Preceded { first, .. } = second.await.unwrap_err() else {
        panic!("it was answered");
    };
    assert_eq!(first["answer"], json!(true));
    let task = town.settled("b", id).await;
    assert_eq!(task.result["answers"], json!([true]));
    until(async || {
        let view = town["c"].question(&admin, question.id).await.unwrap();
        view.delivered.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_question_of_a_step_is_taken_back_though_the_process_dies_before_that() {
    let (system, _) = system().await;
    let id = system.asks(json!(["first?"])).await;
    let question = system.waiting(id).await;
    // What is on disk now is not done in this life.
    system.life.lose_rows(EntityKind::Question, usize::MAX);
    let cancelled = system.cancel_task(&system.admin, id, "why not".to_owned());
    assert_eq!(cancelled.await.unwrap().status, TaskStatus::Cancelled);
    let curious = Arc::new(Curious::default());
    let natives = [("curious", curious as Arc<dyn Adapter>)];
    let system = system.crash_beside(natives).await;
    system.is_withdrawn(question.id).await;
}

#[tokio::test]
async fn a_question_is_taken_back_though_the_owner_of_its_task_is_lost_before_that() {
    let town = Town::routed(&["a", "b", "c"]).await;
    town.curious("b").await;
    let id = town
        .work("b", json!({ "agent": "curious", "input": ["first?"] }))
        .await;
    let admin = Caller::admin();
    let question = until(async || {
        let all = QuestionQuery::default();
        let page = town["b"].questions(&admin, &all).await.ok()?;
        page.items.into_iter().next()
    })
    .await;
    assert_eq!(town.owner(question.id), Some(town["a"].id));
    // B, which owns the task, does not reach A any more, which owns the question.
    town.part(town["a"].id);
    let cancelled = town["b"].cancel_task(&admin, id, "why not".to_owned());
    assert_eq!(cancelled.await.unwrap().status, TaskStatus::Cancelled);
    town.vanish(&town["b"]);
    town.bury(town["b"].id);
    town.meet(town["a"].id);
    until(async || {
        let view = town["a"].question(&admin, question.id).await.unwrap();
        (view.summary.status == QuestionStatus::Withdrawn).then_some(())
    })
    .await;
}
