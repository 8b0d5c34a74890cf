//! What a task has to do with other actors, and by which names its attempts stand in the tree.

use protocol::{
    api::{ActorLink, BudgetLeft, Relation},
    entity::path,
    id::TaskId,
    task::Budget,
    time::{Span, Timestamp},
};

use super::Task;
use crate::registry::view::path_of;

/// What an agent works on, as the name of its row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// For this task.
    pub task: TaskId,
    /// As this step of it.
    pub step: String,
    /// Which attempt.
    pub attempt: u32,
}

impl Errand {
    /// What the last name of a row's path says.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next()?;
        let (task, rest) = name.split_once(':')?;
        let (step, attempt) = rest.rsplit_once(':')?;
        Some(Self {
            task: task.parse().ok()?,
            step: step.to_owned(),
            attempt: attempt.parse().ok()?,
        })
    }

    /// The task that it is for, where the row at `path` is of one of its tenant's agents.
    #[must_use]
    pub fn works_for(self, path: &str) -> ActorLink {
        let agent = path.split('/').nth(2).unwrap_or_default();
        let tenant = agent.rfind('~').map_or("", |end| &agent[..=end]);
        let task = format!("/tasks/{tenant}{}", self.task);
        self.link(Relation::WorksFor, task, None)
    }

    /// Where its row stands, below that of its agent.
    #[must_use]
    pub fn below(&self, agent: &str) -> String {
        let Self {
            task,
            step,
            attempt,
        } = self;
        format!("{agent}/{task}:{step}:{attempt}")
    }

    /// As a link of this relation to what stands at `path`.
    #[must_use]
    pub fn link(self, relation: Relation, path: String, node: Option<String>) -> ActorLink {
        ActorLink {
            relation,
            path,
            node,
            step: Some(self.step),
            attempt: Some(self.attempt),
        }
    }
}

/// A link to a task as a whole.
#[must_use]
pub fn to_task(relation: Relation, tenant: &str, id: TaskId) -> ActorLink {
    ActorLink {
        relation,
        path: path("tasks", tenant, &id.to_string()),
        node: None,
        step: None,
        attempt: None,
    }
}

/// The agent of a proxy.
#[must_use]
pub const fn agent_of(agent: String) -> ActorLink {
    ActorLink {
        relation: Relation::Agent,
        path: agent,
        node: None,
        step: None,
        attempt: None,
    }
}

/// What runs the attempts of the agent at a path, on the node that hosts it.
#[must_use]
pub fn proxy_of(agent: &str, node: Option<String>) -> ActorLink {
    ActorLink {
        relation: Relation::Proxy,
        path: format!("{agent}/proxy"),
        node,
        step: None,
        attempt: None,
    }
}

/// What its events tell: what it is a part of, and which attempts run for it and where.
#[must_use]
pub fn links(tenant: &str, id: TaskId, task: &Task) -> Vec<ActorLink> {
    let part_of = task.spec.parent_id;
    let part_of = part_of.map(|parent| to_task(Relation::PartOf, tenant, parent));
    let running = task.steps.iter().filter_map(|step| {
        let attempt = step.running()?;
        let errand = Errand {
            task: id,
            step: step.spec.id.clone(),
            attempt: attempt.number,
        };
        let path = errand.below(&path_of(tenant, &attempt.agent_name));
        let node = Some(attempt.node_name.clone());
        Some(errand.link(Relation::Attempt, path, node))
    });
    part_of.into_iter().chain(running).collect()
}

impl Task {
    /// What is left of its limits, if it goes on and has any.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> Option<BudgetLeft> {
        let Budget {
            max_attempts,
            wall_time,
            queue_time: _,
        } = self.spec.budget;
        if self.status.is_terminal() || (max_attempts, wall_time) == (None, None) {
            return None;
        }
        let rests = self.pauses().first().map(|pause| now.since(pause.since));
        let rested = self.paused_for + rests.unwrap_or_default();
        let spent = now.since(self.created_at).saturating_sub(rested);
        Some(BudgetLeft {
            attempts: max_attempts.map(|most| most.saturating_sub(self.attempts())),
            wall_time: wall_time.map(|wall| Span(wall.0.saturating_sub(spent))),
        })
    }
}

#[cfg(test)]
mod tests {
    use protocol::{
        allocation::ScoreCard,
        id::{AgentId, NodeId},
        plan::{Plan, PlanSource},
        task::{Event, Outcome, TaskSpec},
    };
    use runtime::journal::EventSourced;

