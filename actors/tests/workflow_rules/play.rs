//! Plays a run of a workflow as its task would, with answers made up by the test.

use std::collections::HashMap;

use actors::{
    config,
    task::{
        Step, Task,
        rules::{Assignee, Moment, Received},
    },
    workflow::{
        graph::Graph,
        run::{self, Wait},
    },
};
use protocol::{
    allocation::ScoreCard,
    id::{AgentId, NodeId, TaskId, WorkflowId},
    plan::{Plan, PlanSource},
    task::{Event, Failure, Finding, Outcome, StepStatus, TaskSpec, TaskStatus},
    time::Timestamp,
    workflow::{Definition, NodeStatus, RunEvent, RunSpec},
};
use runtime::journal::EventSourced;
use serde_json::{Value, json};
use uuid::Uuid;

/// What an agent answers.
pub(crate) type Answer = Box<dyn FnMut(&Step) -> Outcome>;

/// One run with all that was recorded of it.
pub(crate) struct Play {
    pub(crate) graph: Graph,
    pub(crate) task: Task,
    pub(crate) log: Vec<(Event, Timestamp)>,
    pub(crate) now: Timestamp,
    /// Steps in the order in which they began.
    pub(crate) calls: Vec<String>,
    answer: Answer,
    limits: config::Tasks,
}

pub(crate) fn id() -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(9))
}

pub(crate) fn gives(output: Value) -> Outcome {
    Outcome::Succeeded { output }
}

pub(crate) fn fails(code: &str) -> Outcome {
    Outcome::Failed {
        error: Failure::new(code, "as played"),
        retryable: false,
    }
}

/// Each agent answers with its step's name.
pub(crate) fn by_name() -> Answer {
    Box::new(|step| gives(json!(step.spec.id)))
}

impl Play {
    pub(crate) fn of(definition: Value, input: Value, answer: Answer) -> Self {
        let definition: Definition = serde_json::from_value(definition).unwrap();
        let graph = Graph::compile(&definition).unwrap();
        Self::new(graph, &definition, input, answer)
    }

    /// One that may make so many attempts.
    pub(crate) fn limited(definition: Value, attempts: u32, answer: Answer) -> Self {
        let definition: Definition = serde_json::from_value(definition).unwrap();
        let graph = Graph::compile(&definition).unwrap();
        Self::begin(graph, &definition, Value::Null, Some(attempts), answer)
    }

    pub(crate) fn new(graph: Graph, definition: &Definition, input: Value, answer: Answer) -> Self {
        Self::begin(graph, definition, input, None, answer)
    }

    fn begin(
        graph: Graph,
        definition: &Definition,
        input: Value,
        attempts: Option<u32>,
        answer: Answer,
    ) -> Self {
        let nodes = u32::try_from(graph.nodes.len()).unwrap();
        let mut play = Self {
            graph,
            task: Task::default(),
            log: Vec::new(),
            now: Timestamp::from_micros(1_000_000_000),
            calls: Vec::new(),
            answer,
            limits: config::Tasks::default(),
        };
        let run = RunSpec {
            id: WorkflowId::from_uuid(Uuid::from_u128(1)),
            name: definition.name.clone(),
            version: 1,
            nodes,
            origin: None,
        };
        let mut spec = TaskSpec {
            description: "a run".to_owned(),
            input,
            workflow: Some(Box::new(run)),
            ..TaskSpec::default()
        };
        spec.budget.wall_time = definition.timeout;
        spec.budget.max_attempts = attempts;
        play.record(Event::Submitted {
            spec: Box::new(spec),
            user: "ann".to_owned(),
            trace: None,
        });
        let (source, steps) = (PlanSource::Workflow, Vec::new());
        play.record(Event::Planned {
            plan: Plan { source, steps },
        });
        play.decide();
        play
    }

    pub(crate) fn record(&mut self, event: Event) {
        let event = self.task.large.fold(event);
        self.task.apply(&event, self.now);
        self.log.push((event, self.now));
    }

