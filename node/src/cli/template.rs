//! `troupe template`: tasks with blanks that `troupe task create --template` fills.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use protocol::{
    api::TemplateQuery,
    template::{Param, ParamKind, TemplateSpec, TemplateUse},
};
use serde_json::Value;

use super::{
    exit::{Exit, Failure, Outcome},
    output::Output,
    schedule::from_file,
    task::each,
};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(super) enum Template {
    /// Make a template of a YAML or JSON file
    Create {
        /// The file: name, description, params and task; `-` reads standard input
        file: PathBuf,
    },
    /// Let a template say what a file says; tasks that were made of it stay as they are
    Update {
        /// Its name or id
        template: String,
        /// The file; `-` reads standard input
        file: PathBuf,
    },
    /// List templates, the newest first
    List(List),
    /// Show a template
    Get {
        /// Its name or id
        template: String,
    },
    /// Remove templates; tasks that were made of them go on
    Delete {
        /// Names or ids
        #[arg(required = true, value_name = "TEMPLATE")]
        templates: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// How many, at most 200
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

/// Reads `NAME=VALUE`.
pub(super) fn param(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What fills a template, each value of the type that its parameter has.
pub(super) async fn filled(
    client: &Client,
    template: String,
    params: Vec<(String, String)>,
) -> Result<TemplateUse, Failure> {
    let known = match params.is_empty() {
        true => Vec::new(),
        false => client.template(&template).await?.params,
    };
    let params = params.into_iter().map(|(name, text)| {
        let value = value(known.iter().find(|param| param.name == name), text);
        (name, value)
    });
    Ok(TemplateUse {
        params: params.collect(),
        template,
        ..TemplateUse::default()
    })
}

/// JSON, unless the parameter is a string or it is none.
fn value(param: Option<&Param>, text: String) -> Value {
    match param.and_then(|param| param.kind) {
        Some(ParamKind::String) => Value::String(text),
        Some(
            ParamKind::Number
            | ParamKind::Integer
            | ParamKind::Boolean
            | ParamKind::Array
            | ParamKind::Object,
        )
        | None => serde_json::from_str(&text).unwrap_or(Value::String(text)),
    }
}

impl Template {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        match self {
            Self::Create { file } => {
                let spec: TemplateSpec = from_file(&file, "task template")?;
                output.show(&client.create_template(&spec).await?)
            }
            Self::Update { template, file } => {
                let spec: TemplateSpec = from_file(&file, "task template")?;
                output.show(&client.update_template(&template, &spec).await?)
            }
            Self::List(List { limit, cursor }) => {
                let query = TemplateQuery { limit, cursor };
                output.show(&client.templates(&query).await?)
            }
            Self::Get { template } => output.show(&client.template(&template).await?),
            Self::Delete { templates } => {
                each(templates, output, async |template: String| {
                    client.delete_template(&template).await?;
                    Ok(Exit::Ok)
                })
                .await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_has_the_type_of_its_parameter() {
        let of = |kind| Param {
            kind,
            ..Param::default()
        };
        for (kind, text, expected) in [
            (Some(ParamKind::String), "5", json!("5")),
            (Some(ParamKind::Integer), "5", json!(5)),
            (Some(ParamKind::Integer), "five", json!("five")),
            (None, "[1]", json!([1])),
            (None, "a=b", json!("a=b")),
        ] {
            assert_eq!(value(Some(&of(kind)), text.to_owned()), expected);
        }
        assert_eq!(param("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(param("a").is_err());
    }
}
