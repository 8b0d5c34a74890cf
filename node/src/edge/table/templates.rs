//! Routes of task templates.

use protocol::{
    access::Role,
    api::{Page, TemplateSummary, TemplateView},
    template::TemplateSpec,
};

use super::{
    Answers, Body, Content, Operation, Route, SMALL, Verb, form,
    row::{CURSOR, LIMIT, answer, ok},
};

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
    Route {
        answers: TEMPLATE,
        problems: &[404],
        ..Route::at(method, path, id, Operation::Template(operation)).changed_by(Role::Developer)
    }
}

const TEMPLATE: &[Answers] = &[ok(Content::Json(form::<TemplateView>), "The template.")];

pub(super) static ROUTES: &[Route] = &[
    Route {
        summary: "Make a task template",
        description: "A task with blanks, `${params.NAME}`, and what may fill them. It is checked as a whole: what is wrong is named by its place. `POST /tasks` with `template` and `params` makes a task of it.",
        body: Body::Required(form::<TemplateSpec>, SMALL),
        answers: &[answer(
            201,
            Content::Json(form::<TemplateView>),
            "The template, at the address in `Location`.",
        )],
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
        answers: &[ok(
            Content::Json(form::<Page<TemplateSummary>>),
            "A page of templates.",
        )],
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
        answers: &[answer(204, Content::Empty, "It is gone.")],
        ..route(
            Verb::Delete,
            "/api/v1/task-templates/{template}",
            "deleteTaskTemplate",
            TemplateOp::Delete,
        )
    },
];
