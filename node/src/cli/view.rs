//! What tables show of each answer.

use protocol::{
    agent::AgentStatus,
    api::{
        AgentStats, AgentView, Check, EventView, HealthReport, HealthView, LogView, Page,
        StoreView, WhyStep, WhyView,
    },
    time::Timestamp,
};
use serde::Serialize;

use super::{output::Detail, spend::spend};

mod cluster;
mod hold;
mod life;
mod look;
mod question;
mod schedule;
mod task;
mod template;
mod tree;
mod workflow;

pub(super) use life::line as life_line;
pub(super) use tree::drawing;

/// A piece of what is printed for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Block {
    /// A name and a value a line.
    Fields(Vec<(&'static str, String)>),
    /// A table.
    Rows {
        header: Vec<&'static str>,
        rows: Vec<Vec<String>>,
    },
    /// Words.
    Text(String),
}

/// An answer that can be printed in every form.
pub(super) trait View: Serialize {
    /// What `--quiet` prints.
    fn ids(&self) -> Vec<String>;

    /// What tables show.
    fn blocks(&self, detail: Detail) -> Vec<Block>;
}

/// A moment without its fraction.
pub(super) fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// `-` for what is absent.
pub(super) fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}

/// `text` cut to `width` characters.
pub(super) fn cut(text: &str, width: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= width && line.len() == text.len() {
        return line.to_owned();
    }
    let kept: String = line.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Where something stands, and that nothing of it goes on when it is out of service.
pub(super) fn in_service(status: &str, parked: Option<&str>) -> String {
    match parked {
        None => status.to_owned(),
        Some(_) => format!("{status} (parked)"),
    }
}

/// The same of an agent, and whether a node hosts it.
fn agent_status(agent: &AgentView) -> String {
    let status = in_service(agent.status.as_str(), agent.parked.as_deref());
    match agent.unhosted && agent.status == AgentStatus::Active {
        true => format!("{status} (no node)"),
        false => status,
    }
}

/// The node that hosts an agent, if one does.
fn host(agent: &AgentView) -> String {
    or_dash((!agent.unhosted).then_some(&agent.node))
}

impl View for AgentView {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let health = self.health.as_ref();
        let mut fields = vec![
            ("id", self.id.to_string()),
            ("name", self.name.clone()),
            ("type", self.agent_type.as_str().to_owned()),
            ("status", agent_status(self)),
            ("description", self.description.clone()),
            ("endpoint", or_dash(self.endpoint.as_ref())),
            ("capabilities", self.capabilities.join(", ")),
            (
                "running",
                format!("{} of {}", self.running_tasks, self.max_tasks),
            ),
            ("circuit", self.circuit.clone()),
            (
                "health",
                health.map_or("-".to_owned(), |h| h.detail.clone()),
            ),
            ("node", host(self)),
            ("actor", self.actor_path.clone()),
            ("created", moment(self.created_at)),
            ("updated", moment(self.updated_at)),
        ];
        if let Some(why) = &self.parked {
            fields.push(("parked", why.clone()));
        }
        for (name, map) in [("config", &self.config), ("metadata", &self.metadata)] {
            if !map.is_empty() {
                fields.push((name, serde_json::to_string(map).unwrap_or_default()));
            }
        }
        vec![Block::Fields(fields)]
    }
}

impl View for Page<AgentView> {
    fn ids(&self) -> Vec<String> {
        self.items
            .iter()
            .map(|agent| agent.id.to_string())
            .collect()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let mut header = vec!["NAME", "TYPE", "STATUS", "RUNNING", "CAPABILITIES"];
        if detail == Detail::Wide {
            header.extend(["CIRCUIT", "ENDPOINT", "NODE", "ID"]);
        }
        let row = |agent: &AgentView| {
            let mut row = vec![
                agent.name.clone(),
                agent.agent_type.as_str().to_owned(),
                agent_status(agent),
                format!("{}/{}", agent.running_tasks, agent.max_tasks),
                agent.capabilities.join(","),
            ];
            if detail == Detail::Wide {
                row.extend([
                    agent.circuit.clone(),
                    or_dash(agent.endpoint.as_ref()),
                    host(agent),
                    agent.id.to_string(),
                ]);
            }
            row
        };
        let rows = self.items.iter().map(row).collect();
        with_more(self, vec![Block::Rows { header, rows }])
    }
}

/// Says how to see the next page.
fn with_more<T>(page: &Page<T>, mut blocks: Vec<Block>) -> Vec<Block> {
    if let Some(cursor) = &page.next_cursor {
        blocks.push(Block::Text(format!("more with --cursor {cursor}")));
    }
    blocks
}

impl View for HealthReport {
    fn ids(&self) -> Vec<String> {
        Vec::new()
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let status = match self.status {
            protocol::agent::Health::Healthy => "healthy",
            protocol::agent::Health::Unhealthy => "unhealthy",
        };
        vec![Block::Fields(vec![
            ("status", status.to_owned()),
            ("detail", self.detail.clone()),
            ("latency", format!("{} ms", self.latency_ms)),
            ("checked", moment(self.checked_at)),
        ])]
    }
}

