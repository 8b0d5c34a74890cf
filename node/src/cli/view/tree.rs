//! What tables show of the tree, of what changed in it, and of one actor.

use protocol::api::{
    ActionView, ActorLink, ActorView, BudgetLeft, Change, EntityPart, Stale, TreeChange, TreeDiff,
    TreeNode, TreeView,
};

use super::{Block, View, cut, life, moment, or_dash};
use crate::cli::{
    output::Detail,
    tree::{Known, Place, Took, Trouble, per_second, reason},
};

impl View for TreeView {
    fn ids(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.path.clone()).collect()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let mut blocks = drawing(&Known::of(self), detail);
        if !self.silent.is_empty() {
            let silent = self.silent.join(", ");
            blocks.push(Block::Text(format!(
                "not all of it: {silent} gave no answer"
            )));
        }
        blocks.extend(stale(&self.stale));
        blocks
    }
}

/// Which nodes are shown as they were earlier.
fn stale(stale: &[Stale]) -> Option<Block> {
    let nodes = stale
        .iter()
        .map(|it| format!("{} is known up to {}", it.node, moment(it.until)));
    let nodes: Vec<_> = nodes.collect();
    (!nodes.is_empty()).then(|| Block::Text(nodes.join("; ")))
}

/// The tree of each node, one below the other, and what in it needs attention.
pub(in crate::cli) fn drawing(known: &Known, detail: Detail) -> Vec<Block> {
    let mut blocks = vec![trees(known, detail)];
    blocks.extend(attention(known, detail));
    blocks
}

fn trees(known: &Known, detail: Detail) -> Block {
    let mut header = vec![
        "ACTOR", "KIND", "STATE", "MAILBOX", "HANDLED", "RATE", "RESTARTS",
    ];
    if detail == Detail::Wide {
        header.extend([
            "STARTED",
            "CURRENT",
            "FOR",
            "CAME FROM",
            "LINKS",
            "LAST ERROR",
        ]);
    }
    let places = known.places();
    let rows = places.iter().map(|place| line(place, detail)).collect();
    Block::Rows { header, rows }
}

fn line(place: &Place<'_>, detail: Detail) -> Vec<String> {
    let name = format!("{}{}", "  ".repeat(place.depth), place.name);
    let Some((_, row)) = place.row else {
        return vec![name, "node".to_owned()];
    };
    let mut line = vec![
        name,
        row.kind.clone(),
        row.state.clone(),
        row.mailbox.to_string(),
        row.handled.to_string(),
        per_second(row.rate),
        row.restarts.to_string(),
    ];
    if detail == Detail::Wide {
        line.extend([
            moment(row.started_at),
            or_dash(row.current.as_ref()),
            or_dash(row.current_ms.map(Took)),
            or_dash(row.restored_from.as_ref()),
            or_dash(linked(row)),
            or_dash(row.last_error.as_ref().map(|error| cut(error, 120))),
        ]);
    }
    line
}

/// The actors that someone should look at, and why: in a long tree nobody would see them.
fn attention(known: &Known, detail: Detail) -> Vec<Block> {
    let width = if detail == Detail::Wide { 400 } else { 70 };
    let troubled = known
        .rows()
        .map(|(_, row)| row)
        .filter(|row| Trouble::of(row).is_some());
    let rows: Vec<_> = troubled
        .map(|row| {
            vec![
                row.node.clone(),
                row.path.clone(),
                row.state.clone(),
                row.restarts.to_string(),
                cut(&reason(row), width),
            ]
        })
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    vec![
        Block::Text("These need attention; `troupe inspect ACTOR` tells more:".to_owned()),
        Block::Rows {
            header: vec!["NODE", "ACTOR", "STATE", "RESTARTS", "WHY"],
            rows,
        },
    ]
}

impl View for TreeDiff {
    fn ids(&self) -> Vec<String> {
        self.changes
            .iter()
            .map(|change| change.path.clone())
            .collect()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let header = vec!["AT", "CHANGE", "ACTOR", "KIND", "NODE", "STATE", "WHY"];
        let rows = self.changes.iter().map(|change| changed(change, detail));
        let counts = [
            Change::Began,
            Change::Ended,
            Change::Moved,
            Change::Restarted,
        ]
        .map(|how| {
            let such = self.changes.iter().filter(|change| change.change == how);
            format!("{} {}", such.count(), verb(how))
        });
        let counts = counts.join(", ");
        let (from, to) = (moment(self.from), moment(self.to));
        let span = format!("from {from} to {to}: {counts}");
        let mut blocks = vec![
            Block::Text(span),
            Block::Rows {
                header,
                rows: rows.collect(),
            },
        ];
        blocks.extend(stale(&self.stale));
        blocks
    }
}

const fn verb(change: Change) -> &'static str {
    match change {
        Change::Began => "began",
        Change::Ended => "ended",
        Change::Moved => "moved",
        Change::Restarted => "restarted",
        Change::State => "state",
    }
}

