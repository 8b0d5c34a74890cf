//! What `--resume` needs to know of a run: the key and the exact task that were sent.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use protocol::{
    agent::AgentSpec,
    id::TaskId,
    task::{TaskSpec, TaskStatus},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    cli::exit::{Exit, Failure},
    job::Bound,
    node::write_atomically,
};

/// One run, as its file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Sent with the task: the node makes one task of it, however often it comes.
    pub(super) key: String,
    /// The agents that were registered.
    pub(super) agents: Vec<AgentSpec>,
    /// What was submitted.
    pub(super) spec: TaskSpec,
    /// What it became; absent when the node's answer never came.
    pub(super) task: Option<TaskId>,
    /// How it ended.
    pub(super) ended: Option<TaskStatus>,
}

impl Record {
    pub(super) fn new(key: String, bound: &Bound) -> Self {
        Self {
            key,
            agents: bound.agents.clone(),
            spec: bound.spec.clone(),
            task: None,
            ended: None,
        }
    }

    /// Whether the file still says what it said then.
    pub(super) fn is_of(&self, bound: &Bound) -> bool {
        self.agents == bound.agents && self.spec == bound.spec
    }
}

/// The runs of one job with one set of inputs: the last one.
#[derive(Debug)]
pub(super) struct Records {
    path: PathBuf,
}

impl Records {
    /// Those of a job file and inputs, below a data directory.
    pub(super) fn of(dir: &Path, file: &Path, bound: &Bound) -> Result<Self, Failure> {
        let path = file.canonicalize().map_err(|error| refused(file, &error))?;
        let mut digest = Sha256::new();
        digest.update(path.as_os_str().as_encoded_bytes());
        digest.update([0]);
        digest.update(bound.spec.input.to_string());
        let name: String = digest
            .finalize()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let path = dir.join("runs").join(format!("{name}.json"));
        Ok(Self { path })
    }

    /// The last run, if there was one.
    pub(super) fn last(&self) -> Result<Option<Record>, Failure> {
        match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot read {}", self.path.display()))
                    .because(error)
                    .help("remove the file to begin anew")
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(refused(&self.path, &error)),
        }
    }

    /// Writes the last run; it is on disk when this returns.
    pub(super) fn write(&self, record: &Record) -> Result<(), Failure> {
        let write = || {
            if let Some(folder) = self.path.parent() {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(folder)?;
            }
            write_atomically(&self.path, &serde_json::to_vec_pretty(record)?)
        };
        write().map_err(|error| refused(&self.path, &error))
    }
}

fn refused(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot use {}", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bound(path: &str) -> Bound {
        Bound {
            agents: Vec::new(),
            spec: TaskSpec {
                description: "d".into(),
                input: json!({ "path": path }),
                ..TaskSpec::default()
            },
        }
    }

    #[test]
    fn the_last_run_of_a_job_is_found_by_file_and_inputs() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("job.yaml");
        fs::write(&file, "").unwrap();
        let records = Records::of(dir.path(), &file, &bound("/a")).unwrap();
        assert_eq!(records.last().unwrap(), None);
        let record = Record::new("k".into(), &bound("/a"));
        records.write(&record).unwrap();
        assert_eq!(records.last().unwrap(), Some(record.clone()));
        assert!(record.is_of(&bound("/a")) && !record.is_of(&bound("/b")));

        let other = Records::of(dir.path(), &file, &bound("/b")).unwrap();
        assert_eq!(other.last().unwrap(), None);
        let by_another_way = dir.path().join("../").join(dir.path().file_name().unwrap());
        let same = Records::of(dir.path(), &by_another_way.join("job.yaml"), &bound("/a"));
        assert_eq!(same.unwrap().last().unwrap(), Some(record));
    }
}