    use super::*;

    fn second(number: i64) -> Timestamp {
        Timestamp::from_micros(number * 1_000_000)
    }

    fn seconds(number: u64) -> Span {
        Span(std::time::Duration::from_secs(number))
    }

    fn id(number: u128) -> TaskId {
        TaskId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn started(number: u32) -> Event {
        Event::AttemptStarted {
            step: "one".to_owned(),
            number,
            agent: AgentId::from_uuid(uuid::Uuid::nil()),
            agent_name: "coder".to_owned(),
            node: NodeId::from_uuid(uuid::Uuid::nil()),
            node_name: "two".to_owned(),
            token: String::new(),
            card: Box::new(ScoreCard::default()),
        }
    }

    fn ended(number: u32) -> Event {
        Event::AttemptEnded {
            step: "one".to_owned(),
            number,
            agent: "coder".to_owned(),
            started_at: second(0),
            outcome: Outcome::Cancelled,
            usage: None,
        }
    }

    /// A part of task 1 with one step, after these events, one a second.
    fn task(budget: Budget, events: impl IntoIterator<Item = Event>) -> Task {
        let spec = TaskSpec {
            parent_id: Some(id(1)),
            budget,
            ..TaskSpec::default()
        };
        let step = serde_json::from_value(serde_json::json!({ "id": "one" }));
        let plan = Plan {
            steps: vec![step.unwrap()],
            source: PlanSource::Explicit,
        };
        let mut task = Task::default();
        let first = [
            Event::Submitted {
                spec: Box::new(spec),
                user: "ada".to_owned(),
                trace: None,
            },
            Event::Planned { plan },
        ];
        for (at, event) in (0..).zip(first.into_iter().chain(events)) {
            task.apply(&event, second(at));
        }
        task
    }

    #[test]
    fn a_task_is_linked_to_what_it_is_a_part_of_and_to_what_runs_for_it() {
        let running = task(Budget::default(), [started(1), ended(1), started(2)]);
        let [part_of, attempt] = &links("acme", id(2), &running)[..] else {
            panic!("{:?}", links("acme", id(2), &running));
        };
        assert_eq!(part_of.relation, Relation::PartOf);
        assert_eq!(part_of.path, format!("/tasks/acme~{}", id(1)));
        assert_eq!(attempt.relation, Relation::Attempt);
        assert_eq!(attempt.path, format!("/agents/acme~coder/{}:one:2", id(2)));
        assert_eq!(attempt.node.as_deref(), Some("two"));
        let errand = Errand::at(&attempt.path).unwrap();
        let expected = (id(2), "one", 2);
        assert_eq!((errand.task, &*errand.step, errand.attempt), expected);
        let task_of = errand.works_for(&attempt.path);
        assert_eq!(task_of.path, format!("/tasks/acme~{}", id(2)));
        let idle = task(Budget::default(), [started(1), ended(1)]);
        assert_eq!(links("acme", id(2), &idle).len(), 1);
        for path in ["/agents/coder/proxy", "/agents/coder", "/tasks/a:b:c", "/"] {
            assert_eq!(Errand::at(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_left_of_limits_gets_less_with_attempts_and_time_but_not_in_a_pause() {
        let limits = Budget {
            max_attempts: Some(3),
            wall_time: Some(seconds(60)),
            queue_time: None,
        };
        let left = |events: Vec<Event>, now| {
            let left = task(limits.clone(), events).left(second(now)).unwrap();
            (left.attempts, left.wall_time)
        };
        let some = |attempts, wall| (Some(attempts), Some(seconds(wall)));
        assert_eq!(left(vec![], 10), some(3, 50));
        assert_eq!(
            left(vec![started(1), ended(1), started(2)], 10),
            some(1, 50)
        );
        assert_eq!(left(vec![started(1)], 100), some(2, 0));
        let paused = Event::Paused {
            user: "ada".to_owned(),
            reason: String::new(),
            hold: None,
            above: None,
        };
        let resumed = Event::Resumed {
            user: "ada".to_owned(),
            hold: None,
            above: None,
        };
        // Since its second second.
        assert_eq!(left(vec![paused.clone()], 100), some(3, 58));
        assert_eq!(left(vec![paused, resumed], 13), some(3, 48));
        assert_eq!(task(Budget::default(), []).left(second(1)), None);
    }
}
