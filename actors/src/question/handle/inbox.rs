//! What people see of questions, and what they do to them.

use protocol::{
    access::Caller,
    api::{Page, QuestionQuery, QuestionSummary, QuestionView},
    entity::{EntityId, EntityKind},
    id::QuestionId,
};
use runtime::{
    entity::TellError,
    store::{StreamQuery, StreamRow},
};

use super::Questions;
use crate::{
    Rejection,
    question::{
        Inbox, Question,
        actor::{Command, Message},
        sees,
    },
};

/// Rows that are read at once.
const READ: u32 = 200;

/// Rows that are looked at for one page; who filters more sharply leafs through more pages.
const LOOKED_AT: usize = 2_000;

impl Questions {
    /// Does to a question that this node owns what a person asks for.
    pub(crate) async fn command(
        &self,
        by: &Caller,
        id: QuestionId,
        command: Command,
    ) -> Result<Result<QuestionView, Rejection>, Undone> {
        self.visible(by, id).await?;
        let by = by.clone();
        let answer = self
            .0
            .host
            .ask(id.into(), |reply| Message::Command { by, command, reply })
            .await?;
        answer.ok_or(Undone::Unanswered)
    }

    /// A question in full, if it is the caller's to see.
    pub(crate) async fn show(
        &self,
        caller: &Caller,
        id: QuestionId,
    ) -> Result<QuestionView, Undone> {
        self.visible(caller, id).await?;
        let question = self.0.journal.load::<Question>(id.into()).await;
        let question = question.map_err(Rejection::from)?;
        let view = question.and_then(|question| question.view(id));
        Ok(view.ok_or_else(|| unknown(id))?)
    }

    /// A page of the caller's inbox, the newest first.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        query: &QuestionQuery,
        limit: u32,
    ) -> Result<Page<QuestionSummary>, Rejection> {
        let cursor = query.cursor.as_deref().map(str::parse::<QuestionId>);
        let cursor = cursor
            .transpose()
            .map_err(|_| Rejection::field("cursor", "is not a cursor that this list gave"))?;
        let mut before = cursor.map(EntityId::from);
        let (mut items, mut looked_at) = (Vec::new(), 0);
        let inbox = Inbox { caller, query };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        loop {
            let rows = StreamQuery {
                tenant: caller.tenant.clone(),
                kind: EntityKind::Question,
                status: query.status.map(|status| status.as_str().to_owned()),
                user: None,
                parent: query.task.map(EntityId::from),
                runs: None,
                text: None,
                before,
                limit: READ,
            };
            let rows = self.0.journal.store().browse(&rows).await?;
            let is_last = rows.len() < READ as usize;
            let found = rows.len();
            for (index, row) in rows.iter().enumerate() {
                before = Some(row.stream);
                if let Some(it) = summary(row).filter(|it| inbox.holds(it)) {
                    items.push(it);
                }
                looked_at += 1;
                let rest = !is_last || index + 1 < found;
                if rest && (items.len() >= limit || looked_at >= LOOKED_AT) {
                    let next_cursor = Some(row.stream.to_string());
                    return Ok(page(items, next_cursor));
                }
            }
            if is_last {
                return Ok(page(items, None));
            }
        }
    }

    /// Its row, if it is the caller's to see.
    async fn visible(&self, caller: &Caller, id: QuestionId) -> Result<StreamRow, Rejection> {
        let row = self.0.journal.store().stream(id.into()).await?;
        let seen = row.filter(|row| {
            let summary = summary(row);
            let hands = |it: &QuestionSummary| {
                let hands = [it.claimed_by.as_deref(), it.answered_by.as_deref()];
                sees(caller, &it.to, hands)
            };
            row.tenant == caller.tenant && summary.as_ref().is_some_and(hands)
        });
        seen.ok_or_else(|| unknown(id))
    }
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undone {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error(transparent)]
    Untold(#[from] TellError),
    #[error("it failed before it answered")]
    Unanswered,
}

fn page(items: Vec<QuestionSummary>, next_cursor: Option<String>) -> Page<QuestionSummary> {
    Page {
        items,
        total: None,
        next_cursor,
    }
}

fn unknown(id: QuestionId) -> Rejection {
    Rejection::not_found(format!("question {id}"))
}

fn summary(row: &StreamRow) -> Option<QuestionSummary> {
    let read = serde_json::from_str::<QuestionSummary>(&row.summary.body);
    let mut summary = read
        .inspect_err(|error| {
            tracing::warn!(
                question = %row.stream, %error,
                "the index of a question cannot be read; `troupe db rebuild` makes it anew"
            );
        })
        .ok()?;
    summary.id = QuestionId::from_uuid(row.stream.key());
    Some(summary)
}
