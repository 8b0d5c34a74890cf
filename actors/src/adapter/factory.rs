//! From an agent's registration to the adapter that calls it.

use std::sync::Arc;

use protocol::{
    agent::{AgentSpec, AgentType},
    api::FieldError,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Adapter, Doors, builtin, command, http};

/// Makes the adapter that `spec` asks for.
///
/// # Errors
///
/// What is wrong with its endpoint or its configuration, by path.
pub fn for_agent(spec: &AgentSpec, doors: &Doors) -> Result<Arc<dyn Adapter>, Vec<FieldError>> {
    match spec.agent_type {
        AgentType::Echo => config::<builtin::Nothing>(spec).map(|_| Arc::new(builtin::Echo) as _),
        AgentType::Sleep => config::<builtin::Sleep>(spec).map(|sleep| Arc::new(sleep) as _),
        AgentType::Fail => config::<builtin::Fail>(spec).map(|fail| Arc::new(fail) as _),
        AgentType::Native => native(spec, doors),
        AgentType::Command => command(spec, doors),
        AgentType::Http | AgentType::Custom => http(spec, http::Form::Mapped, doors),
        AgentType::Api => http(spec, http::Form::Api, doors),
    }
}

fn command(spec: &AgentSpec, doors: &Doors) -> Result<Arc<dyn Adapter>, Vec<FieldError>> {
    if spec.endpoint.is_some() {
        let message = "a command agent has no endpoint; `config.argv` says what is run";
        return Err(vec![FieldError::new("endpoint", message)]);
    }
    let command = command::Command::new(config(spec)?, doors.commands())?;
    Ok(Arc::new(command))
}

fn http(
    spec: &AgentSpec,
    form: http::Form,
    doors: &Doors,
) -> Result<Arc<dyn Adapter>, Vec<FieldError>> {
    let endpoint = spec.endpoint.as_deref();
    let http = http::Http::new(endpoint, config(spec)?, form, doors.connections())?;
    Ok(Arc::new(http))
}

/// Reads the configuration of an agent in the form that its type has.
pub(super) fn config<T: DeserializeOwned>(spec: &AgentSpec) -> Result<T, Vec<FieldError>> {
    serde_path_to_error::deserialize(Value::Object(spec.config.clone())).map_err(|error| {
        let path = error.path().to_string();
        let field = match path.as_str() {
            "." => "config".to_owned(),
            path => format!("config.{path}"),
        };
        vec![FieldError::new(field, error.into_inner().to_string())]
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Native {
    name: Option<String>,
}

/// The name of the Rust code that an agent asks for, if it asks for some.
pub(crate) fn native_name(spec: &AgentSpec) -> Option<String> {
    if spec.agent_type != AgentType::Native {
        return None;
    }
    let name = config::<Native>(spec).ok()?.name;
    Some(name.unwrap_or_else(|| spec.name.clone()))
}

fn native(spec: &AgentSpec, doors: &Doors) -> Result<Arc<dyn Adapter>, Vec<FieldError>> {
    let name = config::<Native>(spec)?.name;
    let name = name.as_deref().unwrap_or(&spec.name);
    doors.native(name).cloned().ok_or_else(|| {
        let message = format!(
            "the program that runs this node has no agent `{name}` of its own; if another node's has, name that with `placement.node`"
        );
        vec![FieldError::new("config.name", message)]
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;

    fn fields(agent: &Value) -> Vec<String> {
        let spec = AgentSpec::deserialize(agent).unwrap();
        let doors = Doors::new(&crate::Config::default(), "/nowhere", HashMap::new());
        match for_agent(&spec, &doors) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.into_iter().map(|error| error.field).collect(),
        }
    }

    #[test]
    fn what_is_wrong_with_a_configuration_is_named_by_its_path() {
        for (agent_type, config, field) in [
            ("echo", json!({ "x": 1 }), "config.x"),
            ("sleep", json!({ "for": 3 }), "config.for"),
            ("sleep", json!({ "for": "3 weeks" }), "config.for"),
            ("fail", json!({ "times": -1 }), "config.times"),
            ("native", json!({ "name": "ghost" }), "config.name"),
            ("command", json!({}), "config"),
            ("command", json!({ "argv": "x" }), "config.argv"),
            ("command", json!({ "argv": ["x", 1] }), "config.argv[1]"),
            (
                "command",
                json!({ "argv": ["x"], "stdin": "tty" }),
                "config.stdin",
            ),
            (
                "command",
                json!({ "argv": ["x"], "shell": true }),
                "config.shell",
            ),
            ("http", json!({}), "endpoint"),
        ] {
            let agent = json!({ "name": "a", "agent_type": agent_type, "config": config });
            assert_eq!(fields(&agent), [field], "{agent}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_http_agent_is_named_by_its_path() {
        let good = "https://agent.test/";
        for (endpoint, config, field) in [
            ("nonsense", json!({}), "endpoint"),
            ("ftp://agent.test", json!({}), "endpoint"),
            ("http://127.0.0.1:8000/", json!({}), "endpoint"),
            ("https://u:p@agent.test/", json!({}), "endpoint"),
            (
                good,
                json!({ "request_mapping": { "method": "TRACE" } }),
                "config.request_mapping.method",
            ),
            (
                good,
                json!({ "request_mapping": { "body_mapping": { "a": "$.[" } } }),
                "config.request_mapping.body_mapping.a",
            ),
            (
                good,
                json!({ "response_mapping": { "result_path": "result" } }),
                "config.response_mapping.result_path",
            ),
            (
                good,
                json!({ "response_mapping": { "results": "$" } }),
                "config.response_mapping.results",
            ),
            (
                good,
                json!({ "auth_config": { "type": "magic" } }),
                "config.auth_config",
            ),
            (
                good,
                json!({ "auth_config": { "type": "bearer_token" } }),
                "config.auth_config",
            ),
            (
                good,
                json!({ "auth_config": { "type": "bearer_token", "env_var": "TROUPE_TOKEN" } }),
                "config.auth_config.env_var",
            ),
            (
                good,
                json!({ "health": { "path": "health" } }),
                "config.health.path",
            ),
            (good, json!({ "probe": { "path": "/x" } }), "config.probe"),
        ] {
            let agent = json!({
                "name": "a", "agent_type": "custom", "endpoint": endpoint, "config": config,
            });
            let found = fields(&agent);
            // Errors within a tagged value are told at one of its two ends.
            let fits = found.len() == 1 && found[0].starts_with(field);
            assert!(fits, "{agent}: {found:?}");
        }
        let agent = json!({ "name": "a", "agent_type": "api", "endpoint": good });
        assert!(fields(&agent).is_empty());
    }

    #[test]
    fn a_native_agent_is_found_by_its_own_name_or_the_one_it_gives() {
        let natives = HashMap::from([("mine".to_owned(), Arc::new(builtin::Echo) as Arc<_>)]);
        let doors = Doors::new(&crate::Config::default(), "/nowhere", natives);
        for agent in [
            json!({ "name": "mine", "agent_type": "native" }),
            json!({ "name": "other", "agent_type": "native", "config": { "name": "mine" } }),
        ] {
            let spec = AgentSpec::deserialize(&agent).unwrap();
            assert!(for_agent(&spec, &doors).is_ok(), "{agent}");
        }
    }
}
