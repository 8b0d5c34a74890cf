//! The life of questions on one store, whoever owns them.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use protocol::{
    access::{Caller, Role},
    api::{QuestionQuery, QuestionView},
    id::{CommandId, NodeId, TaskId},
    question::{Asking, Escalation, QuestionStatus, Reply},
    time::{Span, Timestamp},
};
use runtime::{
    clock::TestClock,
    placement::{Arrival, Holdings},
    store::{self, Memory, Scope, Writer},
    supervision::{Spec, Supervisor, SupervisorRef},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{inbox::Undone, *};
use crate::{Rejection, question::Command};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Tasks that write down what they are told, when they can be reached.
#[derive(Debug, Default)]
struct Listeners {
    deaf: AtomicBool,
    heard: Mutex<HashMap<QuestionId, Vec<Reply>>>,
}

impl Listeners {
    fn heard(&self) -> MutexGuard<'_, HashMap<QuestionId, Vec<Reply>>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Askers for Listeners {
    fn told(&self, _: TaskId, by: QuestionId, reply: Reply) -> Telling<'_> {
        Box::pin(async move {
            if self.deaf.load(Ordering::SeqCst) {
                return Err("the task is out of reach".to_owned());
            }
            self.heard().entry(by).or_default().push(reply);
            Ok(Heard::Recorded)
        })
    }
}

/// One start of a node.
struct Node {
    questions: Questions,
    listeners: Arc<Listeners>,
    store: store::Shared,
    clock: TestClock,
    root: SupervisorRef,
}

impl Node {
    async fn start(store: &store::Shared, clock: &TestClock) -> Self {
        let node = NodeId::from_uuid(Uuid::now_v7());
        let epoch = store.begin(node, "here").await.unwrap();
        let journal = Journal::new(
            store.clone(),
            Writer::start(store.clone()),
            clock.clock(),
            node,
            Holdings::everything(epoch),
        );
        let tree = Tree::new("here", clock.clock());
        let around = Surroundings::alone(node, "here");
        let listeners = Arc::new(Listeners::default());
        let dice = Dice::system();
        let questions = Questions::new(&tree, &journal, dice, &around, listeners.clone());
        let children = vec![questions.host().supervisor()];
        let root = Supervisor::start(&tree, "/", Spec::root(), children, None);
        let root = root.await.unwrap();
        let scope = journal.holdings().scope();
        let host = questions.host();
        host.recover(&scope, Arrival::Own).await.unwrap();
        Self {
            questions,
            listeners,
            store: store.clone(),
            clock: clock.clone(),
            root,
        }
    }

    async fn fresh() -> Self {
        let store: store::Shared = Arc::new(Memory::new());
        let clock = TestClock::at(Timestamp::from_micros(1_700_000_000_000_000));
        Self::start(&store, &clock).await
    }

    /// It dies where it stands; another one starts over what it left.
    async fn restart(self) -> Self {
        self.root.kill();
        Self::start(&self.store, &self.clock).await
    }

    /// Time passes, and what falls due meanwhile is looked at, as reminders do.
    async fn pass(&self, span: Duration) {
        self.clock.advance(span);
        let clock = self.clock.clock();
        loop {
            let due = self.store.due(&Scope::All, clock.now(), 256).await.unwrap();
            if due.is_empty() {
                return;
            }
            for (stream, name, moment) in due {
                assert!(self.questions.wake(stream).await, "{stream}");
                self.store.delivered(stream, &name, moment).await.unwrap();
            }
        }
    }

    async fn ask(&self, number: u128, asking: Asking) -> QuestionId {
        let id = QuestionId::from_uuid(Uuid::from_u128(number));
        let asked = self.questions.ask(id, "default", spec(asking)).await;
        asked.unwrap();
        id
    }

    async fn answer(
        &self,
        by: &Caller,
        id: QuestionId,
        answer: Value,
    ) -> Result<QuestionView, Rejection> {
        let command = CommandId::from_uuid(Uuid::now_v7());
        let answer = Command::Answer { answer, command };
        self.does(by, id, answer).await
    }

