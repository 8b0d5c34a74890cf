//! What can be read of tasks.

use std::time::Duration;

use protocol::{
    access::Caller,
    allocation::{Exclusion, ScoreCard},
    api::{
        AllocationView, Page, ResultView, TaskQuery, TaskSummary, TaskTree, TaskView, WhyStep,
        WhyView,
    },
    entity::{EntityId, EntityKind},
    id::TaskId,
};
use runtime::{
    redact::redact,
    store::{StreamQuery, StreamRow},
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    Answer, Effect, Orchestrator, Place, UseCase,
    pages::{Leaf, page, streams_of},
    unreachable, visible,
};
use crate::{
    Rejection,
    services::Services,
    task::{
        Task,
        actor::{self, Message},
        view,
        why::{self, Outlook},
    },
};

/// Parts that are read at once.
const PARTS: u32 = 1000;

/// Levels of parts within parts that are followed.
const DEPTH: u32 = 16;

/// The task as it is now.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowTask {
    pub(in super::super) id: TaskId,
}

impl UseCase for ShowTask {
    type Answer = TaskView;
    const NAME: &'static str = "task.show";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TaskView> {
        visible(at, caller, self.id).await?;
        at.view(self.id).await
    }
}

/// The task when it is settled, or as it is when the time is up.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct AwaitTask {
    pub(in super::super) id: TaskId,
    pub(in super::super) wait: Duration,
}

impl UseCase for AwaitTask {
    type Answer = TaskView;
    const NAME: &'static str = "task.await";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    fn wait(&self) -> Duration {
        self.wait
    }

    fn waited(&mut self, time: Duration) {
        self.wait = self.wait.saturating_sub(time);
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TaskView> {
        let Self { id, wait } = self;
        let row = visible(at, caller, id).await?;
        if row.summary.open && !wait.is_zero() {
            let (settled, end) = oneshot::channel();
            let tasks = &at.own()?.services.tasks;
            let told = tasks.tell(id.into(), Message::Await(settled)).await;
            told.map_err(unreachable)?;
            if let Ok(Ok(task)) = tokio::time::timeout(wait, end).await {
                return Ok(*task);
            }
        }
        at.view(id).await
    }
}

/// A page of tasks, the newest first.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ListTasks {
    pub(in super::super) query: TaskQuery,
}

impl UseCase for ListTasks {
    type Answer = Page<TaskSummary>;
    const NAME: &'static str = "task.list";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Page<TaskSummary>> {
        let query = self.query;
        let user = if caller.sees_all_users() {
            query.user_id
        } else {
            Some(caller.user.clone())
        };
        let rows = StreamQuery {
            status: query.status.map(|status| status.as_str().to_owned()),
            user,
            parent: query.parent_id.map(EntityId::from),
            text: query.q,
            ..streams_of(caller, EntityKind::Task)
        };
        let leaf = Leaf {
            limit: query.limit,
            cursor: query.cursor.as_deref(),
            consistency: query.consistency,
        };
        page(at, rows, leaf, summary).await
    }
}

/// What a settled task gave, with provenance.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowResult {
    pub(in super::super) id: TaskId,
}

impl UseCase for ShowResult {
    type Answer = ResultView;
    const NAME: &'static str = "task.result";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<ResultView> {
        let id = self.id;
        visible(at, caller, id).await?;
        let result = at.read(id, move |task, _| view::result(id, task)).await?;
        if result.status.is_terminal() {
            Ok(result)
        } else {
            Err(Rejection::Conflict {
                code: "not_settled",
                message: format!(
                    "the task is {}; its result comes when it is settled",
                    result.status.as_str()
                ),
            })
        }
    }
}

/// The score card of each attempt, and for steps that wait how agents look now.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowAllocation {
    pub(in super::super) id: TaskId,
}

impl UseCase for ShowAllocation {
    type Answer = Vec<AllocationView>;
    const NAME: &'static str = "task.allocation";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Vec<AllocationView>> {
        visible(at, caller, self.id).await?;
        at.read(self.id, |task, _| view::allocation(task)).await
    }
}

/// What each unsettled step waits for.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowWhy {
    pub(in super::super) id: TaskId,
}

impl UseCase for ShowWhy {
    type Answer = WhyView;
    const NAME: &'static str = "task.why";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<WhyView> {
        let id = self.id;
        let tenant = visible(at, caller, id).await?.tenant;
        let task = at.read(id, |task, _| task.clone()).await?;
        let services = &at.own()?.services;
        let now = services.clock.now();
        let requests = actor::requests(&tenant, id, &task);
        let steps: Vec<WhyStep> = task
            .steps
            .iter()
            .enumerate()
            .filter(|(_, step)| !step.status.is_settled())
            .map(|(index, step)| {
                let waiting = requests.iter().find(|(other, _)| *other == index);
                let card = waiting
                    .filter(|_| step.waits_until(now).is_none())
                    .map(|(_, request)| services.allocator.explain(request));
                let tools = waiting.map(|(_, request)| &*request.requirement.tools);
                let outlook = outlook(services, &tenant, &task, tools.unwrap_or_default(), card);
                why::step(&task, step, outlook, now)
            })
            .collect();
        let summary = match steps.first() {
            None => view::ending(&task),
            Some(first) => format!("step {} {}", first.step, first.reason),
        };
        Ok(WhyView {
            id,
            status: task.status,
            summary,
            steps,
        })
    }
}

