//! What tables show of questions to people.

use protocol::api::{Page, QuestionSummary, QuestionView};

use super::{Block, View, cut, moment, or_dash};
use crate::cli::output::Detail;

/// Characters of a question in a table.
const WIDTH: usize = 50;

fn stands(question: &QuestionSummary) -> String {
    match (&question.claimed_by, question.by_default) {
        (Some(user), _) => format!("claimed by {user}"),
        (None, true) => "answered by default".to_owned(),
        (None, false) => question.status.as_str().to_owned(),
    }
}

impl View for QuestionView {
    fn ids(&self) -> Vec<String> {
        vec![self.summary.id.to_string()]
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let it = &self.summary;
        let mut fields = vec![
            ("question", it.question.clone()),
            ("id", it.id.to_string()),
            ("status", stands(it)),
            ("asked of", it.to.to_string()),
            ("asked by", format!("{} {}", it.task, it.node)),
            ("for", it.user.clone()),
            ("asked at", moment(it.asked_at)),
            ("deadline", or_dash(it.deadline.map(moment))),
        ];
        if !self.about.is_null() {
            fields.push(("about", self.about.to_string()));
        }
        for next in &self.escalate {
            fields.push(("then", next.to.to_string()));
        }
        for (name, value) in [
            ("schema", &self.schema),
            ("default", &self.default),
            ("answer", &self.answer),
        ] {
            fields.extend(value.as_ref().map(|value| (name, value.to_string())));
        }
        let by = it.answered_by.clone().map(|user| ("answered by", user));
        fields.extend(by);
        fields.extend(it.settled_at.map(|at| ("settled at", moment(at))));
        vec![Block::Fields(fields)]
    }
}

impl View for Page<QuestionSummary> {
    fn ids(&self) -> Vec<String> {
        self.items.iter().map(|it| it.id.to_string()).collect()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let mut header = vec![
            "ID", "QUESTION", "STATUS", "ASKED OF", "ASKED AT", "DEADLINE",
        ];
        if detail == Detail::Wide {
            header.extend(["TASK", "NODE", "FOR"]);
        }
        let row = |it: &QuestionSummary| {
            let mut row = vec![
                it.id.to_string(),
                cut(&it.question, WIDTH),
                stands(it),
                it.to.to_string(),
                moment(it.asked_at),
                or_dash(it.deadline.map(moment)),
            ];
            if detail == Detail::Wide {
                let (task, node) = (it.task.to_string(), it.node.clone());
                row.extend([task, node, it.user.clone()]);
            }
            row
        };
        let rows = self.items.iter().map(row).collect();
        vec![Block::Rows { header, rows }]
    }
}
