//! Carries out what other nodes pass on, each use case by its name.

use std::{pin::Pin, sync::Arc};

use protocol::{access::Caller, member::NodeRole, wire::Service};
use runtime::{
    cluster::{Fault, Handler, Incoming, Outcome, Peer},
    trace::{self, Kind, Origin, Span},
};
use serde_json::value::RawValue;

use super::{
    Orchestrator,
    cases::{
        ActOn, AgentConfig, AgentEvents, AmendTask, AssignTask, AwaitTask, CancelTask, CatchUp,
        ChangeAgent, CheckAgent, CheckRuns, CheckpointTask, CommittedAgents, CompareTrees,
        CountAgents, CreateSchedule, CreateTemplate, CreateToken, CreateTrigger, CreateWorkflow,
        DealWith, DeleteTask, DeleteTemplate, DeleteWorkflow, DeliverHook, DrawRun, EventsAfter,
        FindActor, FindArtifact, FindMessages, FindWorkflow, ForkRun, Interrupt, KillActor,
        KnowsNode, KnowsPath, LiftHold, ListAgents, ListHolds, ListNodes, ListQuestions, ListRuns,
        ListSchedules, ListTasks, ListTemplates, ListTokens, ListTriggers, ListWorkflows, NodeEnd,
        PauseTask, PlaceHold, PutQuestion, ReadDiary, ReadJournal, ReadLife, ReadRecord,
        RedeemTicket, RegisterAgent, Relay, RelayNews, RemoveNode, ReplayRun, ResumeTask,
        RevokeToken, ScheduleFirings, SeenTasks, ShowActor, ShowAgent, ShowAllocation, ShowAsks,
        ShowContext, ShowForest, ShowMessages, ShowNode, ShowQuestion, ShowResult, ShowRun,
        ShowSchedule, ShowState, ShowTask, ShowTaskTree, ShowTemplate, ShowTree, ShowTrigger,
        ShowValue, ShowVitals, ShowWhy, ShowWorkflow, StartRun, StopAgent, StoreStatus, SubmitTask,
        SubmitTemplate, SyncAgent, SyncAgents, TakeQuestionBack, TellNews, TendEntity,
        TerminateRun, TotalAgents, TriggerFirings, TurnLog, TurnNode, TurnPart, TurnRuns,
        TurnSchedule, TurnScope, TurnTrigger, UpdateAgent, UpdateTemplate, UpdateWorkflow, UseCase,
        WorkflowVersions, WriteContext,
    },
};
use crate::{
    Rejection,
    cluster::{Net, parcel::Limits},
    orchestrator::call::{Call, Reply, decode, encode, unreadable},
};

/// One use case of any type.
struct Entry {
    name: &'static str,
    carry_out: CarryOut,
}

type CarryOut = for<'a> fn(&'a Orchestrator, &'a Call) -> Replying<'a>;
type Replying<'a> = Pin<Box<dyn Future<Output = Reply> + Send + 'a>>;

