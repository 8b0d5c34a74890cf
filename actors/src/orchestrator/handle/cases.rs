//! [`UseCase`]: what can be asked for, where it is carried out, and how often it may be tried.

mod actors;
mod agent_change;
mod agent_stop;
mod agents;
mod artifacts;
mod cancel;
mod diary;
mod events;
mod holds;
mod journal;
mod kill;
mod life;
mod log;
mod look;
mod nodes;
mod pages;
mod pausing;
mod questions;
mod relay;
mod run_change;
mod run_replay;
mod runs;
mod schedules;
mod scopes;
mod strong;
mod submission;
mod system;
mod task_change;
mod tasks;
mod templates;
mod tickets;
mod tokens;
mod tree;
mod triggers;
mod workflows;

use std::time::Duration;

use protocol::{
    access::{Caller, DEFAULT_TENANT},
    entity::EntityId,
    id::NodeId,
};
use runtime::entity::TellError;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(super) use actors::{ActOn, FindActor, ShowActor, ShowAsks, TendEntity};
pub(super) use agent_change::{Action, ChangeAgent, RegisterAgent, UpdateAgent};
pub(super) use agent_stop::StopAgent;
pub(super) use agents::{
    AgentConfig, AgentEvents, CheckAgent, CountAgents, ListAgents, ShowAgent, TotalAgents,
};
pub(super) use artifacts::{FindArtifact, Found, Recorded};
pub(super) use cancel::{CancelTask, ENDING, Extent};
pub(super) use diary::{ReadDiary, ReadRecord, SeenTasks};
pub(super) use events::{EventsAfter, views, visible};
pub(super) use holds::{Interrupt, LiftHold, ListHolds, PlaceHold, When};
pub(super) use journal::ReadJournal;
pub(super) use kill::KillActor;
pub(super) use life::{ReadLife, RelayNews, TellNews, Wanted, before};
pub(super) use log::TurnLog;
pub(super) use look::{FindMessages, ShowMessages, ShowState};
pub(super) use nodes::{ListNodes, RemoveNode, ShowNode, ShowVitals, Turn, TurnNode};
pub(super) use pages::streams_of;
pub(super) use pausing::{PauseTask, ResumeTask, TurnPart};
pub(super) use questions::{
    Deal, DealWith, ListQuestions, PutQuestion, ShowQuestion, TakeQuestionBack,
};
pub(super) use relay::Relay;
pub use run_change::Drawing;
pub(super) use run_change::{DrawRun, ForkRun, ShowContext, ShowValue, TerminateRun, WriteContext};
pub(super) use run_replay::{CheckRuns, ReplayRun};
pub use runs::Begun;
pub(super) use runs::{ListRuns, RunTurn, ShowRun, StartRun, TurnRuns};
pub(super) use schedules::{
    CreateSchedule, ListSchedules, ScheduleFirings, ShowSchedule, TurnSchedule, Turned,
};
pub(super) use scopes::{Deed, TurnScope};
pub(super) use strong::{
    AGAIN, CAUGHT_UP_WITHIN, CatchUp, CommittedAgents, SyncAgent, SyncAgents, behind,
};
pub(super) use submission::SubmitTask;
pub(super) use system::StoreStatus;
pub use task_change::Cancel;
pub(super) use task_change::{AmendTask, AssignTask, CheckpointTask, DeleteTask};
pub(super) use tasks::{
    AwaitTask, ListTasks, ShowAllocation, ShowResult, ShowTask, ShowTaskTree, ShowWhy,
};
pub(super) use templates::{
    CreateTemplate, DeleteTemplate, ListTemplates, ShowTemplate, SubmitTemplate, UpdateTemplate,
};
pub(super) use tickets::RedeemTicket;
pub(super) use tokens::{CreateToken, ListTokens, RevokeToken};
pub(super) use tree::{
    CompareTrees, KnowsNode, KnowsPath, NodeEnd, ShowForest, ShowTree, TOLD_WITHIN, is_path,
};
pub(super) use triggers::{
    CreateTrigger, DeliverHook, ListTriggers, ShowTrigger, TriggerFirings, TriggerTurned,
    TurnTrigger,
};
pub(super) use workflows::{
    CreateWorkflow, DeleteWorkflow, FindWorkflow, ListWorkflows, ShowWorkflow, UpdateWorkflow,
    WorkflowVersions,
};

use super::{Answer, Orchestrator};
use crate::Rejection;

