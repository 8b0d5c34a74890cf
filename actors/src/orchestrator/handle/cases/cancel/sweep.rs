//! Cancels task after task, until a look finds none that it has not told.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream, stream::FuturesUnordered};
use protocol::{
    access::Caller,
    api::{CancelView, Reach, Unconfirmed},
    entity::{EntityId, EntityKind},
    hold::Target,
    id::TaskId,
    task::TaskStatus,
};
use runtime::store::{Scope, StreamQuery, StreamRow};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};

use super::{Answer, CancelTask, Extent, Orchestrator, Rejection, is_settled};
use crate::orchestrator::handle::cases::{streams_of, tasks::summary};

/// Tasks that are told at once.
const AT_ONCE: usize = 64;

/// After so long, one that does not answer keeps no other from being told.
const HELD_UP: Duration = Duration::from_millis(50);

/// How long an answer may take beyond the time of the task that gives it; also what is left for those
/// that are found when the time is nearly up.
const GRACE: Duration = Duration::from_secs(1);

/// Tasks that are read at once.
const PAGE: u32 = 500;

/// Where the tasks are that are to end.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Roots<'a> {
    /// Below those that were told.
    Told,
    /// In this scope, and below what is in it.
    In(&'a Target),
}

/// An open task, and in whose name it is stopped.
type Open = (TaskId, Arc<Caller>);

/// Tasks that end together, by one deadline for all.
pub(in super::super) struct Sweep<'a> {
    at: &'a Orchestrator,
    caller: Arc<Caller>,
    reason: String,
    until: Instant,
    /// Whoever was told once: parts are looked for below it, and it is not told again.
    told: HashMap<TaskId, Arc<Caller>>,
    /// What it came to so far.
    pub(in super::super) reach: Reach,
}

impl<'a> Sweep<'a> {
    pub(in super::super) fn new(
        at: &'a Orchestrator,
        caller: Caller,
        reason: String,
        until: Instant,
    ) -> Self {
        Self {
            at,
            caller: Arc::new(caller),
            reason,
            until,
            told: HashMap::new(),
            reach: Reach::default(),
        }
    }

    /// This one is told by somebody else.
    pub(in super::super) fn knows(&mut self, id: TaskId) {
        self.told.insert(id, self.caller.clone());
    }

    /// Looks once and tells what it finds; answers whether there was anything new.
    pub(in super::super) async fn round(&mut self, roots: Roots<'_>) -> Answer<bool> {
        let fresh = self.look(roots).await?;
        let found = !fresh.is_empty();
        self.told.extend(fresh.iter().cloned());
        self.tell(fresh).await;
        Ok(found)
    }

