//! What becomes of questions, decision by decision.

use proptest::prelude::*;
use protocol::{
    id::{QuestionId, TaskId},
    question::{Escalation, QuestionSpec},
    time::Span,
};
use runtime::journal::EventSourced;
use uuid::Uuid;

use super::*;

const HOUR: Duration = Duration::from_hours(1);

fn caller(user: &str, role: Role) -> Caller {
    let user = user.to_owned();
    Caller {
        user,
        role,
        ..Caller::admin()
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::default().plus(Duration::from_secs(seconds))
}

fn command(number: u128) -> CommandId {
    CommandId::from_uuid(Uuid::from_u128(number))
}

fn to(text: &str) -> Addressee {
    text.parse().unwrap()
}

fn rung(who: &str, deadline: Option<Duration>) -> Escalation {
    Escalation {
        to: to(who),
        deadline: deadline.map(Span),
    }
}

fn asked(asking: Asking) -> Question {
    let spec = Box::new(QuestionSpec {
        task: TaskId::from_uuid(Uuid::from_u128(1)),
        node: "approve".to_owned(),
        user: "ann".to_owned(),
        asking,
    });
    let mut question = Question::default();
    question.apply(&Event::Asked { spec }, at(0));
    question
}

fn asking() -> Asking {
    Asking {
        text: "Ship it?".to_owned(),
        schema: Some(json!({ "type": "object", "properties": { "ok": { "type": "boolean" } } })),
        ..Asking::default()
    }
}

#[test]
fn only_those_who_are_asked_may_answer() {
    for (asked, user, role, expected) in [
        ("operator", "bob", Role::Developer, false),
        ("operator", "bob", Role::Operator, true),
        ("operator", "bob", Role::Admin, true),
        ("developer", "bob", Role::Operator, true),
        ("user:bob", "bob", Role::Viewer, true),
        ("user:bob", "eve", Role::Operator, false),
        ("user:bob", "eve", Role::Admin, true),
        ("admin", "bob", Role::Operator, false),
    ] {
        let caller = caller(user, role);
        assert_eq!(
            may(&caller, &to(asked)),
            expected,
            "{asked} {user} {role:?}"
        );
        let question = self::asked(Asking {
            to: to(asked),
            ..asking()
        });
        for refused in [
            question.claim(&caller).is_err(),
            question.delegate(&caller, to("admin")).is_err(),
            question.answered(&caller, &json!({}), command(1)).is_err(),
        ] {
            assert_eq!(refused, !expected, "{asked} {user} {role:?}");
        }
    }
}

#[test]
fn who_claimed_it_answers_it_or_lets_it_go() {
    let (bob, eve) = (caller("bob", Role::Operator), caller("eve", Role::Operator));
    let admin = caller("root", Role::Admin);
    let mut question = asked(asking());
    assert_eq!(question.release(&bob), Err(Refusal::Unclaimed));
    let claimed = question.claim(&bob).unwrap().unwrap();
    question.apply(&claimed, at(1));
    assert_eq!(question.claim(&bob), Ok(None));
    let taken = Refusal::Claimed {
        user: "bob".to_owned(),
        at: at(1),
    };
    assert_eq!(question.claim(&eve), Err(taken.clone()));
    assert_eq!(question.release(&eve), Err(taken.clone()));
    assert_eq!(question.answered(&eve, &json!({}), command(1)), Err(taken));
    assert!(question.answered(&bob, &json!({}), command(1)).is_ok());
    let released = question.release(&admin).unwrap();
    question.apply(&released, at(2));
    assert!(question.claim(&eve).is_ok());
}

#[test]
fn who_it_was_delegated_to_is_asked_and_the_others_are_not_any_more() {
    let (bob, eve) = (caller("bob", Role::Operator), caller("eve", Role::Viewer));
    let mut question = asked(Asking {
        deadline: Some(Span(HOUR)),
        ..asking()
    });
    let claimed = question.claim(&bob).unwrap().unwrap();
    question.apply(&claimed, at(1));
    let delegated = question.delegate(&bob, to("user:eve")).unwrap();
    question.apply(&delegated, at(2));
    assert!(question.claimed.is_none());
    assert_eq!(question.wake_at(), Some(at(3600)));
    assert!(matches!(
        question.claim(&bob),
        Err(Refusal::NotAsked { .. })
    ));
    assert!(question.answered(&eve, &json!({}), command(1)).is_ok());
}

#[test]
fn an_answer_that_does_not_fit_leaves_it_open() {
    let bob = caller("bob", Role::Operator);
    let question = asked(asking());
    let refused = question.answered(&bob, &json!({ "ok": "yes" }), command(1));
    let Rejection::Invalid { code, errors, .. } = refused.unwrap_err().into() else {
        panic!("it is the answer that is wrong");
    };
    assert_eq!(
        (code, errors[0].field.as_str()),
        ("answer_mismatch", "answer/ok")
    );
    assert_eq!(question.status(), QuestionStatus::Open);
    let long = json!({ "x": "x".repeat(LONGEST_ANSWER) });
    let refused = question.answered(&bob, &long, command(1));
    assert!(matches!(refused, Err(Refusal::TooLong { .. })));
    assert!(
        question
            .answered(&bob, &json!({ "ok": true }), command(1))
            .is_ok()
    );
}

#[test]
fn the_second_answer_hears_of_the_first() {
    let (bob, eve) = (caller("bob", Role::Operator), caller("eve", Role::Operator));
    let mut question = asked(asking());
    let answer = json!({ "ok": true });
    let first = question
        .answered(&bob, &answer, command(1))
        .unwrap()
        .unwrap();
    question.apply(&first, at(5));
    // The same request again, whose answer was lost, is no second answer.
    assert_eq!(question.answered(&bob, &answer, command(1)), Ok(None));
    for again in [&bob, &eve] {
        let refused = question.answered(again, &json!({ "ok": false }), command(2));
        let Rejection::Preceded {
            code,
            message,
            first,
        } = refused.unwrap_err().into()
        else {
            panic!("it was answered");
        };
        assert_eq!(code, "already_answered");
        assert!(
            message.starts_with("bob answered at 1970-01-01T00:00:05"),
            "{message}"
        );
        assert_eq!(first["answer"], answer);
        assert_eq!(first["answered_by"], "bob");
        assert_eq!(first["settled_at"], json!(at(5)));
    }
    assert!(question.claim(&eve).is_err() && question.withdraw("").is_none());
}

#[test]
fn deadlines_go_up_the_ladder_and_each_rung_has_its_whole_time() {
    let mut question = asked(Asking {
        deadline: Some(Span(HOUR)),
        escalate: vec![rung("user:bob", Some(HOUR)), rung("admin", Some(2 * HOUR))],
        ..asking()
    });
    assert_eq!(question.expire(at(3599)), None);
    // The node slept for a day: nobody loses time because of that.
    let mut now = at(86_400);
    for (who, hours) in [("user:bob", 1), ("admin", 2)] {
        let up = question.expire(now).unwrap();
        question.apply(&up, now);
        assert_eq!(question.to, to(who));
        assert_eq!(question.wake_at(), Some(now.plus(HOUR * hours)));
        assert_eq!(question.expire(now), None);
        now = now.plus(HOUR * hours);
    }
    assert_eq!(question.escalations, 2);
    assert_eq!(question.expire(now), Some(Event::Expired));
    question.apply(&Event::Expired, now);
    assert_eq!(question.wake_at(), None);
    let Some(Reply::Failed { error }) = question.to_tell() else {
        panic!("nobody answered");
    };
    assert_eq!(error.code, "no_answer");
    question.apply(&Event::Delivered, now);
    assert_eq!(question.to_tell(), None);
}

#[test]
fn a_default_counts_as_the_answer_of_nobody() {
    let mut question = asked(Asking {
        deadline: Some(Span(HOUR)),
        default: Some(json!({ "ok": false })),
        ..asking()
    });
    let event = question.expire(at(3600)).unwrap();
    assert_eq!(event, Event::Defaulted);
    question.apply(&event, at(3600));
    let told = Reply::Done {
        output: json!({ "ok": false }),
        user: String::new(),
    };
    assert_eq!(question.to_tell(), Some(told));
    let view = question.view(QuestionId::from_uuid(Uuid::nil())).unwrap();
    assert!(view.summary.by_default && view.summary.answered_by.is_none());
}

#[test]
fn what_makes_no_sense_is_not_asked() {
    let span = Some(Span(HOUR));
    let wrong: [(&str, Asking); 9] = [
        (
            "question",
            Asking {
                text: " ".to_owned(),
                ..asking()
            },
        ),
        (
            "question",
            Asking {
                text: "x".repeat(16 * 1024 + 1),
                ..asking()
            },
        ),
        (
            "schema/type",
            Asking {
                schema: Some(json!({ "type": "bool" })),
                ..asking()
            },
        ),
        (
            "deadline",
            Asking {
                deadline: Some(Span(Duration::ZERO)),
                ..asking()
            },
        ),
        (
            "deadline",
            Asking {
                escalate: vec![rung("admin", None)],
                ..asking()
            },
        ),
        (
            "escalate[0].deadline",
            Asking {
                deadline: span,
                escalate: vec![rung("admin", None); 2],
                ..asking()
            },
        ),
        (
            "escalate",
            Asking {
                deadline: span,
                escalate: vec![rung("admin", Some(HOUR)); 11],
                ..asking()
            },
        ),
        (
            "default",
            Asking {
                default: Some(json!({})),
                ..asking()
            },
        ),
        (
            "default/ok",
            Asking {
                deadline: span,
                default: Some(json!({ "ok": 1 })),
                ..asking()
            },
        ),
    ];
    for (field, asking) in wrong {
        assert_eq!(review(&asking).unwrap_err().field, field, "{asking:?}");
    }
    assert_eq!(review(&asking()), Ok(()));
}

#[test]
fn only_what_is_to_be_told_is_brought_back_after_a_restart() {
    let mut question = asked(asking());
    assert!(!question.summary().open);
    question.apply(&Event::Expired, at(1));
    assert!(question.summary().open);
    question.apply(&Event::Delivered, at(2));
    assert!(!question.summary().open);
    let mut withdrawn = asked(asking());
    withdrawn.apply(&withdrawn.withdraw("cancelled").unwrap(), at(1));
    assert!(!withdrawn.summary().open && withdrawn.to_tell().is_none());
}

#[test]
fn pauses_between_tries_to_tell_grow_to_an_hour() {
    let mut question = asked(asking());
    let mut pauses = Vec::new();
    for _ in 0..100 {
        let (event, again) = question.put_off(at(0));
        question.apply(&event, at(0));
        pauses.push(again.since(at(0)));
    }
    assert_eq!(pauses[..3], [PAUSE, 2 * PAUSE, 4 * PAUSE]);
    assert!(pauses.is_sorted() && pauses.last() == Some(&HOUR));
}

/// What can happen to a question.
#[derive(Debug, Clone)]
enum Deed {
    Claim(usize),
    Release(usize),
    Delegate(usize, usize),
    Answer(usize, bool),
    Pass(u64),
    Withdraw,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (0..4usize).prop_map(Deed::Claim),
        (0..4usize).prop_map(Deed::Release),
        (0..4usize, 0..4usize).prop_map(|(by, to)| Deed::Delegate(by, to)),
        (0..4usize, any::<bool>()).prop_map(|(by, fits)| Deed::Answer(by, fits)),
        (0..3000u64).prop_map(Deed::Pass),
        Just(Deed::Withdraw),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_it_ends_once_and_goes_up_in_order(deeds in prop::collection::vec(deed(), 1..60)) {
        let people = [
            caller("dev", Role::Developer), caller("bob", Role::Operator),
            caller("eve", Role::Operator), caller("root", Role::Admin),
        ];
        let places = ["developer", "operator", "user:bob", "admin"].map(to);
        let mut question = asked(Asking {
            deadline: Some(Span(HOUR)),
            escalate: vec![rung("user:bob", Some(HOUR)), rung("admin", Some(HOUR))],
            ..asking()
        });
        let (mut now, mut rungs, mut ends) = (at(0), Vec::new(), 0);
        for (number, deed) in deeds.into_iter().enumerate() {
            if let Deed::Pass(seconds) = deed {
                now = now.plus(Duration::from_secs(seconds));
            }
            let due = question.expire(now);
            if let Some(event) = &due {
                question.apply(event, now);
            }
            let was = question.clone();
            let by = |index: usize| &people[index];
            let done = match deed {
                Deed::Claim(index) => was.claim(by(index)).ok().flatten(),
                Deed::Release(index) => was.release(by(index)).ok(),
                Deed::Delegate(index, place) => was.delegate(by(index), places[place].clone()).ok(),
                Deed::Answer(index, fits) => {
                    let answer = if fits { json!({ "ok": true }) } else { json!({ "ok": 1 }) };
                    let event = was.answered(by(index), &answer, command(number as u128));
                    prop_assert!(fits || event.is_err());
                    event.ok().flatten()
                }
                Deed::Pass(_) => None,
                Deed::Withdraw => was.withdraw("").filter(|_| number % 7 == 0),
            };
            if let Some(event) = &done {
                // Nobody acts who is not asked, nor on what another one claimed.
                if let Deed::Claim(index) | Deed::Release(index) | Deed::Delegate(index, _)
                    | Deed::Answer(index, _) = deed
                {
                    prop_assert!(may(by(index), &was.to));
                    let other = was.claimed.as_ref().is_some_and(|(user, _)| *user != by(index).user);
                    prop_assert!(!other || by(index).role == Role::Admin);
                }
                question.apply(event, now);
            }
            for event in due.iter().chain(&done) {
                match event {
                    Event::Escalated { rung } => rungs.push(*rung),
                    Event::Answered { .. } | Event::Defaulted | Event::Expired
                    | Event::Withdrawn { .. } => ends += 1,
                    Event::Asked { .. } | Event::Claimed { .. } | Event::Released { .. }
                    | Event::Delegated { .. } | Event::Untold { .. } | Event::Delivered => {}
                }
            }
            prop_assert!(ends <= 1);
            prop_assert_eq!(ends == 1, question.status() != QuestionStatus::Open);
            prop_assert!(question.status() == QuestionStatus::Open || question.wake_at().is_none());
        }
        prop_assert!(rungs.iter().copied().eq(0..u32::try_from(rungs.len()).unwrap()));
        prop_assert!(rungs.len() <= 2);
    }
}
