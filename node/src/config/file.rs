//! Reads `cluster.toml` and says where it is wrong.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

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

impl Config {
    /// Reads `text` as the content of `path`.
    ///
    /// # Errors
    ///
    /// Names line and column of what is wrong.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| Error::File {
            path: path.to_owned(),
            detail: error.to_string().trim_end().to_owned(),
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
            ("[tasks]\nmax_steps = \"many\"", "line 2", "expected u32"),
            ("[health]\n\ntimeout = \"5 s\"", "line 3", "is not a span"),
            ("[log]\nformat = \"xml\"", "line 2", "unknown variant `xml`"),
            ("tasks = 3", "line 1", "expected struct"),
            ("[tasks", "line 1", "["),
        ] {
            let error = error(text);
            for part in [line, part, "^"] {
                assert!(error.contains(part), "{part:?} is not in {error}");
            }
        }
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
