//! The children of one supervisor, and what is done to them.

use std::{
    collections::{BTreeMap, HashMap},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use ractor::{ActorCell, ActorId, ActorRef};

use super::{KILL_GRACE, KILLED, Message, error_chain};
use crate::supervision::{
    ChildSpec, ChildView, Exit, Rejection, Restart, Restarts, Shutdown, Sibling, Spec, Standing,
    Status, Streak, Tree, Verdict, handle::Context, join, metrics, tree::Entry,
};

/// Counts children in the order in which they were added, which is the order in which they start.
type Key = u64;

/// More failures than the supervisor's intensity allows.
#[derive(Debug, thiserror::Error)]
#[error("gave up after too many restarts, the last of `{child}`: {error}")]
pub(super) struct Escalation {
    child: String,
    error: String,
}

pub(super) struct Children {
    tree: Tree,
    path: Arc<str>,
    spec: Spec,
    myself: ActorRef<Message>,
    by_key: BTreeMap<Key, Child>,
    by_name: HashMap<String, Key>,
    /// Running incarnations only, so that news of any other is known to be stale.
    by_cell: HashMap<ActorId, Key>,
    restarts: Restarts,
    next_key: Key,
    next_turn: u64,
}

struct Child {
    spec: ChildSpec,
    place: Place,
    phase: Phase,
    streak: Streak,
    up_since: Option<Duration>,
    was_started: WasStarted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WasStarted {
    Never,
    Before,
}

enum Phase {
    Up(ActorCell),
    /// It starts when this turn comes, and no other: that is how a stale timer is known.
    Waiting(u64),
    Down,
}

/// A child's row in the tree, which stays between its incarnations.
struct Place {
    tree: Tree,
    entry: Arc<Entry>,
}

impl Place {
    fn shows(&self, status: Status) {
        self.tree.set_status(&self.entry, status);
    }

    /// Until this turn comes, an operator may have it come at once.
    fn waits(&self, supervisor: &ActorRef<Message>, turn: u64) {
        if self.entry.is_killable() {
            let supervisor = supervisor.clone();
            let begins = move || drop(supervisor.send_message(Message::Due(turn)));
            self.tree.set_waker(&self.entry, Box::new(begins));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.tree.remove(&self.entry);
    }
}

impl Children {
    pub(super) fn new(tree: Tree, path: Arc<str>, spec: Spec, myself: ActorRef<Message>) -> Self {
        Self {
            tree,
            path,
            spec,
            myself,
            by_key: BTreeMap::new(),
            by_name: HashMap::new(),
            by_cell: HashMap::new(),
            restarts: Restarts::default(),
            next_key: 0,
            next_turn: 0,
        }
    }

    pub(super) async fn start_all(&mut self, specs: Vec<ChildSpec>) -> Result<(), Escalation> {
        let mut keys = Vec::with_capacity(specs.len());
        for spec in specs {
            match self.enrol(spec) {
                Ok(key) => keys.push(key),
                Err(rejection) => tracing::error!(path = %self.path, "child left out: {rejection}"),
            }
        }
        self.bring_up(&keys).await
    }

    pub(super) async fn add(
        &mut self,
        spec: ChildSpec,
    ) -> Result<Result<(), Rejection>, Escalation> {
        let name = spec.name.clone();
        let key = match self.enrol(spec) {
            Ok(key) => key,
            Err(rejection) => return Ok(Err(rejection)),
        };
        self.bring_up(&[key]).await?;
        Ok(match self.by_key.contains_key(&key) {
            true => Ok(()),
            false => Err(Rejection::DidNotStart(name)),
        })
    }

    pub(super) async fn remove(&mut self, name: &str) -> Result<(), Rejection> {
        let key = self.find(name)?;
        self.stop(key).await;
        self.forget(key);
        Ok(())
    }

    pub(super) async fn restart(
        &mut self,
        name: &str,
    ) -> Result<Result<(), Rejection>, Escalation> {
        let key = match self.find(name) {
            Ok(key) => key,
            Err(rejection) => return Ok(Err(rejection)),
        };
        self.stop(key).await;
        self.bring_up(&[key]).await?;
        Ok(Ok(()))
    }

    pub(super) fn views(&self) -> Vec<ChildView> {
        let view = |child: &Child| ChildView {
            name: child.spec.name.clone(),
            kind: child.spec.kind,
            restart: child.spec.restart,
            status: child.place.entry.status(),
        };
        self.by_key.values().map(view).collect()
    }

    /// Starts the children whose back-off is over.
    pub(super) async fn due(&mut self, turn: u64) -> Result<(), Escalation> {
        let is_due = |(_, child): &(_, &Child)| child.phase.is_waiting_for(turn);
        let due = self.by_key.iter().filter(is_due);
        let keys: Vec<Key> = due.map(|(&key, _)| key).collect();
        self.bring_up(&keys).await
    }

    /// An incarnation has ended by itself.
    pub(super) async fn ended(&mut self, id: ActorId, exit: Exit) -> Result<(), Escalation> {
        match self.by_cell.remove(&id) {
            Some(key) => self.lost(key, self.marked(key, exit)).await,
            None => Ok(()),
        }
    }

    /// The same exit, where ractor passed a panic on as the error that it is not.
    fn marked(&self, key: Key, exit: Exit) -> Exit {
        let child = self.by_key.get(&key);
        match exit {
            Exit::Failed(text) if child.is_some_and(|child| child.place.entry.take_panic()) => {
                Exit::Failed(format!("panicked: {text}"))
            }
            exit @ (Exit::Normal | Exit::Failed(_)) => exit,
        }
    }

    /// Stops all children, the last started first, and forgets them.
    pub(super) async fn stop_all(&mut self) {
        if *self.path == *"/" {
            self.tree.end();
        }
        let keys: Vec<Key> = self.by_key.keys().rev().copied().collect();
        for key in keys {
            self.stop(key).await;
            self.forget(key);
        }
    }

    fn find(&self, name: &str) -> Result<Key, Rejection> {
        let key = self.by_name.get(name).copied();
        key.ok_or_else(|| Rejection::NoSuchChild(name.to_owned()))
    }

    fn enrol(&mut self, spec: ChildSpec) -> Result<Key, Rejection> {
        if self.by_name.contains_key(&spec.name) {
            return Err(Rejection::NameTaken(spec.name));
        }
        let entry = self.tree.insert(join(&self.path, &spec.name), spec.kind);
        let key = self.next_key;
        self.next_key += 1;
        self.by_name.insert(spec.name.clone(), key);
        let child = Child {
            spec,
            place: Place {
                tree: self.tree.clone(),
                entry,
            },
            phase: Phase::Down,
            streak: Streak::default(),
            up_since: None,
            was_started: WasStarted::Never,
        };
        self.by_key.insert(key, child);
        Ok(key)
    }

    fn forget(&mut self, key: Key) {
        if let Some(child) = self.by_key.remove(&key) {
            self.by_name.remove(&child.spec.name);
            if let Phase::Up(actor) = child.phase {
                self.by_cell.remove(&actor.get_id());
            }
        }
    }

    /// Makes the children wait for a new turn.
    fn line_up(&mut self, keys: &[Key], status: Status) -> u64 {
        let turn = self.next_turn;
        self.next_turn += 1;
        for key in keys {
            if let Some(child) = self.by_key.get_mut(key) {
                child.phase = Phase::Waiting(turn);
                child.place.shows(status);
            }
        }
        turn
    }

    /// Starts the children one after the other.
    ///
    /// When one fails, its plan may put the rest off to a later turn: they are then not started here.
    async fn bring_up(&mut self, keys: &[Key]) -> Result<(), Escalation> {
        let turn = self.line_up(keys, Status::Starting);
        for &key in keys {
            if let Err(error) = self.start(key, turn).await {
                // Boxed because the rest of a group may fail in turn.
                Box::pin(self.lost(key, Exit::Failed(error))).await?;
            }
        }
        Ok(())
    }

    async fn start(&mut self, key: Key, turn: u64) -> Result<(), String> {
        let Some(child) = self.by_key.get_mut(&key) else {
            return Ok(());
        };
        if !child.phase.is_waiting_for(turn) {
            return Ok(());
        }
        let entry = &child.place.entry;
        self.tree.spare(entry);
        if child.was_started == WasStarted::Before {
            self.tree.restart(entry);
            metrics::restarted(child.spec.kind);
        }
        child.was_started = WasStarted::Before;
        child.up_since = None;
        let context = Context {
            tree: self.tree.clone(),
            entry: Arc::clone(entry),
            parent: self.myself.get_cell(),
        };
        // The closure that makes the actor is a guest here: its panic is the child's.
        let started = AssertUnwindSafe((child.spec.start)(context)).catch_unwind();
        match started.await {
            Ok(Ok(actor)) => {
                self.by_cell.insert(actor.get_id(), key);
                child.phase = Phase::Up(actor);
                child.up_since = Some(self.tree.clock().monotonic());
                Ok(())
            }
            Ok(Err(error)) => Err(error_chain(&error)),
            Err(panic) => Err(super::supervised::panic_text(panic.as_ref())),
        }
    }

    /// A child has ended or did not start: decides what becomes of it and of its siblings.
    async fn lost(&mut self, key: Key, exit: Exit) -> Result<(), Escalation> {
        let now = self.tree.clock().monotonic();
        let Some(child) = self.by_key.get_mut(&key) else {
            return Ok(());
        };
        child.phase = Phase::Down;
        let entry = &child.place.entry;
        let was_asked = self.tree.spare(entry);
        child.place.shows(Status::Stopped);
        let error = match &exit {
            Exit::Normal => "ended".to_owned(),
            Exit::Failed(error) => {
                tracing::warn!(path = entry.path(), error, "actor failed");
                self.tree.fail(entry, error)
            }
        };
        if !child.spec.restart.wants(&exit) {
            if child.spec.restart == Restart::Temporary {
                self.forget(key);
            }
            return Ok(());
        }
        // Who ends it on purpose says nothing of how it does; it may have crashed before that, though.
        let has_crashed = !(was_asked && matches!(&exit, Exit::Failed(error) if error == KILLED));
        let mut wait = Duration::ZERO;
        if has_crashed {
            if self.restarts.record(self.spec.intensity, now) == Verdict::Exceeded {
                return Err(Escalation {
                    child: child.spec.name.clone(),
                    error,
                });
            }
            let uptime = child
                .up_since
                .map_or(Duration::ZERO, |since| now.saturating_sub(since));
            let unit = self.tree.dice().unit();
            wait = child.streak.fail(&self.spec.backoff, uptime, unit);
        }
        if was_asked {
            wait = Duration::ZERO;
        }
        self.restart_group(key, wait).await;
        Ok(())
    }

    /// Stops those who go down with `failed`, and lines up those who come up after `wait`.
    async fn restart_group(&mut self, failed: Key, wait: Duration) {
        let siblings = self.by_key.iter().map(|(&key, child)| Sibling {
            key,
            restart: child.spec.restart,
            standing: child.phase.standing(),
        });
        let plan = self.spec.strategy.plan(siblings, failed);
        for &key in &plan.stop {
            self.stop(key).await;
        }
        for &key in &plan.forget {
            self.forget(key);
        }
        let turn = self.line_up(&plan.start, Status::BackingOff);
        // Sent to this incarnation alone; it carries no meaning for another.
        if wait.is_zero() {
            let _ = self.myself.send_message(Message::Due(turn));
        } else {
            for child in plan.start.iter().filter_map(|key| self.by_key.get(key)) {
                child.place.waits(&self.myself, turn);
            }
            self.myself.send_after(wait, move || Message::Due(turn));
        }
    }

    /// Ends a child on purpose; news of its end will be stale.
    async fn stop(&mut self, key: Key) {
        let Some(child) = self.by_key.get_mut(&key) else {
            return;
        };
        if let Phase::Up(actor) = std::mem::replace(&mut child.phase, Phase::Down) {
            self.by_cell.remove(&actor.get_id());
            child.place.shows(Status::Stopping);
            end(&actor, child.spec.shutdown).await;
        }
        child.place.shows(Status::Stopped);
    }
}

impl Phase {
    fn is_waiting_for(&self, turn: u64) -> bool {
        matches!(self, Self::Waiting(awaited) if *awaited == turn)
    }

    fn standing(&self) -> Standing {
        match self {
            Self::Up(_) => Standing::Up,
            Self::Waiting(_) => Standing::Waiting,
            Self::Down => Standing::Down,
        }
    }
}

async fn end(actor: &ActorCell, shutdown: Shutdown) {
    let patience = match shutdown {
        Shutdown::Within(patience) => Some(patience),
        Shutdown::Unbounded => None,
        Shutdown::Kill => Some(Duration::ZERO),
    };
    if shutdown != Shutdown::Kill {
        actor.stop(Some("shutdown".to_owned()));
        if actor.wait(patience).await.is_ok() {
            return;
        }
    }
    actor.kill();
    if actor.wait(Some(KILL_GRACE)).await.is_err() {
        tracing::error!(actor = %actor.get_id(), "a killed actor still blocks its thread");
    }
}
