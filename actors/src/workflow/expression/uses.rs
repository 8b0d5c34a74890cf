//! What of a scope is referred to.

use std::collections::BTreeSet;

use serde_json::Value;

use super::term::{Access, Term};

/// What of a run's scope is referred to, so that only that is put together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    /// The input of the run.
    pub input: bool,
    /// Its context.
    pub context: bool,
    /// Which nodes.
    pub nodes: UsedNodes,
    /// Other keys of the scope: `item`, `index`, `output`, `candidates`, `run`, …; `$` for all of it.
    pub roots: BTreeSet<String>,
}

/// Which nodes are referred to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsedNodes {
    /// Those of these ids.
    Named(BTreeSet<String>),
    /// All of them.
    All,
}

impl Default for UsedNodes {
    fn default() -> Self {
        Self::Named(BTreeSet::new())
    }
}

impl UsedNodes {
    fn add(&mut self, id: &str) {
        if let Self::Named(ids) = self {
            ids.insert(id.to_owned());
        }
    }
}

impl Uses {
    /// Adds a path into the scope, by its known keys.
    pub(in super::super) fn add(&mut self, path: &[String]) {
        let Some((root, rest)) = path.split_first() else {
            self.input = true;
            self.context = true;
            self.nodes = UsedNodes::All;
            self.roots.insert("$".to_owned());
            return;
        };
        match (root.as_str(), rest) {
            ("input", _) => self.input = true,
            ("context", _) => self.context = true,
            ("nodes", [id, ..]) => self.nodes.add(id),
            ("nodes", []) => self.nodes = UsedNodes::All,
            (other, _) => {
                self.roots.insert(other.to_owned());
            }
        }
    }
}

/// Shows each path into the scope, as far as its keys are known.
pub(super) fn visit(term: &Term, show: &mut dyn FnMut(&[String])) {
    match term {
        Term::Literal(_) => {}
        Term::Query(query) => show(&query.keys()),
        Term::Name(name) => show(std::slice::from_ref(name)),
        Term::Inside { of, steps } => inside(of, steps, show),
        Term::Not(term) | Term::Minus(term) => visit(term, show),
        Term::Object(fields) => fields.iter().for_each(|(_, term)| visit(term, show)),
        Term::Product(first, rest) | Term::Sum(first, rest) => {
            visit(first, show);
            rest.iter().for_each(|(_, term)| visit(term, show));
        }
        Term::Compare(left, _, right) => {
            visit(left, show);
            visit(right, show);
        }
        Term::Choice(parts) => parts.iter().for_each(|term| visit(term, show)),
        Term::List(terms)
        | Term::Call(_, terms)
        | Term::All(terms)
        | Term::Any(terms)
        | Term::FirstKnown(terms) => terms.iter().for_each(|term| visit(term, show)),
    }
}

fn inside(of: &Term, steps: &[Access], show: &mut dyn FnMut(&[String])) {
    let known = steps.iter().map_while(|step| match step {
        Access::Field(name) => Some(name.clone()),
        Access::Index(Term::Literal(Value::Number(number))) => Some(number.to_string()),
        Access::Index(_) => None,
    });
    match of {
        Term::Name(name) => {
            let path: Vec<String> = std::iter::once(name.clone()).chain(known).collect();
            show(&path);
        }
        Term::Query(query) if !query.finds_many() => {
            let path: Vec<String> = query.keys().into_iter().chain(known).collect();
            show(&path);
        }
        other => visit(other, show),
    }
    for step in steps {
        match step {
            Access::Field(_) => {}
            Access::Index(term) => visit(term, show),
        }
    }
}
