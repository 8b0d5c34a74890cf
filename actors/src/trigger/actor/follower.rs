//! Reads the journal for the triggers that this node owns, and tells each what it waits for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use protocol::{
    entity::{EntityId, EntityKind},
    id::TriggerId,
    record::Record,
    trigger::{Happening, Occasion},
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use runtime::{
    entity::TellError,
    journal::{Journal, replay},
    projection::Projection,
    store::{self, Scope},
    supervision::{self, ChildSpec, Restart, child},
};

use super::{Message, News};
use crate::{
    agent::view::AgentTotalsView,
    services::Services,
    task::Task,
    trigger::{depth, happenings, scope},
};

/// How often the journal is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// Records read at once.
const PAGE: u32 = 500;

/// A trigger records how far it has looked when it has come this much further.
const FAR: i64 = 10_000;

/// The triggers of this node that wait for something in the journal. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watching(Arc<Mutex<BTreeMap<TriggerId, Watched>>>);

#[derive(Debug, Clone)]
struct Watched {
    tenant: String,
    event: Happening,
    /// Everything up to here was told to it, or is none of its business.
    told: i64,
    /// How much of that it has on disk.
    recorded: i64,
}

impl Watching {
    /// A trigger waits for something; all up to `place` is decided.
    pub(crate) fn watch(&self, id: TriggerId, tenant: String, event: Happening, place: i64) {
        let mut watched = self.lock();
        let known = watched.get(&id).filter(|known| known.event == event);
        let told = known.map_or(place, |known| known.told.max(place));
        let new = Watched {
            tenant,
            event,
            told,
            recorded: place,
        };
        watched.insert(id, new);
    }

    /// It waits no more, or not here.
    pub(crate) fn forget(&self, id: TriggerId) {
        self.lock().remove(&id);
    }

    /// From where on somebody has not been told.
    fn first(&self) -> Option<i64> {
        self.lock().values().map(|watched| watched.told).min()
    }

    /// Who may wait for something of a tenant at a place.
    fn interested(&self, tenant: &str, place: i64) -> Vec<(TriggerId, Happening)> {
        let watched = self.lock();
        let meant = watched
            .iter()
            .filter(|(_, one)| one.told < place && one.tenant == tenant);
        meant.map(|(id, one)| (*id, one.event)).collect()
    }

    /// Everybody was told all up to a place; answers who has to record it.
    fn advance(&self, place: i64) -> Vec<TriggerId> {
        let mut far = Vec::new();
        for (id, watched) in self.lock().iter_mut() {
            watched.told = watched.told.max(place);
            if watched.told - watched.recorded >= FAR {
                watched.recorded = watched.told;
                far.push(*id);
            }
        }
        far
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TriggerId, Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that the journal has surely come to: nothing that happens from now on stands before it.
pub(crate) async fn end_of_journal(store: &store::Shared) -> Result<i64, store::Error> {
    store.cursor(AgentTotalsView::VIEW).await
}

struct Follower {
    services: Services,
    journal: Journal,
}

#[derive(Debug)]
struct Look;
impl ractor::Message for Look {}
impl supervision::Message for Look {
    fn name(&self) -> &'static str {
        "Look"
    }
}

/// The child that reads the journal.
pub(crate) fn follower(services: Services, journal: Journal) -> ChildSpec {
    let make = move || {
        let (services, journal) = (services.clone(), journal.clone());
        (Follower { services, journal }, ())
    };
    child("triggers", "system", Restart::Permanent, make).0
}

/// Why not everybody was told: it is tried again from the same place.
enum Stop {
    Store(store::Error),
    /// A trigger did not answer.
    Silent,
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl Actor for Follower {
    type Msg = Look;
    /// Appends that had been committed here when the journal was read to its end last, and from where.
    type State = Option<(u64, i64)>;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Look>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        myself.send_after(PERIOD, || Look);
        Ok(None)
    }

    async fn handle(
        &self,
        myself: ActorRef<Look>,
        _: Look,
        read: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let committed = self.journal.feed().committed();
        let first = self.services.watching.first();
        let alone = self.journal.holdings().scope() == Scope::All;
        let known = first.map(|first| (committed, first));
        if let Some(first) = first
            && (!alone || *read != known)
        {
            match self.catch_up(first).await {
                Ok(last) => *read = Some((committed, last)),
                Err(Stop::Silent) => {}
                Err(Stop::Store(error)) => {
                    tracing::warn!(%error, "the journal could not be read for triggers");
                }
            }
        }
        myself.send_after(PERIOD, || Look);
        Ok(())
    }
}

impl Follower {
    /// Tells everybody what stands behind a place; answers where the journal ends.
    async fn catch_up(&self, first: i64) -> Result<i64, Stop> {
        let mut last = first;
        loop {
            let page = self.journal.store().journal(last, PAGE).await?;
            let Some((end, _)) = page.last() else {
                return Ok(last);
            };
            let end = *end;
            for (place, record) in &page {
                if record.stream.kind() == EntityKind::Task {
                    self.tell(*place, record).await?;
                }
            }
            for id in self.services.watching.advance(end) {
                self.services
                    .triggers
                    .tell_active(id.into(), Message::Looked(end));
            }
            last = end;
        }
    }

    async fn tell(&self, place: i64, record: &Record) -> Result<(), Stop> {
        let interested = self.services.watching.interested(&record.tenant, place);
        if interested.is_empty() {
            return Ok(());
        }
        let told = happenings(record);
        if told.is_empty() {
            return Ok(());
        }
        let Some(task) = replay::<Task>(self.journal.store(), record.stream).await? else {
            return Ok(());
        };
        let is_run = task.spec.workflow.is_some();
        for happened in told {
            for (id, event) in &interested {
                if !happened.what.is(*event, is_run) {
                    continue;
                }
                let (entity, seq) = (record.stream, happened.seq);
                let news = News {
                    occasion: Occasion::Event { entity, seq },
                    scope: scope(*event, entity, seq, record.at, &task),
                    at: record.at,
                    depth: depth(&task).saturating_add(1),
                    place,
                };
                self.one(*id, news).await?;
            }
        }
        Ok(())
    }

    async fn one(&self, id: TriggerId, news: News) -> Result<(), Stop> {
        let entity = EntityId::from(id);
        let asked = self
            .services
            .triggers
            .ask(entity, |reply| Message::Happened {
                news: Box::new(news),
                reply,
            });
        match asked.await {
            Ok(Some(())) => Ok(()),
            // Whoever owns it now looks itself.
            Err(
                TellError::Elsewhere(_) | TellError::NoSuchEntity(_) | TellError::Parked { .. },
            ) => {
                self.services.watching.forget(id);
                Ok(())
            }
            Ok(None) | Err(TellError::Activation { .. } | TellError::Unreachable(_)) => {
                Err(Stop::Silent)
            }
        }
    }
}
