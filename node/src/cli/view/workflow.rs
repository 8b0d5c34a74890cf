//! What tables show of workflows and of their runs.

use protocol::api::{
    CheckView, DivergenceView, ExecutionChange, ExecutionSummary, ExecutionView, Page, ReplayView,
    VersionView, WorkflowChange, WorkflowReach, WorkflowSummary, WorkflowView,
};
use serde_json::Value;

use super::{Block, View, cut, moment, or_dash, with_more};
use crate::cli::output::Detail;

impl View for WorkflowView {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let fields = vec![
            ("id", self.id.to_string()),
            ("name", self.name.clone()),
            ("type", word(&self.workflow_type)),
            ("status", self.status.as_str().to_owned()),
            ("version", self.version.to_string()),
            ("user", self.user_id.clone()),
            ("description", self.description.clone()),
            ("created", moment(self.created_at)),
            ("updated", moment(self.updated_at)),
        ];
        let json = self.dag_definition.get();
        let source = self.source.as_deref().unwrap_or(json).to_owned();
        vec![Block::Fields(fields), Block::Text(source)]
    }
}

impl View for WorkflowChange {
    fn ids(&self) -> Vec<String> {
        self.workflow.ids()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let mut blocks = self.workflow.blocks(detail);
        let published = match self.published {
            true => format!("version {} is new", self.workflow.version),
            false => format!("version {} says the same", self.workflow.version),
        };
        blocks.insert(1, Block::Text(published));
        blocks
    }
}

impl View for Page<WorkflowSummary> {
    fn ids(&self) -> Vec<String> {
        self.items.iter().map(|item| item.id.to_string()).collect()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let mut header = vec![
            "NAME",
            "VERSION",
            "TYPE",
            "STATUS",
            "UPDATED",
            "DESCRIPTION",
        ];
        if detail == Detail::Wide {
            header.extend(["USER", "ID"]);
        }
        let row = |item: &WorkflowSummary| {
            let mut row = vec![
                item.name.clone(),
                item.version.to_string(),
                word(&item.workflow_type),
                item.status.as_str().to_owned(),
                moment(item.updated_at),
                cut(&item.description, 50),
            ];
            if detail == Detail::Wide {
                row.extend([item.user_id.clone(), item.id.to_string()]);
            }
            row
        };
        let rows = self.items.iter().map(row).collect();
        with_more(self, vec![Block::Rows { header, rows }])
    }
}

impl View for Page<VersionView> {
    fn ids(&self) -> Vec<String> {
        let versions = self.items.iter();
        versions.map(|item| item.version.to_string()).collect()
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let header = vec!["VERSION", "NODES", "USER", "CREATED", "DESCRIPTION"];
        let row = |item: &VersionView| {
            vec![
                item.version.to_string(),
                item.nodes.to_string(),
                item.user_id.clone(),
                moment(item.created_at),
                cut(&item.description, 50),
            ]
        };
        let rows = self.items.iter().map(row).collect();
        vec![Block::Rows { header, rows }]
    }
}

impl View for ExecutionSummary {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        vec![Block::Fields(vec![
            ("id", self.id.to_string()),
            ("workflow", format!("{} v{}", self.name, self.version)),
            ("status", self.status.as_str().to_owned()),
            ("user", self.user_id.clone()),
            ("created", moment(self.created_at)),
        ])]
    }
}

impl View for Page<ExecutionSummary> {
    fn ids(&self) -> Vec<String> {
        self.items.iter().map(|item| item.id.to_string()).collect()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let mut header = vec!["ID", "WORKFLOW", "STATUS", "PROGRESS", "CREATED"];
        if detail == Detail::Wide {
            header.extend(["USER", "COMPLETED", "ERROR"]);
        }
        let row = |item: &ExecutionSummary| {
            let mut row = vec![
                item.id.to_string(),
                format!("{} v{}", item.name, item.version),
                item.status.as_str().to_owned(),
                format!("{}%", item.progress),
                moment(item.created_at),
            ];
            if detail == Detail::Wide {
                let error = item.error.as_ref().map(|error| cut(&error.message, 50));
                row.extend([
                    item.user_id.clone(),
                    or_dash(item.completed_at.map(moment)),
                    or_dash(error),
                ]);
            }
            row
        };
        let rows = self.items.iter().map(row).collect();
        with_more(self, vec![Block::Rows { header, rows }])
    }
}

impl View for ExecutionView {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let error = self.error.as_ref();
        let mut fields = vec![
            ("id", self.id.to_string()),
            ("workflow", format!("{} v{}", self.name, self.version)),
            ("status", self.status.as_str().to_owned()),
            ("progress", format!("{}%", self.progress)),
            ("user", self.user_id.clone()),
            ("created", moment(self.created_at)),
            ("completed", or_dash(self.completed_at.map(moment))),
        ];
        fields.extend(self.start_at.map(|start| ("starts", moment(start))));
        fields.extend(error.map(|error| ("error", format!("{}: {}", error.code, error.message))));
        let mut header = vec!["NODE", "TYPE", "STATUS", "RUN", "RETRIES", "AGENTS"];
        if detail == Detail::Wide {
            header.extend(["STARTED", "COMPLETED", "ERROR"]);
        }
        let rows = self.nodes.iter().map(|node| {
            let mut row = vec![
                node.node_id.clone(),
                node.node_type.clone(),
                node.status.as_str().to_owned(),
                node.run.to_string(),
                node.retry_count.to_string(),
                node.agents.join(", "),
            ];
            if detail == Detail::Wide {
                let error = node.error.as_ref().map(|error| cut(&error.message, 50));
                row.extend([
                    or_dash(node.started_at.map(moment)),
                    or_dash(node.completed_at.map(moment)),
                    or_dash(error),
                ]);
            }
            row
        });
        let rows = rows.collect();
        let mut blocks = vec![Block::Fields(fields), Block::Rows { header, rows }];
        if !self.result.is_null() {
            let result = serde_json::to_string_pretty(&self.result).unwrap_or_default();
            blocks.push(Block::Text(result));
        }
        blocks
    }
}

