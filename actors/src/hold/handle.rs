//! [`Holds`]: a node's copy of what is held, and how its tasks are made to act on it.

use std::{
    collections::HashMap,
    sync::{
        Arc, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use protocol::{
    access::{Caller, DEFAULT_TENANT},
    api::{HoldView, Reach, Unconfirmed},
    entity::EntityKind,
    hold::Target,
    id::{HoldId, NodeId},
    member::NodeRole,
    time::Timestamp,
    wire::Service,
};
use runtime::{
    cluster::Fault,
    entity::{Broadcast, TellError},
    store::{self, StreamQuery},
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, timeout_at},
};

use super::{Held, Hold, Standing, state::STANDS};
use crate::{
    host::{read, write},
    services::Services,
    task::actor as task,
};

/// Holds that are read at once.
const PAGE: u32 = 500;

/// How long tasks may take to act, so that the operator hears of it within a second.
const ACTED_WITHIN: Duration = Duration::from_millis(800);

/// How much longer another node may take to tell that its tasks did.
const ON_THE_WAY: Duration = Duration::from_millis(150);

/// How long the end of what runs is waited for at most.
const LONGEST: Duration = Duration::from_secs(10);

/// How long an interrupt waits for tasks that are being loaded, or change their owner.
const RECALLED: Duration = Duration::from_secs(60);

/// What is held, as far as this node knows. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Holds(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: store::Shared,
    held: RwLock<Arc<Held>>,
    /// Whether anything is: most of the time that is all there is to know.
    any: AtomicBool,
    /// One look at a time: an earlier one does not overwrite a later one.
    looking: Mutex<()>,
    /// What was interrupted lately.
    interrupts: std::sync::Mutex<Vec<(Act, Timestamp)>>,
}

impl Holds {
    pub(crate) fn new(store: store::Shared) -> Self {
        Self(Arc::new(Inner {
            store,
            held: RwLock::default(),
            any: AtomicBool::new(false),
            looking: Mutex::default(),
            interrupts: std::sync::Mutex::default(),
        }))
    }

    /// What is held; nothing when nothing is.
    pub(crate) fn get(&self) -> Option<Arc<Held>> {
        if !self.0.any.load(Ordering::SeqCst) {
            return None;
        }
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner);
        Some(held.clone())
    }

    /// What is held of a tenant, or an empty list.
    pub(crate) fn of(&self, tenant: &str) -> Vec<HoldView> {
        let held = self.get();
        held.map_or_else(Vec::new, |held| held.of(tenant).cloned().collect())
    }

    /// Keeps an interrupt for tasks that are not in memory at this moment.
    fn keep(&self, act: &Act, now: Timestamp) {
        let mut kept = self.kept();
        kept.retain(|(_, at)| now.since(*at) < RECALLED);
        kept.push((act.clone(), now));
    }

    /// What was interrupted lately, and when this node heard of it.
    pub(crate) fn lately(&self, now: Timestamp) -> Vec<(Act, Timestamp)> {
        let mut kept = self.kept();
        kept.retain(|(_, at)| now.since(*at) < RECALLED);
        kept.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Vec<(Act, Timestamp)>> {
        let interrupts = &self.0.interrupts;
        interrupts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks into the store; answers whether something else is held than before.
    pub(crate) async fn look(&self) -> Result<bool, store::Error> {
        let _one = self.0.looking.lock().await;
        let mut holds = Vec::new();
        let mut before = None;
        loop {
            let query = StreamQuery {
                // All are kept in one place; whose they are, they say themselves.
                tenant: DEFAULT_TENANT.to_owned(),
                kind: EntityKind::Hold,
                status: Some(STANDS.to_owned()),
                user: None,
                parent: None,
                runs: None,
                text: None,
                before,
                limit: PAGE,
            };
            let rows = self.0.store.list(&query).await?;
            before = rows.last().map(|row| row.stream);
            let standing = rows.iter().filter_map(|row| {
                let hold: Hold = serde_json::from_str(&row.summary.body).ok()?;
                let view = hold.view(HoldId::from_uuid(row.stream.key()))?;
                Some(Standing {
                    tenant: hold.tenant,
                    hold: view,
                })
            });
            holds.extend(standing);
            if rows.len() < PAGE as usize {
                break;
            }
        }
        let new = Held::new(holds);
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        let changed = **held != new;
        if changed {
            self.0.any.store(!new.is_empty(), Ordering::SeqCst);
            *held = Arc::new(new);
        }
        Ok(changed)
    }
}

/// What becomes of what runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    /// It goes on, and is counted.
    #[default]
    GoesOn,
    /// Attempts end now and are tried again; what must not run twice goes on.
    Interrupted,
    /// It ends by something else; that is waited for.
    Ends,
}

