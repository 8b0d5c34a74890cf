//! What tables show of the messages that an actor handled, and of the state of an entity.

use protocol::api::{ActorMessages, EntityState};

use super::{Block, View, moment, or_dash};
use crate::cli::{output::Detail, tree::Took};

impl View for ActorMessages {
    fn ids(&self) -> Vec<String> {
        let messages = self.messages.iter();
        messages.map(|handled| handled.message.clone()).collect()
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let current = self.current.as_ref().map(|message| match self.current_ms {
            Some(age) => format!("{message}, for {}", Took(age)),
            None => message.clone(),
        });
        let fields = vec![
            ("actor", self.path.clone()),
            ("node", self.node.clone()),
            ("mailbox", self.waiting.to_string()),
            ("handled", self.handled.to_string()),
            ("current", or_dash(current)),
            ("kept since", moment(self.since)),
        ];
        let rows = self.messages.iter().map(|handled| {
            vec![
                handled.at.to_string(),
                handled.message.clone(),
                Took(handled.took_us / 1_000).to_string(),
            ]
        });
        let mut blocks = vec![Block::Fields(fields)];
        if self.messages.is_empty() {
            let nothing = "it handled none since; --messages 10s listens for longer";
            blocks.push(Block::Text(nothing.to_owned()));
        } else {
            blocks.push(Block::Rows {
                header: vec!["AT", "MESSAGE", "TOOK"],
                rows: rows.collect(),
            });
        }
        blocks
    }
}

impl View for EntityState {
    fn ids(&self) -> Vec<String> {
        vec![self.entity.to_string()]
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let fields = vec![
            ("actor", self.path.clone()),
            ("entity", self.entity.to_string()),
            ("position", format!("{} of {}", self.position, self.head)),
            ("at", moment(self.at)),
        ];
        let state = serde_json::to_string_pretty(&self.state).unwrap_or_default();
        vec![Block::Fields(fields), Block::Text(state)]
    }
}

#[cfg(test)]
mod tests {
    use protocol::{api::HandledMessage, time::Timestamp};

    use super::*;

    #[test]
    fn messages_are_told_with_what_is_in_hand_or_that_there_were_none() {
        let at = Timestamp::from_micros(1_800_000_000_000_000);
        let none = ActorMessages {
            path: "/agents/x".to_owned(),
            kind: "agent".to_owned(),
            node: "one".to_owned(),
            since: at,
            until: at,
            waiting: 3,
            handled: 7,
            current: Some("Call".to_owned()),
            current_ms: Some(61_000),
            messages: Vec::new(),
        };
        let Block::Fields(fields) = &none.blocks(Detail::Short)[0] else {
            panic!("{none:?}");
        };
        assert!(fields.contains(&("current", "Call, for 1m01s".to_owned())));
        assert!(matches!(&none.blocks(Detail::Short)[1], Block::Text(_)));
        let some = ActorMessages {
            messages: vec![HandledMessage {
                message: "Settle".to_owned(),
                at,
                took_us: 12_345_678,
            }],
            ..none
        };
        let Block::Rows { rows, .. } = &some.blocks(Detail::Short)[1] else {
            panic!("{some:?}");
        };
        assert_eq!(rows[0], [at.to_string().as_str(), "Settle", "12.3s"]);
    }
}
