//! From what was written down to what is run.

use std::collections::HashMap;

use protocol::workflow::{
    Choose, Definition, Director, Edge, Expert, Mode, Node, Shape, Undo, Work as Written, Worker,
};
use serde_json::Value;

use super::{Back, Caller, Chooser, Graph, Link, Place, Work, loops};
use crate::workflow::{
    condition::Condition,
    expression::{Query, Syntax},
    template::Template,
};

/// Why a definition cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Fault {
    /// The node, if it is about one.
    pub node: Option<String>,
    /// Where, such as `nodes[2].input`.
    pub path: String,
    /// What.
    pub message: String,
}

type Result<T> = std::result::Result<T, Fault>;

/// The only node of shapes that are one.
const ONLY: &str = "main";

impl Graph {
    /// Compiles a definition. What it refuses, `check` explains better.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be understood.
    pub fn compile(definition: &Definition) -> Result<Self> {
        let nodes = written(definition)?;
        let places: HashMap<String, usize> = nodes
            .iter()
            .enumerate()
            .map(|(at, node)| (node.id.clone(), at))
            .collect();
        let mut compiled = nodes
            .into_iter()
            .enumerate()
            .map(|(at, node)| place(at, node, definition))
            .collect::<Result<Vec<_>>>()?;
        let mut edges = Vec::new();
        for (index, edge) in all_edges(definition, &compiled).iter().enumerate() {
            edges.push(link(index, edge, &places, &compiled)?);
        }
        for (index, edge) in edges.iter().enumerate() {
            if edge.back.is_some() {
                compiled[edge.from].back.push(index);
            } else {
                compiled[edge.from].outgoing.push(index);
                compiled[edge.to].incoming.push(index);
            }
        }
        loops::close(&mut compiled, &mut edges);
        Ok(Self {
            nodes: compiled,
            edges,
            output: optional("output", &definition.output)?,
            shape: definition.shape,
            mode: definition.mode,
            description: if definition.description.is_empty() {
                definition.name.clone()
            } else {
                definition.description.clone()
            },
            context: definition.context.clone(),
            places,
        })
    }
}

/// The nodes, also of shapes that are one node.
fn written(definition: &Definition) -> Result<Vec<Node>> {
    let only = |work| {
        vec![Node {
            id: ONLY.to_owned(),
            work,
            ..Node::default()
        }]
    };
    match definition.shape {
        Shape::Sequential | Shape::Concurrent | Shape::Graph => Ok(definition.nodes.clone()),
        Shape::Hierarchical => {
            let director = definition.director.clone();
            let director = director.ok_or_else(|| fault(None, "director", "is missing"))?;
            Ok(only(Written::Direct(director)))
        }
        Shape::Mixture => {
            let choose = definition.choose.clone();
            let choose = choose.ok_or_else(|| fault(None, "choose", "is missing"))?;
            let experts = definition.experts.clone();
            Ok(only(Written::Mixture { experts, choose }))
        }
    }
}

/// The edges written down, those of `needs`, and those of the shape.
fn all_edges(definition: &Definition, nodes: &[Place]) -> Vec<Edge> {
    let mut edges = definition.edges.clone();
    let between = |from: &str, to: &str| Edge {
        from: from.to_owned(),
        to: to.to_owned(),
        ..Edge::default()
    };
    for place in nodes {
        let needs = place.node.needs.iter();
        edges.extend(needs.map(|need| between(need, place.id())));
    }
    if definition.shape == Shape::Sequential {
        let pairs = nodes.windows(2);
        edges.extend(pairs.map(|pair| between(pair[0].id(), pair[1].id())));
    }
    edges
}

fn link(
    index: usize,
    edge: &Edge,
    places: &HashMap<String, usize>,
    nodes: &[Place],
) -> Result<Link> {
    let path = format!("edges[{index}]");
    let find = |side: &str, id: &str| {
        let unknown = || fault(None, &format!("{path}.{side}"), &format!("no node `{id}`"));
        places.get(id).copied().ok_or_else(unknown)
    };
    let (from, to) = (find("from", &edge.from)?, find("to", &edge.to)?);
    let condition = edge.condition.as_ref().map(Condition::compile).transpose();
    let condition =
        condition.map_err(|error| syntax(None, &format!("{path}.condition"), &error))?;
    let after_choice = matches!(nodes[from].work, Work::Condition(_)) && condition.is_none();
    Ok(Link {
        key: edge
            .id
            .clone()
            .unwrap_or_else(|| format!("{}-{}", edge.from, edge.to)),
        from,
        to,
        condition,
        verdict: match edge.label.as_str() {
            "true" | "yes" if after_choice => Some(true),
            "false" | "no" if after_choice => Some(false),
            _ => None,
        },
        label: edge.label.clone(),
        back: edge.back.map(|back| Back {
            most: back.max_iterations,
            body: Vec::new(),
        }),
    })
}

