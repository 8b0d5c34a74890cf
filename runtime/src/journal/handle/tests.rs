//! A state never gets ahead of its stream.

use protocol::{entity::EntityKind, record::Summary};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::*;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Count(u64);

impl EventSourced for Count {
    type Event = u64;
    const EVENT_VERSION: u16 = 1;
    const STATE_VERSION: u16 = 1;

    fn apply(&mut self, event: &u64, _: Timestamp) {
        self.0 += event;
    }

    fn summary(&self) -> Summary {
        Summary::default()
    }
}

fn by_key() -> Commit {
    let command = CommandId::from_uuid(Uuid::new_v4());
    Commit {
        idempotency: Some(Idempotency {
            key: "once".to_owned(),
            body_hash: ChainHash::default(),
        }),
        ..Commit::by("ann".into(), command)
    }
}

#[tokio::test]
async fn after_a_refused_commit_nothing_of_its_activation_is_written() {
    let store: store::Shared = Arc::new(store::Memory::new());
    let node = NodeId::from_uuid(Uuid::from_u128(1));
    let epoch = store.begin(node, "node").await.unwrap();
    let writer = Writer::start(store.clone());
    let journal = Journal::new(store, writer, Clock::system(), node, epoch);
    let stream = |key| EntityId::new(EntityKind::Task, Uuid::from_u128(key));

    let mut first = journal.create::<Count>(stream(1), "t");
    first.stage(&1).unwrap();
    first.commit(by_key()).await.unwrap();

    let mut second = journal.create::<Count>(stream(2), "t");
    second.stage(&1).unwrap();
    let refused = second.commit(by_key()).await;
    assert!(
        matches!(refused, Err(Error::Refused(Refusal::Repeated { .. }))),
        "{refused:?}"
    );
    second.stage(&2).unwrap();
    let command = CommandId::from_uuid(Uuid::new_v4());
    let later = second.commit(Commit::by("ann".into(), command)).await;
    assert!(matches!(later, Err(Error::Store(_))), "{later:?}");
    assert!(journal.load::<Count>(stream(2)).await.unwrap().is_none());
    let count = journal.load::<Count>(stream(1)).await.unwrap();
    assert_eq!(count.map(|count| count.0), Some(1));
}
