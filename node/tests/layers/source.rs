//! Sources of the workspace as the rules look at them.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use super::LEFT_BY_RUNS;

/// One source file: its path from the workspace's root, with `/` between the parts, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// One broken rule.
#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) place: String,
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl Source {
    /// Lines with their numbers, without comments and without tests, which end a file or fill one.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_test = self.is_test();
        self.lines_outside_comments()
            .take_while(move |(_, line)| !is_test && line.trim() != "#[cfg(test)]")
    }

    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// Lines of tests: the whole file below a `tests` folder, else what follows `#[cfg(test)]`.
    pub(crate) fn test_code(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_test = self.is_test();
        self.lines_outside_comments()
            .skip_while(move |(_, line)| !is_test && line.trim() != "#[cfg(test)]")
    }

    pub(crate) fn lines_outside_comments(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines()).map(|(number, line)| {
            let end = line.find("//").filter(|at| !line[..*at].ends_with(':'));
            (number, &line[..end.unwrap_or(line.len())])
        })
    }

    pub(crate) fn is_below(&self, place: &str) -> bool {
        self.path
            .strip_prefix(place)
            .is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
    }

    pub(crate) fn found(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding {
            place: format!("{}:{line}", self.path),
            what: what.into(),
        }
    }

    /// The names that follow `protocol::`, one by one, also from `protocol::{a::B, c}`.
    pub(crate) fn names_of_protocol(&self) -> Vec<(usize, String)> {
        let code: Vec<_> = self.code().collect();
        let text: String = code.iter().flat_map(|(_, line)| [line, "\n"]).collect();
        let mut names = Vec::new();
        for (at, _) in text.match_indices("protocol::") {
            let line = text[..at].matches('\n').count();
            let number = code.get(line).map_or(0, |(number, _)| *number);
            let rest = &text[at + "protocol::".len()..];
            names.extend(heads(rest).into_iter().map(|name| (number, name)));
        }
        names
    }
}

/// `a::B` gives `a`; `{a::B, api::{X, Y}}` gives `a`, `api::X` and `api::Y`.
fn heads(path: &str) -> Vec<String> {
    let Some(group) = group(path) else {
        let name = ident(path);
        return match path[name.len()..].strip_prefix("::") {
            Some(rest) if name == "api" => heads(rest)
                .into_iter()
                .map(|of| format!("api::{of}"))
                .collect(),
            _ => vec![name.to_owned()],
        };
    };
    group.into_iter().flat_map(heads).collect()
}

/// The parts of `{a, b::{c, d}}`, if the text starts with a brace.
fn group(text: &str) -> Option<Vec<&str>> {
    let inside = text.strip_prefix('{')?;
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, char) in inside.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                parts.push(inside[start..at].trim());
                start = at + 1;
                if char == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    Some(parts)
}

fn ident(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap_or_else(|error| panic!("no workspace root: {error}"))
}

/// Every Rust source of the workspace.
pub(crate) fn sources() -> Vec<Source> {
    let sources = files(&["rs"]);
    assert!(
        sources.len() > 30,
        "only {} sources were found",
        sources.len()
    );
    sources
}

pub(crate) fn files(extensions: &[&str]) -> Vec<Source> {
    let root = root();
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let is_left_by_runs = LEFT_BY_RUNS.iter().any(|left| name == *left);
            let extension = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() && !is_left_by_runs && name != ".git" {
                folders.push(path);
            } else if extension.is_some_and(|extension| extensions.contains(&extension)) {
                files.push(read(&root, &path));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn read(root: &Path, path: &Path) -> Source {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let parts = path.strip_prefix(root).unwrap_or(path).iter();
    let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
    Source {
        path: parts.join("/"),
        text,
    }
}
