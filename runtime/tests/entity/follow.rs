//! Reminders, deliveries and views across restarts.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use protocol::record::Record;
use runtime::{
    clock::Clock,
    entity::Host,
    outbox::{Carrier, couriers},
    projection::{Projection, projector, rebuild},
    reminder::{Wake, reminders},
    store::{Scope, Shared},
    supervision::{ChildSpec, Spec, Supervisor, SupervisorRef, Tree},
};
use uuid::Uuid;

use crate::counter::{Counter, Event, Message, Process, id, memory, until};

async fn run(child: ChildSpec) -> SupervisorRef {
    let tree = Tree::new("here", Clock::system());
    let root = Supervisor::start(&tree, "/", Spec::root(), vec![child], None);
    root.await.unwrap()
}

fn wake(host: Host<Counter>) -> Wake {
    Arc::new(move |stream, _| {
        let host = host.clone();
        Box::pin(async move { host.tell(stream, Message::Wake).await.is_ok() })
    })
}

#[tokio::test]
async fn a_reminder_wakes_its_entity_after_a_restart_and_not_early() {
    let store = memory();
    let before = Process::start(&store).await;
    before.make(id(1), 1).await;
    let due = Clock::system().now().plus(Duration::from_millis(700));
    let set = before.host.ask(id(1), |to| Message::Remind(due, to)).await;
    set.unwrap().unwrap();
    let process = Process::start(&store).await;
    let _root = run(reminders(
        store.clone(),
        process.journal.holdings().clone(),
        Clock::system(),
        wake(process.host.clone()),
    ))
    .await;
    let woken = || process.shares.woken.load(Ordering::SeqCst);
    until(async || (woken() > 0).then_some(())).await;
    assert!(Clock::system().now() >= due);
    until(async || {
        store
            .next_due(&Scope::All)
            .await
            .unwrap()
            .is_none()
            .then_some(())
    })
    .await;
    assert_eq!(woken(), 1);
}

#[tokio::test]
async fn one_that_is_slow_to_wake_keeps_no_other_waiting() {
    let store = memory();
    let process = Process::start(&store).await;
    let now = Clock::system().now();
    for number in 1..=3_u64 {
        let counter = id(number.into());
        process.make(counter, 1).await;
        let due = now.plus(Duration::from_millis(number));
        let set = process.host.ask(counter, |to| Message::Remind(due, to));
        set.await.unwrap().unwrap();
    }
    let woken = Arc::new(AtomicUsize::new(0));
    let count = woken.clone();
    let wake: Wake = Arc::new(move |stream, _| {
        let count = count.clone();
        Box::pin(async move {
            if stream == id(1) {
                std::future::pending::<()>().await;
            }
            count.fetch_add(1, Ordering::SeqCst);
            true
        })
    });
    let holdings = process.journal.holdings().clone();
    let _root = run(reminders(store, holdings, Clock::system(), wake)).await;
    until(async || (woken.load(Ordering::SeqCst) == 2).then_some(())).await;
}

#[tokio::test]
async fn a_delivery_is_tried_until_its_carrier_succeeds_and_then_forgotten() {
    let store = memory();
    let process = Process::start(&store).await;
    process.make(id(1), 1).await;
    let letter = Uuid::from_u128(5);
    let sent = process
        .host
        .ask(id(1), |to| Message::Deliver(letter, to))
        .await;
    sent.unwrap().unwrap();
    let tries = Arc::new(AtomicUsize::new(0));
    let count = tries.clone();
    let carrier: Carrier = Arc::new(move |delivery| {
        let count = count.clone();
        Box::pin(async move {
            assert_eq!(delivery.id, letter);
            match count.fetch_add(1, Ordering::SeqCst) {
                0 => Err("the first try fails".to_owned()),
                _ => Ok(()),
            }
        })
    });
    let carriers = HashMap::from([("letter", carrier)]);
    let _root = run(couriers(store.clone(), Clock::system(), carriers)).await;
    until(async || (tries.load(Ordering::SeqCst) == 2).then_some(())).await;
    let far = Clock::system().now().plus(Duration::from_secs(86_400));
    until(async || {
        let left = store.claim_due(far, far, 10).await.unwrap();
        left.is_empty().then_some(())
    })
    .await;
}

struct Sums;

impl Projection for Sums {
    const VIEW: &'static str = "sums";
    type Row = u64;
    type Change = u64;

    fn changes(&self, record: &Record) -> Vec<(String, u64)> {
        let events: Vec<Event> = serde_json::from_str(&record.data).unwrap();
        let added = events.into_iter().filter_map(|event| match event {
            Event::Added(number) => Some((record.stream.to_string(), number)),
            Event::Closed | Event::Paused | Event::Resumed => None,
        });
        added.collect()
    }

    fn fold(row: &mut u64, change: u64) {
        *row += change;
    }
}

async fn sum(store: &Shared, number: u128) -> Option<u64> {
    let row = store.row("sums", &id(number).to_string()).await.unwrap()?;
    row.parse().ok()
}

#[tokio::test]
async fn a_view_counts_each_record_once_across_restarts_and_its_rebuild_is_byte_equal() {
    let store = memory();
    for start in 0..3_u64 {
        let process = Process::start(&store).await;
        if start == 0 {
            process.make(id(1), 1).await;
            process.make(id(2), 1).await;
        }
        process
            .host
            .recover(
                &runtime::store::Scope::All,
                runtime::placement::Arrival::Own,
            )
            .await
            .unwrap();
        for number in 0..50 {
            let add = |to| Message::Add(number, to);
            process.host.ask(id(1), add).await.unwrap().unwrap();
        }
        let expected = 1 + (start + 1) * 1225;
        let root = run(projector(Sums, process.journal.clone())).await;
        until(async || (sum(&store, 1).await? >= expected).then_some(())).await;
        assert_eq!(sum(&store, 1).await, Some(expected));
        let _ = root.shutdown(Duration::from_secs(5)).await;
    }
    let before = store.rows("sums").await.unwrap();
    assert_eq!(before.len(), 2);
    assert_eq!(rebuild(&Sums, &store).await.unwrap(), 152);
    assert_eq!(store.rows("sums").await.unwrap(), before);
}
