//! Who may answer a question, what counts as an answer, and what happens when nobody gives one.

use std::time::Duration;

use protocol::{
    access::{Caller, Role},
    api::FieldError,
    id::CommandId,
    question::{Addressee, Asking, Event, QuestionStatus, Reply},
    task::Failure,
    time::Timestamp,
};
use serde_json::{Value, json};

use super::{Question, Settled};
use crate::{
    Rejection,
    schema::{Misfit, Schema},
};

/// Bytes that an answer may have as JSON.
pub const LONGEST_ANSWER: usize = 256 * 1024;

/// Bytes that a question may have in words.
const LONGEST_TEXT: usize = 16 * 1024;

/// How often a question may be passed on by deadlines.
const MOST_RUNGS: usize = 10;

/// What is wrong with a default when the last one asked has for ever.
pub(crate) const NEVER_COUNTS: &str = "never counts, since the last one asked has no deadline";

/// What is wrong with a rung without a deadline that is not the last.
pub(crate) const NEVER_ASKED: &str = "must be given, or those after it are never asked";

/// The pauses between two tries to tell the one that asked: the first, and the longest.
const PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// Why something cannot be done to a question; the caller can act on it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Others are asked.
    #[error("{to} is asked: only they or an administrator may do this")]
    NotAsked {
        /// Who is.
        to: Addressee,
    },
    /// Somebody else is about to answer.
    #[error(
        "{user} claimed it at {at} and is about to answer; they or an administrator can release it"
    )]
    Claimed {
        /// Who.
        user: String,
        /// Since when.
        at: Timestamp,
    },
    /// It is nobody's at the moment.
    #[error("nobody has claimed it")]
    Unclaimed,
    /// It is over.
    #[error("{message}")]
    Over {
        /// For programs.
        code: &'static str,
        /// What came of it.
        message: String,
        /// The same for programs: `{status, answer, answered_by, settled_at}`.
        first: Value,
    },
    /// The answer is not as the question wants it; it stays open.
    #[error("the answer does not fit the question's schema")]
    Misfit(Vec<Misfit>),
    /// The answer is too long; the question stays open.
    #[error("the answer has {size} bytes; it may have {LONGEST_ANSWER}")]
    TooLong {
        /// What it has.
        size: usize,
    },
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::NotAsked { .. } => Self::Forbidden { message },
            Refusal::Claimed { .. } => Self::Conflict {
                code: "claimed",
                message,
            },
            Refusal::Unclaimed => Self::Conflict {
                code: "not_claimed",
                message,
            },
            Refusal::Over { code, first, .. } => Self::Preceded {
                code,
                message,
                first: Box::new(first),
            },
            Refusal::Misfit(misfits) => {
                let errors: Vec<_> = misfits
                    .into_iter()
                    .map(|misfit| FieldError::new(format!("answer{}", misfit.at), misfit.message))
                    .collect();
                let first = errors.first();
                let shown = first.map_or(message, |one| format!("{}: {}", one.field, one.message));
                Self::Invalid {
                    code: "answer_mismatch",
                    message: shown,
                    errors,
                }
            }
            Refusal::TooLong { .. } => Self::field("answer", message),
        }
    }
}

/// Whether a caller is one of those that are asked, or an administrator.
#[must_use]
pub fn may(caller: &Caller, to: &Addressee) -> bool {
    caller.role == Role::Admin
        || match to {
            Addressee::Role(role) => caller.role >= *role,
            Addressee::User(name) => caller.user == *name,
        }
}

/// Whether a caller of its tenant sees a question: one that is asked, was asked, or sees everybody's tasks.
#[must_use]
pub fn sees(caller: &Caller, to: &Addressee, hands: [Option<&str>; 2]) -> bool {
    caller.sees_all_users()
        || may(caller, to)
        || hands.into_iter().flatten().any(|user| user == caller.user)
}

/// Whether a caller may do something to a question now, while it is open.
///
/// # Errors
///
/// `NotAsked` when others are asked, `Claimed` when somebody else is about to answer.
pub fn may_act(question: &Question, caller: &Caller) -> Result<(), Refusal> {
    if !may(caller, &question.to) {
        let to = question.to.clone();
        return Err(Refusal::NotAsked { to });
    }
    match &question.claimed {
        Some((user, at)) if *user != caller.user && caller.role < Role::Admin => {
            let (user, at) = (user.clone(), *at);
            Err(Refusal::Claimed { user, at })
        }
        Some(_) | None => Ok(()),
    }
}