fn changed(change: &TreeChange, detail: Detail) -> Vec<String> {
    let width = if detail == Detail::Wide { 400 } else { 70 };
    let node = match (&change.from, &change.to) {
        (Some(from), Some(to)) if from != to => format!("{from} → {to}"),
        (from, to) => or_dash(to.as_ref().or(from.as_ref())),
    };
    vec![
        moment(change.at),
        verb(change.change).to_owned(),
        change.path.clone(),
        change.kind.clone(),
        node,
        or_dash(change.state.as_ref()),
        or_dash(change.reason.as_ref().map(|why| cut(why, width))),
    ]
}

impl View for ActorView {
    fn ids(&self) -> Vec<String> {
        vec![self.row.path.clone()]
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let mut blocks = vec![Block::Fields(fields(self))];
        let width = if detail == Detail::Wide { 2000 } else { 100 };
        if !self.failures.is_empty() {
            let row = |failure: &protocol::api::FailureView| {
                vec![moment(failure.at), cut(&failure.error, width)]
            };
            blocks.push(Block::Rows {
                header: vec!["FAILED AT", "ERROR"],
                rows: self.failures.iter().map(row).collect(),
            });
        }
        if !self.life.is_empty() {
            blocks.push(life::table_of_one(&self.life, width));
        }
        if let Some(entity) = &self.entity {
            blocks.extend(durable(entity, detail));
        }
        if !self.row.links.is_empty() {
            blocks.push(Block::Rows {
                header: vec!["RELATION", "ACTOR", "NODE", "STEP", "ATTEMPT"],
                rows: self.row.links.iter().map(link).collect(),
            });
        }
        if !self.child_paths.is_empty() {
            let more = (self.row.children as usize).saturating_sub(self.child_paths.len());
            let mut rows: Vec<_> = self
                .child_paths
                .iter()
                .map(|path| vec![path.clone()])
                .collect();
            if more > 0 {
                rows.push(vec![format!("… {more} more")]);
            }
            let header = vec!["CHILDREN"];
            blocks.push(Block::Rows { header, rows });
        }
        blocks
    }
}

impl View for ActionView {
    fn ids(&self) -> Vec<String> {
        self.actor.ids()
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let TreeNode {
            path, node, state, ..
        } = &self.actor.row;
        let outcome = &self.outcome;
        vec![Block::Text(format!("{path} on {node}, {state}: {outcome}"))]
    }
}

/// What a row has to do with others, and how much of that is not told.
fn linked(row: &TreeNode) -> Option<String> {
    let links = row.links.iter();
    let told = links.map(|link| format!("{} {}", link.relation.as_str(), link.path));
    let count = u32::try_from(row.links.len()).unwrap_or(u32::MAX);
    let more = row.links_total.map(|total| total.saturating_sub(count));
    let told: Vec<_> = told
        .chain(more.map(|more| format!("{more} more")))
        .collect();
    (!told.is_empty()).then(|| told.join(", "))
}

fn link(link: &ActorLink) -> Vec<String> {
    vec![
        link.relation.as_str().to_owned(),
        link.path.clone(),
        or_dash(link.node.as_ref()),
        or_dash(link.step.as_ref()),
        or_dash(link.attempt),
    ]
}

/// What is left of limits, as far as there are any.
fn left(budget: BudgetLeft) -> String {
    let attempts = budget.attempts.map(|left| format!("{left} attempts"));
    let wall_time = budget.wall_time.map(|left| {
        let millis = u64::try_from(left.0.as_millis()).unwrap_or(u64::MAX);
        Took(millis).to_string()
    });
    attempts
        .into_iter()
        .chain(wall_time)
        .collect::<Vec<_>>()
        .join(", ")
}

fn fields(actor: &ActorView) -> Vec<(&'static str, String)> {
    let row = &actor.row;
    let current = row.current.as_ref().map(|message| match row.current_ms {
        Some(age) => format!("{message}, for {}", Took(age)),
        None => message.clone(),
    });
    vec![
        ("actor", row.path.clone()),
        ("kind", row.kind.clone()),
        ("state", row.state.clone()),
        ("node", row.node.clone()),
        ("came from", or_dash(row.restored_from.as_ref())),
        ("started", moment(row.started_at)),
        ("mailbox", row.mailbox.to_string()),
        ("handled", row.handled.to_string()),
        ("rate", format!("{} /s", per_second(row.rate))),
        ("current", or_dash(current)),
        ("restarts", row.restarts.to_string()),
        ("last error", or_dash(row.last_error.as_ref())),
        ("budget left", or_dash(actor.budget.map(left))),
        ("parent", or_dash(actor.parent.as_ref())),
        ("children", row.children.to_string()),
    ]
}

fn durable(entity: &EntityPart, detail: Detail) -> Vec<Block> {
    let mut blocks = vec![Block::Fields(vec![
        ("entity", entity.id.to_string()),
        ("epoch", entity.epoch.to_string()),
        ("position", entity.position.to_string()),
    ])];
    if !entity.events.is_empty() {
        blocks.extend(entity.events.blocks(detail));
    }
    blocks
}

