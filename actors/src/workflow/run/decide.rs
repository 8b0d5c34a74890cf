//! What follows from where the nodes of a run stand.
//!
//! Asked after every change until it answers nothing; each answer is applied before the next question.
//! A node is ready when all nodes before it are over, and no loop that it is behind will go round once
//! more. It runs when one of its edges was taken, and is skipped when none was.

use protocol::{
    id::TaskId,
    task::{Event, Failure, TaskStatus},
    time::Timestamp,
    workflow::{NodeRun, NodeStatus, RunEvent},
};
use serde_json::{Map, Value};

use super::{
    begin, follow,
    scope::{Sight, passes},
    state::{Turn, Wait},
    undo, verdict,
};
use crate::{
    task::Task,
    workflow::{
        condition::Condition,
        expression::{EvalError, Uses},
        graph::{Graph, Link, Place},
    },
};

/// What decisions look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) graph: &'a Graph,
    pub(super) sight: Sight<'a>,
    pub(super) now: Timestamp,
}

/// What comes next, with large values that are kept by reference; empty when the run waits for something.
#[must_use]
pub fn decide(graph: &Graph, id: TaskId, task: &Task, now: Timestamp) -> Vec<Event> {
    let events = next(graph, id, task, now).into_iter();
    events.map(|event| task.large.fold(event)).collect()
}

fn next(graph: &Graph, id: TaskId, task: &Task, now: Timestamp) -> Vec<Event> {
    let Some(run) = task.run.as_deref() else {
        return Vec::new();
    };
    if task.status.is_terminal() {
        return Vec::new();
    }
    let look = Look {
        graph,
        sight: Sight { id, task, run },
        now,
    };
    if run.broke.is_some() || task.cancelling {
        return undo::wind_down(look);
    }
    if task.status == TaskStatus::Paused || task.spec.start_at.is_some_and(|start| now < start) {
        return Vec::new();
    }
    let phases = [Look::set_out, Look::take_in, Look::go_back, Look::go_on];
    let next = phases.into_iter().map(|phase| phase(&look));
    let next = next.into_iter().find(|events| !events.is_empty());
    let events = next.unwrap_or_default();
    if events.is_empty() && look.is_over() {
        return vec![verdict::completed(look)];
    }
    events
        .into_iter()
        .map(|event| Event::Run { event })
        .collect()
}

/// Whether an edge was taken, by its place in the graph; nothing while that is open.
#[must_use]
pub fn is_taken(graph: &Graph, sight: Sight<'_>, edge: usize) -> Option<bool> {
    let now = Timestamp::default();
    let look = Look { graph, sight, now };
    let link = graph.edges.get(edge)?;
    if !look.status(link.from).is_settled() {
        return None;
    }
    look.is_taken(link).ok()
}