/// All that other nodes can pass on.
const TABLE: [Entry; 113] = [
    entry::<ActOn>(),
    entry::<AgentConfig>(),
    entry::<AgentEvents>(),
    entry::<AmendTask>(),
    entry::<AssignTask>(),
    entry::<AwaitTask>(),
    entry::<CancelTask>(),
    entry::<CatchUp>(),
    entry::<ChangeAgent>(),
    entry::<CheckAgent>(),
    entry::<CheckpointTask>(),
    entry::<CommittedAgents>(),
    entry::<CompareTrees>(),
    entry::<CountAgents>(),
    entry::<CreateSchedule>(),
    entry::<CreateToken>(),
    entry::<DealWith>(),
    entry::<DeleteTask>(),
    entry::<EventsAfter>(),
    entry::<FindActor>(),
    entry::<FindArtifact>(),
    entry::<RedeemTicket>(),
    entry::<ListAgents>(),
    entry::<Interrupt>(),
    entry::<KillActor>(),
    entry::<KnowsNode>(),
    entry::<KnowsPath>(),
    entry::<LiftHold>(),
    entry::<ListHolds>(),
    entry::<ListNodes>(),
    entry::<ListQuestions>(),
    entry::<ListSchedules>(),
    entry::<ListTasks>(),
    entry::<ListTokens>(),
    entry::<NodeEnd>(),
    entry::<PauseTask>(),
    entry::<PlaceHold>(),
    entry::<PutQuestion>(),
    entry::<ReadDiary>(),
    entry::<ReadJournal>(),
    entry::<ReadLife>(),
    entry::<ReadRecord>(),
    entry::<Relay>(),
    entry::<RegisterAgent>(),
    entry::<RelayNews>(),
    entry::<RemoveNode>(),
    entry::<ResumeTask>(),
    entry::<RevokeToken>(),
    entry::<ScheduleFirings>(),
    entry::<SeenTasks>(),
    entry::<ShowActor>(),
    entry::<ShowAsks>(),
    entry::<ShowAgent>(),
    entry::<ShowAllocation>(),
    entry::<ShowForest>(),
    entry::<ShowMessages>(),
    entry::<ShowNode>(),
    entry::<ShowQuestion>(),
    entry::<ShowResult>(),
    entry::<ShowSchedule>(),
    entry::<ShowState>(),
    entry::<ShowTask>(),
    entry::<ShowTaskTree>(),
    entry::<ShowTree>(),
    entry::<ShowVitals>(),
    entry::<ShowWhy>(),
    entry::<StopAgent>(),
    entry::<StoreStatus>(),
    entry::<SubmitTask>(),
    entry::<TakeQuestionBack>(),
    entry::<SyncAgent>(),
    entry::<SyncAgents>(),
    entry::<TellNews>(),
    entry::<TendEntity>(),
    entry::<TotalAgents>(),
    entry::<TurnLog>(),
    entry::<TurnNode>(),
    entry::<TurnPart>(),
    entry::<TurnSchedule>(),
    entry::<TurnScope>(),
    entry::<CreateTrigger>(),
    entry::<DeliverHook>(),
    entry::<ListTriggers>(),
    entry::<ShowTrigger>(),
    entry::<TriggerFirings>(),
    entry::<TurnTrigger>(),
    entry::<UpdateAgent>(),
    entry::<CreateWorkflow>(),
    entry::<DeleteWorkflow>(),
    entry::<FindMessages>(),
    entry::<FindWorkflow>(),
    entry::<ListRuns>(),
    entry::<ListWorkflows>(),
    entry::<ShowWorkflow>(),
    entry::<ShowRun>(),
    entry::<StartRun>(),
    entry::<TurnRuns>(),
    entry::<UpdateWorkflow>(),
    entry::<DrawRun>(),
    entry::<ForkRun>(),
    entry::<ReplayRun>(),
    entry::<CheckRuns>(),
    entry::<ShowContext>(),
    entry::<ShowValue>(),
    entry::<TerminateRun>(),
    entry::<WriteContext>(),
    entry::<WorkflowVersions>(),
    entry::<CreateTemplate>(),
    entry::<DeleteTemplate>(),
    entry::<ListTemplates>(),
    entry::<ShowTemplate>(),
    entry::<SubmitTemplate>(),
    entry::<UpdateTemplate>(),
];

const fn entry<U: UseCase>() -> Entry {
    Entry {
        name: U::NAME,
        carry_out: |at, call| Box::pin(at.carry_out_for::<U>(call)),
    }
}

impl Orchestrator {
    /// Lets other nodes ask this one, for as long as it lives.
    pub(super) fn serve(&self) {
        let Some(member) = &self.0.member else {
            return;
        };
        let calls = self.handler(|at, incoming| Box::pin(at.called(incoming)));
        member.carrier.serve(Service::CALL, calls);
        let feeds = self.handler(|at, incoming| Box::pin(at.followed(incoming)));
        member.peers.serve(Service::FEED, feeds);
    }

    /// The mesh outlives the orchestrator and does not keep it.
    fn handler(&self, handle: fn(Self, Incoming) -> Outcome) -> Handler {
        let inner = Arc::downgrade(&self.0);
        Arc::new(move |incoming| match inner.upgrade() {
            Some(inner) => handle(Self(inner), incoming),
            None => Box::pin(async { Err(Fault::Refused("the node is stopping".to_owned())) }),
        })
    }

