//! Every route, once: who may call it, what it takes and what it answers.
//!
//! Access decisions, dispatch, the OpenAPI document and the tests all read this table. A request
//! that matches no entry is answered 404 or 405, so what is not listed cannot be reached, and what
//! is listed without a handler does not compile: handlers match on `Operation`.

mod agents;
mod cluster;
mod events;
mod holds;
mod matching;
mod questions;
mod row;
mod schedules;
mod system;
mod tasks;
mod templates;
mod tree;
mod workflows;

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use protocol::api::Consistency;

use super::access::Access;

pub(crate) use agents::AgentOp;
pub(crate) use cluster::ClusterOp;
pub(crate) use events::EventOp;
pub(crate) use holds::HoldOp;
pub(crate) use matching::{Found, find};
pub(crate) use questions::QuestionOp;
pub(crate) use schedules::{ScheduleOp, TriggerOp};
pub(crate) use system::SystemOp;
pub(crate) use tasks::TaskOp;
pub(crate) use templates::TemplateOp;
pub(crate) use tree::TreeOp;
pub(crate) use workflows::WorkflowOp;

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    System(SystemOp),
    Agent(AgentOp),
    Task(TaskOp),
    Cluster(ClusterOp),
    Hold(HoldOp),
    Question(QuestionOp),
    Tree(TreeOp),
    Workflow(WorkflowOp),
    Event(EventOp),
    Schedule(ScheduleOp),
    Trigger(TriggerOp),
    Template(TemplateOp),
}

/// The methods that routes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Reads.
    Get,
    /// Does something.
    Post,
    /// Changes something.
    Put,
    /// Removes something.
    Delete,
}

impl Verb {
    /// The verb of a method, if any route could have it.
    #[must_use]
    pub fn of(method: &Method) -> Option<Self> {
        match method.as_str() {
            "GET" | "HEAD" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }

    /// As requests spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// The method; HEAD goes wherever GET goes.
    pub method: Verb,
    /// The path, with `{name}` for each part that varies; `{path}` is as many parts as there are.
    pub path: &'static str,
    /// Its name in the document, unique.
    pub id: &'static str,
    /// Who may call it.
    pub access: Access,
    /// In one line.
    pub summary: &'static str,
    /// In full.
    pub description: &'static str,
    /// Its query parameters.
    pub query: &'static [Parameter],
    /// The body that it takes.
    pub body: Body,
    /// What it answers when all is well.
    pub answers: &'static [Answers],
    /// The further statuses that it answers with a problem.
    pub problems: &'static [u16],
    pub(crate) operation: Operation,
}

impl Route {
    /// The group that it belongs to in the document.
    #[must_use]
    pub const fn tag(&self) -> &'static str {
        match self.operation {
            Operation::System(_) => "system",
            Operation::Agent(_) => "agents",
            Operation::Task(_) => "tasks",
            Operation::Cluster(_) => "cluster",
            Operation::Hold(_) => "holds",
            Operation::Question(_) => "questions",
            Operation::Tree(_) => "tree",
            Operation::Workflow(_) => "workflows",
            Operation::Event(_) => "events",
            Operation::Schedule(_) => "schedules",
            Operation::Trigger(_) => "triggers",
            Operation::Template(_) => "task-templates",
        }
    }

    /// Whether it may change something.
    #[must_use]
    pub fn mutates(&self) -> bool {
        self.method != Verb::Get
    }
}

/// A query parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// `meta.*` stands for every name that starts so.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// Its form.
    pub schema: Form,
}

/// How fresh an answer is to be.
pub(crate) const CONSISTENCY: Parameter = Parameter {
    name: "consistency",
    description: "`strong` answers with all that the cluster had committed when it was asked, or with 503 when that cannot be had within three seconds. Tasks are always answered so.",
    schema: form::<Consistency>,
};

/// Writes a type's schema into the document.
pub type Form = fn(&mut SchemaGenerator) -> Schema;

/// The form of `T`.
pub(crate) fn form<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What a route takes.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// Nothing; what changes something refuses a body.
    None,
    /// JSON, of this many bytes at most.
    Required(Form, usize),
    /// JSON or nothing.
    Optional(Form, usize),
}

/// Bytes that a body may have.
pub(crate) const SMALL: usize = 64 * 1024;
/// Bytes that a task may have.
pub(crate) const LARGE: usize = 1024 * 1024;
/// Bytes that what has a definition in it may have: as a text in JSON, each of its 1 MiB may be three
/// (`\u00e9` for two of them), and something stands beside it.
pub(crate) const DRAFT: usize = 4 * 1024 * 1024;

/// One good answer of a route.
#[derive(Debug, Clone, Copy)]
pub struct Answers {
    /// The status.
    pub status: u16,
    /// When.
    pub when: &'static str,
    /// The body.
    pub content: Content,
}

/// What is in an answer.
#[derive(Debug, Clone, Copy)]
pub enum Content {
    /// Nothing.
    Empty,
    /// JSON.
    Json(Form),
    /// JSON for those who accept it; server-sent events else.
    Events(Form),
    /// Server-sent events, each with such data.
    Feed(Form),
    /// A WebSocket, with such messages.
    Socket(Form),
    /// Something else, of this media type.
    Other(&'static str),
}

/// Every route.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    system::ROUTES
        .iter()
        .chain(agents::ROUTES)
        .chain(tasks::ROUTES)
        .chain(cluster::ROUTES)
        .chain(holds::ROUTES)
        .chain(questions::ROUTES)
        .chain(tree::ROUTES)
        .chain(workflows::ROUTES)
        .chain(events::ROUTES)
        .chain(schedules::ROUTES)
        .chain(templates::ROUTES)
}

/// How many there are.
pub(crate) const COUNT: usize = system::ROUTES.len()
    + agents::ROUTES.len()
    + tasks::ROUTES.len()
    + cluster::ROUTES.len()
    + holds::ROUTES.len()
    + questions::ROUTES.len()
    + tree::ROUTES.len()
    + workflows::ROUTES.len()
    + events::ROUTES.len()
    + schedules::ROUTES.len()
    + templates::ROUTES.len();

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_routes_share_id_operation_or_place() {
        let mut ids = HashSet::new();
        let mut operations = HashSet::new();
        let mut places = HashSet::new();
        for route in routes() {
            assert!(ids.insert(route.id), "{}", route.id);
            assert!(operations.insert(route.operation), "{:?}", route.operation);
            assert!(places.insert((route.method, route.path)), "{}", route.path);
        }
        assert_eq!(ids.len(), COUNT);
    }

    #[test]
    fn only_health_and_what_is_signed_is_open() {
        let open: Vec<_> = routes()
            .filter(|route| route.access == Access::Open)
            .map(|route| route.path)
            .collect();
        assert_eq!(
            open,
            [
                "/health",
                "/health/live",
                "/health/ready",
                "/api/v1/hooks/{trigger}"
            ]
        );
    }
}