#[cfg(test)]
mod tests {
    use protocol::{
        api::Relation,
        time::{Span, Timestamp},
    };

    use super::*;
    use crate::cli::tree::tests::row;

    fn view(nodes: Vec<TreeNode>) -> TreeView {
        TreeView {
            path: "/".to_owned(),
            at: Timestamp::default(),
            total: nodes.len() as u64,
            nodes,
            next: None,
            silent: vec!["three".to_owned()],
            stale: Vec::new(),
        }
    }

    fn rows(block: &Block) -> Vec<String> {
        match block {
            Block::Rows { rows, .. } => rows.iter().map(|row| row.join("|")).collect(),
            Block::Text(text) => vec![text.clone()],
            Block::Fields(fields) => fields
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        }
    }

    #[test]
    fn the_tree_is_drawn_for_each_node_and_ends_with_what_needs_attention() {
        let stuck = TreeNode {
            state: "stuck".to_owned(),
            current: Some("Call".to_owned()),
            current_ms: Some(12_345),
            ..row("two", "/agents/x")
        };
        let blocks =
            view(vec![row("one", "/"), row("two", "/agents"), stuck]).blocks(Detail::Short);
        assert_eq!(
            rows(&blocks[0]),
            [
                "one|node",
                "  /|agent|running|0|7|0.5|0",
                "two|node",
                "  /agents|agent|running|0|7|0.5|0",
                "    x|agent|stuck|0|7|0.5|0",
            ]
        );
        assert_eq!(
            rows(&blocks[2]),
            ["two|/agents/x|stuck|0|at Call for 12.3s"]
        );
        assert_eq!(rows(&blocks[3]), ["not all of it: three gave no answer"]);
    }

    fn works_for() -> ActorLink {
        ActorLink {
            relation: Relation::WorksFor,
            path: "/tasks/t".to_owned(),
            node: None,
            step: Some("review".to_owned()),
            attempt: Some(2),
        }
    }

    #[test]
    fn a_wide_row_tells_its_links_and_how_many_are_left_out() {
        let linked = |links, links_total| {
            let row = TreeNode {
                links,
                links_total,
                ..row("one", "/agents/x/tool")
            };
            let blocks = view(vec![row]).blocks(Detail::Wide);
            rows(&blocks[0])[1].clone()
        };
        let told = linked(vec![works_for()], Some(7));
        assert!(told.contains("|works_for /tasks/t, 6 more|"), "{told}");
        let told = linked(vec![works_for()], None);
        assert!(told.contains("|works_for /tasks/t|"), "{told}");
    }

    #[test]
    fn a_comparison_says_where_an_actor_went_and_why() {
        let change = TreeChange {
            path: "/tasks/t".to_owned(),
            kind: "task".to_owned(),
            change: Change::Moved,
            from: Some("one".to_owned()),
            to: Some("two".to_owned()),
            state: Some("running".to_owned()),
            at: Timestamp::from_micros(1_800_000_000_000_000),
            reason: Some("node one was lost".to_owned()),
        };
        let diff = TreeDiff {
            from: Timestamp::default(),
            to: Timestamp::default(),
            changes: vec![change],
            stale: vec![Stale {
                node: "two".to_owned(),
                until: Timestamp::from_micros(1_800_000_000_000_000),
            }],
        };
        assert_eq!(
            rows(&diff.blocks(Detail::Short)[1]),
            ["2027-01-15T08:00:00Z|moved|/tasks/t|task|one → two|running|node one was lost"]
        );
        let Block::Text(known) = &diff.blocks(Detail::Short)[2] else {
            panic!("it is not said up to when node two is known");
        };
        assert_eq!(known, "two is known up to 2027-01-15T08:00:00Z");
    }

    #[test]
    fn an_actor_is_told_with_its_failures_and_how_long_its_message_takes() {
        let at = Timestamp::from_micros(1_800_000_000_000_000);
        let actor = ActorView {
            row: TreeNode {
                current: Some("Call".to_owned()),
                current_ms: Some(61_000),
                children: 3,
                links: vec![works_for()],
                ..row("one", "/agents/x")
            },
            parent: Some("/agents".to_owned()),
            child_paths: vec!["/agents/x/tool".to_owned()],
            failures: vec![protocol::api::FailureView {
                at,
                error: "out of luck".to_owned(),
            }],
            life: Vec::new(),
            entity: None,
            budget: Some(BudgetLeft {
                attempts: Some(3),
                wall_time: Some(Span(std::time::Duration::from_secs(61))),
            }),
        };
        let blocks = actor.blocks(Detail::Short);
        assert!(rows(&blocks[0]).contains(&"current=Call, for 1m01s".to_owned()));
        assert_eq!(rows(&blocks[1]), ["2027-01-15T08:00:00Z|out of luck"]);
        assert!(rows(&blocks[0]).contains(&"budget left=3 attempts, 1m01s".to_owned()));
        assert_eq!(rows(&blocks[2]), ["works_for|/tasks/t|-|review|2"]);
        assert_eq!(rows(&blocks[3]), ["/agents/x/tool", "… 2 more"]);
    }
}
