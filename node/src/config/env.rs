//! Variables of the environment that overrule the file: `TROUPE_SECTION__KEY`.

use std::ffi::OsString;

use serde::Deserialize;
use toml::{Table, Value};

use super::{Config, Error};

const PREFIX: &str = "TROUPE_";

/// Names the store for many programs, so it only fills in what nothing of ours says.
const DATABASE: &str = "DATABASE_URL";

/// `config` with every `TROUPE_SECTION__KEY` of `variables` put over it.
///
/// The value is read as TOML where it is TOML (`5`, `true`, `["a", "b"]`) and as a text otherwise
/// (`30s`, `127.0.0.1:8000`).
pub(super) fn overlay(
    config: &Config,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, Error> {
    let variables = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let (mut named, others): (Vec<_>, Vec<_>) =
        variables.partition(|(name, _)| path(name).is_some());
    named.sort();
    let mut config = config.clone();
    for (name, value) in named {
        config = put(&config, &name, value).map_err(|detail| Error::Variable { name, detail })?;
    }
    if config.store.url.is_none()
        && let Some((_, url)) = others.into_iter().find(|(name, _)| name == DATABASE)
    {
        config.store.url = url.into_string().ok().filter(|url| !url.is_empty());
    }
    Ok(config)
}

/// `TROUPE_ALLOCATOR__WEIGHTS__MATCH` as `["allocator", "weights", "match"]`.
fn path(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix(PREFIX)?;
    rest.contains("__")
        .then(|| rest.split("__").map(str::to_ascii_lowercase).collect())
}

fn put(config: &Config, name: &str, value: OsString) -> Result<Config, String> {
    let path = path(name).unwrap_or_default();
    let value = value
        .into_string()
        .map_err(|_| "its value is not UTF-8".to_owned())?;
    let table = Table::try_from(config).map_err(|error| error.to_string())?;
    let text = Value::String(value.clone());
    let Some(typed) = read(&value) else {
        return with(table, &path, text);
    };
    // `TROUPE_NODE__NAME=7` is a text that happens to look like a number.
    with(table.clone(), &path, typed).or_else(|error| with(table, &path, text).map_err(|_| error))
}

/// A single TOML value, if that is what `text` is.
pub(super) fn read(text: &str) -> Option<Value> {
    let mut table: Table = toml::from_str(&format!("value = {text}")).ok()?;
    // More than one key means that the text broke out of its line.
    (table.len() == 1).then(|| table.remove("value")).flatten()
}

fn with(mut table: Table, path: &[String], value: Value) -> Result<Config, String> {
    let Some((last, parents)) = path.split_last() else {
        return Err("names no key".to_owned());
    };
    let mut place = &mut table;
    for parent in parents {
        let inner = place
            .entry(parent.clone())
            .or_insert_with(|| Value::Table(Table::new()));
        place = inner
            .as_table_mut()
            .ok_or_else(|| format!("`{parent}` is a value, not a section"))?;
    }
    place.insert(last.clone(), value);
    Config::deserialize(table).map_err(|error| error.message().trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_variables(variables: &[(&str, &str)]) -> Result<Config, Error> {
        overlay(
            &Config::default(),
            variables.iter().map(|(n, v)| (n.into(), v.into())),
        )
    }

    #[test]
    fn variables_overrule_every_type_of_key() {
        let config = with_variables(&[
            ("TROUPE_TASKS__MAX_STEPS", "7"),
            ("TROUPE_TASKS__STEP_TIMEOUT", "90s"),
            ("TROUPE_COMMAND__ALLOW", r#"["git", "sh"]"#),
            ("TROUPE_ALLOCATOR__WEIGHTS__MATCH", "0.5"),
            ("TROUPE_NODE__NAME", "7"),
            ("TROUPE_LOG__FORMAT", "json"),
            ("TROUPE_STORE__URL", "sqlite:x.db"),
        ])
        .unwrap();
        assert_eq!(config.tasks.max_steps, 7);
        assert_eq!(config.tasks.step_timeout.to_string(), "90s");
        assert_eq!(config.command.allow, ["git", "sh"]);
        assert!((config.allocator.weights.fit - 0.5).abs() < f64::EPSILON);
        assert!((config.allocator.weights.balance - 0.2).abs() < f64::EPSILON);
        assert_eq!(config.node.name, "7");
        assert_eq!(config.log.format, super::super::LogFormat::Json);
        assert_eq!(config.store.url.as_deref(), Some("sqlite:x.db"));
    }

    #[test]
    fn the_database_of_other_programs_fills_in_what_nothing_of_ours_says() {
        let url = |variables: &[(&str, &str)]| with_variables(variables).unwrap().store.url;
        let theirs = ("DATABASE_URL", "postgres://db/theirs");
        assert_eq!(url(&[theirs]).as_deref(), Some(theirs.1));
        let ours = ("TROUPE_STORE__URL", "sqlite:x.db");
        assert_eq!(url(&[theirs, ours]).as_deref(), Some(ours.1));
        assert_eq!(url(&[("DATABASE_URL", "")]), None);
    }

    #[test]
    fn a_wrong_variable_is_named() {
        for (name, value, part) in [
            ("TROUPE_TASKS__MAX_STEPZ", "7", "max_stepz"),
            ("TROUPE_TAZKS__MAX_STEPS", "7", "tazks"),
            ("TROUPE_TASKS__MAX_STEPS", "many", "u32"),
            ("TROUPE_TASKS__MAX_STEPS__X", "1", "is a value"),
            ("TROUPE_HEALTH__TIMEOUT", "5 s", "is not a span"),
        ] {
            let error = with_variables(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
    }

    #[test]
    fn variables_without_a_section_are_not_ours() {
        let config = with_variables(&[("TROUPE_URL", "x"), ("HOME", "/"), ("TROUPE_TOKEN", "t")]);
        assert_eq!(config.unwrap(), Config::default());
    }
}
