//! Tasks with parts on several nodes, paused and resumed at random while their owners die.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use actors::{
    Rejection,
    adapter::{Adapter, Answer, Call, CallError},
};
use protocol::{
    access::Caller,
    agent::StopMode,
    api::{TaskPatch, TaskView, TreeQuery},
    id::TaskId,
    task::{AttemptStatus, TaskStatus},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::town::Town;
use crate::{
    support::{task, within},
    tool::Tool,
};

/// Pauses and resumes that count.
const TURNS: usize = 1000;

/// Tasks that are open at the same time, parts among them.
const OPEN: usize = 24;

/// Answers, when its tool is let go, with what the steps before gave.
#[derive(Debug)]
pub(super) struct Sums(pub(super) Arc<Tool>);

impl Adapter for Sums {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async move {
            self.0.call(call, cancel).await?;
            Ok(json!({ "of": call.description, "step": call.step, "after": call.needs }))
        })
    }

    fn check(&self, timeout: Duration) -> Answer<'_, Result<String, String>> {
        self.0.check(timeout)
    }
}

/// A number generator that gives the same numbers in each run.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

fn spec(name: &str, parent: Option<TaskId>, steps: &Value) -> Value {
    let mut spec = json!({ "description": name, "steps": steps });
    if let Some(parent) = parent {
        spec["parent_id"] = json!(parent);
    }
    spec
}

fn chain() -> Value {
    json!([
        { "id": "a", "capability": "sum" },
        { "id": "b", "capability": "sum", "needs": ["a"] },
    ])
}

fn fork() -> Value {
    json!([
        { "id": "a", "capability": "sum" },
        { "id": "b", "capability": "sum", "needs": ["a"] },
        { "id": "c", "capability": "sum", "needs": ["a"] },
    ])
}

/// A town at work, and all that was submitted there, by name.
struct Bustle {
    town: Town,
    alive: Vec<&'static str>,
    draws: Draws,
    admin: Caller,
    made: BTreeMap<String, TaskId>,
    /// What is known to be settled.
    done: BTreeSet<TaskId>,
    groups: usize,
}

impl Bustle {
    async fn of(seed: u64) -> Self {
        let town = Town::routed(&["a", "b", "c", "d"]).await;
        let admin = Caller::admin();
        for (name, on) in [("left", "c"), ("right", "d")] {
            let spec = json!({
                "name": name, "agent_type": "native", "capabilities": ["sum"], "max_tasks": 8,
                "placement": { "node": on }, "config": { "name": "sums" },
            });
            let spec = serde_json::from_value(spec).unwrap();
            town["c"].register_agent(&admin, spec).await.unwrap();
            for node in ["a", "b", "c", "d"] {
                town.knows(&town[node], name, 8).await;
            }
        }
        Self {
            town,
            alive: vec!["a", "b", "c", "d"],
            draws: Draws(seed),
            admin,
            made: BTreeMap::new(),
            done: BTreeSet::new(),
            groups: 0,
        }
    }

    async fn submit(&mut self, name: String, parent: Option<TaskId>, steps: &Value) -> TaskId {
        let at = *self.draws.one(&self.alive);
        let made = async |parent| {
            let spec = task(spec(&name, parent, steps));
            self.town[at].submit(&self.admin, spec, None, None).await
        };
        let task = match made(parent).await {
            // What is over takes no parts: it is a task by itself then.
            Err(Rejection::Invalid { .. }) if parent.is_some() => made(None).await,
            other => other,
        };
        let task = task.unwrap().task;
        self.made.insert(name, task.id);
        task.id
    }

    /// A task with two parts, one of which has a part. Half of them come while the task is paused.
    async fn group(&mut self, pauses: bool) {
        self.groups += 1;
        let name = |part: &str| format!("{:03}{part}", self.groups);
        let names = [name(""), name("/1"), name("/1/1"), name("/2")];
        let [root, one, below, two] = names;
        let root = self.submit(root, None, &chain()).await;
        let paused = pauses && self.draws.below(2) == 0;
        // With what runs of it it cannot come to its end meanwhile, unless it has.
        let paused = paused && self.turn(root, Some(StopMode::Now)).await.is_ok();
        let one = self.submit(one, Some(root), &fork()).await;
        let below = self.submit(below, Some(one), &chain()).await;
        let two = self.submit(two, Some(root), &chain()).await;
        if paused {
            for id in [one, below, two] {
                assert_eq!(self.task(id).await.status, TaskStatus::Paused);
            }
        }
    }

    /// Pauses a task at any node, or resumes it.
    async fn turn(&mut self, id: TaskId, pause: Option<StopMode>) -> Result<(), Rejection> {
        let at = *self.draws.one(&self.alive);
        let node = &self.town[at];
        let turned = match pause {
            Some(running) => within(node.pause_task(&self.admin, id, String::new(), running)).await,
            None => within(node.resume_task(&self.admin, id)).await,
        };
        let change = turned?;
        assert_eq!(change.reach.unconfirmed, []);
        assert!(
            pause != Some(StopMode::Now) || change.reach.running == 0,
            "{change:?}"
        );
        Ok(())
    }

    async fn task(&self, id: TaskId) -> TaskView {
        within(self.town["d"].task(&self.admin, id)).await.unwrap()
    }

