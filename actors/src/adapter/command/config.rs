//! What a command agent's configuration says, and when it is refused.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use protocol::{api::FieldError, time::Span};
use serde::Deserialize;

use crate::adapter::http::path::Path as JsonPath;

/// The configuration of a command agent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The program and its arguments; never seen by a shell.
    pub argv: Vec<String>,
    /// What the program reads.
    #[serde(default)]
    pub stdin: Stdin,
    /// Variables set for the program.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How long a call may take at most.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// What the program's standard output is.
    #[serde(default)]
    pub output: Output,
    /// Where the program runs, instead of its private directory.
    #[serde(default)]
    pub workdir: Option<PathBuf>,
    /// Where its output as `json` says what it took of models, as `usage_path` of a service's
    /// `response_mapping`.
    #[serde(default)]
    pub usage_path: Option<JsonPath>,
}

/// What a program finds on its standard input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// The call, as one JSON document.
    #[default]
    Input,
    /// Nothing.
    None,
}

/// What a program's standard output is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Text.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

impl Config {
    /// What is wrong with it, by path.
    #[must_use]
    pub fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        let mut fault = |field: String, message: &str| {
            faults.push(FieldError::new(field, message));
        };
        match self.argv.first().map(String::as_str) {
            None | Some("") => fault("config.argv[0]".to_owned(), "names no program"),
            Some(program) if is_relative_path(program) => fault(
                "config.argv[0]".to_owned(),
                "is a relative path, which means nothing on another machine; give an absolute path \
                 or a bare name that stands on the node's PATH",
            ),
            Some(program) if has_dots(Path::new(program)) => {
                fault("config.argv[0]".to_owned(), "goes up with `..`");
            }
            Some(_) => {}
        }
        for (index, argument) in self.argv.iter().enumerate() {
            if argument.contains('\0') {
                fault(format!("config.argv[{index}]"), "contains a NUL character");
            }
        }
        for (name, value) in &self.env {
            if !is_variable(name) {
                let message = "is not a variable's name: letters, digits and `_`, no digit first";
                fault(format!("config.env.{name}"), message);
            } else if value.contains('\0') {
                fault(format!("config.env.{name}"), "contains a NUL character");
            }
        }
        if self.timeout.is_some_and(|timeout| timeout.0.is_zero()) {
            fault("config.timeout".to_owned(), "must be more than nothing");
        }
        if self.usage_path.is_some() && self.output != Output::Json {
            let message = "needs `output = json`";
            fault("config.usage_path".to_owned(), message);
        }
        if let Some(directory) = &self.workdir
            && (!directory.is_absolute() || has_dots(directory))
        {
            let message = "must be an absolute path without `..`";
            fault("config.workdir".to_owned(), message);
        }
        faults
    }
}

fn is_relative_path(program: &str) -> bool {
    program.contains('/') && !program.starts_with('/')
}

fn has_dots(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

fn is_variable(name: &str) -> bool {
    let first = name.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn faults(config: &Value) -> Vec<String> {
        let config = Config::deserialize(config).unwrap();
        let fields = config.faults().into_iter().map(|fault| fault.field);
        fields.collect()
    }

    #[test]
    fn a_configuration_that_cannot_run_is_refused_where_it_is_wrong() {
        for (config, field) in [
            (json!({ "argv": [] }), "config.argv[0]"),
            (json!({ "argv": [""] }), "config.argv[0]"),
            (json!({ "argv": ["bin/tool"] }), "config.argv[0]"),
            (json!({ "argv": ["./tool"] }), "config.argv[0]"),
            (json!({ "argv": ["/usr/../tmp/tool"] }), "config.argv[0]"),
            (json!({ "argv": ["tool", "a\0b"] }), "config.argv[1]"),
            (
                json!({ "argv": ["t"], "env": { "A=B": "" } }),
                "config.env.A=B",
            ),
            (
                json!({ "argv": ["t"], "env": { "1A": "" } }),
                "config.env.1A",
            ),
            (
                json!({ "argv": ["t"], "env": { "A": "\0" } }),
                "config.env.A",
            ),
            (json!({ "argv": ["t"], "timeout": "0s" }), "config.timeout"),
            (
                json!({ "argv": ["t"], "usage_path": "$.usage" }),
                "config.usage_path",
            ),
            (
                json!({ "argv": ["t"], "workdir": "here" }),
                "config.workdir",
            ),
            (
                json!({ "argv": ["t"], "workdir": "/a/../b" }),
                "config.workdir",
            ),
        ] {
            assert_eq!(faults(&config), [field], "{config}");
        }
        assert!(faults(&json!({ "argv": ["/bin/sh", "-c", "exit 3; $(x)"] })).is_empty());
    }
}
