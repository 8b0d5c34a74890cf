//! What a step asks people before it can end, and what they answered.
//!
//! A running step that asks gives its attempt back: nothing of it stays but what stands here. When all that
//! it asked is settled, it is given to an agent again, and is handed the answers.

use std::collections::BTreeMap;

use protocol::{
    id::QuestionId,
    question::{Asking, Reply, Wanted},
    task::Failure,
};
use serde::{Deserialize, Serialize};

use super::Task;

/// What a step asked, the first first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Asks(Vec<Ask>);

/// One question of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// What tells it from other questions of the step.
    pub key: String,
    /// The question that people find in their inbox.
    pub question: QuestionId,
    /// What is asked; forgotten once it is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asking: Option<Box<Asking>>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
}

/// What an agent is handed when it takes a step up again: what came of its questions, by their keys.
pub type Replies = BTreeMap<String, Reply>;

impl Asks {
    /// Nothing yet.
    pub(super) const fn none() -> Self {
        Self(Vec::new())
    }

    /// Whether nothing was asked.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes in what an attempt asked. A key that was asked before stays the question that it is, whatever
    /// its attempt says now: what is told once stays true.
    pub fn add(&mut self, wanted: &[Wanted]) {
        for want in wanted {
            if self.0.iter().any(|ask| ask.key == want.key) {
                continue;
            }
            self.0.push(Ask {
                key: want.key.clone(),
                question: want.question,
                asking: Some(Box::new(want.asking.clone())),
                reply: None,
            });
        }
    }

    /// Whether a reply to this question is still waited for.
    #[must_use]
    pub fn expects(&self, question: QuestionId) -> bool {
        self.open().any(|ask| ask.question == question)
    }

    /// Takes in what came of a question; a second reply changes nothing.
    pub fn told(&mut self, question: QuestionId, reply: &Reply) {
        let mut open = self.0.iter_mut().filter(|ask| ask.reply.is_none());
        if let Some(ask) = open.find(|ask| ask.question == question) {
            ask.reply = Some(reply.clone());
            ask.asking = None;
        }
    }

    /// Whether its step waits for people. It goes on when it has a reply to everything that it asked.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.open().next().is_some()
    }

    /// Questions without a reply: to be put again after a restart, to be taken back with the step.
    pub fn open(&self) -> impl Iterator<Item = &Ask> {
        self.0.iter().filter(|ask| ask.reply.is_none())
    }

    /// What the next attempt is handed.
    #[must_use]
    pub fn replies(&self) -> Replies {
        let told = |ask: &Ask| Some((ask.key.clone(), ask.reply.clone()?));
        self.0.iter().filter_map(told).collect()
    }

    /// What it waits for, in words.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        let first = self.open().next()?;
        let others = self.open().count() - 1;
        let to = first.asking.as_ref().map(|asking| asking.to.to_string());
        let to = to.unwrap_or_else(|| "somebody".to_owned());
        let more = match others {
            0 => String::new(),
            others => format!(" and to {others} more"),
        };
        let question = first.question;
        Some(format!(
            "waits for {to} to answer {question}{more}; `troupe inbox answer {question}` does"
        ))
    }
}

impl Task {
    /// Whether a step waits for people.
    #[must_use]
    pub fn waits_for_people(&self) -> bool {
        let mut open = self.steps.iter().filter(|step| !step.status.is_settled());
        open.any(|step| step.asks.waits())
    }
}

/// What is wrong with what an attempt asks; another attempt would ask the same.
///
/// # Errors
///
/// With the code `invalid_question`.
pub fn review(wanted: &Wanted) -> Result<(), Failure> {
    let failure = |message: String| Failure::new("invalid_question", message);
    if wanted.key.len() > LONGEST_KEY {
        let message = format!("the name of a question must have {LONGEST_KEY} bytes at most");
        return Err(failure(message));
    }
    crate::question::review(&wanted.asking)
        .map_err(|wrong| failure(format!("{}: {}", wrong.field, wrong.message)))
}

/// Bytes that what tells a question from others may have.
const LONGEST_KEY: usize = 200;

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn question(number: u128) -> QuestionId {
        QuestionId::from_uuid(Uuid::from_u128(number))
    }

    fn wanted(key: &str, number: u128) -> Wanted {
        Wanted {
            key: key.to_owned(),
            question: question(number),
            asking: Asking {
                text: format!("{key}?"),
                ..Asking::default()
            },
        }
    }

    fn done(answer: bool) -> Reply {
        Reply::Done {
            output: json!(answer),
            user: "ann".to_owned(),
        }
    }

    #[test]
    fn a_step_goes_on_when_everything_that_it_asked_is_settled() {
        let mut asks = Asks::default();
        assert!(!asks.waits());
        asks.add(&[wanted("a", 1), wanted("b", 2)]);
        assert!(asks.waits() && asks.expects(question(1)));
        asks.told(question(1), &done(true));
        assert!(asks.waits() && !asks.expects(question(1)));
        let error = Failure::new("no_answer", "nobody answered in time");
        asks.told(question(2), &Reply::Failed { error });
        assert!(!asks.waits());
        let replies = asks.replies();
        assert_eq!(replies["a"], done(true));
        assert!(matches!(replies["b"], Reply::Failed { .. }));
    }

    #[test]
    fn the_first_reply_stands() {
        let mut asks = Asks::default();
        asks.add(&[wanted("a", 1)]);
        asks.told(question(1), &done(true));
        asks.told(question(1), &done(false));
        asks.told(question(9), &done(false));
        assert_eq!(
            asks.replies(),
            Replies::from([("a".to_owned(), done(true))])
        );
    }

    #[test]
    fn a_key_is_one_question_however_often_it_is_asked() {
        let mut asks = Asks::default();
        asks.add(&[wanted("a", 1)]);
        // Its first attempt was lost after it had asked, and the second one asks the same.
        asks.add(&[wanted("a", 2), wanted("b", 3)]);
        let open: Vec<_> = asks.open().map(|ask| ask.question).collect();
        assert_eq!(open, [question(1), question(3)]);
        asks.told(question(1), &done(true));
        asks.add(&[wanted("a", 4)]);
        assert_eq!(asks.open().count(), 1);
    }

    #[test]
    fn why_names_who_is_asked_and_how_to_answer() {
        let mut asks = Asks::default();
        asks.add(&[wanted("a", 1), wanted("b", 2)]);
        let why = asks.why().unwrap();
        assert!(why.contains("operator") && why.contains("1 more"), "{why}");
        assert!(
            why.contains("question_00000000000000000000000000000001"),
            "{why}"
        );
        asks.told(question(1), &done(true));
        asks.told(question(2), &done(true));
        assert_eq!(asks.why(), None);
    }

    #[test]
    fn what_makes_no_sense_is_not_asked() {
        assert_eq!(review(&wanted("a", 1)), Ok(()));
        let mut empty = wanted("a", 1);
        empty.asking.text.clear();
        for wrong in [wanted(&"x".repeat(201), 1), empty] {
            assert_eq!(review(&wrong).unwrap_err().code, "invalid_question");
        }
    }

    #[test]
    fn what_was_asked_reads_back_from_a_snapshot() {
        let mut asks = Asks::default();
        asks.add(&[wanted("a", 1), wanted("b", 2)]);
        asks.told(question(1), &done(true));
        let text = serde_json::to_string(&asks).unwrap();
        assert_eq!(serde_json::from_str::<Asks>(&text).unwrap(), asks);
    }
}
