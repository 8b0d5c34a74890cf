//! `troupe inbox`: the questions that wait for a person, and their answers.

use clap::{Args, Subcommand};
use protocol::{
    api::QuestionQuery,
    id::{QuestionId, TaskId},
    question::{Addressee, QuestionStatus},
};
use serde_json::Value;

use super::{
    exit::{Exit, Failure, Outcome},
    output::Output,
    task::{each, json, word},
};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(super) enum Inbox {
    /// List questions, those that wait unless another status is asked for; the newest first
    List(List),
    /// Show a question in full, with the JSON Schema that an answer must fit
    Show {
        /// The question
        id: QuestionId,
    },
    /// Say that you are about to answer: nobody else can meanwhile
    Claim {
        /// The questions
        #[arg(required = true)]
        ids: Vec<QuestionId>,
    },
    /// Say that whoever claimed them will not answer after all
    Release {
        /// The questions
        #[arg(required = true)]
        ids: Vec<QuestionId>,
    },
    /// Answer a question, once for all
    Answer(Answer),
    /// Have somebody else asked instead
    Delegate {
        /// The question
        id: QuestionId,
        /// A role (viewer, developer, operator, admin) or user:NAME
        to: Addressee,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// open, answered, expired or withdrawn
    #[arg(long, value_parser = word::<QuestionStatus>, conflicts_with = "all")]
    status: Option<QuestionStatus>,
    /// Whatever their status
    #[arg(long)]
    all: bool,
    /// Only those put to this role, or to user:NAME
    #[arg(long)]
    role: Option<Addressee>,
    /// Only those put to you by name, or that you claimed or answered
    #[arg(long)]
    mine: bool,
    /// Only those of this task
    #[arg(long)]
    task: Option<TaskId>,
    /// At most so many, from 1 to 200
    #[arg(long)]
    limit: Option<u32>,
    /// `next_cursor` of the page before
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Answer {
    /// The question
    id: QuestionId,
    #[command(flatten)]
    said: Said,
}

/// The answer, in one of its forms.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Said {
    /// As JSON
    #[arg(long, value_name = "JSON", value_parser = json::<Value>)]
    json: Option<Value>,
    /// As text
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// `true`
    #[arg(long)]
    yes: bool,
    /// `false`
    #[arg(long)]
    no: bool,
}

impl Inbox {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        match self {
            Self::List(list) => list.run(client, output).await,
            Self::Show { id } => output.show(&client.question(id).await?),
            Self::Claim { ids } => {
                each(ids, output, async |id| {
                    output.show(&client.claim_question(id).await?)
                })
                .await
            }
            Self::Release { ids } => {
                each(ids, output, async |id| {
                    output.show(&client.release_question(id).await?)
                })
                .await
            }
            Self::Answer(answer) => answer.run(client, output).await,
            Self::Delegate { id, to } => output.show(&client.delegate_question(id, to).await?),
        }
    }
}

impl List {
    async fn run(self, client: &Client, output: &Output) -> Outcome {
        let waiting = (!self.all).then_some(QuestionStatus::Open);
        let query = QuestionQuery {
            status: self.status.or(waiting),
            role: self.role,
            mine: self.mine,
            task: self.task,
            limit: self.limit,
            cursor: self.cursor,
        };
        output.show(&client.questions(&query).await?)
    }
}

impl Answer {
    async fn run(self, client: &Client, output: &Output) -> Outcome {
        let Self { id, said } = self;
        let answer = match said {
            Said {
                json: Some(json), ..
            } => json,
            Said {
                text: Some(text), ..
            } => Value::String(text),
            Said { yes, .. } => {
                let question = client.question(id).await?;
                if !is_yes_or_no(question.schema.as_ref()) {
                    let what = "this question is not one of yes and no";
                    let helps = "`troupe inbox show` prints the schema of its answer; pass --json";
                    return Err(Failure::new(Exit::Usage, what).because(helps));
                }
                Value::Bool(yes)
            }
        };
        output.show(&client.answer_question(id, answer).await?)
    }
}

/// Whether a question's schema takes `true` and `false`.
fn is_yes_or_no(schema: Option<&Value>) -> bool {
    schema.is_none_or(|schema| schema["type"] == "boolean")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yes_answers_what_takes_a_boolean() {
        assert!(is_yes_or_no(None));
        assert!(is_yes_or_no(Some(&json!({ "type": "boolean" }))));
        assert!(!is_yes_or_no(Some(&json!({ "type": "object" }))));
    }
}
