//! What is printed of a demonstration.

use std::time::Duration;

use serde::Serialize;

use super::{
    super::{
        output::Detail,
        view::{Block, View, or_dash},
    },
    verdict::Verdict,
};

/// A demonstration from start to end.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    /// `sqlite` or `postgres`.
    pub(super) store: &'static str,
    pub(super) nodes: Vec<Member>,
    pub(super) killed: String,
    /// How long its end was, when it was started again.
    pub(super) restarted_after_ms: Option<u64>,
    #[serde(flatten)]
    pub(super) verdict: Verdict,
    pub(super) took_ms: u64,
}

/// A node of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) roles: String,
}

/// Findings of one kind that are printed; JSON has all of them.
const SHOWN: usize = 10;

impl View for Report {
    fn ids(&self) -> Vec<String> {
        let verdict = &self.verdict;
        [&verdict.lost_tasks, &verdict.double_effects]
            .into_iter()
            .chain([&verdict.ignored_dependencies])
            .flatten()
            .cloned()
            .collect()
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let verdict = &self.verdict;
        let rows = self.nodes.iter().map(|node| {
            let fate = match (node.name == self.killed, self.restarted_after_ms) {
                (false, _) => "-".to_owned(),
                (true, None) => "killed".to_owned(),
                (true, Some(after)) => format!("killed, back after {}", seconds(Some(after))),
            };
            vec![node.name.clone(), node.roles.clone(), fate]
        });
        let mut blocks = vec![
            Block::Rows {
                header: vec!["NODE", "ROLES", "FATE"],
                rows: rows.collect(),
            },
            Block::Fields(vec![
                ("store", self.store.to_owned()),
                ("tasks", verdict.tasks.to_string()),
                ("completed", verdict.completed.to_string()),
                ("unknown, and said so", verdict.unknown.to_string()),
                (
                    "attempts that the kill met",
                    verdict.running_at_kill.to_string(),
                ),
                (
                    "of these without receipt",
                    verdict.attempts_lost.to_string(),
                ),
                ("detected after", seconds(verdict.detection_ms)),
                ("first given up after", seconds(verdict.given_up_ms)),
                ("all moving again after", seconds(verdict.recovery_ms)),
                ("lost tasks", verdict.lost_tasks.len().to_string()),
                ("double effects", verdict.double_effects.len().to_string()),
                (
                    "ignored dependencies",
                    verdict.ignored_dependencies.len().to_string(),
                ),
                ("took", seconds(Some(self.took_ms))),
            ]),
        ];
        for finding in self.ids().into_iter().take(SHOWN) {
            blocks.push(Block::Text(finding));
        }
        blocks
    }
}

fn seconds(milliseconds: Option<u64>) -> String {
    or_dash(milliseconds.map(|it| format!("{:.1} s", Duration::from_millis(it).as_secs_f64())))
}
