//! Recorded runs decided anew, with nothing done: one, or the last ones of a workflow.

use std::{sync::Arc, time::Duration};

use protocol::{
    access::Caller,
    api::{CheckRequest, CheckView, DivergenceView, ReplayRequest, ReplayView, WorkflowDraft},
    id::{TaskId, WorkflowId},
};
use runtime::store::StreamQuery;
use serde::{Deserialize, Serialize};

use super::{
    Answer, Effect, LONGEST_PAGE, Orchestrator, Place, UseCase, runs::runs_of, workflows::read,
};
use crate::{
    Rejection,
    workflow::{graph::Graph, run::replay},
};

/// Runs that are checked when nobody says how many.
const RUNS: u32 = 20;

/// A recorded run decided anew.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ReplayRun {
    pub(in super::super) id: TaskId,
    pub(in super::super) request: ReplayRequest,
}

impl UseCase for ReplayRun {
    type Answer = ReplayView;
    const NAME: &'static str = "run.replay";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    fn read_within(&self) -> Duration {
        // A long history is all read, and decided anew.
        Duration::from_secs(10)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<ReplayView> {
        let Self { id, request } = self;
        let of = at.run_of(caller, id).await?;
        let graph = at.proposed(of.id, of.version, request).await?;
        at.replayed(&graph, id).await
    }
}

/// The last runs of a workflow decided anew with a definition that is to be adopted.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct CheckRuns {
    pub(in super::super) workflow: String,
    pub(in super::super) request: CheckRequest,
}

impl UseCase for CheckRuns {
    type Answer = CheckView;
    const NAME: &'static str = "run.check";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    fn read_within(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<CheckView> {
        let CheckRequest {
            version,
            dag_definition,
            source,
            runs,
        } = self.request;
        let runs = runs.unwrap_or(RUNS);
        if !(1..=LONGEST_PAGE).contains(&runs) {
            let message = format!("must be from 1 to {LONGEST_PAGE}");
            return Err(Rejection::field("runs", message));
        }
        let workflow = at.find_workflow(caller, &self.workflow).await?;
        let given = ReplayRequest {
            version,
            dag_definition,
            source,
        };
        let graph = at.proposed(workflow.id, workflow.version, given).await?;
        let rows = StreamQuery {
            limit: runs,
            ..runs_of(caller, Some(workflow.id))
        };
        let rows = at.own()?.journal.store().browse(&rows).await?;
        let mut view = CheckView {
            workflow_id: workflow.id,
            runs: rows.len() as u64,
            same: 0,
            diverged: Vec::new(),
        };
        for row in rows {
            let replayed = at.replayed(&graph, TaskId::from_uuid(row.stream.key()));
            let replayed = replayed.await?;
            match replayed.divergence {
                None => view.same += 1,
                Some(_) => view.diverged.push(replayed),
            }
        }
        Ok(view)
    }
}

impl Orchestrator {
    /// The definition with which runs of a workflow are to be decided: one that was given, or a version.
    async fn proposed(
        &self,
        id: WorkflowId,
        own: u32,
        request: ReplayRequest,
    ) -> Answer<Arc<Graph>> {
        let given = WorkflowDraft {
            dag_definition: request.dag_definition,
            source: request.source,
            name: None,
            ..WorkflowDraft::default()
        };
        match (read(given).await?, request.version) {
            (Some(_), Some(_)) => Err(Rejection::field(
                "version",
                "stands beside a definition; give one of them",
            )),
            (Some(draft), None) => Ok(Graph::compile(&draft.definition)
                .map_err(|fault| Rejection::field(fault.path, fault.message))?
                .into()),
            (None, version) => {
                let version = version.unwrap_or(own);
                let library = &self.own()?.services.library;
                let edition = library.edition(id, version).await?;
                let edition = edition.ok_or_else(|| {
                    let message = format!(
                        "there is no version {version} of its workflow; `GET \
                         /api/v1/workflows/{id}/versions` lists them"
                    );
                    Rejection::field("version", message)
                })?;
                Ok(edition.graph.clone())
            }
        }
    }

    async fn replayed(&self, graph: &Graph, id: TaskId) -> Answer<ReplayView> {
        let recorded = self.history(id).await?;
        let replayed = replay::replay(graph, id, &recorded);
        Ok(ReplayView {
            execution_id: id,
            events: replayed.events as u64,
            same: replayed.same as u64,
            divergence: replayed.divergence.map(|found| DivergenceView {
                seq: found.seq as u64,
                node: found.node,
                recorded: found.recorded,
                decided: found.decided,
            }),
        })
    }
}
