//! What tables show of nodes and of join tokens.

use std::time::Duration;

use protocol::{
    api::{MemberView, NewToken, Page, TokenView},
    time::Span,
};

use super::{Block, View, moment, or_dash};
use crate::cli::output::Detail;

impl View for Page<MemberView> {
    fn ids(&self) -> Vec<String> {
        self.items.iter().map(|node| node.name.clone()).collect()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let mut header = vec![
            "NAME", "STATE", "ROLES", "ACTORS", "TASKS", "AGENTS", "RUNNING", "CPU", "MEMORY",
            "RTT", "SHARDS", "VERSION", "REGION",
        ];
        if detail == Detail::Wide {
            header.extend(["LEASE", "STARTED", "MESH", "EDGE", "ID"]);
        }
        let rows = self.items.iter().map(|node| row(node, detail)).collect();
        vec![Block::Rows { header, rows }]
    }
}

fn row(node: &MemberView, detail: Detail) -> Vec<String> {
    let mut row = vec![
        node.name.clone(),
        node.state.as_str().to_owned(),
        node.roles.to_string(),
        or_dash(node.actors),
        or_dash(node.tasks),
        or_dash(node.agents),
        or_dash(node.running),
        or_dash(node.cpu.map(percent)),
        or_dash(node.memory.map(percent)),
        or_dash(node.rtt_ms.map(milliseconds)),
        or_dash(node.shards),
        node.version.clone(),
        or_dash(Some(&node.region).filter(|region| !region.is_empty())),
    ];
    if detail == Detail::Wide {
        row.extend([
            or_dash(lease(node)),
            moment(node.started_at),
            or_dash(node.mesh.as_ref()),
            or_dash(node.edge.as_ref()),
            node.id.to_string(),
        ]);
    }
    row
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

fn milliseconds(time: f64) -> String {
    format!("{time:.2}ms")
}

fn lease(node: &MemberView) -> Option<Span> {
    node.lease_left_ms
        .map(|left| Span(Duration::from_millis(left)))
}

impl View for MemberView {
    fn ids(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        vec![Block::Fields(vec![
            ("name", self.name.clone()),
            ("state", self.state.as_str().to_owned()),
            ("roles", self.roles.to_string()),
            (
                "region",
                or_dash(Some(&self.region).filter(|region| !region.is_empty())),
            ),
            ("version", self.version.clone()),
            ("started", moment(self.started_at)),
            ("mesh", or_dash(self.mesh.as_ref())),
            ("edge", or_dash(self.edge.as_ref())),
            ("actors", or_dash(self.actors)),
            ("tasks", or_dash(self.tasks)),
            ("agents", or_dash(self.agents)),
            ("running", or_dash(self.running)),
            ("shards", or_dash(self.shards)),
            ("cpu", or_dash(self.cpu.map(percent))),
            ("memory", or_dash(self.memory.map(percent))),
            ("rtt", or_dash(self.rtt_ms.map(milliseconds))),
            ("lease", or_dash(lease(self))),
            ("id", self.id.to_string()),
        ])]
    }
}

impl View for Page<TokenView> {
    fn ids(&self) -> Vec<String> {
        self.items.iter().map(|token| token.id.clone()).collect()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let mut header = vec!["ID", "STATE", "ROLES", "BY", "EXPIRES", "NODE"];
        if detail == Detail::Wide {
            header.extend(["CREATED", "USED"]);
        }
        let row = |token: &TokenView| {
            let mut row = vec![
                token.id.clone(),
                token.state.as_str().to_owned(),
                token.roles.to_string(),
                token.created_by.clone(),
                moment(token.expires_at),
                or_dash(token.used_by.as_ref()),
            ];
            if detail == Detail::Wide {
                row.extend([moment(token.created_at), or_dash(token.used_at.map(moment))]);
            }
            row
        };
        let rows = self.items.iter().map(row).collect();
        vec![Block::Rows { header, rows }]
    }
}

impl View for NewToken {
    /// The token itself: nothing shows it later.
    fn ids(&self) -> Vec<String> {
        vec![self.token.clone()]
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        vec![
            Block::Fields(vec![
                ("id", self.view.id.clone()),
                ("roles", self.view.roles.to_string()),
                ("expires", moment(self.view.expires_at)),
                ("token", self.token.clone()),
            ]),
            Block::Text(format!("join with\n  {}", self.join)),
        ]
    }
}