/// Checks what somebody wants to ask.
///
/// # Errors
///
/// The field that is wrong.
pub fn review(asking: &Asking) -> Result<(), FieldError> {
    let wrong = |field: &str, message: &str| Err(FieldError::new(field, message));
    if asking.text.trim().is_empty() {
        return wrong("question", "must not be empty");
    }
    if asking.text.len() > LONGEST_TEXT {
        return wrong("question", "must have 16 KiB at most");
    }
    if size(&asking.about) > LONGEST_ANSWER {
        return wrong("about", "must have 256 KiB at most");
    }
    if asking.escalate.len() > MOST_RUNGS {
        return wrong("escalate", "must have 10 rungs at most");
    }
    if asking.deadline.is_none() && !asking.escalate.is_empty() {
        return wrong("deadline", "must be given, or nobody else is ever asked");
    }
    let rungs = asking.escalate.iter().map(|rung| rung.deadline);
    let spans: Vec<_> = std::iter::once(asking.deadline).chain(rungs).collect();
    for (index, span) in spans.iter().enumerate() {
        if span.is_some_and(|span| span.0.is_zero()) {
            return wrong("deadline", "must be longer than nothing");
        }
        if span.is_none() && index > 0 && index + 1 < spans.len() {
            let field = format!("escalate[{}].deadline", index - 1);
            return wrong(&field, NEVER_ASKED);
        }
    }
    if asking.default.is_some() && spans.last().is_some_and(Option::is_none) {
        return wrong("default", NEVER_COUNTS);
    }
    let schema = match asking.schema.as_ref().map(Schema::compile).transpose() {
        Ok(schema) => schema,
        Err(error) => {
            let field = format!("schema{}", error.at);
            return Err(FieldError::new(field, error.message));
        }
    };
    let Some(default) = &asking.default else {
        return Ok(());
    };
    if size(default) > LONGEST_ANSWER {
        return wrong("default", "must have 256 KiB at most");
    }
    match schema.map_or(Ok(()), |schema| schema.check(default)) {
        Ok(()) => Ok(()),
        Err(misfits) => {
            let misfit = misfits.into_iter().next();
            let (at, message) = misfit.map_or_else(Default::default, |it| (it.at, it.message));
            Err(FieldError::new(format!("default{at}"), message))
        }
    }
}

fn size(value: &Value) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |bytes| bytes.len())
}

impl Question {
    /// Somebody is about to answer; nothing when they said so before.
    ///
    /// # Errors
    ///
    /// When it is over, others are asked, or somebody else was first.
    pub fn claim(&self, by: &Caller) -> Result<Option<Event>, Refusal> {
        self.is_open()?;
        may_act(self, by)?;
        let user = by.user.clone();
        let had = self.claimed.as_ref().is_some_and(|(had, _)| *had == user);
        Ok((!had).then_some(Event::Claimed { user }))
    }

    /// Nobody is about to answer any more.
    ///
    /// # Errors
    ///
    /// When it is over, or is not the caller's to release.
    pub fn release(&self, by: &Caller) -> Result<Event, Refusal> {
        self.is_open()?;
        may_act(self, by)?;
        match self.claimed {
            Some(_) => Ok(Event::Released {
                user: by.user.clone(),
            }),
            None => Err(Refusal::Unclaimed),
        }
    }

    /// Somebody else is asked instead; the deadline stays.
    ///
    /// # Errors
    ///
    /// As [`claim`](Self::claim).
    pub fn delegate(&self, by: &Caller, to: Addressee) -> Result<Event, Refusal> {
        self.is_open()?;
        may_act(self, by)?;
        let user = by.user.clone();
        Ok(Event::Delegated { user, to })
    }

