//! Which routes are tools, and how a call of one becomes a request. Pure.

use std::sync::Arc;

use http::HeaderMap;
use protocol::access::Caller;
use rmcp::model::ToolAnnotations;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::edge::{
    access::{Access, Verdict},
    auth::Credential,
    problem::Refused,
    query::Query,
    request::{Call, RequestId},
    table::{self, Body, Route},
};

/// Rows of a page when a model does not say: it reads all of them.
const PAGE: u32 = 100;

/// What a tool does to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Reads,
    /// It can be undone.
    Holds,
    /// It cannot.
    Ends,
}

/// A route that models can call.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    /// The route's name in the document.
    route: &'static str,
    effect: Effect,
}

const fn tool(name: &'static str, route: &'static str, effect: Effect) -> Tool {
    Tool {
        name,
        route,
        effect,
    }
}

const TOOLS: &[Tool] = &[
    tool("get_supervision_tree", "tree", Effect::Reads),
    tool("compare_trees", "treeDiff", Effect::Reads),
    tool("inspect_actor", "actor", Effect::Reads),
    tool("actor_messages", "actorMessages", Effect::Reads),
    tool("entity_state", "entityState", Effect::Reads),
    tool("actor_events", "life", Effect::Reads),
    tool("why_task_waits", "taskWhy", Effect::Reads),
    tool("get_task", "getTask", Effect::Reads),
    tool("list_tasks", "listTasks", Effect::Reads),
    tool("list_agents", "listAgents", Effect::Reads),
    tool("list_nodes", "listNodes", Effect::Reads),
    tool("pause_actor", "pauseActor", Effect::Holds),
    tool("resume_actor", "resumeActor", Effect::Holds),
    tool("release_actor", "releaseActor", Effect::Holds),
    tool("restart_actor", "restartActor", Effect::Ends),
    tool("stop_actor", "stopActor", Effect::Ends),
    tool("cancel_task", "cancelTask", Effect::Ends),
];

/// Every tool.
pub(super) fn all() -> impl Iterator<Item = &'static Tool> {
    // One whose route is gone is no tool; a test sees to it that there is none.
    TOOLS.iter().filter(|tool| tool.route().is_some())
}

impl Tool {
    fn route(&self) -> Option<&'static Route> {
        table::routes().find(|route| route.id == self.route)
    }

    /// Who may call it.
    pub(super) fn access(&self) -> Access {
        self.route()
            .map_or(Access::Least(protocol::access::Role::Admin), |route| {
                route.access
            })
    }

    /// As clients are told of it.
    pub(super) fn described(&self) -> rmcp::model::Tool {
        let summary = self.route().map_or("", |route| route.summary);
        let description = self.route().map_or("", |route| route.description);
        let reads = self.effect == Effect::Reads;
        let notes = ToolAnnotations::with_title(summary)
            .read_only(reads)
            .destructive(self.effect == Effect::Ends)
            .idempotent(true)
            .open_world(false);
        let schema = Arc::new(self.schema());
        rmcp::model::Tool::new(self.name, format!("{summary}. {description}"), schema)
            .with_title(summary)
            .with_annotations(notes)
    }

    /// What it takes: what varies in the route's path, its query, and a reason.
    fn schema(&self) -> Map<String, Value> {
        let mut properties = Map::new();
        let mut required = Vec::new();
        if let Some(route) = self.route() {
            for name in varying(route.path) {
                let what = match name {
                    "path" => "The actor's path, such as `/agents/reviewer`.",
                    _ => "Its id.",
                };
                let schema = json!({ "type": "string", "description": what });
                properties.insert(name.to_owned(), schema);
                required.push(name);
            }
            let settings = SchemaSettings::draft2020_12().with(|it| it.inline_subschemas = true);
            let mut generator = settings.into_generator();
            for parameter in route.query.iter().filter(|it| !it.name.contains('*')) {
                let mut schema = (parameter.schema)(&mut generator);
                schema.insert("description".to_owned(), parameter.description.into());
                properties.insert(parameter.name.to_owned(), schema.to_value());
            }
            if takes_reason(route) {
                let schema =
                    json!({ "type": "string", "description": "Why, for those who look later." });
                properties.insert("reason".to_owned(), schema);
            }
        }
        let schema = json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });
        match schema {
            Value::Object(fields) => fields,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        }
    }

    /// The request that a call of it is, with its body, if the caller may make it.
    pub(super) fn call(
        &self,
        caller: &Arc<Caller>,
        id: &RequestId,
        mut arguments: Map<String, Value>,
    ) -> Result<(Call, Vec<u8>), Refused> {
        let route = self.route().ok_or_else(Refused::bug)?;
        if let Verdict::Forbidden(least) = route.access.judge(Some(caller)) {
            return Err(Refused::role(least));
        }
        let mut parts = Vec::new();
        for name in varying(route.path) {
            let given = arguments.remove(name);
            let given = given.ok_or_else(|| Refused::bad(name, "is missing"))?;
            parts.push(text(name, given)?);
        }
        let reason = arguments.remove("reason").filter(|_| takes_reason(route));
        let body = reason.map_or_else(Vec::new, |reason| {
            json!({ "reason": reason }).to_string().into_bytes()
        });
        let pages = route
            .query
            .iter()
            .any(|parameter| parameter.name == "limit");
        if pages && !arguments.contains_key("limit") {
            arguments.insert("limit".to_owned(), PAGE.into());
        }
        let mut pairs = Vec::new();
        for (name, value) in arguments {
            if !value.is_null() {
                let value = text(&name, value)?;
                pairs.push((name, value));
            }
        }
        let known = route.query.iter().map(|parameter| parameter.name);
        let call = Call {
            id: id.clone(),
            caller: Some(Arc::clone(caller)),
            // No tool tells anything for longer than one answer takes.
            credential: Credential::Own,
            route,
            parts,
            query: Query::of(pairs, &known)?,
            headers: HeaderMap::new(),
        };
        Ok((call, body))
    }
}

