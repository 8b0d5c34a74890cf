//! What a question's events say.

use protocol::{
    api::{QuestionSummary, QuestionView},
    entity::EntityId,
    id::{CommandId, QuestionId},
    question::{Addressee, EVENT_VERSION, Event, QuestionSpec, QuestionStatus},
    record::Summary,
    time::Timestamp,
};
use runtime::journal::EventSourced;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Characters of a question that lists show.
const SHOWN: usize = 300;

/// A question as its events say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// What was asked; absent only before the first event.
    pub spec: Option<Box<QuestionSpec>>,
    /// When.
    pub asked_at: Timestamp,
    /// Who is asked now.
    pub to: Addressee,
    /// By when they are to answer.
    pub deadline: Option<Timestamp>,
    /// How often a deadline passed and others were asked.
    pub escalations: u32,
    /// Who is about to answer it, and since when.
    pub claimed: Option<(String, Timestamp)>,
    /// What came of it, and when.
    pub settled: Option<(Settled, Timestamp)>,
    /// How often the one that asked could not be told.
    pub untold: u32,
    /// Whether the one that asked need not be told any more.
    pub delivered: bool,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// Somebody answered.
    Answered {
        /// Who.
        user: String,
        /// What.
        answer: Value,
        /// By which request.
        command: CommandId,
    },
    /// Nobody did; the default is the answer.
    Defaulted,
    /// Nobody did, and there is no default.
    Expired,
    /// Nobody wants to know any more.
    Withdrawn,
}

impl Question {
    /// Where it stands.
    #[must_use]
    pub const fn status(&self) -> QuestionStatus {
        match &self.settled {
            None => QuestionStatus::Open,
            Some((Settled::Answered { .. } | Settled::Defaulted, _)) => QuestionStatus::Answered,
            Some((Settled::Expired, _)) => QuestionStatus::Expired,
            Some((Settled::Withdrawn, _)) => QuestionStatus::Withdrawn,
        }
    }

    /// The answer, if there is one.
    #[must_use]
    pub fn answer(&self) -> Option<&Value> {
        match &self.settled {
            Some((Settled::Answered { answer, .. }, _)) => Some(answer),
            Some((Settled::Defaulted, _)) => self.spec.as_ref()?.asking.default.as_ref(),
            Some((Settled::Expired | Settled::Withdrawn, _)) | None => None,
        }
    }

    /// As clients see it.
    #[must_use]
    pub fn view(&self, id: QuestionId) -> Option<QuestionView> {
        let spec = self.spec.as_deref()?;
        let next = usize::try_from(self.escalations).unwrap_or(usize::MAX);
        Some(QuestionView {
            summary: self.summarised(id, spec.asking.text.clone(), spec),
            about: spec.asking.about.clone(),
            schema: spec.asking.schema.clone(),
            default: spec.asking.default.clone(),
            escalate: spec.asking.escalate.iter().skip(next).cloned().collect(),
            answer: self.answer().cloned(),
            delivered: self.delivered,
        })
    }

    fn summarised(&self, id: QuestionId, question: String, spec: &QuestionSpec) -> QuestionSummary {
        let answered_by = match &self.settled {
            Some((Settled::Answered { user, .. }, _)) => Some(user.clone()),
            Some((Settled::Defaulted | Settled::Expired | Settled::Withdrawn, _)) | None => None,
        };
        let (claimed_by, claimed_at) = self.claimed.clone().unzip();
        QuestionSummary {
            id,
            task: spec.task,
            node: spec.node.clone(),
            user: spec.user.clone(),
            question,
            status: self.status(),
            to: self.to.clone(),
            asked_at: self.asked_at,
            deadline: self.deadline.filter(|_| self.settled.is_none()),
            escalations: self.escalations,
            claimed_by,
            claimed_at,
            answered_by,
            by_default: matches!(self.settled, Some((Settled::Defaulted, _))),
            settled_at: self.settled.as_ref().map(|(_, at)| *at),
        }
    }

    fn settle(&mut self, how: Settled, at: Timestamp) {
        self.claimed = None;
        self.settled = Some((how, at));
    }
}

impl EventSourced for Question {
    type Event = Event;
    const EVENT_VERSION: u16 = EVENT_VERSION;
    const STATE_VERSION: u16 = 1;

    fn apply(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::Asked { spec } => {
                self.asked_at = at;
                self.to = spec.asking.to.clone();
                self.deadline = spec.asking.deadline.map(|span| at.plus(span.0));
                self.spec = Some(spec.clone());
            }
            Event::Claimed { user } => self.claimed = Some((user.clone(), at)),
            Event::Released { .. } => self.claimed = None,
            Event::Delegated { to, .. } => {
                self.to = to.clone();
                self.claimed = None;
            }
            Event::Escalated { rung } => {
                let asking = self.spec.as_ref().map(|spec| &spec.asking);
                let index = usize::try_from(*rung).unwrap_or(usize::MAX);
                let next = asking.and_then(|asking| asking.escalate.get(index));
                self.deadline = next.and_then(|next| next.deadline).map(|it| at.plus(it.0));
                if let Some(to) = next.map(|next| next.to.clone()) {
                    self.to = to;
                }
                self.claimed = None;
                self.escalations = rung + 1;
            }
            Event::Answered {
                user,
                answer,
                command,
            } => {
                let answered = Settled::Answered {
                    user: user.clone(),
                    answer: answer.clone(),
                    command: *command,
                };
                self.settle(answered, at);
            }
            Event::Defaulted => self.settle(Settled::Defaulted, at),
            Event::Expired => self.settle(Settled::Expired, at),
            Event::Withdrawn { .. } => {
                self.settle(Settled::Withdrawn, at);
                // It is the one that asked who says so.
                self.delivered = true;
            }
            Event::Untold { tries } => self.untold = *tries,
            Event::Delivered => self.delivered = true,
        }
    }

    fn summary(&self) -> Summary {
        let spec = self.spec.as_deref();
        let body = spec.map(|spec| {
            let text = spec.asking.text.chars().take(SHOWN).collect();
            // The id is that of the row.
            self.summarised(QuestionId::from_uuid(uuid::Uuid::nil()), text, spec)
        });
        Summary {
            status: self.status().as_str().to_owned(),
            // While it waits, a reminder sees to it. What came of it is to be told by somebody.
            open: self.settled.is_some() && !self.delivered,
            hidden: false,
            user: spec.map_or_else(String::new, |spec| spec.user.clone()),
            name: None,
            parent: spec.map(|spec| EntityId::from(spec.task)),
            // Strings and times always can be written.
            body: serde_json::to_string(&body).unwrap_or_default(),
            ..Summary::default()
        }
    }
}
