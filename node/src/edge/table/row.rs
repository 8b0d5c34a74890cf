//! What rows begin with on every page: most say little more than a place, and are answered 200.

use protocol::access::Role;
use schemars::JsonSchema;

use super::{Answers, Body, Content, Operation, Parameter, Route, Verb, form};
use crate::edge::access::Access;

impl Route {
    /// A row that takes and tells nothing yet, for every viewer.
    pub(super) const fn at(
        method: Verb,
        path: &'static str,
        id: &'static str,
        operation: Operation,
    ) -> Self {
        Self {
            method,
            path,
            id,
            access: Access::Least(Role::Viewer),
            summary: "",
            description: "",
            query: &[],
            body: Body::None,
            answers: &[],
            problems: &[],
            operation,
        }
    }

    /// The same; whoever does more than look needs a higher role.
    pub(super) const fn changed_by(self, least: Role) -> Self {
        match self.method {
            Verb::Get => self,
            Verb::Post | Verb::Put | Verb::Delete => Self {
                access: Access::Least(least),
                ..self
            },
        }
    }
}

pub(super) const fn ok(content: Content, when: &'static str) -> Answers {
    answer(200, content, when)
}

pub(super) const fn answer(status: u16, content: Content, when: &'static str) -> Answers {
    Answers {
        status,
        when,
        content,
    }
}

pub(super) const fn parameter<T: JsonSchema>(
    name: &'static str,
    description: &'static str,
) -> Parameter {
    Parameter {
        name,
        description,
        schema: form::<T>,
    }
}

pub(super) const LIMIT: Parameter = Parameter {
    name: "limit",
    description: "Items a page; 50 when absent.",
    schema: |_| schemars::json_schema!({"type": "integer", "minimum": 1, "maximum": 200}),
};

pub(super) const CURSOR: Parameter =
    parameter::<String>("cursor", "`next_cursor` of the page before.");
