//! Pausing a task with its parts on every node, and letting them go on.

use std::{pin::Pin, time::Duration};

use futures_util::{StreamExt, stream};
use protocol::{
    access::{Caller, Role},
    agent::StopMode,
    api::{Reach, TaskChange, Unconfirmed},
    id::TaskId,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Answer, ENDING, Effect, Orchestrator, Place, UseCase, at_least, unanswered, unreachable,
    visible,
};
use crate::{
    Rejection,
    hold::{Acted, News, Open},
    task::{
        actor::{Command, Message, above},
        pause::Cause,
    },
};

/// Parts of a task that are told at once.
const AT_ONCE: usize = 64;

/// How often a task and its parts are told when somebody else turns them at the same time.
const ROUNDS: usize = 3;

/// What is done to a task and to its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Turn {
    /// Nothing more starts.
    Pause {
        reason: String,
        /// What becomes of what runs.
        running: StopMode,
    },
    /// It goes on.
    Resume,
}

/// Nothing more of a task and of its parts starts.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct PauseTask {
    pub(in super::super) id: TaskId,
    pub(in super::super) reason: String,
    /// What becomes of what runs.
    pub(in super::super) running: StopMode,
}

impl UseCase for PauseTask {
    type Answer = TaskChange;
    const NAME: &'static str = "task.pause";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    fn wait(&self) -> Duration {
        ENDING
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TaskChange> {
        let Self {
            id,
            reason,
            running,
        } = self;
        at.turn_task(caller, id, Turn::Pause { reason, running })
            .await
    }
}

/// A paused task goes on, with those of its parts that rest because of it.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ResumeTask {
    pub(in super::super) id: TaskId,
}

impl UseCase for ResumeTask {
    type Answer = TaskChange;
    const NAME: &'static str = "task.resume";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    fn wait(&self) -> Duration {
        ENDING
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TaskChange> {
        at.turn_task(caller, self.id, Turn::Resume).await
    }
}

/// A part rests because a task above it does, or goes on with it.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct TurnPart {
    id: TaskId,
    /// The task that was turned itself.
    above: TaskId,
    turn: Turn,
    /// How long to wait for what ends.
    wait: Duration,
}

impl UseCase for TurnPart {
    type Answer = Reach;
    const NAME: &'static str = "task.turn_part";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    fn wait(&self) -> Duration {
        self.wait
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Reach> {
        let Self {
            id,
            above,
            turn,
            wait,
        } = self;
        let until = Instant::now() + wait.min(ENDING);
        at_least(caller, Role::Developer)?;
        // Who may pause a task may pause what it is made of, whoever submitted that.
        visible(at, caller, above).await?;
        at.is_part(id, above).await?;
        match at
            .tell_task(caller, id, Cause::Above(above), &turn, until)
            .await
        {
            Ok(reach) => Ok(reach),
            // It was settled meanwhile; what it is made of may not be.
            Err(Rejection::Conflict { .. }) => at.turn_parts(caller, id, above, &turn, until).await,
            Err(error) => Err(error),
        }
    }
}

/// What those take in turn who stop, pause or resume a task. Not the task alone: who kills its actor
/// waits for nobody who waits for that actor.
pub(super) fn branch(id: TaskId) -> String {
    format!("{id} with its parts")
}

impl Orchestrator {
    async fn turn_task(&self, caller: &Caller, id: TaskId, turn: Turn) -> Answer<TaskChange> {
        at_least(caller, Role::Developer)?;
        visible(self, caller, id).await?;
        match &turn {
            Turn::Pause { reason, running } => tracing::info!(
                target: "audit", by = %caller, task = %id, reason, ?running, "a task is paused"
            ),
            Turn::Resume => {
                tracing::info!(target: "audit", by = %caller, task = %id, "a task goes on");
            }
        }
        let until = Instant::now() + ENDING;
        let _turn = self.0.turns.take(&branch(id)).await?;
        let told = self.tell_task(caller, id, Cause::Own, &turn, until).await;
        let reach = match (told, &turn) {
            (Ok(reach), _) => self.agree(caller, id, turn, reach, until).await?,
            // It was settled while its parts rested: these go on all the same.
            (Err(settled @ Rejection::Conflict { .. }), Turn::Resume) => {
                let reach = self.turn_parts(caller, id, id, &turn, until).await?;
                if reach.tasks == 0 && reach.unconfirmed.is_empty() {
                    return Err(settled);
                }
                reach
            }
            (Err(error), _) => return Err(error),
        };
        let task = self.view(id).await?;
        Ok(TaskChange { task, reach })
    }

