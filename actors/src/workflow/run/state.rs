//! What a run's own events say: where each node stands, and what the nodes share.

use std::collections::{BTreeMap, HashMap};

use protocol::{
    entity::EntityId,
    task::{Failure, StepStatus},
    time::Timestamp,
    workflow::{Inherited, LoopKey, NodeRun, NodeStatus},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::task::Step;

/// The code of what nobody can tell about.
pub(crate) const OUTCOME_UNKNOWN: &str = "outcome_unknown";

/// What a task that is a run of a workflow has beside its steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub struct Run {
    nodes: Vec<Turn>,
    places: HashMap<String, usize>,
    /// What the nodes share.
    pub context: Map<String, Value>,
    /// How often that was written.
    pub context_version: u64,
    /// Whether it holds what the definition begins with.
    pub set_out: bool,
    loops: BTreeMap<LoopKey, u32>,
    /// Why it fails, if it does: because of which node.
    pub broke: Option<(String, Failure)>,
    /// What is taken back, the last one first; absent until that is decided.
    pub taking_back: Option<Vec<String>>,
}

/// As it is written down: places follow from the nodes.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    nodes: Vec<Turn>,
    context: Map<String, Value>,
    context_version: u64,
    #[serde(default)]
    set_out: bool,
    loops: BTreeMap<LoopKey, u32>,
    broke: Option<(String, Failure)>,
    taking_back: Option<Vec<String>>,
}

impl From<Kept> for Run {
    fn from(kept: Kept) -> Self {
        let places = kept.nodes.iter().enumerate();
        Self {
            places: places.map(|(at, turn)| (turn.id.clone(), at)).collect(),
            nodes: kept.nodes,
            context: kept.context,
            context_version: kept.context_version,
            set_out: kept.set_out,
            loops: kept.loops,
            broke: kept.broke,
            taking_back: kept.taking_back,
        }
    }
}

impl From<Run> for Kept {
    fn from(run: Run) -> Self {
        Self {
            nodes: run.nodes,
            context: run.context,
            context_version: run.context_version,
            set_out: run.set_out,
            loops: run.loops,
            broke: run.broke,
            taking_back: run.taking_back,
        }
    }
}

/// Where a node stands in the latest of its runs, and how the earlier ones ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// The node.
    pub id: String,
    /// Which run of it; 0 before the first.
    pub run: u32,
    /// Where it stands.
    pub status: NodeStatus,
    /// Its calls, by their places among the task's steps.
    pub steps: Vec<usize>,
    /// Calls that are made when others are over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<usize>,
    /// What it gave.
    pub output: Output,
    /// Why it did not complete.
    pub error: Option<Failure>,
    /// What its outcome was made of.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
    /// When its turn came.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub settled_at: Option<Timestamp>,
    /// For what it waits.
    pub waits: Option<Wait>,
    /// Whether another run had it.
    #[serde(default)]
    pub inherited: bool,
    /// Whether it wrote what it writes into the context.
    #[serde(default)]
    pub wrote: bool,
    /// Its calls that take it back.
    #[serde(default)]
    pub undo: Option<usize>,
    /// Steps of which nobody who was asked could tell whether they took effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untold: Vec<String>,
    /// Earlier runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Past>,
    /// Whether its outcome is that of its only call.
    alone: bool,
}

/// An earlier run of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// Which.
    pub run: u32,
    /// How it ended.
    pub status: NodeStatus,
    /// Its calls.
    pub steps: Vec<usize>,
    /// When its turn came.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub settled_at: Option<Timestamp>,
}

/// Where the output of a node stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// It has none.
    #[default]
    None,
    /// Here.
    Own(Value),
    /// With its only call.
    Call,
    /// With its calls, an array in their order.
    Calls,
}

/// What a node waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// A moment.
    Until(Timestamp),
    /// Another entity, with what it is asked or handed.
    For {
        /// The entity.
        entity: EntityId,
        /// What it is asked or handed.
        input: Value,
        /// The step whose outcome nobody knows, if it is about that.
        about: Option<String>,
    },
}

/// A node's turn begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Began<'a> {
    pub(crate) at: &'a NodeRun,
    pub(crate) now: Timestamp,
}

