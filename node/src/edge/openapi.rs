//! The HTTP contract as an OpenAPI 3.1 document, made from the table of routes.

use std::sync::LazyLock;

use hyper::body::Bytes;
use protocol::api::Problem;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    access::{Access, role_name},
    table::{self, Answers, Body, Content, Parameter, Route, Verb, form},
};

const ABOUT: &str = "\
Tasks, agents and the supervision tree of a Troupe node.

Every path under `/api/v1` also answers under `/api`, and every path under `/api/v1/tasks` also \
under `/api/v1/jobs`. Requests carry `Authorization: Bearer TOKEN`. Errors are problem details \
after RFC 9457. Bodies are JSON in UTF-8: at most 64 levels deep, 10,000 items an array, 256 KiB a \
string, no name twice, no name that is not listed here.";

static TEXT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

/// The document as it is served.
pub(crate) fn text() -> Bytes {
    TEXT.clone()
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .into_generator();
    let problem = form::<Problem>(&mut generator);
    let mut paths: Map<String, Value> = Map::new();
    for route in table::routes() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation(route, &mut generator);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Troupe",
            "version": "1",
            "description": ABOUT,
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [
            {"name": "system", "description": "The node itself."},
            {"name": "agents", "description": "Who does the work."},
            {"name": "tasks", "description": "The work."},
            {"name": "cluster", "description": "The nodes, and the tokens with which others join."},
            {"name": "workflows", "description": "What is to be done, written down once, and its runs."},
            {"name": "tree", "description": "Every actor of the cluster, now and then."},
            {"name": "events", "description": "What happens in the cluster, as it happens."},
            {"name": "schedules", "description": "What starts by the clock."},
            {"name": "triggers", "description": "What starts when something happens."},
            {"name": "task-templates", "description": "Tasks with blanks, to be filled when one is submitted."},
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "parameters": shared_parameters(),
            "responses": {"Problem": {
                "description": "What went wrong and what helps.",
                "headers": {"X-Request-Id": request_id_header()},
                "content": {"application/problem+json": {"schema": problem}},
            }},
            "schemas": generator.take_definitions(true),
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": route.id,
        "tags": [route.tag()],
        "summary": route.summary,
        "description": description(route),
        "parameters": parameters(route, generator),
    });
    if route.access == Access::Open {
        operation["security"] = json!([{}, {"token": []}]);
    }
    let body = match route.body {
        Body::None => None,
        Body::Required(form, limit) => Some((form, limit, true)),
        Body::Optional(form, limit) => Some((form, limit, false)),
    };
    if let Some((form, limit, required)) = body {
        operation["requestBody"] = json!({
            "description": format!("At most {} KiB.", limit / 1024),
            "required": required,
            "content": {"application/json": {"schema": form(generator)}},
        });
    }
    operation["responses"] = responses(route, generator);
    operation
}

fn description(route: &Route) -> String {
    match route.access {
        Access::Open => format!("{} Needs no token.", route.description),
        Access::Least(role) => {
            format!(
                "{} Needs the role `{}` or a higher one.",
                route.description,
                role_name(role)
            )
        }
    }
}

fn parameters(route: &Route, generator: &mut SchemaGenerator) -> Vec<Value> {
    let in_path = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path
        .map(|name| {
            json!({
                "name": name,
                "in": "path",
                "required": true,
                "description": path_part(name),
                "schema": {"type": "string"},
            })
        })
        .collect();
    parameters.extend(
        route
            .query
            .iter()
            .map(|known| query_parameter(known, generator)),
    );
    let mut headers = vec!["RequestId"];
    if route.method == Verb::Post {
        headers.push("IdempotencyKey");
    }
    if route
        .answers
        .iter()
        .any(|answer| matches!(answer.content, Content::Events(_) | Content::Feed(_)))
    {
        headers.push("LastEventId");
    }
    let reference = |name| json!({"$ref": format!("#/components/parameters/{name}")});
    parameters.extend(headers.into_iter().map(reference));
    parameters
}