/// What nodes tell each other when something is held, or is no more.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Act {
    /// What runs in here is looked at.
    #[serde(default)]
    pub(crate) on: Option<Target>,
    #[serde(default)]
    pub(crate) fate: Fate,
    #[serde(default)]
    pub(crate) reason: String,
    /// How long its end is waited for, when that is longer than tasks may take to act.
    #[serde(default)]
    pub(crate) within: Duration,
    /// Whose tasks; everybody's when absent.
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    /// Who asked for it.
    #[serde(default)]
    pub(crate) by: Option<String>,
    /// The hold that they lifted, if that is what they did.
    #[serde(default)]
    pub(crate) lifted: Option<HoldId>,
}

impl Act {
    /// What an operator asks for.
    pub(crate) fn on(target: Target, caller: &Caller, fate: Fate, reason: String) -> Self {
        let tenant = (!target.is_shared()).then(|| caller.tenant.clone());
        Self {
            by: Some(caller.user.clone()),
            on: Some(target),
            fate,
            reason,
            tenant,
            ..Self::default()
        }
    }

    /// What in a task of this tenant is looked at.
    pub(crate) fn scope(&self, tenant: &str) -> Option<&Target> {
        let meant = self.tenant.as_deref().is_none_or(|of| of == tenant);
        self.on.as_ref().filter(|_| meant)
    }

    /// Who lifted this hold, if this says so.
    pub(crate) fn lifter(&self, hold: HoldId) -> Option<&str> {
        self.by.as_deref().filter(|_| self.lifted == Some(hold))
    }

    fn interrupts(&self) -> bool {
        self.on.is_some() && self.fate == Fate::Interrupted
    }
}

/// What a task did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// It acts, and that is on disk.
    Acts {
        /// Whether it was changed.
        changed: bool,
        /// Where attempts and questions between agents run that end.
        ending: Vec<NodeId>,
        /// Such as go on.
        running: u32,
    },
    /// An attempt or a question that was to end is gone.
    Gone(NodeId),
}

impl News {
    /// There is nothing to act on.
    const fn nothing() -> Self {
        Self::Acts {
            changed: false,
            ending: Vec::new(),
            running: 0,
        }
    }
}

/// What the tasks of one node did.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Acted {
    pub(crate) tasks: u32,
    pub(crate) ended: u32,
    pub(crate) running: u32,
    /// Attempts and questions whose end was not seen, by node.
    #[serde(default)]
    pub(crate) open: Vec<(NodeId, u32)>,
    /// Tasks that have not said yet that they act.
    #[serde(default)]
    pub(crate) late: u32,
}

impl Acted {
    /// Hears what so many tasks do, until all is said or the time is up.
    pub(crate) async fn hear(
        told: u32,
        heard: &mut mpsc::UnboundedReceiver<News>,
        until: Instant,
    ) -> Self {
        let mut acted = Self {
            late: told,
            ..Self::default()
        };
        let mut open: HashMap<NodeId, u32> = HashMap::new();
        while let Ok(Some(news)) = timeout_at(until, heard.recv()).await {
            match news {
                News::Acts {
                    changed,
                    ending,
                    running,
                } => {
                    acted.late = acted.late.saturating_sub(1);
                    acted.tasks += u32::from(changed);
                    acted.running += running;
                    for node in ending {
                        *open.entry(node).or_default() += 1;
                    }
                }
                News::Gone(node) => {
                    acted.ended += 1;
                    if let Some(open) = open.get_mut(&node) {
                        *open = open.saturating_sub(1);
                    }
                }
            }
        }
        acted.open = open.into_iter().filter(|(_, count)| *count > 0).collect();
        acted
    }
}

/// Answers other control nodes from now on.
pub(crate) fn serve(services: &Services) {
    let own = services.downgrade();
    services.hosts.around.net.serve(
        Service::HOLD,
        Arc::new(move |incoming| {
            let services = own.upgrade();
            Box::pin(async move {
                let Some(services) = services else {
                    return Err(Fault::Refused("the node is stopping".to_owned()));
                };
                if !incoming.from.roles.has(NodeRole::Control) {
                    return Err(Fault::Refused("only control nodes hold tasks".to_owned()));
                }
                let act: Act =
                    read(&incoming.payload).map_err(|error| Fault::Refused(error.to_string()))?;
                let acted = services.act(&act).await;
                let acted = acted.map_err(|error| Fault::Refused(error.to_string()))?;
                Ok(write(&acted))
            })
        }),
    );
}

