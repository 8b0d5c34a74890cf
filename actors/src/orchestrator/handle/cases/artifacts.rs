//! Where files lie that steps left.

use protocol::{access::Caller, id::NodeId};
use serde::{Deserialize, Serialize};

use super::{Answer, Effect, Orchestrator, Place, UseCase, visible};
use crate::{adapter::ArtifactId, task::Task};

/// The node that has a file, as its task's record says; nothing when that knows no such attempt.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct FindArtifact {
    pub(in super::super) artifact: ArtifactId,
}

/// Where a file lies.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct Found {
    /// The start of the node that ran the attempt.
    pub(in super::super) node: NodeId,
    /// Its name, the same after a restart.
    pub(in super::super) name: String,
    /// What was written down of the file.
    pub(in super::super) recorded: Option<Recorded>,
}

/// What a step said of a file when it left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Recorded {
    pub(in super::super) bytes: u64,
    pub(in super::super) sha256: String,
}

impl UseCase for FindArtifact {
    type Answer = Option<Found>;
    const NAME: &'static str = "task.artifact";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.artifact.task.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Option<Found>> {
        let artifact = self.artifact;
        visible(at, caller, artifact.task).await?;
        let task = artifact.task;
        at.read(task, move |task, _| find(task, &artifact)).await
    }
}

fn find(task: &Task, artifact: &ArtifactId) -> Option<Found> {
    let step = task
        .steps
        .iter()
        .find(|step| step.spec.id == artifact.step)?;
    let attempt = step
        .attempts
        .iter()
        .find(|attempt| attempt.number == artifact.attempt)?;
    let last = step.attempts.last().map(|attempt| attempt.number);
    // The output of a step is that of its last attempt, if of any.
    let output = (last == Some(artifact.attempt)).then(|| task.large.loaded(&step.output));
    let recorded = output.and_then(|output| {
        let files = output.get("artifacts")?.as_array()?;
        let named = |file: &&serde_json::Value| {
            file.get("name").and_then(serde_json::Value::as_str) == Some(&artifact.name)
        };
        serde_json::from_value(files.iter().find(named)?.clone()).ok()
    });
    Some(Found {
        node: attempt.node,
        name: attempt.node_name.clone(),
        recorded,
    })
}
