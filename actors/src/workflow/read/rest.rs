//! What else is wrong with a definition that cannot be read: what cannot be is left out, and the rest
//! is looked at.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{parsed, unreadable};
use crate::workflow::check::{self, Problem};

/// Problems of values that are told at once.
const TOLD: usize = 100;

/// A definition, and of which of its nodes nothing more is said.
pub(super) struct Rest<'a> {
    whole: &'a Value,
    left: Value,
    nodes: BTreeSet<usize>,
}

impl<'a> Rest<'a> {
    pub(super) fn of(whole: &'a Value) -> Self {
        Self {
            whole,
            left: whole.clone(),
            nodes: BTreeSet::new(),
        }
    }

    /// These problems, and those of all that they do not touch.
    pub(super) fn told(mut self, mut problems: Vec<Problem>) -> Vec<Problem> {
        let mut new = 0;
        while problems.len() < TOLD {
            if !problems[new..].iter().all(|it| self.leave_out(&it.path)) {
                return problems;
            }
            new = problems.len();
            match parsed(&self.left) {
                Ok(definition) => {
                    let more = check::check(&definition).into_iter();
                    problems.extend(more.filter(|problem| !self.is_of_those(problem)));
                    return problems;
                }
                Err(error) => match unreadable(self.whole, error) {
                    // What stands for a node does not fit either: that is nobody's fault.
                    problem if self.is_of_those(&problem) => return problems,
                    problem => problems.push(problem),
                },
            }
        }
        let message = "there may be more; only so much is told at once";
        problems.push(Problem::more(message));
        problems
    }

    /// Lets a node that is called the same stand for the one at a path; whether there is one. Of what is
    /// wrong elsewhere, too much would follow that is nobody's fault.
    fn leave_out(&mut self, path: &str) -> bool {
        let Some(at) = index(path) else {
            return false;
        };
        let Some(node) = self.left.pointer_mut(&format!("/nodes/{at}")) else {
            return false;
        };
        let id = node.get("id").filter(|id| id.is_string()).cloned();
        let needs = node.get("needs").filter(|needs| {
            let needs = needs.as_array().into_iter().flatten();
            needs.into_iter().all(Value::is_string)
        });
        let needs = needs.filter(|needs| needs.is_array()).cloned();
        let Some(id) = id else {
            return false;
        };
        let needs = needs.unwrap_or_else(|| json!([]));
        *node = json!({ "id": id, "type": "task", "capability": "any", "needs": needs });
        self.nodes.insert(at);
        true
    }

    fn is_of_those(&self, problem: &Problem) -> bool {
        index(&problem.path).is_some_and(|at| self.nodes.contains(&at))
    }
}

/// Which node a path leads through.
fn index(path: &str) -> Option<usize> {
    path.strip_prefix("nodes[")?.split_once(']')?.0.parse().ok()
}