impl<'a> Look<'a> {
    pub(super) fn turn(&self, place: usize) -> Option<&'a Turn> {
        self.sight.run.turn(self.graph.nodes[place].id())
    }

    /// One that failed is not over for the others before people were asked about all of its calls.
    fn status(&self, place: usize) -> NodeStatus {
        match self.turn(place) {
            Some(turn) if turn.status.is_settled() && self.is_in_doubt(turn) => NodeStatus::Unknown,
            turn => turn.map(|turn| turn.status).unwrap_or_default(),
        }
    }

    /// Whether somebody is to say of a call of this node if it took effect.
    pub(super) fn is_in_doubt(&self, turn: &Turn) -> bool {
        let mut calls = self.sight.calls(turn);
        calls.any(|step| turn.is_in_doubt(step))
    }

    fn is_over(&self) -> bool {
        (0..self.graph.nodes.len()).all(|at| self.status(at).is_settled())
    }

    /// What the nodes share, before the first of them.
    fn set_out(&self) -> Vec<RunEvent> {
        let is_first = self.sight.run.turns().next().is_none();
        if !is_first || self.graph.context.is_empty() || self.sight.run.set_out {
            return Vec::new();
        }
        vec![RunEvent::Wrote {
            node: None,
            version: 0,
            values: self.graph.context.clone(),
        }]
    }

    /// What came of nodes that are over, and what those that are not need next.
    fn take_in(&self) -> Vec<RunEvent> {
        let mut events = Vec::new();
        let mut version = self.sight.run.context_version;
        for (at, place) in self.graph.nodes.iter().enumerate() {
            let Some(turn) = self.turn(at) else {
                continue;
            };
            match turn.status {
                NodeStatus::Completed if !turn.wrote && !place.set.is_empty() => {
                    version += 1;
                    events.push(self.write(place, turn, version));
                }
                NodeStatus::Failed if place.is_needed() => {
                    let error = turn.error.clone();
                    events.push(broke(place, error.unwrap_or_else(nameless)));
                }
                NodeStatus::Unknown | NodeStatus::Failed if turn.waits.is_none() => {
                    events.extend(follow::ask_about(self, turn));
                }
                NodeStatus::Waiting => {
                    if let Some(Wait::Until(due)) = turn.waits
                        && due <= self.now
                    {
                        events.push(ended(turn.at(), NodeStatus::Completed, Value::Null));
                    }
                }
                NodeStatus::Running if !turn.is_alone() => {
                    events.extend(follow::follow(self, place, turn));
                }
                NodeStatus::Pending
                | NodeStatus::Running
                | NodeStatus::Completed
                | NodeStatus::Failed
                | NodeStatus::Unknown
                | NodeStatus::Skipped
                | NodeStatus::Cancelled => {}
            }
        }
        events
    }

    fn write(&self, place: &Place, turn: &Turn, version: u64) -> RunEvent {
        let output = self.sight.output(turn);
        let mut values = Map::new();
        for (key, template) in &place.set {
            let mut uses = Uses::default();
            template.uses(&mut uses);
            let scope = self.sight.scope(&uses, beside("output", output.clone()));
            match scope.and_then(|scope| template.render(&scope)) {
                Ok(value) => drop(values.insert(key.clone(), value)),
                Err(error) => return broke(place, unreadable(&format!("set.{key}"), &error)),
            }
        }
        RunEvent::Wrote {
            node: Some(place.id().to_owned()),
            version,
            values,
        }
    }

    /// An edge that goes back is taken: one at a time, for it undoes what others look at.
    fn go_back(&self) -> Vec<RunEvent> {
        let back = self.graph.nodes.iter().flat_map(|place| &place.back);
        for edge in back {
            let link = &self.graph.edges[*edge];
            let event = match self.is_taken(link) {
                Ok(true) => self.once_more(link),
                Ok(false) => continue,
                Err(error) => self.torn(link, &error),
            };
            return vec![event];
        }
        Vec::new()
    }

    fn once_more(&self, link: &Link) -> RunEvent {
        let source = &self.graph.nodes[link.from];
        let Some(back) = &link.back else {
            return broke(source, nameless());
        };
        if self.sight.run.taken(&link.key) + 1 >= back.most {
            let message = format!(
                "the loop over `{}` ran {} times, which is its limit",
                link.key, back.most
            );
            return broke(source, Failure::new("loop_limit", message));
        }
        let inner = self.graph.edges.iter().filter(|other| {
            other.back.is_some() && other.key != link.key && {
                back.body.contains(&other.from) && back.body.contains(&other.to)
            }
        });
        RunEvent::WentBack {
            edge: link.key.clone(),
            inner: inner.map(|other| other.key.clone()).collect(),
            nodes: back
                .body
                .iter()
                .map(|at| self.graph.nodes[*at].id().to_owned())
                .collect(),
        }
    }

    fn go_on(&self) -> Vec<RunEvent> {
        let mut events = Vec::new();
        for (at, place) in self.graph.nodes.iter().enumerate() {
            if self.status(at) != NodeStatus::Pending {
                continue;
            }
            match self.readiness(place) {
                Ok(Ready::NotYet) => {}
                Ok(Ready::Skipped) => {
                    let next = self.next_run(place);
                    events.push(ended(next, NodeStatus::Skipped, Value::Null));
                }
                Ok(Ready::Goes(taken)) => events.push(begin::begin(self, place, &taken)),
                Err(event) => events.push(*event),
            }
        }
        events
    }

    pub(super) fn next_run(&self, place: &Place) -> NodeRun {
        let before = self.sight.run.turn(place.id());
        NodeRun {
            node: place.id().to_owned(),
            run: before.map_or(0, |turn| turn.run) + 1,
        }
    }

    fn readiness(&self, place: &Place) -> Result<Ready, Box<RunEvent>> {
        let enough = match place.work {
            crate::workflow::graph::Work::Join(Some(enough)) => enough,
            _ => usize::MAX,
        };
        let mut taken = Vec::new();
        let mut open = false;
        for edge in &place.incoming {
            let link = &self.graph.edges[*edge];
            if !self.status(link.from).is_settled() {
                open = true;
            } else if self
                .is_taken(link)
                .map_err(|error| Box::new(self.torn(link, &error)))?
            {
                taken.push(*edge);
            }
        }
        if open && taken.len() < enough {
            return Ok(Ready::NotYet);
        }
        // One that may still go back was looked at before this: it is taken, and then not settled any
        // more, or it is not.
        let undecided = |edge: &usize| !self.status(self.graph.edges[*edge].from).is_settled();
        if place.behind.iter().any(undecided) {
            return Ok(Ready::NotYet);
        }
        if taken.is_empty() && !place.incoming.is_empty() {
            return Ok(Ready::Skipped);
        }
        if let Some(when) = &place.when {
            let holds = self.holds(when, self.handed(&taken));
            let unread = |error| Box::new(failed(self.next_run(place), unreadable("when", &error)));
            if !holds.map_err(unread)? {
                return Ok(Ready::Skipped);
            }
        }
        Ok(Ready::Goes(taken))
    }

    /// Whether an edge is taken whose source is over.
    fn is_taken(&self, link: &Link) -> Result<bool, EvalError> {
        let source = &self.graph.nodes[link.from];
        let Some(turn) = self.turn(link.from) else {
            return Ok(false);
        };
        if !passes(turn.status, source.is_needed()) {
            return Ok(false);
        }
        let output = || self.sight.output(turn);
        match (&link.condition, link.verdict) {
            (Some(condition), _) => self.holds(condition, output()),
            (None, Some(verdict)) => Ok(output() == Value::Bool(verdict)),
            (None, None) => Ok(true),
        }
    }

    pub(super) fn holds(&self, condition: &Condition, output: Value) -> Result<bool, EvalError> {
        let mut uses = Uses::default();
        condition.uses(&mut uses);
        condition.holds(&self.sight.scope(&uses, beside("output", output))?)
    }

    /// What a node is handed that does not say it itself.
    pub(super) fn handed(&self, taken: &[usize]) -> Value {
        let before = |edge: &usize| {
            let from = self.graph.edges[*edge].from;
            let output = self.turn(from).map(|turn| self.sight.output(turn));
            (
                self.graph.nodes[from].id().to_owned(),
                output.unwrap_or_default(),
            )
        };
        match taken {
            [] => self.sight.task.spec.input.clone(),
            [only] => before(only).1,
            several => Value::Object(several.iter().map(before).collect()),
        }
    }

    fn torn(&self, link: &Link, error: &EvalError) -> RunEvent {
        let why = unreadable(&format!("the condition of edge {}", link.key), error);
        broke(&self.graph.nodes[link.from], why)
    }
}

/// Whether a node's turn has come.
enum Ready {
    NotYet,
    Skipped,
    /// These edges led to it.
    Goes(Vec<usize>),
}

pub(super) fn beside(name: &str, value: Value) -> Map<String, Value> {
    std::iter::once((name.to_owned(), value)).collect()
}

pub(super) fn ended(at: NodeRun, status: NodeStatus, output: Value) -> RunEvent {
    RunEvent::Ended {
        at,
        status,
        output,
        error: None,
        gathered: false,
        detail: Value::Null,
    }
}

pub(super) fn failed(at: NodeRun, error: Failure) -> RunEvent {
    RunEvent::Ended {
        at,
        status: NodeStatus::Failed,
        output: Value::Null,
        error: Some(error),
        gathered: false,
        detail: Value::Null,
    }
}

pub(super) fn broke(place: &Place, error: Failure) -> RunEvent {
    RunEvent::Broke {
        node: place.id().to_owned(),
        error,
    }
}

pub(super) fn unreadable(what: &str, error: &EvalError) -> Failure {
    Failure::new("expression", format!("{what}: {error}"))
}

fn nameless() -> Failure {
    Failure::new("failed", "no reason was given")
}