/// Items of a page when the client does not say, and the most it can ask for.
pub(super) const PAGE: u32 = 50;
pub(super) const LONGEST_PAGE: u32 = 200;

/// How long most of what is only read may take a node.
pub(super) const READ: Duration = Duration::from_secs(1);

/// So long is waited for the node that asks all others.
const GATHERED_WITHIN: Duration = TOLD_WITHIN.saturating_add(Duration::from_millis(500));

/// Something that a caller can ask for. It travels to the node that carries it out.
pub(super) trait UseCase: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What it gives.
    type Answer: Serialize + DeserializeOwned + Send;
    /// Part of the contract between nodes.
    const NAME: &'static str;
    /// How often it may be tried.
    const EFFECT: Effect;

    /// Where it is carried out.
    fn place(&self) -> Place<'_>;

    /// Whether this one may be tried more often than its kind.
    fn effect(&self) -> Effect {
        Self::EFFECT
    }

    /// How long it may take beyond the time of any request.
    fn wait(&self) -> Duration {
        self.place().wait()
    }

    /// How long one node may take for what is only read before another is asked.
    fn read_within(&self) -> Duration {
        self.place().read_within()
    }

    /// So much of its wait is over.
    fn waited(&mut self, _: Duration) {}

    /// Carries it out on this node.
    fn perform(
        self,
        at: &Orchestrator,
        caller: &Caller,
    ) -> impl Future<Output = Answer<Self::Answer>> + Send;
}

/// Where a use case is carried out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// Where the entity is owned.
    Entity(EntityId),
    /// The same, for an agent by name or id.
    Agent(&'a str),
    /// Where something new will be owned: here, if this node owns anything.
    New,
    /// On any node that has the store.
    Store,
    /// On the same, which has to ask all others: two nodes without the store have no link.
    Cluster,
    /// On this node and no other. A node without a store has links to those alone that have it: they pass it
    /// on.
    Node(NodeId),
}

impl Place<'_> {
    const fn wait(self) -> Duration {
        match self {
            Self::Cluster => GATHERED_WITHIN.saturating_mul(2),
            Self::Entity(_) | Self::Agent(_) | Self::New | Self::Store | Self::Node(_) => {
                Duration::ZERO
            }
        }
    }

    const fn read_within(self) -> Duration {
        match self {
            Self::Cluster => GATHERED_WITHIN,
            Self::Entity(_) | Self::Agent(_) | Self::New | Self::Store | Self::Node(_) => READ,
        }
    }
}

/// What it means to try a use case again when it is not known what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Effect {
    /// Nothing, and any node with the store can answer when the owner does not.
    Reads,
    /// Nothing, but only where it belongs.
    Repeats,
    /// It would happen twice.
    Once,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it stands where `map_err` hands an error over"
)]
fn unreachable(error: TellError) -> Rejection {
    match error {
        TellError::NoSuchEntity(id) => Rejection::not_found(id.to_string()),
        TellError::Parked { .. } => Rejection::Conflict {
            code: "parked",
            message: error.to_string(),
        },
        TellError::Activation { .. } | TellError::Elsewhere(_) | TellError::Unreachable(_) => {
            Rejection::Unavailable {
                message: error.to_string(),
                retry_after: Duration::from_secs(1),
            }
        }
    }
}

/// The actor failed, or its node was lost, before it answered; what it had staged may or may not be
/// on disk.
pub(super) fn unanswered() -> Rejection {
    Rejection::Unavailable {
        message: "the request was not answered; repeat it with the same Idempotency-Key to learn what became of it".to_owned(),
        retry_after: Duration::from_secs(1),
    }
}

/// Whether the caller's role reaches.
pub(super) fn at_least(caller: &Caller, role: protocol::access::Role) -> Answer<()> {
    if caller.role >= role {
        Ok(())
    } else {
        Err(Rejection::Forbidden {
            message: format!(
                "this needs the role {role:?} or a higher one; {caller} has {:?}",
                caller.role
            )
            .to_lowercase(),
        })
    }
}

/// Nodes and what runs them are everybody's, so that only the default tenant's callers act on them.
pub(super) fn runs_the_cluster(caller: &Caller) -> Answer<()> {
    if caller.tenant == DEFAULT_TENANT {
        return Ok(());
    }
    Err(Rejection::Forbidden {
        message: format!(
            "nodes and what runs them are the tenant `{DEFAULT_TENANT}`'s to act on; {caller} is of another"
        ),
    })
}
