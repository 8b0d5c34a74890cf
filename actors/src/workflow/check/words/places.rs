//! Every place of a definition where a text of the language stands, with what can be seen from there.

use protocol::workflow::{Choose, Definition, Director, Expert, Human, Node, Work, Worker};

use super::{
    super::{Findings, element, field, graph::Web},
    Known, View, Words,
};
use crate::workflow::expression::Kinds;

pub(in super::super) fn check(definition: &Definition, web: &Web<'_>, found: &mut Findings) {
    let set = definition.nodes.iter().flat_map(|node| node.set.keys());
    let context = definition.context.keys().chain(set);
    let mut words = Words {
        definition,
        web,
        context: context.map(String::as_str).collect(),
        found,
    };
    for (at, node) in definition.nodes.iter().enumerate() {
        words.node(at, node);
    }
    words.edges();
    let at_once = View {
        node: None,
        beside: &[],
        known: Known::None,
    };
    if let Some(director) = &definition.director {
        words.director("director", director, at_once);
    }
    words.experts("experts", &definition.experts, at_once);
    if let Some(choose) = &definition.choose {
        words.choose("choose", choose, at_once);
    }
    let at_last = View {
        known: Known::All,
        ..at_once
    };
    words.template("output", &definition.output, at_last);
}

impl Words<'_, '_> {
    fn node(&mut self, at: usize, node: &Node) {
        let path = element("nodes", at);
        let view = View {
            node: Some(&node.id),
            beside: &[],
            known: Known::Before(at),
        };
        let over = View {
            beside: &["output"],
            known: Known::With(at),
            ..view
        };
        if let Some(when) = &node.when {
            // Its `output` is what the node is handed.
            let beside = &["output"];
            self.condition(&field(&path, "when"), when, View { beside, ..view });
        }
        self.template(&field(&path, "input"), &node.input, view);
        let set = field(&path, "set");
        for (key, value) in &node.set {
            self.template(&field(&set, key), value, over);
        }
        if let Some(undo) = &node.compensate {
            let path = field(&field(&path, "compensate"), "input");
            let known = Known::All;
            self.template(&path, &undo.input, View { known, ..over });
        }
        self.work(&path, &node.work, view);
    }

    fn work(&mut self, path: &str, work: &Work, view: View<'_>) {
        match work {
            Work::Task(worker) | Work::Agent(worker) => self.worker(path, worker, view),
            Work::Condition { condition } => {
                // A comparison looks at what it is handed.
                let beside = &["output"];
                self.condition(
                    &field(path, "condition"),
                    condition,
                    View { beside, ..view },
                );
            }
            Work::Parallel | Work::Join(_) | Work::Subworkflow { .. } => {}
            Work::Map { over, each, .. } => {
                let place = field(path, "over");
                let kinds = self.template(&place, over, view);
                self.must_be(&place, kinds, Kinds::LIST, view);
                let beside = &["item", "index"];
                self.worker(&field(path, "each"), each, View { beside, ..view });
            }
            Work::Human(human) => self.human(path, human, view),
            Work::Wait { until, .. } => {
                let place = field(path, "until");
                let kinds = self.template(&place, until, view);
                if !until.is_null() {
                    self.must_be(&place, kinds, Kinds::TEXT, view);
                }
            }
            Work::Transform { output } => {
                self.template(&field(path, "output"), output, view);
            }
            Work::Direct(director) => self.director(path, director, view),
            Work::Mixture { experts, choose } => {
                self.experts(&field(path, "experts"), experts, view);
                self.choose(&field(path, "choose"), choose, view);
            }
        }
    }

    fn must_be(&mut self, path: &str, kinds: Kinds, wanted: Kinds, view: View<'_>) {
        if !kinds.can_be(wanted) {
            let message = format!("{wanted} is where this must lead; it is {kinds}");
            self.found.add(view.node, path, message);
        }
    }

    fn human(&mut self, path: &str, human: &Human, view: View<'_>) {
        self.text(&field(path, "question"), Some(&human.question), view);
    }

    fn worker(&mut self, path: &str, worker: &Worker, view: View<'_>) {
        self.text(&field(path, "prompt"), worker.prompt.as_ref(), view);
        self.template(&field(path, "with"), &worker.input, view);
    }

    fn director(&mut self, path: &str, director: &Director, view: View<'_>) {
        let beside = &["rounds"];
        let view = View { beside, ..view };
        self.worker(path, &director.lead, view);
        self.worker(&field(path, "workers"), &director.workers, view);
    }

    fn experts(&mut self, path: &str, experts: &[Expert], view: View<'_>) {
        for (at, expert) in experts.iter().enumerate() {
            self.worker(&element(path, at), &expert.worker, view);
        }
    }

    fn choose(&mut self, path: &str, choose: &Choose, view: View<'_>) {
        match choose {
            Choose::Vote { of: Some(of) } => self.query(&field(path, "of"), of, view.node),
            Choose::BestOf { score } => self.query(&field(path, "score"), score, view.node),
            Choose::Judge(judge) => {
                let beside = &["candidates"];
                self.worker(path, judge, View { beside, ..view });
            }
            Choose::Vote { of: None } | Choose::Concat { .. } => {}
        }
    }

    fn edges(&mut self) {
        for (at, edge) in self.definition.edges.iter().enumerate() {
            let Some(condition) = &edge.condition else {
                continue;
            };
            let from = self.web.ids.get(edge.from.as_str());
            let view = View {
                node: Some(&edge.from),
                beside: &["output"],
                known: from.map_or(Known::All, |from| Known::With(*from)),
            };
            let path = field(&element("edges", at), "condition");
            self.condition(&path, condition, view);
        }
    }
}
