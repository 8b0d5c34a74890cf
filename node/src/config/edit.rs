//! Changes one value of a file and nothing else in it.

use std::path::Path;

use toml::{Table, Value};

use super::{Config, Error, env};

/// `text` with `key` set to `value`; comments and order stay. `path` is for errors only.
///
/// The value is read as TOML where it is TOML, and as a text otherwise.
///
/// # Errors
///
/// When there is no such key, the value does not fit it, or the file is written in a way that a
/// change of one line cannot follow.
pub fn set(text: &str, path: &Path, key: &str, value: &str) -> Result<String, Error> {
    Config::parse(text, path)?;
    let mut parts: Vec<&str> = key.split('.').collect();
    let (Some(last), false) = (parts.pop(), parts.is_empty()) else {
        return Err(Error::Key(key.to_owned()));
    };
    let section = parts.join(".");
    let as_text = Value::String(value.to_owned()).to_string();
    if env::read(value).is_none() {
        return put(text, path, &section, last, &as_text);
    }
    put(text, path, &section, last, value)
        .or_else(|error| put(text, path, &section, last, &as_text).map_err(|_| error))
}

fn put(text: &str, path: &Path, section: &str, key: &str, value: &str) -> Result<String, Error> {
    let edit_error = |detail: String| Error::Edit {
        path: path.to_owned(),
        detail,
    };
    let wanted: Table = toml::from_str(&format!("[{section}]\n{key} = {value}\n"))
        .map_err(|_| edit_error(format!("`{value}` is not a value")))?;
    let mut expected: Table =
        toml::from_str(text).map_err(|error| edit_error(error.message().to_owned()))?;
    merge(&mut expected, wanted);

    let changed = replace(text, section, key, value);
    Config::parse(&changed, path)?;
    let found: Table =
        toml::from_str(&changed).map_err(|error| edit_error(error.message().to_owned()))?;
    if found != expected {
        return Err(edit_error(format!(
            "`{section}.{key}` is written over several lines; change it by hand"
        )));
    }
    Ok(changed)
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(new)) => merge(inner, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// The line of `key` replaced, or a line added at the end of its section, or the section at the end.
fn replace(text: &str, section: &str, key: &str, value: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let header = lines.iter().position(|line| is_header(line, section));
    let Some(header) = header else {
        let gap = if lines.is_empty() { "" } else { "\n" };
        let body = text.trim_end();
        let end = if body.is_empty() { "" } else { "\n" };
        return format!("{body}{end}{gap}[{section}]\n{key} = {value}\n");
    };
    let end = lines[header + 1..]
        .iter()
        .position(|line| line.trim_start().starts_with('['))
        .map_or(lines.len(), |offset| header + 1 + offset);
    let place = (header + 1..end).find(|index| is_assignment(&lines[*index], key));
    if let Some(place) = place {
        let line = &lines[place];
        let indent = &line[..line.len() - line.trim_start().len()];
        lines[place] = format!("{indent}{key} = {value}{}", comment(line));
    } else {
        let last = (header..end).rfind(|index| !lines[*index].trim().is_empty());
        lines.insert(last.unwrap_or(header) + 1, format!("{key} = {value}"));
    }
    lines.join("\n") + "\n"
}

fn is_header(line: &str, section: &str) -> bool {
    let Some(rest) = line.trim().strip_prefix('[') else {
        return false;
    };
    let Some((name, _)) = rest.split_once(']') else {
        return false;
    };
    name.trim() == section
}

fn is_assignment(line: &str, key: &str) -> bool {
    line.trim_start()
        .strip_prefix(key)
        .is_some_and(|rest| rest.trim_start().starts_with('='))
}

/// The comment behind a value, with the blanks before it.
fn comment(line: &str) -> &str {
    line.match_indices('#')
        .map(|(index, _)| line.split_at(index))
        .find(|(before, _)| toml::from_str::<Table>(before).is_ok())
        .map_or("", |(before, _)| &line[before.trim_end().len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: &str, key: &str, value: &str) -> Result<String, String> {
        set(text, Path::new("c.toml"), key, value).map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_value_changes() {
        let text = "# top\n[tasks]\n# why\nmax_steps = 5 # few\n\n[log]\nlevel = \"a#b\"   # x\n";
        assert_eq!(
            change(text, "tasks.max_steps", "9").unwrap(),
            text.replace("= 5 ", "= 9 ")
        );
        assert_eq!(
            change(text, "log.level", "debug").unwrap(),
            text.replace("\"a#b\"", "\"debug\"")
        );
    }

    #[test]
    fn a_missing_key_joins_its_section_and_a_missing_section_the_file() {
        let text = "[tasks]\nmax_steps = 5\n\n[log]\nlevel = \"warn\"\n";
        assert_eq!(
            change(text, "tasks.max_lost", "2").unwrap(),
            "[tasks]\nmax_steps = 5\nmax_lost = 2\n\n[log]\nlevel = \"warn\"\n"
        );
        assert_eq!(
            change(text, "health.timeout", "2s").unwrap(),
            format!("{text}\n[health]\ntimeout = \"2s\"\n")
        );
        assert_eq!(
            change("", "health.timeout", "2s").unwrap(),
            "[health]\ntimeout = \"2s\"\n"
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let text = "[command]\nallow = [\n  \"git\",\n]\n";
        for (key, value, part) in [
            ("tasks.max_steps", "many", "a whole number from 0"),
            ("tasks.nothing", "1", "nothing"),
            ("tasks", "1", "no key"),
            ("command.allow", "[\"sh\"]", "c.toml"),
        ] {
            let error = change(text, key, value).unwrap_err();
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
    }
}