fn path_part(name: &str) -> &'static str {
    match name {
        "agent" => "The agent's id or name.",
        "task" => "The task's id.",
        "workflow" => "The workflow's id or name.",
        "execution" => "The run's id, which is that of a task.",
        "node" => "The node's name.",
        "schedule" => "The schedule's id.",
        "trigger" => "The trigger's id.",
        "template" => "The template's id or name.",
        "token" => "The token's id, such as `token_0198…`; not the secret.",
        "step" => "The step's id within its task.",
        "path" => {
            "Where the actor stands in the tree, without the slash at its beginning; its own slashes stay as they are."
        }
        "attempt" => "The number of the attempt; the first is 1.",
        _ => "The name of the file.",
    }
}

fn query_parameter(known: &Parameter, generator: &mut SchemaGenerator) -> Value {
    let schema = (known.schema)(generator);
    match known.name.strip_suffix(".*") {
        // Any number of parameters whose names start alike: an object, exploded.
        Some(start) => json!({
            "name": start,
            "in": "query",
            "description": known.description,
            "style": "form",
            "explode": true,
            "schema": {
                "type": "object",
                "propertyNames": {"pattern": format!("^{start}\\..")},
                "additionalProperties": schema,
            },
        }),
        None => json!({
            "name": known.name,
            "in": "query",
            "description": known.description,
            "schema": schema,
        }),
    }
}

fn responses(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let good = route
        .answers
        .iter()
        .map(|answer| (answer.status, good(answer, generator)));
    let mut all: Vec<(u16, Value)> = good.collect();
    let problem = json!({"$ref": "#/components/responses/Problem"});
    all.extend(
        problems(route)
            .into_iter()
            .map(|status| (status, problem.clone())),
    );
    all.sort_by_key(|(status, _)| *status);
    Value::Object(
        all.into_iter()
            .map(|(status, value)| (status.to_string(), value))
            .collect(),
    )
}

/// Every status with which `route` may answer a problem.
#[must_use]
pub fn problems(route: &Route) -> Vec<u16> {
    let mut statuses = vec![400, 421, 500, 503];
    statuses.extend(route.problems);
    match route.access {
        Access::Open => {}
        Access::Least(_) => statuses.extend([401, 403]),
    }
    match route.body {
        Body::None => {}
        Body::Required(..) | Body::Optional(..) => statuses.extend([408, 413, 415, 422]),
    }
    if route.method == Verb::Post {
        statuses.extend([409, 422, 429]);
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn good(answer: &Answers, generator: &mut SchemaGenerator) -> Value {
    let mut response = json!({
        "description": answer.when,
        "headers": {"X-Request-Id": request_id_header()},
    });
    if answer.status == 201 {
        response["headers"]["Location"] =
            json!({"description": "Its address.", "schema": {"type": "string"}});
    }
    match answer.content {
        Content::Empty => {}
        Content::Json(form) => {
            response["content"] = json!({"application/json": {"schema": form(generator)}});
        }
        Content::Events(form) => {
            response["content"] = json!({
                "text/event-stream": {"schema": {"type": "string"}},
                "application/json": {"schema": form(generator)},
            });
        }
        Content::Feed(form) => {
            let data = form(generator);
            response["content"] = json!({
                "text/event-stream": {"schema": {"type": "string", "contentMediaType": "application/json", "contentSchema": data}},
            });
        }
        Content::Socket(form) => {
            // OpenAPI has no word for the messages of a WebSocket.
            response["x-messages"] = form(generator).to_value();
        }
        Content::Other(media) => {
            response["content"] = json!({media: {"schema": {"type": "string"}}});
        }
    }
    response
}

fn request_id_header() -> Value {
    json!({"description": "The request, as logs name it.", "schema": {"type": "string"}})
}

fn shared_parameters() -> Value {
    json!({
        "RequestId": {
            "name": "X-Request-Id",
            "in": "header",
            "description": "What logs and answers shall call this request; made up when absent or of another form than `[A-Za-z0-9._-]{1,64}`.",
            "schema": {"type": "string"},
        },
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Makes a repeat of this request harmless: it gets the answer of the first.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        },
        "LastEventId": {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The `id` of the last event that was received; the stream goes on after it.",
            "schema": {"type": "string"},
        },
    })
}