    /// The answer; nothing when this very request gave it before.
    ///
    /// # Errors
    ///
    /// When it is over, others are asked, somebody else is about to answer, or it is no such answer as was
    /// asked for.
    pub fn answered(
        &self,
        by: &Caller,
        answer: &Value,
        command: CommandId,
    ) -> Result<Option<Event>, Refusal> {
        if let Some((Settled::Answered { command: first, .. }, _)) = &self.settled
            && *first == command
        {
            return Ok(None);
        }
        self.is_open()?;
        may_act(self, by)?;
        let size = size(answer);
        if size > LONGEST_ANSWER {
            return Err(Refusal::TooLong { size });
        }
        let schema = self.spec.as_ref().and_then(|it| it.asking.schema.as_ref());
        // It was checked before it was asked; one that a later build reads otherwise lets all pass.
        if let Some(Ok(schema)) = schema.map(Schema::compile) {
            schema.check(answer).map_err(Refusal::Misfit)?;
        }
        Ok(Some(Event::Answered {
            user: by.user.clone(),
            answer: answer.clone(),
            command,
        }))
    }

    /// Whoever asked does not want to know any more; nothing when it is over already.
    #[must_use]
    pub fn withdraw(&self, reason: &str) -> Option<Event> {
        let reason = reason.to_owned();
        (self.status() == QuestionStatus::Open).then_some(Event::Withdrawn { reason })
    }

    /// What follows from a deadline that has passed: one step up, and those who are asked then have their
    /// whole time.
    #[must_use]
    pub fn expire(&self, now: Timestamp) -> Option<Event> {
        let is_due = self.deadline.is_some_and(|due| due <= now);
        let asking = &self.spec.as_ref().filter(|_| is_due)?.asking;
        if self.status() != QuestionStatus::Open {
            return None;
        }
        let rung = usize::try_from(self.escalations).unwrap_or(usize::MAX);
        Some(match asking.escalate.get(rung) {
            Some(_) => Event::Escalated {
                rung: self.escalations,
            },
            None if asking.default.is_some() => Event::Defaulted,
            None => Event::Expired,
        })
    }

    /// When something is to be done without anybody asking for it.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.deadline.filter(|_| self.settled.is_none())
    }

    /// What the one that asked is still to be told.
    #[must_use]
    pub fn to_tell(&self) -> Option<Reply> {
        let (settled, _) = self.settled.as_ref().filter(|_| !self.delivered)?;
        Some(match settled {
            Settled::Answered { user, answer, .. } => Reply::Done {
                output: answer.clone(),
                user: user.clone(),
            },
            Settled::Defaulted => Reply::Done {
                output: self.answer().cloned().unwrap_or_default(),
                user: String::new(),
            },
            Settled::Expired | Settled::Withdrawn => Reply::Failed {
                error: Failure::new("no_answer", self.unanswered()),
            },
        })
    }

    /// That it could not be told yet, and when to try again.
    #[must_use]
    pub fn put_off(&self, now: Timestamp) -> (Event, Timestamp) {
        let pause = PAUSE
            .saturating_mul(1 << self.untold.min(10))
            .min(LONGEST_PAUSE);
        let tries = self.untold.saturating_add(1);
        (Event::Untold { tries }, now.plus(pause))
    }

    fn unanswered(&self) -> String {
        match self.escalations {
            0 => format!("{} did not answer in time", self.to),
            times => format!(
                "nobody answered in time; {} was asked last, after {times} others",
                self.to
            ),
        }
    }

    fn is_open(&self) -> Result<(), Refusal> {
        let Some((settled, at)) = &self.settled else {
            return Ok(());
        };
        let (code, user) = match settled {
            Settled::Answered { user, .. } => ("already_answered", Some(user)),
            Settled::Defaulted => ("already_answered", None),
            Settled::Expired => ("expired", None),
            Settled::Withdrawn => ("withdrawn", None),
        };
        let message = match (settled, user) {
            (Settled::Answered { answer, .. }, Some(user)) => {
                format!("{user} answered at {at}: {}", quoted(answer))
            }
            (Settled::Defaulted, _) => format!(
                "nobody answered in time; since {at} the default counts: {}",
                quoted(self.answer().unwrap_or(&Value::Null))
            ),
            (Settled::Expired, _) => format!("it expired at {at}: {}", self.unanswered()),
            (Settled::Answered { .. } | Settled::Withdrawn, _) => {
                format!("it was withdrawn at {at}: nobody waits for the answer any more")
            }
        };
        let first = json!({
            "status": self.status(), "answer": self.answer(), "answered_by": user, "settled_at": at,
        });
        Err(Refusal::Over {
            code,
            message,
            first,
        })
    }
}

/// As a sentence can hold it.
fn quoted(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests;