    async fn does(
        &self,
        by: &Caller,
        id: QuestionId,
        command: Command,
    ) -> Result<QuestionView, Rejection> {
        match self.questions.command(by, id, command).await {
            Ok(answer) => answer,
            Err(Undone::Rejected(rejection)) => Err(rejection),
            Err(error) => panic!("{error}"),
        }
    }

    async fn shown(&self, id: QuestionId) -> QuestionView {
        self.questions.show(&Caller::admin(), id).await.unwrap()
    }

    async fn delivered(&self, id: QuestionId) -> QuestionView {
        until(async || Some(self.shown(id).await).filter(|view| view.delivered)).await
    }

    async fn is_empty(&self) {
        until(async || (self.questions.host().active() == 0).then_some(())).await;
    }
}

/// Asks again and again until the answer is there; where time is paused, it passes meanwhile.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            ticks.tick().await;
        }
    };
    timeout(Duration::from_secs(90), asking).await.unwrap()
}

fn caller(user: &str, role: Role) -> Caller {
    let user = user.to_owned();
    Caller {
        user,
        role,
        ..Caller::admin()
    }
}

fn spec(asking: Asking) -> QuestionSpec {
    QuestionSpec {
        task: TaskId::from_uuid(Uuid::from_u128(7)),
        node: "approve".to_owned(),
        user: "ann".to_owned(),
        asking,
    }
}

fn yes_or_no() -> Asking {
    Asking {
        text: "Ship it?".to_owned(),
        schema: Some(json!({ "type": "boolean" })),
        ..Asking::default()
    }
}

fn within(span: Duration) -> Asking {
    Asking {
        deadline: Some(Span(span)),
        ..yes_or_no()
    }
}

