//! What of a definition is drawn, whatever its shape.

use std::collections::HashMap;

use protocol::workflow::{
    Choose, Condition, Definition, Director, Edge, Expert, Node, Op, Shape, Work, Worker,
};

/// Longest label of an edge, in letters.
const LABEL: usize = 40;

/// A box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Figure {
    pub(super) id: String,
    /// Its type, and who does it.
    pub(super) about: String,
    pub(super) form: Form,
}

/// What a box looks like, where that can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Box,
    Diamond,
    Round,
    Person,
}

/// An arrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) label: String,
    /// It leads to what was before.
    pub(super) goes_back: bool,
}

/// A picture before it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sketch {
    pub(super) name: String,
    pub(super) figures: Vec<Figure>,
    pub(super) arrows: Vec<Arrow>,
}

impl Sketch {
    pub(super) fn of(definition: &Definition) -> Self {
        let mut sketch = Self {
            name: definition.name.clone(),
            figures: definition.nodes.iter().map(figure).collect(),
            arrows: Vec::new(),
        };
        match definition.shape {
            Shape::Hierarchical => sketch.add_director(definition.director.as_ref()),
            Shape::Mixture => sketch.add_experts(&definition.experts, definition.choose.as_ref()),
            Shape::Sequential => {
                for to in 1..sketch.figures.len() {
                    sketch.arrows.push(arrow(to - 1, to));
                }
                sketch.add_edges(definition);
            }
            Shape::Concurrent | Shape::Graph => sketch.add_edges(definition),
        }
        sketch
    }

    fn add_edges(&mut self, definition: &Definition) {
        let mut places = HashMap::new();
        for (at, node) in definition.nodes.iter().enumerate() {
            places.entry(node.id.as_str()).or_insert(at);
        }
        let place = |id: &str| places.get(id).copied();
        for edge in &definition.edges {
            if let (Some(from), Some(to)) = (place(&edge.from), place(&edge.to)) {
                self.arrows.push(Arrow {
                    label: label(edge),
                    goes_back: edge.back.is_some(),
                    ..arrow(from, to)
                });
            }
        }
        for (to, node) in definition.nodes.iter().enumerate() {
            let needs = node.needs.iter().filter_map(|need| place(need));
            self.arrows.extend(needs.map(|from| arrow(from, to)));
        }
    }

    fn add_director(&mut self, director: Option<&Director>) {
        let lead = director.map(|it| who(&it.lead)).unwrap_or_default();
        let workers = director.map(|it| who(&it.workers)).unwrap_or_default();
        let most = director.map_or(0, |it| it.max_workers);
        let rounds = director.map_or(0, |it| it.max_rounds);
        let first = self.add("main", format!("director{lead}"));
        let second = self.add("workers", format!("at most {most}{workers}"));
        self.arrows.push(arrow(first, second));
        self.arrows.push(Arrow {
            label: format!("at most {rounds} rounds"),
            goes_back: true,
            ..arrow(second, first)
        });
    }

    fn add_experts(&mut self, experts: &[Expert], choose: Option<&Choose>) {
        for expert in experts {
            self.add(&expert.id, format!("expert{}", who(&expert.worker)));
        }
        let chosen = self.add("main", choose.map(chosen_by).unwrap_or_default());
        self.arrows
            .extend((0..chosen).map(|from| arrow(from, chosen)));
    }

    fn add(&mut self, id: &str, about: String) -> usize {
        self.figures.push(Figure {
            id: id.to_owned(),
            about,
            form: Form::Box,
        });
        self.figures.len() - 1
    }
}

const fn arrow(from: usize, to: usize) -> Arrow {
    Arrow {
        from,
        to,
        label: String::new(),
        goes_back: false,
    }
}

fn figure(node: &Node) -> Figure {
    let (about, form) = match &node.work {
        Work::Task(worker) => (format!("task{}", who(worker)), Form::Box),
        Work::Agent(worker) => (format!("agent{}", who(worker)), Form::Box),
        Work::Condition { condition } => (short(&said(condition)), Form::Diamond),
        Work::Parallel => ("parallel".to_owned(), Form::Round),
        Work::Join(join) => {
            let enough = join.wait_for.map(|enough| format!(" of {enough}"));
            (format!("join{}", enough.unwrap_or_default()), Form::Round)
        }
        Work::Map { each, .. } => (format!("map{}", who(each)), Form::Box),
        Work::Human(human) => {
            let role = human.role.as_ref().map(|role| format!(": {role}"));
            (format!("human{}", role.unwrap_or_default()), Form::Person)
        }
        Work::Subworkflow { workflow, .. } => (format!("subworkflow: {workflow}"), Form::Box),
        Work::Wait { span, .. } => {
            let span = span.map(|span| format!(": {span}"));
            (format!("wait{}", span.unwrap_or_default()), Form::Round)
        }
        Work::Transform { .. } => ("transform".to_owned(), Form::Box),
        Work::Direct(director) => (format!("direct{}", who(&director.lead)), Form::Box),
        Work::Mixture { experts, .. } => (format!("mixture of {}", experts.len()), Form::Box),
    };
    Figure {
        id: node.id.clone(),
        about,
        form,
    }
}

fn who(worker: &Worker) -> String {
    let name = worker.agent.as_ref().or(worker.capability.as_ref());
    name.map(|name| format!(": {name}")).unwrap_or_default()
}

fn chosen_by(choose: &Choose) -> String {
    match choose {
        Choose::Vote { .. } => "vote".to_owned(),
        Choose::BestOf { .. } => "best of".to_owned(),
        Choose::Concat { .. } => "concat".to_owned(),
        Choose::Judge(judge) => format!("judge{}", who(judge)),
    }
}

fn label(edge: &Edge) -> String {
    let condition = edge.condition.as_ref().map(said);
    let label = match (edge.label.as_str(), condition) {
        ("", None) => String::new(),
        ("", Some(condition)) => condition,
        (label, _) => label.to_owned(),
    };
    let most = edge
        .back
        .map(|back| format!("at most {} times", back.max_iterations));
    let all = [Some(short(&label)), most];
    let all = all.into_iter().flatten().filter(|part| !part.is_empty());
    all.collect::<Vec<_>>().join(", ")
}

fn said(condition: &Condition) -> String {
    let compare = match condition {
        Condition::Expression(text) => return text.clone(),
        Condition::Compare(compare) => compare,
    };
    let op = match compare.op {
        Op::Eq => "==",
        Op::Ne => "!=",
        Op::Lt => "<",
        Op::Le => "<=",
        Op::Gt => ">",
        Op::Ge => ">=",
        Op::In => "in",
        Op::Contains => "contains",
        Op::Exists => return format!("{} exists", compare.path),
    };
    format!("{} {op} {}", compare.path, compare.value)
}

fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LABEL) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
