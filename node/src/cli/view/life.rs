//! What tables show of what became of actors.

use protocol::api::{Life, LifeEvent, Page};

use super::{Block, View, cut, moment, or_dash};
use crate::cli::output::Detail;

/// As the API spells it.
pub(in crate::cli) const fn word(what: Life) -> &'static str {
    match what {
        Life::Started => "started",
        Life::Stopped => "stopped",
        Life::Failed => "failed",
        Life::Restarted => "restarted",
        Life::Parked => "parked",
        Life::Moved => "moved",
        Life::Stuck => "stuck",
        Life::NodeLost => "node_lost",
    }
}

impl View for Page<LifeEvent> {
    fn ids(&self) -> Vec<String> {
        self.items.iter().map(|event| event.path.clone()).collect()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let width = if detail == Detail::Wide { 400 } else { 70 };
        let mut blocks = vec![table(&self.items, width)];
        if let Some(to) = &self.next_cursor {
            blocks.push(Block::Text(format!("more with --until {to}")));
        }
        blocks
    }
}

fn table(events: &[LifeEvent], width: usize) -> Block {
    let row = |event: &LifeEvent| {
        vec![
            moment(event.at),
            word(event.what).to_owned(),
            event.node.clone(),
            event.kind.clone(),
            event.path.clone(),
            or_dash(why(event).map(|why| cut(&why, width))),
        ]
    };
    Block::Rows {
        header: vec!["AT", "WHAT", "NODE", "KIND", "ACTOR", "WHY"],
        rows: events.iter().map(row).collect(),
    }
}

/// One event on a line of its own, for who follows them.
pub(in crate::cli) fn line(event: &LifeEvent) -> String {
    let mut line = format!(
        "{}  {:<9}  {}  {}",
        moment(event.at),
        word(event.what),
        event.node,
        event.path
    );
    if let Some(why) = why(event) {
        line.push_str("  ");
        line.push_str(&cut(&why, 400));
    }
    line
}

/// The same of one actor alone.
pub(super) fn table_of_one(events: &[LifeEvent], width: usize) -> Block {
    let row = |event: &LifeEvent| {
        vec![
            moment(event.at),
            word(event.what).to_owned(),
            event.node.clone(),
            or_dash(why(event).map(|why| cut(&why, width))),
        ]
    };
    Block::Rows {
        header: vec!["AT", "WHAT", "NODE", "WHY"],
        rows: events.iter().map(row).collect(),
    }
}

fn why(event: &LifeEvent) -> Option<String> {
    let from = event
        .restored_from
        .as_ref()
        .map(|node| format!("came from {node}"));
    match (from, &event.reason) {
        (Some(from), Some(reason)) => Some(format!("{from}: {reason}")),
        (from, reason) => from.or(reason.clone()),
    }
}

#[cfg(test)]
mod tests {
    use protocol::time::Timestamp;

    use super::*;

    #[test]
    fn a_line_says_what_became_of_whom_where_and_why() {
        let event = LifeEvent {
            at: Timestamp::from_micros(1_800_000_000_000_000),
            node: "two".to_owned(),
            path: "/tasks/t".to_owned(),
            kind: "task".to_owned(),
            what: Life::Moved,
            reason: Some("its node was lost".to_owned()),
            restored_from: Some("one".to_owned()),
        };
        assert_eq!(
            line(&event),
            "2027-01-15T08:00:00Z  moved      two  /tasks/t  came from one: its node was lost"
        );
    }

    #[test]
    fn every_word_is_that_of_the_api() {
        for what in [
            Life::Started,
            Life::Stopped,
            Life::Failed,
            Life::Restarted,
            Life::Parked,
            Life::Moved,
            Life::Stuck,
            Life::NodeLost,
        ] {
            assert_eq!(serde_json::json!(what), word(what));
        }
    }
}
