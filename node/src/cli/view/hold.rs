//! What tables show of holds, and of what stopping and pausing reached.

use protocol::api::{
    AgentChange, CancelView, HoldChange, HoldView, Page, Reach, ScopeView, TaskChange,
};

use super::{Block, View, moment, or_dash};
use crate::cli::output::Detail;

pub(super) fn reached(reach: &Reach) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("tasks", reach.tasks.to_string()),
        ("ended", reach.ended.to_string()),
        ("running", reach.running.to_string()),
    ];
    for open in &reach.unconfirmed {
        fields.push(("unconfirmed", format!("{}: {}", open.node, open.what)));
    }
    fields
}

fn fields(hold: &HoldView) -> Vec<(&'static str, String)> {
    vec![
        ("hold", hold.id.to_string()),
        ("holds", hold.target.to_string()),
        ("by", hold.by.clone()),
        ("since", moment(hold.since)),
        (
            "reason",
            or_dash(Some(&hold.reason).filter(|why| !why.is_empty())),
        ),
    ]
}

/// What was changed, and below it how far that got.
pub(super) fn changed(what: &impl View, reach: &Reach, detail: Detail) -> Vec<Block> {
    let mut blocks = what.blocks(detail);
    blocks.push(Block::Fields(reached(reach)));
    blocks
}

impl View for CancelView {
    fn ids(&self) -> Vec<String> {
        self.task.ids()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        changed(&self.task, &self.reach, detail)
    }
}

impl View for TaskChange {
    fn ids(&self) -> Vec<String> {
        self.task.ids()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        changed(&self.task, &self.reach, detail)
    }
}

impl View for AgentChange {
    fn ids(&self) -> Vec<String> {
        self.agent.ids()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        changed(&self.agent, &self.reach, detail)
    }
}

impl View for ScopeView {
    fn ids(&self) -> Vec<String> {
        self.hold.iter().map(|hold| hold.id.to_string()).collect()
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let mut all = vec![("scope", self.scope.to_string())];
        all.extend(self.hold.iter().flat_map(fields));
        all.extend(reached(&self.reach));
        vec![Block::Fields(all)]
    }
}

impl View for HoldChange {
    fn ids(&self) -> Vec<String> {
        vec![self.hold.id.to_string()]
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let mut all = fields(&self.hold);
        all.extend(reached(&self.reach));
        all.extend(self.note.clone().map(|note| ("note", note)));
        vec![Block::Fields(all)]
    }
}

impl View for Page<HoldView> {
    fn ids(&self) -> Vec<String> {
        self.items.iter().map(|hold| hold.id.to_string()).collect()
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let header = vec!["ID", "HOLDS", "BY", "SINCE", "REASON"];
        let row = |hold: &HoldView| fields(hold).into_iter().map(|(_, text)| text).collect();
        let rows = self.items.iter().map(row).collect();
        vec![Block::Rows { header, rows }]
    }
}
