//! What clients do to a run of a workflow, beside what they do to every task.

use protocol::{task::Event, workflow::RunEvent};
use serde_json::{Map, Value};

use super::Task;
use crate::Rejection;

impl Task {
    /// New values for what the nodes share, made from this version of it.
    ///
    /// # Errors
    ///
    /// `Conflict` when it is over, or somebody wrote since.
    pub fn write_context(
        &self,
        version: u64,
        values: Map<String, Value>,
    ) -> Result<Event, Rejection> {
        let run = self.run.as_deref();
        let run = run.ok_or_else(|| Rejection::not_found("a run of a workflow"))?;
        if self.status.is_terminal() || self.cancelling {
            return Err(Rejection::Conflict {
                code: "already_settled",
                message: "the run is over, or is being stopped; its context stays as it is"
                    .to_owned(),
            });
        }
        if version != run.context_version {
            return Err(Rejection::Conflict {
                code: "context_changed",
                message: format!(
                    "the context has version {} by now, and this was made from {version}; read it again and write what still holds",
                    run.context_version
                ),
            });
        }
        Ok(Event::Run {
            event: RunEvent::Wrote {
                node: None,
                version: run.context_version + 1,
                values,
            },
        })
    }

    /// Its end at once: nothing is taken back. Nothing when it is over.
    #[must_use]
    pub fn terminate(&self, user: &str, reason: &str) -> Vec<Event> {
        if self.status.is_terminal() || self.run.is_none() {
            return Vec::new();
        }
        let nothing = RunEvent::TakesBack { nodes: Vec::new() };
        let cancelled = self.cancel(user, reason).into_iter();
        cancelled.chain([Event::Run { event: nothing }]).collect()
    }
}

#[cfg(test)]
mod tests {
    use protocol::{
        plan::{Plan, PlanSource},
        task::TaskSpec,
        time::Timestamp,
    };
    use runtime::journal::EventSourced;
    use serde_json::json;

    use super::*;

    fn run() -> Task {
        let mut task = Task::default();
        let submitted = Event::Submitted {
            spec: Box::new(TaskSpec::default()),
            user: "ann".to_owned(),
            trace: None,
        };
        let plan = Plan {
            source: PlanSource::Workflow,
            steps: Vec::new(),
        };
        for event in [submitted, Event::Planned { plan }] {
            task.apply(&event, Timestamp::default());
        }
        task
    }

    fn values(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_second_of_two_who_write_from_the_same_version_is_told_so() {
        let mut run = run();
        let first = run.write_context(0, values(json!({"a": 1}))).unwrap();
        run.apply(&first, Timestamp::default());
        let second = run.write_context(0, values(json!({"a": 2}))).unwrap_err();
        assert_eq!(second.code(), "context_changed");
        let again = run.write_context(1, values(json!({"a": null}))).unwrap();
        run.apply(&again, Timestamp::default());
        let run = run.run.unwrap();
        assert_eq!((run.context, run.context_version), (Map::new(), 2));
    }

    #[test]
    fn what_is_terminated_takes_nothing_back() {
        let mut run = run();
        let events = run.terminate("ann", "r");
        assert_eq!(events.len(), 2);
        for event in &events {
            run.apply(event, Timestamp::default());
        }
        assert!(run.cancelling);
        assert_eq!(run.run.as_ref().unwrap().taking_back, Some(Vec::new()));
        assert!(run.write_context(0, Map::new()).is_err());
        let plain = Task::default();
        assert_eq!(plain.terminate("ann", "r"), []);
    }
}