#[tokio::test]
async fn a_thousand_questions_wait_three_days_over_two_restarts_as_rows_alone() {
    let mut node = Node::fresh().await;
    let mut ids = Vec::new();
    for number in 1..=1000 {
        let asking = match number % 4 {
            0 => Asking {
                deadline: Some(Span(2 * DAY)),
                escalate: vec![Escalation {
                    to: "user:bob".parse().unwrap(),
                    deadline: Some(Span(5 * DAY)),
                }],
                ..yes_or_no()
            },
            1 => within(10 * DAY),
            _ => yes_or_no(),
        };
        ids.push(node.ask(number, asking).await);
    }
    for _ in 0..2 {
        node.is_empty().await;
        node.pass(DAY).await;
        node = node.restart().await;
        // Nothing is to be done for any of them, so that none is loaded.
        assert_eq!(node.questions.host().active(), 0);
    }
    node.pass(DAY).await;
    node.is_empty().await;
    let (ops, bob) = (caller("ops", Role::Operator), caller("bob", Role::Viewer));
    for (index, id) in ids.iter().enumerate() {
        let escalated = (index + 1) % 4 == 0;
        let (by, other) = if escalated {
            (&bob, &ops)
        } else {
            (&ops, &bob)
        };
        let refused = node.answer(other, *id, json!(true)).await.unwrap_err();
        assert!(
            matches!(refused.code(), "forbidden" | "not_found"),
            "{refused:?}"
        );
        let wrong = node.answer(by, *id, json!("yes")).await.unwrap_err();
        assert_eq!(wrong.code(), "answer_mismatch");
        let view = node.answer(by, *id, json!(index % 2 == 0)).await.unwrap();
        assert_eq!(view.summary.status, QuestionStatus::Answered);
        let again = node.answer(by, *id, json!(false)).await.unwrap_err();
        let Rejection::Preceded { first, .. } = again else {
            panic!("{again:?}");
        };
        assert_eq!(first["answer"], json!(index % 2 == 0));
        assert_eq!(first["answered_by"], by.user);
    }
    for id in &ids {
        node.delivered(*id).await;
    }
    node.is_empty().await;
    let heard = node.listeners.heard();
    assert!(ids.iter().all(|id| heard[id].len() == 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_reaches_its_task_although_its_node_dies_before_it_is_recorded() {
    let node = Node::fresh().await;
    let id = node.ask(1, yes_or_no()).await;
    node.listeners.deaf.store(true, Ordering::SeqCst);
    node.answer(&Caller::admin(), id, json!(true))
        .await
        .unwrap();
    let node = node.restart().await;
    assert!(node.delivered(id).await.summary.answered_by.is_some());
    let told = Reply::Done {
        output: json!(true),
        user: "admin".to_owned(),
    };
    assert_eq!(node.listeners.heard()[&id], [told]);
    // What was recorded is not told again.
    let node = node.restart().await;
    node.is_empty().await;
    assert!(node.listeners.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_task_out_of_reach_is_told_later_and_its_question_waits_as_a_row() {
    let node = Node::fresh().await;
    let id = node.ask(1, yes_or_no()).await;
    node.listeners.deaf.store(true, Ordering::SeqCst);
    node.answer(&Caller::admin(), id, json!(true))
        .await
        .unwrap();
    for pause in [60, 120] {
        // It has given up for now.
        let due = until_due(&node).await;
        assert_eq!(
            due.since(node.clock.clock().now()),
            Duration::from_secs(pause)
        );
        node.is_empty().await;
        node.pass(Duration::from_secs(pause)).await;
    }
    node.listeners.deaf.store(false, Ordering::SeqCst);
    node.pass(HOUR).await;
    assert!(node.delivered(id).await.delivered);
    node.is_empty().await;
    assert_eq!(node.store.next_due(&Scope::All).await.unwrap(), None);
}

/// When something is due next.
async fn until_due(node: &Node) -> Timestamp {
    let now = node.clock.clock().now();
    until(async || {
        let due = node.store.next_due(&Scope::All).await.unwrap();
        due.filter(|due| *due > now)
    })
    .await
}

#[tokio::test]
async fn deadlines_pass_it_on_and_end_it_and_its_task_hears_of_that() {
    let node = Node::fresh().await;
    let asking = Asking {
        escalate: vec![Escalation {
            to: "admin".parse().unwrap(),
            deadline: Some(Span(HOUR)),
        }],
        ..within(HOUR)
    };
    let id = node.ask(1, asking.clone()).await;
    let other = Asking {
        default: Some(json!(false)),
        ..asking
    };
    let other = node.ask(2, other).await;
    node.pass(HOUR).await;
    let view = node.shown(id).await;
    assert_eq!(view.summary.to.to_string(), "admin");
    assert_eq!(view.summary.escalations, 1);
    let ops = caller("ops", Role::Operator);
    let refused = node.answer(&ops, id, json!(true)).await.unwrap_err();
    assert_eq!(refused.code(), "forbidden");
    node.pass(HOUR).await;
    assert_eq!(
        node.delivered(id).await.summary.status,
        QuestionStatus::Expired
    );
    let late = node.answer(&Caller::admin(), id, json!(true)).await;
    assert_eq!(late.unwrap_err().code(), "expired");
    let by_default = node.delivered(other).await;
    assert_eq!(
        (by_default.summary.by_default, by_default.answer),
        (true, Some(json!(false)))
    );
    let heard = node.listeners.heard();
    assert!(matches!(&heard[&id][..], [Reply::Failed { error }] if error.code == "no_answer"));
    assert!(matches!(&heard[&other][..], [Reply::Done { user, .. }] if user.is_empty()));
}

#[tokio::test]
async fn an_answer_after_the_deadline_is_too_late_although_nobody_looked_yet() {
    let node = Node::fresh().await;
    let id = node.ask(1, within(HOUR)).await;
    node.clock.advance(HOUR);
    let late = node.answer(&Caller::admin(), id, json!(true)).await;
    assert_eq!(late.unwrap_err().code(), "expired");
    assert_eq!(
        node.delivered(id).await.summary.status,
        QuestionStatus::Expired
    );
}

#[tokio::test]
async fn what_is_asked_twice_is_one_question() {
    let node = Node::fresh().await;
    let id = node.ask(1, yes_or_no()).await;
    let changed = Asking {
        text: "Really?".to_owned(),
        ..Asking::default()
    };
    assert_eq!(node.ask(1, changed).await, id);
    assert_eq!(node.shown(id).await.summary.question, "Ship it?");
    let wrong = Asking {
        schema: Some(json!({ "type": "bool" })),
        ..yes_or_no()
    };
    let other = QuestionId::from_uuid(Uuid::from_u128(2));
    let refused = node.questions.ask(other, "default", spec(wrong)).await;
    assert!(matches!(refused, Err(NotPut::Refused(_))), "{refused:?}");
    assert!(node.questions.show(&Caller::admin(), other).await.is_err());
}

/// As when the link of the node breaks that is to own it, or the client goes away.
#[tokio::test]
async fn a_question_that_somebody_gave_up_half_way_can_be_put_again() {
    let node = Node::fresh().await;
    for polls in 1..12 {
        let id = QuestionId::from_uuid(Uuid::from_u128(polls));
        let mut asking = Box::pin(node.questions.ask(id, "default", spec(yes_or_no())));
        for _ in 0..polls {
            if futures_util::poll!(&mut asking).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(asking);
        assert_eq!(node.ask(polls, yes_or_no()).await, id);
        assert_eq!(node.shown(id).await.summary.question, "Ship it?");
    }
    node.is_empty().await;
}

#[tokio::test]
async fn what_is_taken_back_is_over_and_nobody_is_told() {
    let node = Node::fresh().await;
    let id = node.ask(1, within(HOUR)).await;
    for _ in 0..2 {
        node.questions.withdraw(id, "cancelled").await.unwrap();
    }
    assert_eq!(
        node.shown(id).await.summary.status,
        QuestionStatus::Withdrawn
    );
    let late = node.answer(&Caller::admin(), id, json!(true)).await;
    assert_eq!(late.unwrap_err().code(), "withdrawn");
    node.pass(2 * HOUR).await;
    node.is_empty().await;
    assert!(node.listeners.heard().is_empty());
    // One that never was put needs not be taken back.
    let none = QuestionId::from_uuid(Uuid::from_u128(9));
    assert_eq!(node.questions.withdraw(none, "").await, Ok(()));
}

#[tokio::test]
async fn questions_are_found_by_their_tenant_and_by_those_who_are_asked() {
    let node = Node::fresh().await;
    let to_bob = Asking {
        to: "user:bob".parse().unwrap(),
        ..yes_or_no()
    };
    let id = node.ask(1, to_bob).await;
    let foreign = Caller {
        tenant: "acme".to_owned(),
        ..Caller::admin()
    };
    for (who, expected) in [
        (Caller::admin(), true),
        (caller("bob", Role::Viewer), true),
        (caller("eve", Role::Developer), false),
        // Also not the one whose task it is.
        (caller("ann", Role::Developer), false),
        (foreign, false),
    ] {
        let shown = node.questions.show(&who, id).await.is_ok();
        let all = QuestionQuery::default();
        let listed = node.questions.list(&who, &all, 10).await.unwrap();
        let listed = listed.items.len() == 1;
        assert_eq!((shown, listed), (expected, expected), "{who}");
        if !expected {
            let claimed = node.does(&who, id, Command::Claim).await.unwrap_err();
            assert_eq!(claimed.code(), "not_found", "{who}");
        }
    }
}

#[tokio::test]
async fn an_inbox_is_leafed_through_without_gaps_or_repeats() {
    let node = Node::fresh().await;
    for number in 1..=450 {
        let to = if number % 3 == 0 {
            "user:bob"
        } else {
            "operator"
        };
        let asking = Asking {
            to: to.parse().unwrap(),
            ..yes_or_no()
        };
        node.ask(number, asking).await;
    }
    let mut query = QuestionQuery {
        role: "user:bob".parse().ok(),
        ..QuestionQuery::default()
    };
    let mut found = Vec::new();
    loop {
        let page = node
            .questions
            .list(&Caller::admin(), &query, 60)
            .await
            .unwrap();
        assert!(page.items.len() <= 60);
        found.extend(page.items.iter().map(|item| item.id.uuid().as_u128()));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    assert!(
        found
            .iter()
            .copied()
            .eq((1..=150).rev().map(|number| number * 3))
    );
}
