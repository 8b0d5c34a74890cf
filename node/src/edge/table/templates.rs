//! Routes of task templates.

use protocol::{
    access::Role,
    api::{Page, TemplateSummary, TemplateView},
    template::TemplateSpec,
};

use super::{
    Answers, Body, Content, Operation, Route, SMALL, Verb,
    agents::{CURSOR, LIMIT},
    form,
};
use crate::edge::access::Access;

/// What the routes of this page do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TemplateOp {
    Create,
    List,
    Get,
    Update,
    Delete,
}

const fn route(method: Verb, path: &'static str, id: &'static str, operation: TemplateOp) -> Route {
    let access = match method {
        Verb::Get => Role::Viewer,
        Verb::Post | Verb::Put | Verb::Delete => Role::Developer,
    };
    Route {
        method,
        path,
        id,
        access: Access::Least(access),
        summary: "",
        description: "",
        query: &[],
        body: Body::None,
        answers: TEMPLATE,
        problems: &[404],
        operation: Operation::Template(operation),
    }
}

const TEMPLATE: &[Answers] = &[Answers {
    status: 200,
    when: "The template.",
    content: Content::Json(form::<TemplateView>),
}];

pub(super) static ROUTES: &[Route] = &[
    Route {
        summary: "Make a task template",
        description: "A task with blanks, `${params.NAME}`, and what may fill them. It is checked as a whole: what is wrong is named by its place. `POST /tasks` with `template` and `params` makes a task of it.",
        body: Body::Required(form::<TemplateSpec>, SMALL),
        answers: &[Answers {
            status: 201,
            when: "The template, at the address in `Location`.",
            content: Content::Json(form::<TemplateView>),
        }],
        problems: &[409],
        ..route(
            Verb::Post,
            "/api/v1/task-templates",
            "createTaskTemplate",
            TemplateOp::Create,
        )
    },
    Route {
        summary: "List task templates",
        description: "The newest first; a page stays the same while templates are added.",
        query: &[LIMIT, CURSOR],
        answers: &[Answers {
            status: 200,
            when: "A page of templates.",
            content: Content::Json(form::<Page<TemplateSummary>>),
        }],
        problems: &[],
        ..route(
            Verb::Get,
            "/api/v1/task-templates",
            "listTaskTemplates",
            TemplateOp::List,
        )
    },
    Route {
        summary: "One task template",
        description: "With its parameters and its task.",
        ..route(
            Verb::Get,
            "/api/v1/task-templates/{template}",
            "getTaskTemplate",
            TemplateOp::Get,
        )
    },
    Route {
        summary: "Change a task template",
        description: "It says this from now on, all of it; its name stays and may be left out. Tasks that were made of it stay as they are.",
        body: Body::Required(form::<TemplateSpec>, SMALL),
        ..route(
            Verb::Put,
            "/api/v1/task-templates/{template}",
            "updateTaskTemplate",
            TemplateOp::Update,
        )
    },
    Route {
        summary: "Delete a task template",
        description: "It disappears from sight and its name is free; its records stay, and tasks that were made of it go on.",
        answers: &[Answers {
            status: 204,
            when: "It is gone.",
            content: Content::Empty,
        }],
        ..route(
            Verb::Delete,
            "/api/v1/task-templates/{template}",
            "deleteTaskTemplate",
            TemplateOp::Delete,
        )
    },
];