    /// Two who turn a task at the same time, as when its owner changes, reach its parts in any order:
    /// whoever is done last sees to it that these stand as the task does.
    async fn agree(
        &self,
        caller: &Caller,
        id: TaskId,
        mut told: Turn,
        mut reach: Reach,
        until: Instant,
    ) -> Answer<Reach> {
        for _ in 0..ROUNDS {
            let stands = self
                .read(id, |task, _| {
                    let open = !task.status.is_terminal() && !task.cancelling;
                    let reason = task.own_pause().map(|pause| pause.reason.clone());
                    open.then_some(reason)
                })
                .await?;
            let turn = match (stands, &told) {
                (Some(Some(reason)), Turn::Resume) => Turn::Pause {
                    reason,
                    running: StopMode::Graceful,
                },
                (Some(None), Turn::Pause { .. }) => Turn::Resume,
                (Some(Some(_)), Turn::Pause { .. }) | (Some(None), Turn::Resume) | (None, _) => {
                    break;
                }
            };
            let parts = self.turn_parts(caller, id, id, &turn, until).await?;
            reach.unconfirmed.extend(parts.unconfirmed);
            told = turn;
        }
        Ok(reach)
    }

    /// Turns a task of this node and its parts, and hears what that did.
    async fn tell_task(
        &self,
        caller: &Caller,
        id: TaskId,
        by: Cause,
        turn: &Turn,
        until: Instant,
    ) -> Answer<Reach> {
        let (news, mut heard) = mpsc::unbounded_channel();
        let command = match turn.clone() {
            Turn::Pause { reason, running } => Command::Pause {
                by,
                reason,
                running,
                news,
            },
            Turn::Resume => Command::Resume { by, news },
        };
        let user = caller.user.clone();
        let tasks = &self.own()?.services.tasks;
        let answer = tasks.ask(id.into(), |reply| Message::Command {
            user,
            command,
            reply,
        });
        let answer = answer.await.map_err(unreachable)?;
        answer.unwrap_or_else(|| Err(unanswered()))?;
        // It is on disk: a part that comes from now on begins as it is to be.
        let above = match by {
            Cause::Above(above) => above,
            Cause::Own | Cause::Hold(_) => id,
        };
        let (own, parts) = tokio::join!(
            self.hear_task(&mut heard, until),
            self.turn_parts(caller, id, above, turn, until)
        );
        let mut reach = own;
        reach.add(parts?);
        Ok(reach)
    }

    async fn hear_task(&self, heard: &mut mpsc::UnboundedReceiver<News>, until: Instant) -> Reach {
        let acted = Acted::hear(1, heard, until).await;
        let late = (acted.late > 0).then_some((self.0.id, acted.late));
        let open = Open {
            silent: Vec::new(),
            late: late.into_iter().collect(),
            attempts: acted.open,
        };
        Reach {
            nodes: 1,
            tasks: acted.tasks,
            ended: acted.ended,
            running: acted.running,
            unconfirmed: open.unconfirmed(|node| self.lease_of(node)),
        }
    }

    /// Turns all parts of a task, at the same time, and theirs; also those of parts that are over.
    fn turn_parts<'a>(
        &'a self,
        caller: &'a Caller,
        id: TaskId,
        above: TaskId,
        turn: &'a Turn,
        until: Instant,
    ) -> Pin<Box<dyn Future<Output = Answer<Reach>> + Send + 'a>> {
        Box::pin(async move {
            let parts = self.parts(caller, id).await?;
            let parts: Vec<_> = parts
                .iter()
                .map(|row| (TaskId::from_uuid(row.stream.key()), row.summary.open))
                .collect();
            let turned = stream::iter(parts).map(|(part, is_open)| async move {
                if !is_open {
                    return (
                        part,
                        self.turn_parts(caller, part, above, turn, until).await,
                    );
                }
                let case = TurnPart {
                    id: part,
                    above,
                    turn: turn.clone(),
                    wait: until.saturating_duration_since(Instant::now()),
                };
                (part, self.carry_out(caller, case).await)
            });
            let mut turned = turned.buffer_unordered(AT_ONCE);
            let mut reach = Reach::default();
            while let Some((part, turned)) = turned.next().await {
                match turned {
                    Ok(part) => reach.add(part),
                    // It was removed meanwhile, which is for what is settled.
                    Err(Rejection::NotFound { .. }) => {}
                    Err(error) => reach.unconfirmed.push(Unconfirmed {
                        node: String::new(),
                        what: format!("{part}: {error}"),
                        until: None,
                    }),
                }
            }
            Ok(reach)
        })
    }

    /// Whether a task is a part of another, or a part of a part.
    async fn is_part(&self, id: TaskId, of: TaskId) -> Answer<()> {
        let journal = &self.own()?.journal;
        let row = journal.store().stream(id.into()).await?;
        let parent = row.and_then(|row| row.summary.parent);
        let parent = parent.map(|parent| TaskId::from_uuid(parent.key()));
        let above = above(journal, parent).await?;
        if above.iter().any(|(task, _)| *task == of) {
            Ok(())
        } else {
            Err(Rejection::not_found(format!("part {id} of task {of}")))
        }
    }
}