impl View for ExecutionChange {
    fn ids(&self) -> Vec<String> {
        self.execution.ids()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        super::hold::changed(&self.execution, &self.reach, detail)
    }
}

impl View for WorkflowReach {
    fn ids(&self) -> Vec<String> {
        self.executions.iter().map(ToString::to_string).collect()
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let mut fields = vec![
            ("workflow", self.workflow_id.to_string()),
            ("runs", self.executions.len().to_string()),
        ];
        fields.extend(super::hold::reached(&self.reach));
        vec![Block::Fields(fields)]
    }
}

impl View for CheckView {
    fn ids(&self) -> Vec<String> {
        let diverged = self.diverged.iter();
        diverged.map(|run| run.execution_id.to_string()).collect()
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let fields = vec![
            ("runs", self.runs.to_string()),
            ("same", self.same.to_string()),
            ("other", self.diverged.len().to_string()),
        ];
        let rows = self.diverged.iter().map(|run| {
            let found = run.divergence.as_ref();
            let (recorded, decided) = found.map(both).unwrap_or_default();
            vec![
                run.execution_id.to_string(),
                found.map_or_else(String::new, |found| found.seq.to_string()),
                or_dash(found.and_then(|found| found.node.as_ref())),
                recorded,
                decided,
            ]
        });
        let table = Block::Rows {
            header: vec!["RUN", "AT", "NODE", "RECORDED", "NOW"],
            rows: rows.collect(),
        };
        match self.diverged.is_empty() {
            true => vec![Block::Fields(fields)],
            false => vec![Block::Fields(fields), table],
        }
    }
}

impl View for ReplayView {
    fn ids(&self) -> Vec<String> {
        vec![self.execution_id.to_string()]
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let mut fields = vec![
            ("run", self.execution_id.to_string()),
            ("events", self.events.to_string()),
            ("same", format!("{} decisions", self.same)),
        ];
        match &self.divergence {
            None => fields.push(("other", "none".to_owned())),
            Some(found) => fields.extend([
                ("other", format!("the decision at {}", found.seq)),
                ("node", or_dash(found.node.as_ref())),
                ("recorded", found.recorded.to_string()),
                (
                    "now",
                    match found.decided.is_empty() {
                        true => "nothing is left to be decided".to_owned(),
                        false => serde_json::to_string(&found.decided).unwrap_or_default(),
                    },
                ),
            ]),
        }
        vec![Block::Fields(fields)]
    }
}

/// Characters of a decision in a table.
const DECISION: usize = 60;

/// What was recorded and what is decided now, each with the place where they part in sight.
fn both(found: &DivergenceView) -> (String, String) {
    let recorded = match found.recorded {
        Value::Null => "nothing".to_owned(),
        ref recorded => recorded.to_string(),
    };
    let decided = match found.decided.first() {
        Some(first) => first.to_string(),
        None => "nothing".to_owned(),
    };
    let pairs = recorded.chars().zip(decided.chars());
    let alike = pairs.take_while(|(one, other)| one == other).count();
    let shown = |text: &str| cut(&from(text, alike), DECISION);
    (shown(&recorded), shown(&decided))
}

/// `text` without most of what stands before the character at `place`, if that is far in.
fn from(text: &str, place: usize) -> String {
    let before = DECISION / 3;
    if place < DECISION - before {
        return text.to_owned();
    }
    let rest: String = text.chars().skip(place - before).collect();
    format!("…{rest}")
}

/// One of an enum's words, as the API spells it.
fn word(value: &impl serde::Serialize) -> String {
    let word = serde_json::to_value(value).unwrap_or_default();
    word.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(recorded: Value, decided: Value) -> (String, String) {
        both(&DivergenceView {
            seq: 1,
            node: None,
            recorded,
            decided: vec![decided],
        })
    }

    #[test]
    fn decisions_that_differ_far_in_are_shown_from_there() {
        let long = "x".repeat(200);
        let (one, other) = shown(json!([long, "before", 1]), json!([long, "after", 1]));
        assert!(one.starts_with('…') && one.contains("before"), "{one}");
        assert!(other.starts_with('…') && other.contains("after"), "{other}");
        assert!(one.chars().count() <= 60, "{one}");
    }

    #[test]
    fn decisions_that_differ_at_once_are_shown_from_their_beginning() {
        let (one, other) = shown(json!({ "type": "broke" }), json!({ "type": "ended" }));
        assert_eq!(one, r#"{"type":"broke"}"#);
        assert_eq!(other, r#"{"type":"ended"}"#);
        let (nothing, _) = shown(Value::Null, json!(1));
        assert_eq!(nothing, "nothing");
    }
}
