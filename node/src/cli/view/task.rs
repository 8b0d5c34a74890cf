//! What tables show of tasks.

use protocol::api::{AttemptView, Page, ResultView, StepView, TaskSummary, TaskView};
use serde_json::Value;

use super::{Block, View, cut, in_service, moment, or_dash, with_more};
use crate::cli::output::Detail;

impl View for TaskView {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let mut fields = vec![
            ("id", self.id.to_string()),
            ("description", cut(&self.description, 200)),
            ("status", self.status.as_str().to_owned()),
            ("progress", format!("{} %", self.progress)),
            ("priority", self.priority.get().to_string()),
            ("user", self.user_id.clone()),
            ("created", moment(self.created_at)),
            ("completed", or_dash(self.completed_at.map(moment))),
        ];
        if let Some(error) = &self.error {
            fields.push(("error", format!("{}: {}", error.code, error.message)));
        }
        if !self.result.is_null() {
            let width = if detail == Detail::Wide { 2000 } else { 200 };
            fields.push(("result", cut(&text(&self.result), width)));
        }
        let mut blocks = vec![Block::Fields(fields)];
        if let Some(plan) = &self.plan {
            let mut header = vec!["STEP", "STATUS", "AGENT", "ATTEMPTS", "TOOK"];
            if detail == Detail::Wide {
                header.extend(["NEEDS", "NODE", "ERROR"]);
            }
            let rows = plan.steps.iter().map(|step| row(step, detail)).collect();
            blocks.push(Block::Rows { header, rows });
        }
        blocks
    }
}

/// A text as it is, anything else as JSON.
fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn row(step: &StepView, detail: Detail) -> Vec<String> {
    let took = step.attempts.last().and_then(|last| {
        let took = last.ended_at?.since(last.started_at);
        Some(format!("{:.1} s", took.as_secs_f64()))
    });
    let mut row = vec![
        step.id.clone(),
        step.status.as_str().to_owned(),
        or_dash(step.agent.as_ref().or(step.capability.as_ref())),
        step.attempts.len().to_string(),
        or_dash(took),
    ];
    if detail == Detail::Wide {
        row.extend([
            step.needs.join(","),
            or_dash(step.node.as_ref()),
            or_dash(step.error.as_ref().map(|error| cut(&error.message, 120))),
        ]);
    }
    row
}

impl View for Page<TaskSummary> {
    fn ids(&self) -> Vec<String> {
        self.items.iter().map(|task| task.id.to_string()).collect()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let mut header = vec!["ID", "STATUS", "PROGRESS", "CREATED", "DESCRIPTION"];
        if detail == Detail::Wide {
            header.extend(["PRIORITY", "USER", "COMPLETED", "ERROR"]);
        }
        let row = |task: &TaskSummary| {
            let width = if detail == Detail::Wide { 200 } else { 50 };
            let mut row = vec![
                task.id.to_string(),
                in_service(task.status.as_str(), task.parked.as_deref()),
                format!("{} %", task.progress),
                moment(task.created_at),
                cut(&task.description, width),
            ];
            if detail == Detail::Wide {
                row.extend([
                    task.priority.get().to_string(),
                    task.user_id.clone(),
                    or_dash(task.completed_at.map(moment)),
                    or_dash(task.error.as_ref().map(|error| &error.code)),
                ]);
            }
            row
        };
        let rows = self.items.iter().map(row).collect();
        with_more(self, vec![Block::Rows { header, rows }])
    }
}

impl View for ResultView {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let mut blocks = vec![Block::Fields(vec![(
            "status",
            self.status.as_str().to_owned(),
        )])];
        if let Some(error) = &self.error {
            blocks.push(Block::Fields(vec![
                ("error", error.code.clone()),
                ("message", error.message.clone()),
            ]));
        }
        if !self.result.is_null() {
            blocks.push(Block::Text(match &self.result {
                Value::String(text) => text.clone(),
                other => serde_json::to_string_pretty(other).unwrap_or_default(),
            }));
        }
        if detail == Detail::Wide {
            let row = |from: &protocol::api::Provenance| {
                vec![
                    from.step.clone(),
                    from.agent.clone(),
                    from.attempt.to_string(),
                    cut(&text(&from.output), 120),
                ]
            };
            blocks.push(Block::Rows {
                header: vec!["STEP", "AGENT", "ATTEMPT", "OUTPUT"],
                rows: self.provenance.iter().map(row).collect(),
            });
        }
        blocks
    }
}

impl View for Vec<AttemptView> {
    fn ids(&self) -> Vec<String> {
        self.iter()
            .map(|attempt| format!("{}/{}", attempt.step, attempt.number))
            .collect()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let width = if detail == Detail::Wide { 400 } else { 60 };
        let rows = self
            .iter()
            .map(|attempt| {
                let took = attempt
                    .ended_at
                    .map(|end| format!("{:.1} s", end.since(attempt.started_at).as_secs_f64()));
                // The API's word, from the type itself, so that a new one cannot be forgotten here.
                let status = serde_json::json!(attempt.status);
                vec![
                    attempt.step.clone(),
                    attempt.number.to_string(),
                    text(&status),
                    attempt.agent.clone(),
                    moment(attempt.started_at),
                    or_dash(took),
                    or_dash(attempt.error.as_ref().map(|e| cut(&e.message, width))),
                ]
            })
            .collect();
        vec![Block::Rows {
            header: vec![
                "STEP", "ATTEMPT", "STATUS", "AGENT", "STARTED", "TOOK", "ERROR",
            ],
            rows,
        }]
    }
}