const fn takes_reason(route: &Route) -> bool {
    matches!(route.body, Body::Optional(..))
}

/// The names of what varies in a route's path.
fn varying(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// An argument as a query has it.
fn text(name: &str, value: Value) -> Result<String, Refused> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(is) => Ok(is.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(Refused::bad(name, "is neither text nor number"))
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::access::Role;

    use super::*;

    fn called(name: &str, role: Role, arguments: Value) -> Result<(Call, Vec<u8>), Refused> {
        let tool = all().find(|tool| tool.name == name).unwrap();
        let caller = Caller {
            role,
            ..Caller::admin()
        };
        let id = RequestId::of(&HeaderMap::new());
        let arguments = serde_json::from_value(arguments).unwrap();
        tool.call(&Arc::new(caller), &id, arguments)
    }

    #[test]
    fn every_tool_is_a_route_and_only_those_that_read_are_open_to_viewers() {
        assert_eq!(all().count(), TOOLS.len());
        for tool in all() {
            let route = tool.route().unwrap();
            assert_eq!(
                route.mutates(),
                tool.effect != Effect::Reads,
                "{}",
                tool.name
            );
            let viewer = Caller {
                role: Role::Viewer,
                ..Caller::admin()
            };
            let allowed = route.access.judge(Some(&viewer)) == Verdict::Allowed;
            assert!(!allowed || !route.mutates(), "{}", tool.name);
        }
    }

    #[test]
    fn a_tool_says_what_it_takes() {
        let schema = |name: &str| {
            let tool = all().find(|tool| tool.name == name).unwrap();
            Value::Object(tool.schema())
        };
        let stop = schema("stop_actor");
        assert_eq!(stop["required"], json!(["path"]));
        assert_eq!(stop["properties"]["reason"]["type"], "string");
        let tree = schema("get_supervision_tree");
        assert_eq!(tree["required"], json!([]));
        assert_eq!(tree["properties"]["depth"]["type"], "integer");
        assert!(!tree.to_string().contains("$ref"), "{tree}");
    }

    #[test]
    fn a_call_becomes_the_request_of_its_route() {
        let arguments = json!({ "path": "/tasks/t1", "reason": "no more", "node": null });
        let (call, body) = called("stop_actor", Role::Operator, arguments).unwrap();
        assert_eq!(
            (call.route.id, &*call.parts),
            ("stopActor", &["/tasks/t1".to_owned()][..])
        );
        assert_eq!(body, br#"{"reason":"no more"}"#);
        let arguments = json!({ "depth": 2 });
        let (call, _) = called("get_supervision_tree", Role::Viewer, arguments).unwrap();
        assert_eq!(
            (call.query.text("depth"), call.query.text("limit")),
            (Some("2"), Some("100"))
        );
    }

    #[test]
    fn what_a_tool_does_not_take_and_who_may_not_call_it_is_refused() {
        let refused = |name, role, arguments| called(name, role, arguments).unwrap_err().code();
        let path = || json!({ "path": "/tasks/t1" });
        assert_eq!(refused("stop_actor", Role::Developer, path()), "forbidden");
        assert_eq!(
            refused("stop_actor", Role::Operator, json!({})),
            "bad_request"
        );
        let other = json!({ "path": "/tasks/t1", "now": true });
        assert_eq!(refused("inspect_actor", Role::Viewer, other), "bad_request");
        let list = json!({ "path": ["/tasks/t1"] });
        assert_eq!(refused("inspect_actor", Role::Viewer, list), "bad_request");
    }
}
