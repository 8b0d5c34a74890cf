//! Reads `cluster.toml` and says where it is wrong.

use std::{
    ffi::OsString,
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use protocol::words;

use super::{Config, Finding, env};

/// The file that is read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "cluster.toml";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML, or has an unknown key or a value of the wrong type.
    #[error("{}: {detail}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Line, column, the line itself with a caret, and what is wrong with it.
        detail: String,
    },
    /// A variable of the environment is unknown or has a value of the wrong type.
    #[error("environment variable {name}: {detail}")]
    Variable {
        /// Which variable.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Values are of the right type but do not fit.
    #[error("{}", lines(.0))]
    Check(Vec<Finding>),
    /// There is no such key.
    #[error("there is no key `{0}`")]
    Key(String),
    /// The file could be changed, but not so that only the one value differs.
    #[error("{}: {detail}", path.display())]
    Edit {
        /// Which file.
        path: PathBuf,
        /// What is in the way.
        detail: String,
    },
}

fn lines(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Faults of one file that are told; after so many, it is another kind of file.
const TOLD: usize = 20;

/// All that is wrong with `text`, of which the parser tells the first: what it tells of is left out,
/// and the rest is read again.
fn faults(text: &str, first: toml::de::Error) -> Vec<String> {
    let mut told = Vec::new();
    let mut rest = text.to_owned();
    let mut next = Some(first);
    while let Some(error) = next.take().filter(|_| told.len() < TOLD) {
        let shown = error.to_string();
        let message = error.message();
        told.push(shown.trim_end().replace(message, &words::plain(message)));
        // What follows from leaving it out is nobody's fault.
        if let Some(left) = error.span().and_then(|span| without(&rest, &span)) {
            next = toml::from_str::<Config>(&left).err();
            // Lines are shown as they are in the file.
            rest = left;
        }
    }
    told
}

/// The text with blanks for the lines of a key and its value, as long as it is TOML then.
fn without(text: &str, span: &Range<usize>) -> Option<String> {
    let begin = text.get(..span.start)?.rfind('\n').map_or(0, |end| end + 1);
    let end = text.get(span.end..)?.find('\n');
    let mut end = end.map_or(text.len(), |length| span.end + length);
    if text[begin..].trim_start().starts_with('[') {
        // A table goes with all that is in it.
        end = text[end..]
            .find("\n[")
            .map_or(text.len(), |next| end + next);
    }
    let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
    let blanks: String = text[begin..end].chars().map(blank).collect();
    let left = format!("{}{blanks}{}", &text[..begin], &text[end..]);
    toml::from_str::<toml::Table>(&left).is_ok().then_some(left)
}

impl Config {
    /// Reads `text` as the content of `path`.
    ///
    /// # Errors
    ///
    /// Names line and column of all that is wrong.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| Error::File {
            path: path.to_owned(),
            detail: faults(text, error).join("\n\n"),
        })
    }

    /// The file, overruled by `variables`. Without `path`, [`DEFAULT_FILE`] if it is there.
    ///
    /// Nothing is checked yet: the command line may still overrule values.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or something in it or in a variable is wrong.
    pub fn load(
        path: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Error> {
        env::overlay(&Self::read(path)?, variables)
    }

    /// The file alone. Without `path`, [`DEFAULT_FILE`] if it is there.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or something in it is wrong.
    pub fn read(path: Option<&Path>) -> Result<Self, Error> {
        let named = path.is_some();
        let path = path.unwrap_or_else(|| Path::new(DEFAULT_FILE));
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !named => Ok(Self::default()),
            Err(source) => Err(Error::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// The value of a key such as `tasks.max_steps`, or a whole section, as TOML.
    ///
    /// # Errors
    ///
    /// When there is no such key.
    pub fn get(&self, key: &str) -> Result<toml::Value, Error> {
        let unknown = || Error::Key(key.to_owned());
        let mut value = toml::Value::try_from(self).map_err(|_| unknown())?;
        for part in key.split('.') {
            value = value
                .as_table_mut()
                .and_then(|table| table.remove(part))
                .ok_or_else(unknown)?;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(text, Path::new("dir/cluster.toml"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_unknown_key_is_shown_with_file_line_and_caret() {
        let error = error("[tasks]\nmax_steps = 5\nmax_stepz = 6\n");
        assert!(error.starts_with("dir/cluster.toml: "), "{error}");
        for part in ["line 3, column 1", "3 | max_stepz = 6", "^^^", "max_stepz"] {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_is_shown_with_line_and_caret() {
        for (text, line, part) in [
            (
                "[tasks]\nmax_steps = \"many\"",
                "line 2",
                "where a whole number from 0 to 4294967295 is expected",
            ),
            ("[health]\n\ntimeout = \"5 s\"", "line 3", "is not a span"),
            (
                "[log]\nformat = \"xml\"",
                "line 2",
                "`xml` is not known here",
            ),
            ("tasks = 3", "line 1", "where an object is expected"),
            ("[tasks", "line 1", "["),
        ] {
            let error = error(text);
            for part in [line, part, "^"] {
                assert!(error.contains(part), "{part:?} is not in {error}");
            }
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let text = "[tasks]\nmax_steps = \"many\"\nmax_stepz = 6\nname = [\n 1,\n]\n\n[nonsense]\nmax_steps = 7\n\n[log]\nformat = \"xml\"\n";
        let told = error(text);
        for part in [
            "line 2, column",
            "line 3, column",
            "3 | max_stepz = 6",
            "line 4, column",
            "line 8, column",
            "line 12, column",
            "`xml` is not known here",
        ] {
            assert!(told.contains(part), "{part:?} is not in {told}");
        }
        assert!(!told.contains("line 9, column"), "{told}");
    }

    #[test]
    fn a_key_is_found_by_its_path() {
        let config = Config::default();
        assert_eq!(
            config.get("tasks.max_steps").unwrap().as_integer(),
            Some(1000)
        );
        assert!(config.get("tasks").unwrap().is_table());
        assert!(matches!(config.get("tasks.no"), Err(Error::Key(_))));
        assert!(matches!(
            config.get("tasks.max_steps.x"),
            Err(Error::Key(_))
        ));
    }
}