    async fn called(self, incoming: Incoming) -> Result<Vec<u8>, Fault> {
        let reply = self.reply(&incoming.from, &incoming.payload).await;
        Ok(whole(&reply))
    }

    /// Carries a use case out as a part of the trace in which the other node asked for it.
    async fn spanned(&self, entry: &Entry, call: &Call) -> Reply {
        let Some(asked) = trace::current_trace().filter(|trace| trace::records(*trace)) else {
            return (entry.carry_out)(self, call).await;
        };
        let (at, clock) = (trace::below(asked), self.0.tree.clock());
        let started = clock.now();
        let reply = trace::traced(Some(at), (entry.carry_out)(self, call)).await;
        trace::record(Span {
            node: self.0.id,
            at,
            parent: Some(asked.span),
            origin: Origin::Elsewhere,
            name: entry.name.into(),
            kind: Kind::Server,
            started,
            ended: clock.now(),
            attributes: vec![("troupe.node.id", self.0.id.to_string().into())],
            notes: Vec::new(),
            links: Vec::new(),
            error: None,
        });
        reply
    }

    async fn reply(&self, from: &Peer, call: &[u8]) -> Reply {
        if !may_act_for_users(from) {
            return refused(from);
        }
        let call: Call = match decode(call) {
            Ok(call) => call,
            Err(error) => return Reply::Rejected(unreadable("request", &error)),
        };
        match TABLE.iter().find(|entry| entry.name == call.name) {
            Some(entry) => self.spanned(entry, &call).await,
            None => Reply::Rejected(Rejection::Unavailable {
                message: format!(
                    "{} does not know the request {}; see whether all nodes run the same version",
                    self.0.name, call.name
                ),
                retry_after: std::time::Duration::from_secs(5),
            }),
        }
    }

    async fn carry_out_for<U: UseCase>(&self, call: &Call) -> Reply {
        let (body, caller): (&RawValue, &Caller) = (&call.body, &call.caller);
        let case: U = match serde_json::from_str(body.get()) {
            Ok(case) => case,
            Err(error) => return Reply::Rejected(unreadable("request", &error)),
        };
        match self.elsewhere(caller, &case, call.standing).await {
            Err(rejection) => Reply::Rejected(rejection),
            Ok(Some(elsewhere)) => elsewhere,
            Ok(None) => Reply::of(case.perform(self, caller).await),
        }
    }
}

/// A reply as it is sent; one that is too long is another reply.
fn whole(reply: &Reply) -> Vec<u8> {
    let encoded = encode(reply).unwrap_or_else(|error| {
        let reply = Reply::Rejected(unreadable("answer", &error));
        encode(&reply).unwrap_or_default()
    });
    if encoded.len() <= Limits::CALLS.largest {
        return encoded;
    }
    let reply = Reply::Rejected(Rejection::Overloaded {
        message: "the answer is too large to be passed between nodes; ask for less".to_owned(),
        retry_after: std::time::Duration::from_secs(2),
    });
    encode(&reply).unwrap_or_default()
}

/// Whether a node can have found out who its callers are.
pub(super) fn may_act_for_users(peer: &Peer) -> bool {
    let may = peer.roles.has(NodeRole::Control) || peer.roles.has(NodeRole::Edge);
    if !may {
        tracing::warn!(
            target: "audit",
            peer = peer.name,
            node = %peer.node,
            roles = %peer.roles,
            "a node that serves no users asked in the name of one; it was refused"
        );
    }
    may
}

/// What a node hears that must not act for users.
pub(super) fn forbidden(peer: &Peer) -> Rejection {
    Rejection::Forbidden {
        message: format!(
            "node {} has the roles {} and may not act for users; that takes the role control or edge",
            peer.name, peer.roles
        ),
    }
}

fn refused(peer: &Peer) -> Reply {
    Reply::Rejected(forbidden(peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_use_case_has_a_name_of_its_own() {
        let mut names: Vec<_> = TABLE.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }
}