/// How things look to a step that requires these tools.
fn outlook(
    services: &Services,
    tenant: &str,
    task: &Task,
    tools: &[String],
    card: Option<ScoreCard>,
) -> Outlook {
    let held = services.holds.get().unwrap_or_default();
    let scopes = held.on_task(tenant, &task.user, task.spec.session_id.as_deref());
    let scopes = scopes.cloned().collect();
    let registry = services.registry.tenant(tenant);
    let hold = |name: &String| {
        let facts = registry.agents.get(name)?.facts();
        let node = facts.host.as_ref().map(|(_, name)| &**name);
        let hold = held.on_agent(tenant, &facts.spec, node);
        hold.or_else(|| held.on_tools(tenant, tools)).cloned()
    };
    let candidates = card.iter().flat_map(|card| &card.candidates);
    let agents = candidates
        .filter(|candidate| candidate.excluded == Some(Exclusion::Held))
        .filter_map(|candidate| Some((candidate.agent.clone(), hold(&candidate.agent)?)))
        .collect();
    let lacking = card
        .as_ref()
        .and_then(|card| lacking(services, tenant, card));
    Outlook {
        card,
        scopes,
        agents,
        lacking,
    }
}

/// What is said of the first agent that could have a step if a node had its code.
fn lacking(services: &Services, tenant: &str, card: &ScoreCard) -> Option<String> {
    let agents = services.registry.tenant(tenant);
    card.candidates
        .iter()
        .filter(|candidate| candidate.excluded == Some(Exclusion::Unhosted))
        .filter_map(|candidate| agents.agents.get(&candidate.agent))
        .find_map(|agent| services.hosts.lacking(&agent.facts().spec))
}

/// A task and its parts.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowTaskTree {
    pub(in super::super) id: TaskId,
}

impl UseCase for ShowTaskTree {
    type Answer = TaskTree;
    const NAME: &'static str = "task.tree";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TaskTree> {
        let row = visible(at, caller, self.id).await?;
        at.tree_of(caller, &row, DEPTH).await
    }
}

impl Orchestrator {
    async fn tree_of(&self, caller: &Caller, row: &StreamRow, depth: u32) -> Answer<TaskTree> {
        let task = summary(row)?;
        let mut children = Vec::new();
        if depth > 0 {
            for part in self.parts(caller, task.id).await?.iter().rev() {
                children.push(Box::pin(self.tree_of(caller, part, depth - 1)).await?);
            }
        }
        Ok(TaskTree { task, children })
    }

    pub(super) async fn parts(&self, caller: &Caller, id: TaskId) -> Answer<Vec<StreamRow>> {
        let mut parts = Vec::new();
        loop {
            let query = StreamQuery {
                parent: Some(id.into()),
                before: parts.last().map(|row: &StreamRow| row.stream),
                limit: PARTS,
                ..streams_of(caller, EntityKind::Task)
            };
            let page = self.own()?.journal.store().list(&query).await?;
            let last = page.len() < PARTS as usize;
            parts.extend(page);
            if last {
                return Ok(parts);
            }
        }
    }

    /// Reads a task: from its actor while it is active here, else from its stream.
    pub(super) async fn read<R: Send + 'static>(
        &self,
        id: TaskId,
        read: impl Fn(&Task, u64) -> R + Clone + Send + 'static,
    ) -> Answer<R> {
        let own = self.own()?;
        let (reply, answer) = oneshot::channel();
        let from_actor = read.clone();
        let message = Message::Read(Box::new(move |task, head| {
            // A reader that gave up needs no answer.
            let _ = reply.send(from_actor(task, head));
        }));
        if own.services.tasks.tell_active(id.into(), message)
            && let Ok(answer) = answer.await
        {
            return Ok(answer);
        }
        match own.journal.load::<Task>(id.into()).await? {
            Some(task) => Ok(read(&task, task.head())),
            None => Err(Rejection::not_found(format!("task {id}"))),
        }
    }

    pub(super) async fn view(&self, id: TaskId) -> Answer<TaskView> {
        self.read(id, move |task, head| view::task(id, head, task))
            .await
    }
}

pub(super) fn summary(row: &StreamRow) -> Answer<TaskSummary> {
    let mut summary: TaskSummary =
        serde_json::from_str(&row.summary.body).map_err(|error| Rejection::Unavailable {
            message: format!(
                "the index of {} cannot be read ({error}); `troupe db rebuild` makes it anew",
                row.stream
            ),
            retry_after: Duration::from_secs(60),
        })?;
    summary.id = TaskId::from_uuid(row.stream.key());
    summary.task_id = summary.id;
    summary.parked = row.parked.as_deref().map(|why| redact(why).into_owned());
    Ok(summary)
}