impl Run {
    /// Where a node stands; nothing before its first turn.
    #[must_use]
    pub fn turn(&self, node: &str) -> Option<&Turn> {
        self.places.get(node).map(|at| &self.nodes[*at])
    }

    /// The node that stands there among those that had a turn.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<&Turn> {
        self.nodes.get(place)
    }

    /// Every node that had a turn.
    pub fn turns(&self) -> impl Iterator<Item = &Turn> {
        self.nodes.iter()
    }

    /// Whether anything was decided.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.set_out || !self.nodes.is_empty()
    }

    /// How often an edge that goes back was taken.
    #[must_use]
    pub fn taken(&self, edge: &str) -> u32 {
        self.loops.get(edge).copied().unwrap_or_default()
    }

    /// What is waited for, with the node.
    pub fn waits(&self) -> impl Iterator<Item = (&Turn, &Wait)> {
        let nodes = self.nodes.iter();
        nodes.filter_map(|turn| Some((turn, turn.waits.as_ref()?)))
    }

    /// When the first of what it waits for is due.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        let dues = self.waits().filter_map(|(_, wait)| match wait {
            Wait::Until(due) => Some(*due),
            Wait::For { .. } => None,
        });
        dues.min()
    }

    /// The node that waits for `entity`.
    #[must_use]
    pub fn waiting_for(&self, entity: EntityId) -> Option<&Turn> {
        let found = self.waits().find(|(_, wait)| match wait {
            Wait::For { entity: other, .. } => *other == entity,
            Wait::Until(_) => false,
        });
        found.map(|(turn, _)| turn)
    }

    pub(crate) fn place_of(&mut self, node: &str) -> usize {
        if let Some(at) = self.places.get(node) {
            return *at;
        }
        self.places.insert(node.to_owned(), self.nodes.len());
        self.nodes.push(Turn {
            id: node.to_owned(),
            ..Turn::default()
        });
        self.nodes.len() - 1
    }

    fn begin(&mut self, began: Began<'_>) -> &mut Turn {
        let at = self.place_of(&began.at.node);
        let turn = &mut self.nodes[at];
        if turn.run != began.at.run {
            turn.run = began.at.run;
            turn.started_at = Some(began.now);
        }
        turn.started_at.get_or_insert(began.now);
        turn
    }

    /// Calls are made for a node.
    pub(crate) fn started(&mut self, began: Began<'_>, steps: &[usize], queue: &[usize]) {
        let turn = self.begin(began);
        turn.status = NodeStatus::Running;
        turn.steps.extend(steps);
        turn.queue.extend(queue);
    }

    /// A node's outcome is that of the only call that was made for it.
    pub(crate) fn is_alone(&mut self, node: usize) {
        self.nodes[node].alone = true;
    }

    /// A completed node is taken back by a call.
    pub(crate) fn undoes(&mut self, node: &str, step: usize) {
        let at = self.place_of(node);
        self.nodes[at].undo = Some(step);
    }

    pub(crate) fn waits_for(&mut self, began: Began<'_>, wait: Wait) {
        let turn = self.begin(began);
        // A node that is over stays so while somebody is asked whether it was taken back.
        if !turn.status.is_settled() {
            turn.status = match wait {
                Wait::For { about: Some(_), .. } => NodeStatus::Unknown,
                Wait::For { .. } | Wait::Until(_) => NodeStatus::Waiting,
            };
        }
        turn.waits = Some(wait);
    }

    /// A node is over; answers which calls were made for it, or were to be.
    pub(crate) fn ended(&mut self, began: Began<'_>, how: Ended) -> Vec<usize> {
        let turn = self.begin(began);
        turn.end(how, began.now);
        turn.steps.clone()
    }

    /// A step was settled: a node of one call is as that. Answers which call is made in its place.
    pub(crate) fn step_settled(
        &mut self,
        (node, step): (usize, usize),
        status: StepStatus,
        error: Option<Failure>,
        now: Timestamp,
    ) -> Option<usize> {
        let turn = &mut self.nodes[node];
        if !turn.steps.contains(&step) || turn.status.is_settled() {
            return None;
        }
        if turn.alone {
            turn.is_as(status, error, now);
            return None;
        }
        (!turn.queue.is_empty()).then(|| turn.queue.remove(0))
    }
    /// What nobody knew is known, or will be tried again.
    pub(crate) fn known(&mut self, node: usize) {
        let turn = &mut self.nodes[node];
        turn.waits = None;
        if !turn.status.is_settled() {
            turn.status = NodeStatus::Running;
        }
    }

    /// Nothing is waited for any more.
    pub(crate) fn is_over(&mut self) {
        for turn in &mut self.nodes {
            turn.waits = None;
        }
    }

    pub(crate) fn went_back(&mut self, edge: &str, nodes: &[String], inner: &[LoopKey]) {
        *self.loops.entry(edge.to_owned()).or_default() += 1;
        for edge in inner {
            self.loops.remove(edge);
        }
        for node in nodes {
            let at = self.place_of(node);
            self.nodes[at].reset();
        }
    }

    pub(crate) fn wrote(&mut self, node: Option<&str>, version: u64, values: &Map<String, Value>) {
        self.context_version = version;
        self.set_out |= node.is_none();
        for (key, value) in values {
            if value.is_null() {
                self.context.remove(key);
            } else {
                self.context.insert(key.clone(), value.clone());
            }
        }
        if let Some(node) = node {
            let at = self.place_of(node);
            self.nodes[at].wrote = true;
        }
    }

    pub(crate) fn inherit(&mut self, nodes: &[Inherited], context: &Map<String, Value>) {
        self.context.clone_from(context);
        self.set_out = true;
        for node in nodes {
            let at = self.place_of(&node.at.node);
            let turn = &mut self.nodes[at];
            turn.run = node.at.run;
            turn.status = node.status;
            turn.output = Output::Own(node.output.clone());
            turn.error.clone_from(&node.error);
            turn.settled_at = Some(node.settled_at);
            turn.inherited = true;
            turn.wrote = true;
        }
    }
}

