//! What runs below the root, and what its parts are told to do when their time comes.

use std::{collections::HashMap, sync::Arc};

use protocol::entity::EntityKind;
use runtime::{
    chronicle::StoreArchive,
    journal::Journal,
    membership,
    outbox::{Carrier, couriers},
    placement::{Moves, placer},
    projection::projector,
    reminder::{Wake, reminders},
    supervision::{ChildSpec, Spec, Strategy, Tree, branch},
};

use crate::{
    agent::{actor::ALERT, view::AgentTotalsView},
    allocator,
    cluster::Part,
    history, hold, host,
    orchestrator::tracker::task_tracker,
    registry, schedule,
    services::Services,
    task::{
        self,
        actor::{Message, WITHDRAWAL},
    },
    trigger,
};

/// The tree below the root: who serves comes before who is served.
pub(super) fn children(
    services: &Services,
    journal: &Journal,
    tree: &Tree,
    part: Option<Part>,
) -> Vec<ChildSpec> {
    let store = journal.store().clone();
    let clock = services.clock.clone();
    let mut system = Vec::new();
    let (me, past) = (journal.owner(), &services.config.history);
    let archive = StoreArchive::new(store.clone(), past.into());
    let writers = history::children(tree, (me, &services.node), past, Arc::new(archive));
    let membership = part.as_ref().map(|part| part.membership.clone());
    if let Some(part) = part {
        system.push(part.keeper());
        let moves = moves(services, &part);
        system.extend(part.children);
        system.push(placer(part.holdings, part.membership, store.clone(), moves));
    }
    system.extend(writers);
    system.extend([
        history::losses(
            store.clone(),
            clock.clone(),
            services.hosts.around.cluster.clone(),
            membership,
        ),
        reminders(
            store.clone(),
            journal.holdings().clone(),
            clock.clone(),
            wake(services),
        ),
        couriers(store, clock, carriers(services)),
        projector(AgentTotalsView, journal.clone()),
        allocator::actor::allocator(&services.allocator),
        registry::actor::agent_manager(services.clone()),
        task_tracker(services.clone(), journal.clone()),
        hold::keeper(services.clone()),
        trigger::follower(services.clone(), journal.clone()),
    ]);
    let (system, _) = branch("system", Spec::infrastructure(Strategy::OneForOne), system);
    vec![
        system,
        host::actor::hosts(&services.hosts, "hosts"),
        services.agents.supervisor(),
        services.held.supervisor(),
        services.workflows.supervisor(),
        services.questions.host().supervisor(),
        services.schedules.supervisor(),
        services.triggers.supervisor(),
        services.templates.supervisor(),
        services.tasks.supervisor(),
    ]
}

/// Agents come before the tasks that use them, and leave after them.
fn moves(services: &Services, part: &Part) -> Moves {
    let (coming, going, mesh) = (services.clone(), services.clone(), part.mesh.clone());
    let heard = part.mesh.clone();
    Moves {
        recover: Arc::new(move |scope, arrival| {
            let services = coming.clone();
            Box::pin(async move {
                for recovered in [
                    services.agents.recover(&scope, arrival).await.map(drop),
                    services.tasks.recover(&scope, arrival).await.map(drop),
                    services.held.show_parked(&scope, arrival).await,
                    services.workflows.show_parked(&scope, arrival).await,
                    services.templates.show_parked(&scope, arrival).await,
                    services
                        .questions
                        .host()
                        .recover(&scope, arrival)
                        .await
                        .map(drop),
                    services.schedules.recover(&scope, arrival).await.map(drop),
                    services.triggers.recover(&scope, arrival).await.map(drop),
                ] {
                    if let Err(error) = recovered {
                        tracing::error!(%error, "unfinished work was not recovered yet");
                        return false;
                    }
                }
                true
            })
        }),
        evict: Arc::new(move |scope, how| {
            let services = going.clone();
            Box::pin(async move {
                services.questions.host().evict(&scope, how).await;
                services.triggers.evict(&scope, how).await;
                services.schedules.evict(&scope, how).await;
                services.tasks.evict(&scope, how).await;
                services.agents.evict(&scope, how).await;
                services.held.evict(&scope, how).await;
                services.workflows.evict(&scope, how).await;
                services.templates.evict(&scope, how).await;
            })
        }),
        announce: Arc::new(move || membership::announce(&mesh)),
        silent: Arc::new(move |node| heard.silent(node)),
    }
}

fn wake(services: &Services) -> Wake {
    let services = services.clone();
    Arc::new(move |stream, _| {
        let services = services.clone();
        Box::pin(async move {
            let told = match stream.kind() {
                EntityKind::Task => services.tasks.tell(stream, Message::Wake).await,
                EntityKind::Schedule => {
                    let due = schedule::Message::Wake;
                    services.schedules.tell(stream, due).await
                }
                EntityKind::Question => return services.questions.wake(stream).await,
                // None of them sets reminders: drop it rather than repeat it for ever.
                EntityKind::Agent
                | EntityKind::Hold
                | EntityKind::Workflow
                | EntityKind::Trigger
                | EntityKind::Template => return true,
            };
            match told {
                Ok(()) => true,
                Err(error) => {
                    tracing::warn!(%stream, %error, "a reminder could not be delivered yet");
                    false
                }
            }
        })
    })
}

/// How alerts reach people, the log and a metric that alert rules watch; and how questions are taken back.
fn carriers(services: &Services) -> HashMap<&'static str, Carrier> {
    let alert: Carrier = Arc::new(|delivery| {
        Box::pin(async move {
            metrics::counter!(crate::metrics::ALERTS).increment(1);
            tracing::error!(entity = %delivery.stream, alert = delivery.payload, "alert");
            Ok(())
        })
    });
    let services = services.clone();
    let withdrawal: Carrier = Arc::new(move |delivery| {
        let services = services.clone();
        Box::pin(async move { task::actor::carry(&services, &delivery).await })
    });
    HashMap::from([(ALERT, alert), (WITHDRAWAL, withdrawal)])
}