impl View for AgentStats {
    fn ids(&self) -> Vec<String> {
        self.agents.keys().cloned().collect()
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let by_status: Vec<String> = self
            .by_status
            .iter()
            .map(|(status, count)| format!("{count} {status}"))
            .collect();
        let rows = self
            .agents
            .iter()
            .map(|(name, totals)| {
                vec![
                    name.clone(),
                    totals.succeeded.to_string(),
                    totals.failed.to_string(),
                    totals.lost.to_string(),
                    format!("{:.1} ms", totals.duration.mean_ms),
                    format!("{:.1} ms", totals.duration.p95_ms),
                    spend(totals.tokens, totals.cost_micros),
                ]
            })
            .collect();
        vec![
            Block::Fields(vec![
                (
                    "agents",
                    format!("{} ({})", self.total, by_status.join(", ")),
                ),
                ("succeeded", self.succeeded.to_string()),
                ("failed", self.failed.to_string()),
                ("lost", self.lost.to_string()),
                ("mean", format!("{:.1} ms", self.duration.mean_ms)),
                ("p95", format!("{:.1} ms", self.duration.p95_ms)),
                ("spend", spend(self.tokens, self.cost_micros)),
            ]),
            Block::Rows {
                header: vec![
                    "AGENT",
                    "SUCCEEDED",
                    "FAILED",
                    "LOST",
                    "MEAN",
                    "P95",
                    "SPEND",
                ],
                rows,
            },
        ]
    }
}

impl View for Vec<EventView> {
    fn ids(&self) -> Vec<String> {
        self.iter().map(|event| event.seq.to_string()).collect()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let width = if detail == Detail::Wide { 400 } else { 90 };
        let rows = self
            .iter()
            .map(|event| {
                let kind = event.event["type"].as_str().unwrap_or("-").to_owned();
                vec![
                    event.seq.to_string(),
                    moment(event.at),
                    event.actor.clone(),
                    kind,
                    cut(&event.event.to_string(), width),
                ]
            })
            .collect();
        vec![Block::Rows {
            header: vec!["SEQ", "AT", "BY", "EVENT", "DETAIL"],
            rows,
        }]
    }
}

/// What would let an agent have the step.
fn help<'a>(step: &'a WhyStep, agent: &str) -> Option<&'a String> {
    let mut remedies = step.remedies.iter();
    let found = remedies.find(|remedy| remedy.agent == agent);
    found.map(|remedy| &remedy.what)
}

impl View for WhyView {
    fn ids(&self) -> Vec<String> {
        self.steps.iter().map(|step| step.step.clone()).collect()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let mut blocks = vec![Block::Text(self.summary.clone())];
        if self.steps.is_empty() {
            return blocks;
        }
        blocks.push(Block::Rows {
            header: vec!["STEP", "STATUS", "WAITS FOR"],
            rows: self
                .steps
                .iter()
                .map(|step| {
                    vec![
                        step.step.clone(),
                        step.status.as_str().to_owned(),
                        step.reason.clone(),
                    ]
                })
                .collect(),
        });
        if detail == Detail::Wide {
            for step in &self.steps {
                let Some(card) = &step.card else { continue };
                let rows = card.candidates.iter().map(|candidate| {
                    let scores = candidate.scores;
                    vec![
                        step.step.clone(),
                        candidate.agent.clone(),
                        or_dash(candidate.excluded.map(|why| why.as_str())),
                        or_dash(scores.map(|scores| format!("{:.3}", scores.total))),
                        or_dash(help(step, &candidate.agent)),
                    ]
                });
                blocks.push(Block::Rows {
                    header: vec!["STEP", "CANDIDATE", "EXCLUDED", "SCORE", "WHAT WOULD HELP"],
                    rows: rows.collect(),
                });
            }
        }
        blocks
    }
}

impl View for LogView {
    fn ids(&self) -> Vec<String> {
        vec![self.level.clone()]
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        vec![Block::Fields(vec![
            ("node", self.node.clone()),
            ("level", self.level.clone()),
        ])]
    }
}

impl View for HealthView {
    fn ids(&self) -> Vec<String> {
        vec![self.status.clone()]
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let row = |check: &Check| {
            vec![
                check.name.clone(),
                if check.ok { "ok" } else { "no" }.to_owned(),
                check.detail.clone(),
            ]
        };
        vec![
            Block::Fields(vec![
                ("node", self.node.clone()),
                ("status", self.status.clone()),
                ("version", self.version.clone()),
            ]),
            Block::Rows {
                header: vec!["CHECK", "OK", "DETAIL"],
                rows: self.checks.iter().map(row).collect(),
            },
        ]
    }
}

impl View for StoreView {
    fn ids(&self) -> Vec<String> {
        Vec::new()
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        vec![Block::Fields(vec![
            ("engine", self.engine.clone()),
            ("schema", self.schema.to_string()),
            ("streams", self.streams.to_string()),
            ("unfinished", self.open.to_string()),
            ("records", self.records.to_string()),
            ("bytes", self.bytes.to_string()),
        ])]
    }
}