fn place(at: usize, mut node: Node, definition: &Definition) -> Result<Place> {
    let path = format!("nodes[{at}]");
    let defaults = &definition.defaults;
    node.retry = node.retry.or(defaults.retry);
    node.timeout = node.timeout.or(defaults.timeout);
    node.effect = node.effect.or(defaults.effect);
    if definition.shape == Shape::Concurrent && definition.mode == Mode::Collect {
        node.on_error = protocol::workflow::OnError::Continue;
    }
    let name = |error: Fault| Fault {
        node: Some(node.id.clone()),
        path: format!("{path}.{}", error.path),
        message: error.message,
    };
    let when = node.when.as_ref().map(Condition::compile).transpose();
    let when = when.map_err(|error| name(syntax(None, "when", &error)))?;
    let set = node.set.iter().map(|(key, value)| {
        let parsed = Template::parse(value);
        let parsed = parsed.map_err(|error| name(syntax(None, &format!("set.{key}"), &error)))?;
        Ok((key.clone(), parsed))
    });
    let set = set.collect::<Result<_>>()?;
    let input = optional("input", &node.input).map_err(name)?;
    let work = work(&node.work).map_err(name)?;
    let undo = node
        .compensate
        .as_ref()
        .map(undo)
        .transpose()
        .map_err(name)?;
    Ok(Place {
        when,
        input,
        set,
        work,
        incoming: Vec::new(),
        outgoing: Vec::new(),
        back: Vec::new(),
        behind: Vec::new(),
        undo,
        node,
    })
}

fn undo(undo: &Undo) -> Result<(Caller, Option<Template>)> {
    let worker = Worker {
        agent: undo.agent.clone(),
        capability: undo.capability.clone(),
        ..Worker::default()
    };
    let input = optional("compensate.input", &undo.input)?;
    Ok((caller("compensate", &worker)?, input))
}

fn work(work: &Written) -> Result<Work> {
    Ok(match work {
        Written::Task(worker) | Written::Agent(worker) => Work::Call(caller("", worker)?),
        Written::Condition { condition } => Work::Condition(
            Condition::compile(condition).map_err(|error| syntax(None, "condition", &error))?,
        ),
        Written::Parallel => Work::Parallel,
        Written::Join(join) => Work::Join(join.wait_for.map(count)),
        Written::Map {
            over,
            each,
            mode,
            max_parallel,
        } => Work::Map {
            over: template("over", over)?,
            each: caller("each", each)?,
            mode: *mode,
            window: max_parallel.map_or(usize::MAX, |most| count(most).max(1)),
        },
        Written::Human(human) => Work::Human {
            question: template("question", &Value::String(human.question.clone()))?,
        },
        Written::Subworkflow { workflow, version } => Work::Subworkflow {
            workflow: workflow.clone(),
            version: *version,
        },
        Written::Wait { span, until } => Work::Wait {
            span: *span,
            until: optional("until", until)?,
        },
        Written::Transform { output } => Work::Transform(template("output", output)?),
        Written::Direct(director) => direct(director)?,
        Written::Mixture { experts, choose } => Work::Mixture {
            experts: experts.iter().map(expert).collect::<Result<_>>()?,
            choose: chooser(choose)?,
        },
    })
}

fn direct(director: &Director) -> Result<Work> {
    Ok(Work::Direct {
        lead: caller("", &director.lead)?,
        workers: caller("workers", &director.workers)?,
        max_workers: count(director.max_workers),
        max_rounds: count(director.max_rounds),
    })
}

fn expert(expert: &Expert) -> Result<(String, Caller)> {
    let path = format!("experts.{}", expert.id);
    Ok((expert.id.clone(), caller(&path, &expert.worker)?))
}

fn chooser(choose: &Choose) -> Result<Chooser> {
    Ok(match choose {
        Choose::Vote { of } => Chooser::Vote(of.as_ref().map(|of| query("of", of)).transpose()?),
        Choose::BestOf { score } => Chooser::BestOf(query("score", score)?),
        Choose::Concat { separator } => Chooser::Concat(separator.clone()),
        Choose::Judge(worker) => Chooser::Judge(caller("choose", worker)?),
    })
}

fn query(field: &str, text: &str) -> Result<Query> {
    Query::parse(text, 0).map_err(|error| syntax(None, &format!("choose.{field}"), &error))
}

fn caller(path: &str, worker: &Worker) -> Result<Caller> {
    let at = |field: &str| match path {
        "" => field.to_owned(),
        path => format!("{path}.{field}"),
    };
    let prompt = worker.prompt.as_ref().map(|prompt| {
        let text = Value::String(prompt.clone());
        template(&at("prompt"), &text)
    });
    Ok(Caller {
        agent: worker.agent.clone(),
        capability: worker.capability.clone(),
        prompt: prompt.transpose()?,
        input: optional(&at("with"), &worker.input)?,
    })
}

fn optional(path: &str, value: &Value) -> Result<Option<Template>> {
    (!value.is_null())
        .then(|| template(path, value))
        .transpose()
}

fn template(path: &str, value: &Value) -> Result<Template> {
    Template::parse(value).map_err(|error| syntax(None, path, &error))
}

fn syntax(node: Option<&str>, path: &str, error: &Syntax) -> Fault {
    fault(node, path, &error.to_string())
}

fn fault(node: Option<&str>, path: &str, message: &str) -> Fault {
    Fault {
        node: node.map(str::to_owned),
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_choice_by_a_path_that_could_take_too_long_is_refused() {
        for choose in [
            json!({ "by": "best_of", "score": "$..*..*" }),
            json!({ "by": "vote", "of": "$[?@..a]" }),
        ] {
            let definition = json!({
                "name": "n", "type": "mixture", "choose": choose,
                "experts": [{ "id": "a", "agent": "x" }],
            });
            let fault = Graph::compile(&serde_json::from_value(definition).unwrap()).unwrap_err();
            assert!(fault.message.contains("could take too long"), "{fault}");
            assert!(fault.path.starts_with("nodes[0].choose."), "{fault}");
        }
    }
}