impl Services {
    /// Looks at what is held; when that is something else than before, everybody here acts on it.
    pub(crate) async fn look_at_holds(&self) -> Result<(), store::Error> {
        if self.holds.look().await? {
            let act = Act::default();
            let (news, _) = mpsc::unbounded_channel();
            let told = self.tell_tasks(&act, &news);
            tracing::debug!(told, "something else is held than before");
        }
        Ok(())
    }

    /// Answers how many are to act.
    fn tell_tasks(&self, act: &Act, news: &mpsc::UnboundedSender<News>) -> u32 {
        let held = || task::Message::Held {
            act: act.clone(),
            news: news.clone(),
        };
        let Broadcast { told, missed } = self.tasks.broadcast(held);
        for id in &missed {
            let (tasks, id, held) = (self.tasks.clone(), *id, held());
            let (news, interrupts) = (news.clone(), act.interrupts());
            tokio::spawn(async move {
                let Err(error) = tasks.tell(id, held).await else {
                    return;
                };
                tracing::debug!(%id, %error, "a task does not act on what is held");
                // Nothing of it can start or run.
                let idle = match error {
                    TellError::NoSuchEntity(_) => true,
                    TellError::Parked { .. } => !interrupts,
                    TellError::Activation { .. }
                    | TellError::Elsewhere(_)
                    | TellError::Unreachable(_) => false,
                };
                if idle {
                    // Who asked may be gone.
                    let _ = news.send(News::nothing());
                }
            });
        }
        self.allocator.changed();
        u32::try_from(told + missed.len()).unwrap_or(u32::MAX)
    }

    /// Lets the tasks of this node act, and hears what they did.
    async fn act(&self, act: &Act) -> Result<Acted, store::Error> {
        let until = Instant::now() + act.within.clamp(ACTED_WITHIN, LONGEST);
        self.holds.look().await?;
        if act.interrupts() {
            self.holds.keep(act, self.clock.now());
        }
        let (news, mut heard) = mpsc::unbounded_channel();
        let told = self.tell_tasks(act, &news);
        drop(news);
        // Who did not say anything failed before it could, and acts when it is back.
        Ok(Acted::hear(told, &mut heard, until).await)
    }

    /// Lets the tasks of all nodes act, and tells how far that got.
    pub(crate) async fn act_everywhere(&self, act: &Act) -> Result<(Reach, Open), store::Error> {
        let payload = write(act);
        let within = act.within.clamp(ACTED_WITHIN, LONGEST) + ON_THE_WAY;
        let others = self.hosts.others().into_iter().map(|node| {
            let asking = self
                .hosts
                .around
                .net
                .ask(node, Service::HOLD, payload.clone(), within);
            async move {
                let answer = asking.await.ok();
                let acted = answer.and_then(|answer| read::<Acted>(&answer).ok());
                (node, acted)
            }
        });
        let (own, others) = tokio::join!(self.act(act), join_all(others));
        let (mut reach, mut open) = (Reach::default(), Open::default());
        let answers = others.into_iter().chain([(self.hosts.me(), Some(own?))]);
        for (node, acted) in answers {
            let Some(acted) = acted else {
                open.silent.push(node);
                continue;
            };
            reach.nodes += 1;
            reach.tasks += acted.tasks;
            reach.ended += acted.ended;
            reach.running += acted.running;
            open.attempts.extend(acted.open);
            if acted.late > 0 {
                open.late.push((node, acted.late));
            }
        }
        Ok((reach, open))
    }
}

/// What was not confirmed, by node.
#[derive(Debug, Default)]
pub(crate) struct Open {
    /// Control nodes that did not answer.
    pub(crate) silent: Vec<NodeId>,
    /// Tasks that have not acted yet, by their owner.
    pub(crate) late: Vec<(NodeId, u32)>,
    /// Attempts and questions whose end was not seen.
    pub(crate) attempts: Vec<(NodeId, u32)>,
}

impl Open {
    /// In words, with the names and leases of nodes as `tell` knows them.
    pub(crate) fn unconfirmed(
        self,
        tell: impl Fn(NodeId) -> (String, Option<Timestamp>),
    ) -> Vec<Unconfirmed> {
        let silent = self
            .silent
            .into_iter()
            .map(|node| (node, "it did not say that its tasks act on it".to_owned()));
        let attempts = self.attempts.into_iter().map(|(node, count)| {
            let what = format!("{count} attempts or questions whose end was not seen");
            (node, what)
        });
        let late = self.late.into_iter().map(|(node, count)| {
            let what = format!("{count} tasks that have not acted on it yet");
            (node, what)
        });
        let all = silent.chain(late).chain(attempts);
        all.map(|(node, what)| {
            let (node, until) = tell(node);
            Unconfirmed { node, what, until }
        })
        .collect()
    }
}