    /// What is not settled; each of it has an actor that shows whether it rests.
    async fn open(&mut self) -> Vec<TaskId> {
        let mut open = Vec::new();
        let made: BTreeSet<TaskId> = self.made.values().copied().collect();
        for id in made.difference(&self.done.clone()).copied() {
            let task = self.task(id).await;
            if task.status.is_terminal() {
                assert_eq!(task.status, TaskStatus::Completed, "{:?}", task.error);
                self.done.insert(id);
                continue;
            }
            open.push(id);
            let state = self.state(id).await;
            let expected = match task.status {
                TaskStatus::Paused => "paused",
                _ => "running",
            };
            if state.as_deref() != Some(expected) {
                let now = self.task(id).await.status;
                assert!(now.is_terminal(), "{id} is {now:?}, its actor {state:?}");
            }
        }
        open
    }

    /// How the task's actor looks where it is owned.
    async fn state(&self, id: TaskId) -> Option<String> {
        let owner = self.alive.iter().find(|name| {
            let node = self.town[*name].id;
            self.town.owner(id) == Some(node)
        });
        let owner = *owner.unwrap();
        let query = TreeQuery {
            path: Some(format!("/tasks/{id}")),
            node: Some(owner.to_owned()),
            ..TreeQuery::default()
        };
        match self.town[owner].tree(&self.admin, &query).await {
            Ok(tree) => tree.nodes.first().map(|row| row.state.clone()),
            Err(rejection) => {
                assert_eq!(rejection.code(), "not_found");
                None
            }
        }
    }

    /// A node dies; another takes what it owned.
    async fn falls(&mut self, name: &'static str, heir: &'static str) {
        let (dead, heir) = (&self.town[name], &self.town[heir]);
        self.town.vanish(dead);
        self.alive.retain(|other| *other != name);
        let ids: Vec<TaskId> = self.made.values().copied().collect();
        let owned = ids
            .into_iter()
            .filter(|id| self.town.owner(*id) == Some(dead.id));
        let owned: Vec<TaskId> = owned.collect();
        assert!(!owned.is_empty(), "{name} has nothing to lose");
        for id in &owned {
            self.town.give(*id, heir.id);
        }
        self.town.bury(dead.id);
        for id in owned {
            // As the heir's recovery would, this brings it into memory.
            let taken = heir.amend_task(&self.admin, id, TaskPatch::default());
            match within(taken).await {
                Ok(_) | Err(Rejection::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// What came of everything, by name.
    async fn results(&self) -> BTreeMap<String, Value> {
        let mut results = BTreeMap::new();
        for (name, id) in &self.made {
            let wait = Duration::from_secs(15);
            let task = self.town["d"]
                .await_task(&self.admin, *id, wait)
                .await
                .unwrap();
            assert_eq!(task.status, TaskStatus::Completed, "{:?}", task.error);
            for step in &task.plan.unwrap().steps {
                let ends = step.attempts.iter().map(|attempt| attempt.status);
                let good = ends.filter(|end| *end == AttemptStatus::Succeeded);
                assert_eq!(good.count(), 1, "{step:?}");
            }
            results.insert(name.clone(), task.result);
        }
        results
    }

    fn release(&self, count: usize) {
        for name in ["c", "d"] {
            self.town[name].tool.release(count);
        }
    }
}

/// The same tasks, never paused, nothing lost.
async fn undisturbed(groups: usize) -> BTreeMap<String, Value> {
    let mut bustle = Bustle::of(7).await;
    bustle.release(100_000);
    for _ in 0..groups {
        bustle.group(false).await;
    }
    bustle.results().await
}

#[tokio::test]
async fn a_thousand_pauses_and_resumes_on_nodes_that_die_leave_every_task_as_if_there_were_none() {
    let mut bustle = Bustle::of(0x2545_f491_4f6c_dd1d).await;
    let mut open = Vec::new();
    let mut falls = vec![("b", "c"), ("a", "d")];
    let mut turns = 0;
    while turns < TURNS {
        if open.len() < OPEN {
            bustle.group(true).await;
        }
        let all: Vec<TaskId> = bustle.made.values().copied().collect();
        let id = match open.is_empty() {
            true => *bustle.draws.one(&all),
            false => *bustle.draws.one(&open),
        };
        let pause = match bustle.draws.below(6) {
            0 => Some(StopMode::Now),
            1 | 2 => Some(StopMode::Graceful),
            _ => None,
        };
        match bustle.turn(id, pause).await {
            Ok(()) => turns += 1,
            Err(Rejection::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        if bustle.draws.below(3) == 0 {
            bustle.release(1);
        }
        if turns % 20 == 0 || open.len() < OPEN {
            open = bustle.open().await;
        }
        if turns >= TURNS * (3 - falls.len()) / 3
            && let Some((dead, heir)) = falls.pop()
        {
            bustle.falls(dead, heir).await;
            open = bustle.open().await;
        }
    }
    assert_eq!(bustle.alive, ["c", "d"]);
    bustle.release(100_000);
    // Also what is over: what is part of it may rest because of it.
    for id in bustle.made.values().copied().collect::<Vec<_>>() {
        match bustle.turn(id, None).await {
            Ok(()) | Err(Rejection::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let results = bustle.results().await;
    assert_eq!(results, undisturbed(bustle.groups).await);
    assert_eq!(bustle.open().await, []);
}
