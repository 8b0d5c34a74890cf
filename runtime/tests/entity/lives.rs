//! Activations: one at most, none lost, each whole.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use protocol::{api::Life, entity::EntityKind, record::ChainHash};
use runtime::{
    entity::TellError,
    placement::{Arrival, Evict},
    store::{Append, Scope, conformance},
};

use crate::counter::{Message, Process, id, memory, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_of_messages_and_passivations_loses_none_and_is_never_fenced() {
    let store = memory();
    let process = Arc::new(Process::start(&store).await);
    let counter = id(1);
    process.make(counter, 0).await;
    let storm: Vec<_> = (0..8_u64)
        .map(|teller| {
            let process = process.clone();
            tokio::spawn(async move {
                for number in 0..100_u64 {
                    let number = teller * 1000 + number;
                    let told = if number % 3 == 0 {
                        process
                            .host
                            .ask(counter, |to| Message::AddThenLeave(number, to))
                            .await
                    } else {
                        process
                            .host
                            .ask(counter, |to| Message::Add(number, to))
                            .await
                    };
                    assert!(told.unwrap().is_some(), "each one is answered");
                }
            })
        })
        .collect();
    for teller in storm {
        teller.await.unwrap();
    }
    let mut added = process.read(counter).await.added;
    added.sort_unstable();
    let mut expected: Vec<u64> = (0..8)
        .flat_map(|t| (0..100).map(move |n| t * 1000 + n))
        .collect();
    expected.push(0);
    expected.sort_unstable();
    assert_eq!(added, expected);
    assert_eq!(process.shares.fenced.load(Ordering::SeqCst), 0);
    assert!(process.shares.recovered.load(Ordering::SeqCst) > 1);
}

#[tokio::test]
async fn who_speaks_to_an_entity_that_has_nothing_to_do_but_leave_is_heard_by_its_next_life() {
    let process = Process::start(&memory()).await;
    process.make(id(1), 7).await;
    let host = &process.host;
    for number in 1..20 {
        host.ask(id(1), |to| Message::AddThenLeave(number, to))
            .await
            .unwrap();
        process.shares.short.store(1, Ordering::SeqCst);
        let heard = host.ask(id(1), |to| Message::Add(number, to)).await;
        assert!(heard.is_ok_and(|answer| answer.is_some()));
    }
}

#[tokio::test]
async fn an_entity_that_fails_comes_back_with_what_was_committed_and_nothing_else() {
    let store = memory();
    let process = Process::start(&store).await;
    process.make(id(1), 7).await;
    process
        .host
        .tell(id(1), Message::StageThenFail(1000))
        .await
        .unwrap();
    // It comes back by itself, without being told anything.
    until(async || (process.shares.recovered.load(Ordering::SeqCst) == 1).then_some(())).await;
    assert_eq!(process.read(id(1)).await.added, [7]);
}

#[tokio::test]
async fn an_entity_that_fails_five_times_is_parked_until_it_is_released() {
    let store = memory();
    let process = Process::start(&store).await;
    process.make(id(1), 7).await;
    let errors = until(
        async || match process.host.tell(id(1), Message::StageThenFail(1)).await {
            Err(TellError::Parked { errors, .. }) => Some(errors),
            Err(_) | Ok(()) => None,
        },
    )
    .await;
    assert_eq!(errors.lines().count(), 3);
    assert!(errors.contains("told to fail"), "{errors}");
    let open = store
        .open(EntityKind::Task, &Scope::All, None, 10)
        .await
        .unwrap();
    assert!(open.is_empty(), "a parked stream is not activated at start");
    process.host.unpark(id(1)).await.unwrap();
    assert_eq!(process.read(id(1)).await.added, [7]);
}

#[tokio::test]
async fn a_parked_entity_is_shown_by_the_next_process_until_it_is_released() {
    let store = memory();
    let before = Process::start(&store).await;
    for number in 1..=2 {
        before.make(id(number), 7).await;
    }
    until(
        async || match before.host.tell(id(1), Message::StageThenFail(1)).await {
            Err(TellError::Parked { .. }) => Some(()),
            Err(_) | Ok(()) => None,
        },
    )
    .await;
    let path = format!("/counters/{}", id(1));
    assert_eq!(before.tree.actor(&path).unwrap().row.state, "parked");

    let process = Process::start(&store).await;
    let own = Arrival::Own;
    process.host.recover(&Scope::All, own).await.unwrap();
    let shown = process.tree.actor(&path).unwrap();
    assert_eq!(shown.row.state, "parked");
    assert_eq!(shown.failures.len(), 3);
    assert_eq!(shown.failures[2].error, "told to fail");
    // What was told is not told again.
    let told: Vec<Life> = shown.life.iter().map(|turn| turn.what).collect();
    assert_eq!(told, [Life::Started, Life::Parked]);
    let refused = process.host.tell(id(1), Message::Wake).await;
    assert!(matches!(refused, Err(TellError::Parked { .. })));
    assert_eq!(process.tree.actor(&path).unwrap().row.state, "parked");

    process.host.unpark(id(1)).await.unwrap();
    assert!(process.tree.actor(&path).is_none());
    assert_eq!(process.read(id(1)).await.added, [7]);
    assert_eq!(process.tree.actor(&path).unwrap().row.state, "running");
}

#[tokio::test]
async fn a_parked_entity_leaves_the_tree_with_its_shard_and_comes_with_its_former_node() {
    let store = memory();
    let process = Process::start(&store).await;
    process.make(id(1), 7).await;
    process.host.evict(&Scope::All, Evict::Politely).await;
    store.park(id(1), Some("by hand")).await.unwrap();
    let path = format!("/counters/{}", id(1));
    for _ in 0..2 {
        let taken = Arrival::Taken { since: None };
        process.host.recover(&Scope::All, taken).await.unwrap();
        let shown = process.tree.actor(&path).unwrap();
        assert_eq!(shown.row.last_error.as_deref(), Some("by hand"));
        process.host.evict(&Scope::All, Evict::Politely).await;
        assert!(process.tree.actor(&path).is_none());
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_replayed_is_parked_and_its_neighbours_live() {
    let store = memory();
    let before = Process::start(&store).await;
    for number in 1..=2 {
        before.make(id(number), 7).await;
    }
    let mut damaged: Append = conformance::append(id(1), 2);
    damaged.record.hash = ChainHash([9; 32]);
    damaged.record.epoch = before.journal.holdings().appends(id(1)).unwrap();
    conformance::alone(&store, damaged).await.unwrap().unwrap();
    let process = Process::start(&store).await;
    process
        .host
        .recover(
            &runtime::store::Scope::All,
            runtime::placement::Arrival::Own,
        )
        .await
        .unwrap();
    assert_eq!(process.read(id(2)).await.added, [7]);
    let errors = until(async || store.stream(id(1)).await.unwrap().unwrap().parked).await;
    assert!(errors.contains("hash does not follow"), "{errors}");
}

#[tokio::test]
async fn an_entity_that_an_operator_restarts_in_vain_is_tried_again_and_parked_under_its_name() {
    let store = memory();
    let process = Process::start(&store).await;
    process.make(id(1), 7).await;
    let mut damaged: Append = conformance::append(id(1), 2);
    damaged.record.hash = ChainHash([9; 32]);
    damaged.record.epoch = process.journal.holdings().appends(id(1)).unwrap();
    damaged.summary.name = Some("counter".to_owned());
    conformance::alone(&store, damaged).await.unwrap().unwrap();
    let back = process.host.restart(id(1), Evict::Politely).await;
    assert!(
        matches!(back, Err(TellError::Activation { .. })),
        "{back:?}"
    );
    until(async || store.stream(id(1)).await.unwrap().unwrap().parked).await;
    let row = process.tree.actor("/counters/counter").unwrap();
    assert_eq!(
        (row.row.state.as_str(), row.failures.len()),
        ("parked", 3),
        "{row:?}"
    );
    assert_eq!(process.tree.actor(&format!("/counters/{}", id(1))), None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_a_newer_build_wrote_waits_for_such_a_node() {
    let store = memory();
    let before = Process::start(&store).await;
    for number in 1..=2 {
        before.make(id(number), 7).await;
    }
    let last = store.read(id(1), 0, 9).await.unwrap().pop().unwrap();
    let mut newer: Append = conformance::append(id(1), 2);
    newer.record.epoch = before.journal.holdings().appends(id(1)).unwrap();
    newer.record.version = 2;
    newer.record.data = r#"[{"Multiplied":3}]"#.to_owned();
    newer.record.hash = newer.record.chain(last.hash);
    conformance::alone(&store, newer).await.unwrap().unwrap();
    let process = Process::start(&store).await;
    let scope = Scope::All;
    process
        .host
        .recover(&scope, runtime::placement::Arrival::Own)
        .await
        .unwrap();
    // It fails as often as others that are parked, and is not: a newer node needs no operator.
    for _ in 0..1200 {
        tokio::time::advance(Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
    let told = process.host.tell(id(1), Message::Wake).await;
    let Err(TellError::Activation { cause, .. }) = told else {
        panic!("it was activated");
    };
    assert!(cause.contains("upgrade this node"), "{cause}");
    assert_eq!(store.stream(id(1)).await.unwrap().unwrap().parked, None);
    assert_eq!(process.read(id(2)).await.added, [7]);
}

#[tokio::test]
async fn a_start_activates_what_is_open_and_nothing_else() {
    let store = memory();
    let before = Process::start(&store).await;
    for number in 1..=5 {
        before.make(id(number), 1).await;
    }
    for number in 1..=2 {
        before.host.ask(id(number), Message::Close).await.unwrap();
    }
    let process = Process::start(&store).await;
    assert_eq!(
        process
            .host
            .recover(
                &runtime::store::Scope::All,
                runtime::placement::Arrival::Own
            )
            .await
            .unwrap(),
        3
    );
    assert_eq!(process.host.active(), 3);
    assert_eq!(process.read(id(1)).await.sum, 1);
    assert!(process.tree.len() >= 5);
}

#[tokio::test]
async fn an_owner_that_was_deposed_writes_nothing_more() {
    let store = memory();
    let before = Process::start(&store).await;
    before.make(id(1), 1).await;
    let process = Process::start(&store).await;
    process
        .host
        .recover(
            &runtime::store::Scope::All,
            runtime::placement::Arrival::Own,
        )
        .await
        .unwrap();
    let refused = before.host.ask(id(1), |to| Message::Add(2, to)).await;
    assert_eq!(refused.unwrap(), None, "it fails before it answers");
    assert_eq!(before.shares.fenced.load(Ordering::SeqCst), 1);
    assert_eq!(process.read(id(1)).await.added, [1]);
}

#[tokio::test]
async fn an_entity_that_ends_with_a_lease_says_so_when_it_ends() {
    let store = memory();
    let before = Process::start(&store).await;
    for number in 1..=2 {
        before.make(id(number), 1).await;
    }
    let mut changes = before.tree.changes();
    changes.take_life();
    before.host.evict(&Scope::All, Evict::AtOnce).await;
    let life = changes.take_life().life.into_iter();
    let ends: Vec<_> = life.filter(|turn| turn.what == Life::Stopped).collect();
    assert_eq!(ends.len(), 2, "{ends:?}");
    for end in ends {
        let why = end.reason.as_deref().unwrap_or_default();
        assert!(why.starts_with("lease"), "{end:?}");
    }
}

#[tokio::test]
async fn an_entity_that_was_never_made_cannot_be_told_anything() {
    let store = memory();
    let process = Process::start(&store).await;
    let told = process.host.tell(id(1), Message::Wake).await;
    assert!(matches!(told, Err(TellError::NoSuchEntity(_))));
    assert_eq!(process.host.active(), 0);
}

#[tokio::test]
async fn a_paused_entity_is_shown_as_such_until_it_goes_on_or_is_out_of_service() {
    let store = memory();
    let before = Process::start(&store).await;
    before.make(id(1), 7).await;
    assert_eq!(before.shown(id(1)).as_deref(), Some("running"));
    before.host.ask(id(1), Message::Pause).await.unwrap();
    assert_eq!(before.shown(id(1)).as_deref(), Some("paused"));
    let process = Process::start(&store).await;
    let recovered = process
        .host
        .recover(&Scope::All, runtime::placement::Arrival::Own);
    recovered.await.unwrap();
    assert_eq!(process.shown(id(1)).as_deref(), Some("paused"));
    let fails = || process.host.tell(id(1), Message::StageThenFail(1));
    fails().await.unwrap();
    // Back after a failure, it is what it was.
    until(async || (process.shares.recovered.load(Ordering::SeqCst) == 2).then_some(())).await;
    until(async || (process.shown(id(1)).as_deref() == Some("paused")).then_some(())).await;
    until(async || matches!(fails().await, Err(TellError::Parked { .. })).then_some(())).await;
    assert_eq!(process.shown(id(1)).as_deref(), Some("parked"));
    process.host.unpark(id(1)).await.unwrap();
    process.host.ask(id(1), Message::Resume).await.unwrap();
    assert_eq!(process.shown(id(1)).as_deref(), Some("running"));
}

/// Counts what is logged where it is the subscriber, as an operator sees it at first.
#[derive(Clone, Default)]
struct Complaints(Arc<AtomicUsize>);

impl tracing::Subscriber for Complaints {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn an_entity_that_another_node_took_meanwhile_is_no_cause_for_complaint() {
    let store = memory();
    let before = Process::start(&store).await;
    before.make(id(1), 7).await;
    before.host.evict(&Scope::All, Evict::Politely).await;
    let process = Process::start(&store).await;
    let own = Arrival::Own;
    process.host.recover(&Scope::All, own).await.unwrap();

    let complaints = Complaints::default();
    let _heard = tracing::subscriber::set_default(complaints.clone());
    before.host.recover(&Scope::All, own).await.unwrap();
    let told = before.host.tell(id(1), Message::Wake).await;
    assert!(matches!(told, Err(TellError::Elsewhere(_))), "{told:?}");
    assert_eq!(complaints.0.load(Ordering::SeqCst), 0);
    assert_eq!(process.read(id(1)).await.added, [7]);
}
