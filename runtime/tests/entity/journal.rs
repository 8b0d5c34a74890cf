//! A state and its stream.

use runtime::{
    clock::Clock,
    journal::{Error, Journaled, snapshot},
    store::{self, Refusal, conformance},
};

use crate::counter::{Count, Event, commit, id, journal, memory};

#[tokio::test]
async fn what_was_staged_is_not_seen_when_its_commit_was_refused() {
    let store = memory();
    let journal = self::journal(&store, Clock::system()).await;
    let mut first: Journaled<Count> = journal.create(id(1), "default");
    first.stage(&Event::Added(1)).unwrap();
    first.commit(commit()).await.unwrap();
    let mut second = journal.load::<Count>(id(1)).await.unwrap().unwrap();
    first.stage(&Event::Added(2)).unwrap();
    first.commit(commit()).await.unwrap();
    second.stage(&Event::Added(3)).unwrap();
    let refused = second.commit(commit()).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::Fenced { .. })));
    let read = journal.load::<Count>(id(1)).await.unwrap().unwrap();
    assert_eq!((read.added.as_slice(), read.head()), ([1, 2].as_slice(), 2));
}

#[tokio::test]
async fn a_stream_with_a_broken_chain_is_refused() {
    let store = memory();
    let journal = self::journal(&store, Clock::system()).await;
    let append = conformance::append(id(1), 1);
    conformance::alone(&store, append).await.unwrap().unwrap();
    let refused = journal.load::<Count>(id(1)).await.unwrap_err();
    assert!(matches!(refused, store::Error::Corrupt(_)), "{refused}");
    assert!(refused.to_string().contains("hash does not follow"));
}

#[tokio::test]
async fn a_stream_that_does_not_go_on_where_its_snapshot_ends_is_refused() {
    let store = memory();
    let journal = self::journal(&store, Clock::system()).await;
    let mut state: Journaled<Count> = journal.create(id(1), "default");
    state.stage(&Event::Added(1)).unwrap();
    state.stage(&Event::Added(2)).unwrap();
    state.commit(commit()).await.unwrap();
    state.checkpoint().await.unwrap();
    state.stage(&Event::Added(3)).unwrap();
    state.commit(commit()).await.unwrap();
    let whole = store.snapshot(id(1)).await.unwrap().unwrap();
    // As if the first record held one event less.
    let other = memory();
    let first = store.read(id(1), 2, 1).await.unwrap().remove(0);
    let mut append = conformance::append(id(1), 1);
    append.record = protocol::record::Record {
        seq: 1,
        count: 5,
        ..first
    };
    conformance::alone(&other, append).await.unwrap().unwrap();
    other.save(&whole).await.unwrap();
    let elsewhere = self::journal(&other, Clock::system()).await;
    let refused = elsewhere.load::<Count>(id(1)).await.unwrap_err();
    assert!(
        refused.to_string().contains("events are missing"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_snapshot_with_its_tail_is_the_replay_from_the_first_event() {
    let store = memory();
    let journal = self::journal(&store, Clock::system()).await;
    let mut state: Journaled<Count> = journal.create(id(1), "default");
    for number in 0..snapshot::EVERY + 10 {
        state.stage(&Event::Added(number)).unwrap();
        state.commit(commit()).await.unwrap();
    }
    let kept = store.snapshot(id(1)).await.unwrap().unwrap();
    assert_eq!(kept.seq, snapshot::EVERY);
    let read = journal.load::<Count>(id(1)).await.unwrap().unwrap();
    assert_eq!(*read, *state);
    assert_eq!((read.head(), read.tenant()), (state.head(), "default"));
}