    /// Looks again until nothing new is found: what came in meanwhile ends too, or is named.
    pub(in super::super) async fn finish(&mut self, roots: Roots<'_>) {
        while Instant::now() < self.until {
            match self.round(roots).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.blind(&error),
            }
        }
        match self.look(roots).await {
            Ok(late) => {
                for (id, _) in late {
                    let what = format!(
                        "task {id}: it came in while the others were being stopped; stop it too"
                    );
                    self.reach.unconfirmed.push(self.at.of_owner(id, what));
                }
            }
            Err(error) => self.blind(&error),
        }
    }

    pub(super) fn blind(&mut self, error: &Rejection) {
        self.reach.unconfirmed.push(Unconfirmed {
            node: self.at.0.name.to_string(),
            what: format!("what came in meanwhile could not be looked for: {error}"),
            until: None,
        });
    }

    /// Tells these to end, and waits for that.
    async fn tell(&mut self, open: Vec<Open>) {
        let limit = self.until.max(Instant::now()) + GRACE;
        let room = Semaphore::new(AT_ONCE);
        let (at, until) = (self.at, self.until);
        let mut told: FuturesUnordered<_> = open
            .into_iter()
            .map(|(id, caller)| {
                let (room, reason) = (&room, self.reason.clone());
                async move {
                    let ended = at.ends(room, id, &caller, reason, until);
                    (id, timeout_at(limit, ended).await)
                }
            })
            .collect();
        while let Some((id, ended)) = told.next().await {
            let cause = match ended {
                Ok(Ok(view)) => {
                    self.reach.add(view.reach);
                    continue;
                }
                // It reached its end by itself meanwhile, or was removed, and needs no stop.
                Ok(Err(Rejection::NotFound { .. })) => continue,
                Ok(Err(rejection)) if is_settled(&rejection) => continue,
                Ok(Err(rejection)) => rejection.to_string(),
                Err(_) => "its owner did not answer in time".to_owned(),
            };
            let open = at.of_owner(id, format!("task {id}: {cause}"));
            self.reach.unconfirmed.push(open);
        }
    }

    /// Open tasks that were not told yet.
    pub(super) async fn look(&self, roots: Roots<'_>) -> Answer<Vec<Open>> {
        let mut fresh = match roots {
            Roots::Told => Vec::new(),
            Roots::In(scope) => self.in_scope(scope).await?,
        };
        fresh.retain(|(id, _)| !self.told.contains_key(id));
        let mut seen: HashSet<TaskId> = fresh.iter().map(|(id, _)| *id).collect();
        let mut level: Vec<Open> = self.told.clone().into_iter().collect();
        seen.extend(self.told.keys());
        level.extend(fresh.iter().cloned());
        // Level by level: also below those that reached their end.
        while !level.is_empty() {
            let parts = stream::iter(level).map(|(id, caller)| async move {
                let parts = self.at.parts(&caller, id).await?;
                Answer::Ok((caller, parts))
            });
            let mut parts = parts.buffer_unordered(AT_ONCE);
            let mut next = Vec::new();
            while let Some(found) = parts.next().await {
                let (caller, rows) = found?;
                for row in rows {
                    let part = (TaskId::from_uuid(row.stream.key()), caller.clone());
                    if seen.insert(part.0) {
                        fresh.extend(row.summary.open.then(|| part.clone()));
                        next.push(part);
                    }
                }
            }
            level = next;
        }
        Ok(fresh)
    }

    /// The open tasks of a scope.
    async fn in_scope(&self, scope: &Target) -> Answer<Vec<Open>> {
        let (user, text) = match scope {
            Target::User(name) => (Some(name.clone()), None),
            Target::Session(id) => {
                let id = serde_json::Value::from(id.as_str());
                (None, Some(format!("\"session_id\":{id}")))
            }
            Target::Cluster
            | Target::Node(_)
            | Target::Agent(_)
            | Target::AgentType(_)
            | Target::Tool(_)
            | Target::Provider(_) => (None, None),
        };
        let mut open = HashMap::new();
        // The first once more: a task that was paused then may have gone on before it was its turn.
        for status in [
            TaskStatus::Executing,
            TaskStatus::Paused,
            TaskStatus::Executing,
        ] {
            let mut query = StreamQuery {
                status: Some(status.as_str().to_owned()),
                user: user.clone(),
                text: text.clone(),
                limit: PAGE,
                ..streams_of(&self.caller, EntityKind::Task)
            };
            loop {
                let rows = self.at.own()?.journal.store().list(&query).await?;
                query.before = rows.last().map(|row| row.stream);
                for row in &rows {
                    // The text may stand elsewhere in a row, or be spelled otherwise.
                    let is_in = match scope {
                        Target::Session(id) => summary(row)?.session_id.as_ref() == Some(id),
                        Target::Cluster
                        | Target::User(_)
                        | Target::Node(_)
                        | Target::Agent(_)
                        | Target::AgentType(_)
                        | Target::Tool(_)
                        | Target::Provider(_) => true,
                    };
                    if is_in {
                        open.insert(TaskId::from_uuid(row.stream.key()), self.caller.clone());
                    }
                }
                if rows.len() < PAGE as usize {
                    break;
                }
            }
        }
        if *scope == Target::Cluster {
            self.of_all_tenants(&mut open).await?;
        }
        Ok(open.into_iter().collect())
    }

    /// The cluster is everybody's: each task is stopped in its tenant's name.
    async fn of_all_tenants(&self, open: &mut HashMap<TaskId, Arc<Caller>>) -> Answer<()> {
        let store = self.at.own()?.journal.store();
        let mut callers = HashMap::from([(self.caller.tenant.clone(), self.caller.clone())]);
        let mut after = None;
        loop {
            let ids = store
                .open(EntityKind::Task, &Scope::All, after, PAGE)
                .await?;
            after = ids.last().copied();
            let unknown = |id: &EntityId| {
                let id = TaskId::from_uuid(id.key());
                !open.contains_key(&id) && !self.told.contains_key(&id)
            };
            let unknown: Vec<EntityId> = ids.iter().copied().filter(unknown).collect();
            let rows = stream::iter(unknown).map(|id| store.stream(id));
            let rows: Vec<_> = rows.buffer_unordered(AT_ONCE).collect().await;
            for row in rows {
                let Some(StreamRow { stream, tenant, .. }) = row? else {
                    continue;
                };
                let of_tenant = callers.entry(tenant).or_insert_with_key(|tenant| {
                    Arc::new(Caller {
                        tenant: tenant.clone(),
                        ..(*self.caller).clone()
                    })
                });
                open.insert(TaskId::from_uuid(stream.key()), of_tenant.clone());
            }
            if ids.len() < PAGE as usize {
                return Ok(());
            }
        }
    }
}

impl Orchestrator {
    /// Cancels one task wherever it is, when there is room. One that takes long makes room for others.
    async fn ends(
        &self,
        room: &Semaphore,
        id: TaskId,
        caller: &Caller,
        reason: String,
        until: Instant,
    ) -> Answer<CancelView> {
        // It is never closed.
        let place = room.acquire().await;
        let case = CancelTask {
            id,
            reason,
            wait: until.saturating_duration_since(Instant::now()),
            extent: Extent::Alone,
        };
        let mut ended = self.cancel(caller, case);
        match timeout(HELD_UP, &mut ended).await {
            Ok(ended) => ended,
            Err(_) => {
                drop(place);
                ended.await
            }
        }
    }
}