    fn moment(&self) -> Moment<'_> {
        Moment {
            now: self.now,
            chance: 0.5,
            limits: &self.limits,
        }
    }

    /// Everything that follows without anything happening.
    pub(crate) fn decide(&mut self) {
        let mut rounds = 0;
        loop {
            let mut events = self.task.expire(self.now);
            events.extend(run::decide(&self.graph, id(), &self.task, self.now));
            if events.is_empty() {
                events = self.task.out_of_attempts();
            }
            if events.is_empty() {
                events = self.task.conclude();
            }
            if events.is_empty() {
                return;
            }
            for event in events {
                self.record(event);
            }
            rounds += 1;
            assert!(rounds < 100_000, "decisions never end");
        }
    }

    /// Begins every step that is ready.
    pub(crate) fn start(&mut self) -> usize {
        let ready: Vec<usize> = self.task.ready(self.now).map(|(index, _)| index).collect();
        for index in &ready {
            let to = Assignee {
                agent: AgentId::from_uuid(Uuid::from_u128(2)),
                agent_name: "agent".to_owned(),
                node: NodeId::from_uuid(Uuid::from_u128(3)),
                node_name: "one".to_owned(),
                card: ScoreCard::default(),
            };
            let name = self.task.steps[*index].spec.id.clone();
            let event = self.task.intend(*index, to, name.clone(), self.now);
            self.record(event.unwrap());
            self.calls.push(name);
        }
        ready.len()
    }

    /// The names of the steps that run.
    pub(crate) fn running(&self) -> Vec<String> {
        let running = self
            .task
            .steps
            .iter()
            .filter(|step| step.running().is_some());
        running.map(|step| step.spec.id.clone()).collect()
    }

    /// A step that runs ends so.
    pub(crate) fn end(&mut self, name: &str, outcome: &Outcome) {
        let index = self.task.position(name).unwrap();
        let number = self.task.steps[index].running().unwrap().number;
        let received = self
            .task
            .receive(name, number, name, outcome, self.moment());
        let Received::Counts(events) = received else {
            panic!("{name}: {received:?}");
        };
        for event in events {
            self.record(event);
        }
        self.decide();
    }

    /// A step that runs ends as its agent answers.
    pub(crate) fn answer(&mut self, name: &str) {
        let index = self.task.position(name).unwrap();
        let outcome = (self.answer)(&self.task.steps[index]);
        self.end(name, &outcome);
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(std::time::Duration::from_secs(seconds));
        self.decide();
    }

    /// Goes on until nothing happens any more, one step after another.
    pub(crate) fn play(&mut self) -> &mut Self {
        for _ in 0..100_000 {
            self.start();
            let Some(first) = self.running().first().cloned() else {
                break;
            };
            self.now = self.now.plus(std::time::Duration::from_millis(1));
            self.answer(&first);
        }
        self
    }

    pub(crate) fn status(&self, node: &str) -> NodeStatus {
        let run = self.task.run.as_ref().unwrap();
        run.turn(node).map(|turn| turn.status).unwrap_or_default()
    }

    pub(crate) fn statuses(&self) -> HashMap<String, NodeStatus> {
        let nodes = self.graph.nodes.iter();
        nodes
            .map(|place| (place.id().to_owned(), self.status(place.id())))
            .collect()
    }

    pub(crate) fn result(&self) -> &Value {
        assert_eq!(
            self.task.status,
            TaskStatus::Completed,
            "{:?}",
            self.task.error
        );
        &self.task.result
    }

    pub(crate) fn error(&self) -> &Failure {
        assert_eq!(self.task.status, TaskStatus::Failed);
        self.task.error.as_ref().unwrap()
    }

    pub(crate) fn cancel(&mut self) {
        let event = self.task.cancel("ann", "enough").unwrap();
        self.record(event);
        for name in self.running() {
            self.end(&name, &Outcome::Cancelled);
        }
        self.decide();
    }

    /// What a node waits for says so.
    pub(crate) fn tell(&mut self, node: &str, output: Value) {
        let turn = self.task.run.as_ref().unwrap().turn(node).unwrap();
        let event = RunEvent::Ended {
            at: turn.at(),
            status: NodeStatus::Completed,
            output,
            error: None,
            gathered: false,
            detail: Value::Null,
        };
        self.record(Event::Run { event });
        self.decide();
    }

    /// Nobody whom it asked about a call of this node can tell.
    pub(crate) fn nobody_knows(&mut self, node: &str) {
        let turn = self.task.run.as_ref().unwrap().turn(node).unwrap();
        let Some(Wait::For {
            about: Some(step), ..
        }) = &turn.waits
        else {
            panic!("{node} asks nobody: {turn:?}");
        };
        let message = format!("nobody knows whether step {step} took effect: no answer");
        let event = RunEvent::Ended {
            at: turn.at(),
            status: NodeStatus::Failed,
            output: Value::Null,
            error: Some(Failure::new("outcome_unknown", message)),
            gathered: false,
            detail: Value::Null,
        };
        self.record(Event::Run { event });
        self.decide();
    }

    /// The steps about which people are asked at the moment.
    pub(crate) fn asked(&self) -> Vec<&str> {
        let waits = self.task.run.as_ref().unwrap().waits();
        let asked = waits.filter_map(|(_, wait)| match wait {
            Wait::For { about, .. } => about.as_deref(),
            Wait::Until(_) => None,
        });
        asked.collect()
    }

    /// What a probe of the lost attempt of a step found.
    pub(crate) fn probe(&mut self, name: &str, finding: Finding) {
        let index = self.task.position(name).unwrap();
        let number = self.task.steps[index].to_probe().unwrap().number;
        for event in self.task.probed(name, number, finding, self.moment()) {
            self.record(event);
        }
        self.decide();
    }

    /// What was recorded gives the same state, and so does a snapshot of it.
    pub(crate) fn replays(&self) {
        let replayed = run::replay::replay(&self.graph, id(), &self.log);
        assert_eq!(replayed.divergence, None, "{:?}", self.log);
        let mut again = Task::default();
        for (event, at) in &self.log {
            let text = serde_json::to_string(event).unwrap();
            let event: Event = serde_json::from_str(&text).unwrap();
            again.apply(&event, *at);
        }
        assert_eq!(again, self.task);
        let text = serde_json::to_string(&self.task).unwrap();
        assert_eq!(serde_json::from_str::<Task>(&text).unwrap(), self.task);
    }

    pub(crate) fn step(&self, name: &str) -> &Step {
        &self.task.steps[self.task.position(name).unwrap()]
    }

    pub(crate) fn is_settled(&self) -> bool {
        let over = self.task.status.is_terminal();
        let open = |step: &Step| !matches!(step.status, status if StepStatus::is_settled(status));
        assert!(!over || !self.task.steps.iter().any(open), "steps are open");
        over
    }
}
