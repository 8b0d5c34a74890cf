//! Where attempts run: what their tools do, and how their results get home.

use std::{rc::Rc, time::Duration};

use protocol::{
    entity::EntityId,
    task::{Failure, Finding, Outcome},
};
use serde_json::json;

use crate::{
    chance::{MS, SECOND},
    link::{End, Message, Run},
    node::{Notice, WALL_ERROR},
    world::World,
};

const AGAIN: Duration = Duration::from_secs(1);

/// An attempt on its host, until its result is recorded.
#[derive(Debug)]
pub(crate) struct Hosted {
    run: Rc<Run>,
    /// What its tool will say.
    fate: Outcome,
    /// Whether its tool is yet to take effect.
    takes: bool,
    /// What it said.
    outcome: Option<Rc<Outcome>>,
}

fn failed(code: &str, retryable: bool) -> Outcome {
    Outcome::Failed {
        error: Failure::new(code, "as drawn"),
        retryable,
    }
}

pub(crate) fn lost() -> Outcome {
    Outcome::Lost {
        error: Failure::new("node_lost", "its host may not act any more"),
    }
}

impl World {
    pub(crate) fn dispatched(&mut self, n: usize, owner: usize, run: Rc<Run>) {
        let node = &self.nodes[n];
        if node.hosted.contains_key(&run.token) {
            self.begun(n, owner, &run);
            return;
        }
        if node.closed.contains(&run.token) {
            self.queried(n, owner, &run);
            return;
        }
        if !node.fence.holds() {
            return;
        }
        let token = run.token.clone();
        let doubt = Duration::from_micros(2 * WALL_ERROR);
        if node.anew.is_some_and(|anew| run.since < anew.plus(doubt)) {
            // Recorded before this node was fenced: its owner may have given it up since.
            self.keep(n, &run, failed("not_started", true), false);
            self.over(n, &token, failed("not_started", true));
            return;
        }
        self.oracle.begins(&run);
        let draw = self.chance.below(100);
        let (fate, takes) = match draw {
            0..78 => (
                Outcome::Succeeded {
                    output: json!(run.token),
                },
                true,
            ),
            78..86 => (failed("exit_status", true), true),
            86..92 => (failed("exit_status", true), false),
            92..96 => (failed("connect", true), false),
            _ => (failed("input", false), false),
        };
        self.keep(n, &run, fate, takes);
        let lasts = self.chance.between(20 * MS, 6 * SECOND);
        if takes {
            let at = Duration::from_micros(self.chance.between(0, lasts));
            self.after(n, at, Notice::Takes(token.clone()));
        }
        self.after(n, Duration::from_micros(lasts), Notice::Ends(token));
        self.begun(n, owner, &run);
    }

    fn keep(&mut self, n: usize, run: &Rc<Run>, fate: Outcome, takes: bool) {
        let hosted = Hosted {
            run: run.clone(),
            fate,
            takes,
            outcome: None,
        };
        self.nodes[n].hosted.insert(run.token.clone(), hosted);
    }

    fn begun(&mut self, n: usize, owner: usize, run: &Run) {
        let begun = Message::Begun(run.stream, run.token.clone());
        self.send(End::Node(n), End::Node(owner), None, begun);
    }

    /// The moment at which the world outside changes: the witness writes it down.
    pub(crate) fn takes_effect(&mut self, n: usize, token: &str) {
        let node = &mut self.nodes[n];
        let Some(hosted) = node.hosted.get_mut(token) else {
            return;
        };
        if hosted.outcome.is_some() || !std::mem::take(&mut hosted.takes) {
            return;
        }
        let run = hosted.run.clone();
        if node.fence.holds() {
            self.trace(format_args!("effect of {} {}", run.stream, run.token));
            self.oracle.effect(&run);
        } else {
            // Its process is killed when the lease is over.
            self.over(n, token, lost());
        }
    }

    pub(crate) fn attempt_over(&mut self, n: usize, token: &str) {
        self.takes_effect(n, token);
        let node = &self.nodes[n];
        if let Some(hosted) = node.hosted.get(token) {
            let outcome = if node.fence.holds() {
                hosted.fate.clone()
            } else {
                lost()
            };
            self.over(n, token, outcome);
        }
    }

    fn over(&mut self, n: usize, token: &str, outcome: Outcome) {
        if let Some(hosted) = self.nodes[n].hosted.get_mut(token)
            && hosted.outcome.is_none()
        {
            hosted.outcome = Some(Rc::new(outcome));
            self.report(n, token);
        }
    }

    /// Tells the owner, again and again until the result is recorded.
    pub(crate) fn report(&mut self, n: usize, token: &str) {
        if let Some(hosted) = self.nodes[n].hosted.get(token)
            && let Some(outcome) = &hosted.outcome
        {
            let result = Message::Result(n, hosted.run.clone(), outcome.clone());
            let stream = hosted.run.stream;
            self.send_to_owner(n, stream, result);
            self.after(n, AGAIN, Notice::Report(token.to_owned()));
        }
    }

    pub(crate) fn recorded(&mut self, n: usize, token: String) {
        self.nodes[n].hosted.remove(&token);
        self.nodes[n].closed.insert(token);
    }

    pub(crate) fn stopped(&mut self, n: usize, owner: usize, run: &Run) {
        if self.nodes[n].hosted.contains_key(&run.token) {
            self.over(n, &run.token, Outcome::Cancelled);
        } else {
            self.queried(n, owner, run);
        }
    }

    pub(crate) fn queried(&mut self, n: usize, owner: usize, run: &Run) {
        let (stream, token) = (run.stream, run.token.clone());
        let answer = if self.nodes[n].hosted.contains_key(&token) {
            Message::Known(stream, token)
        } else {
            self.nodes[n].closed.insert(token.clone());
            Message::Unknown(stream, token)
        };
        self.send(End::Node(n), End::Node(owner), None, answer);
    }

    /// Asks the world outside whether a step's effect took place.
    pub(crate) fn probed(&mut self, n: usize, owner: usize, run: &Run) {
        let finding = if self.chance.percent(5) {
            Finding::Unknown {
                detail: "as drawn".to_owned(),
            }
        } else {
            self.oracle.find(run)
        };
        let found = Message::Found(run.stream, run.step.clone(), run.number, Rc::new(finding));
        self.send(End::Node(n), End::Node(owner), None, found);
    }

    /// The lease is over: nothing that runs here may go on.
    pub(crate) fn abandon_attempts(&mut self, n: usize) {
        let running: Vec<_> = self.nodes[n].hosted.keys().cloned().collect();
        for token in running {
            self.over(n, &token, lost());
        }
    }

    /// Hosts of attempts of this node's entities may have died.
    pub(crate) fn watch_hosts(&mut self, n: usize) {
        let node = &self.nodes[n];
        let mourning: Vec<EntityId> = node
            .entities
            .iter()
            .filter(|(_, entity)| entity.has_lost(&node.roster))
            .map(|(stream, _)| *stream)
            .collect();
        for stream in mourning {
            self.tell(n, stream, crate::owner::Mail::HostsGone);
        }
    }
}