/// How a node ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) status: NodeStatus,
    pub(crate) output: Output,
    pub(crate) error: Option<Failure>,
    pub(crate) detail: Value,
}

impl Turn {
    /// Which run of the node this is.
    #[must_use]
    pub fn at(&self) -> NodeRun {
        NodeRun {
            node: self.id.clone(),
            run: self.run,
        }
    }

    /// Whether its outcome is that of its only call.
    #[must_use]
    pub const fn is_alone(&self) -> bool {
        self.alone
    }

    /// Whether somebody is still to say if this call of it took effect.
    #[must_use]
    pub fn is_in_doubt(&self, step: &Step) -> bool {
        step.status == StepStatus::Unknown && !self.untold.contains(&step.spec.id)
    }

    fn is_as(&mut self, status: StepStatus, error: Option<Failure>, now: Timestamp) {
        let (status, output) = match status {
            StepStatus::Completed => (NodeStatus::Completed, Output::Call),
            StepStatus::Failed => (NodeStatus::Failed, Output::None),
            StepStatus::Skipped => (NodeStatus::Skipped, Output::None),
            StepStatus::Cancelled => (NodeStatus::Cancelled, Output::None),
            StepStatus::Unknown => {
                self.status = NodeStatus::Unknown;
                return;
            }
            StepStatus::Pending | StepStatus::Queued | StepStatus::Running => return,
        };
        let detail = Value::Null;
        let how = Ended {
            status,
            output,
            error,
            detail,
        };
        self.end(how, now);
    }

    fn end(&mut self, how: Ended, now: Timestamp) {
        let in_vain = how
            .error
            .as_ref()
            .is_some_and(|it| it.code == OUTCOME_UNKNOWN);
        if let Some(Wait::For { about, .. }) = self.waits.take()
            && in_vain
        {
            self.untold.extend(about);
        }
        self.status = how.status;
        self.output = how.output;
        self.error = how.error;
        self.detail = how.detail;
        self.settled_at = Some(now);
        self.queue.clear();
    }

    fn reset(&mut self) {
        if self.run > 0 {
            self.past.push(Past {
                run: self.run,
                status: self.status,
                steps: std::mem::take(&mut self.steps),
                started_at: self.started_at,
                settled_at: self.settled_at,
            });
        }
        *self = Self {
            id: std::mem::take(&mut self.id),
            run: self.run,
            past: std::mem::take(&mut self.past),
            ..Self::default()
        };
    }
}
