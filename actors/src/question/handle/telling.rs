//! What came of a question reaches the task that asked it.

use std::{fmt, pin::Pin, sync::OnceLock, time::Duration};

use protocol::{
    id::{QuestionId, TaskId},
    question::Reply,
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    host::Receipt,
    services::{Services, WeakServices},
    task::handle::Word,
};

/// For how long a task is told again and again before its question leaves memory.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a task may take to record what it is told.
const RECORDED_WITHIN: Duration = Duration::from_secs(10);

/// The pauses between two tries: the first, and the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What became of telling a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It is recorded there, now or before.
    Recorded,
    /// There is no such task, or it is over: nobody wants to know.
    Gone,
}

/// The task was told, or why not.
pub type Telling<'a> = Pin<Box<dyn Future<Output = Result<Heard, String>> + Send + 'a>>;

/// How the tasks that asked are reached, wherever they are owned.
pub trait Askers: fmt::Debug + Send + Sync {
    /// Tells a task what came of its question, and answers when that is on disk. A task that is told
    /// twice records it once.
    fn told(&self, task: TaskId, by: QuestionId, reply: Reply) -> Telling<'_>;
}

/// The one that asked could not be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Untold(String);

/// Tells a task again and again, for a while.
pub(crate) async fn tell(
    askers: &dyn Askers,
    task: TaskId,
    by: QuestionId,
    reply: Reply,
) -> Result<(), Untold> {
    let until = Instant::now() + PATIENCE;
    let mut pause = PAUSE;
    loop {
        let told = askers.told(task, by, reply.clone());
        let why = match timeout(RECORDED_WITHIN, told).await {
            Ok(Ok(Heard::Recorded | Heard::Gone)) => return Ok(()),
            Ok(Err(why)) => why,
            Err(_) => "the task takes too long".to_owned(),
        };
        if Instant::now() + pause >= until {
            return Err(Untold(why));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The tasks of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Tasks(OnceLock<WeakServices>);

impl Tasks {
    /// Hands over what it takes to reach them; only the first time counts.
    pub(crate) fn provide(&self, services: &Services) {
        let _ = self.0.set(services.downgrade());
    }
}

impl Askers for Tasks {
    fn told(&self, task: TaskId, by: QuestionId, reply: Reply) -> Telling<'_> {
        let services = self.0.get().and_then(WeakServices::upgrade);
        Box::pin(async move {
            match services {
                Some(services) => services.question_told(task, by, reply).await,
                None => Err("the node is stopping".to_owned()),
            }
        })
    }
}

impl Services {
    async fn question_told(
        &self,
        task: TaskId,
        by: QuestionId,
        reply: Reply,
    ) -> Result<Heard, String> {
        let word = Word {
            task,
            by: by.into(),
            told: reply,
        };
        match self.try_tell(&word).await {
            Receipt::Recorded => Ok(Heard::Recorded),
            Receipt::Again => Err("its task could not be told yet".to_owned()),
        }
    }
}
