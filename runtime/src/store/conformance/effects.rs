//! Facts of reminders and of the outbox.

use protocol::time::Timestamp;
use uuid::Uuid;

use super::{all, alone, append, at, keyed, named, task};
use crate::store::{Append, Delivery, Error, ReminderChange, Scope, Shared};

fn set(name: &str, due: i64) -> ReminderChange {
    ReminderChange::Set {
        name: name.into(),
        due: at(due),
    }
}

fn clear(name: &str) -> ReminderChange {
    ReminderChange::Clear { name: name.into() }
}

fn reminding(number: u128, seq: u64, reminders: &[ReminderChange]) -> Append {
    Append {
        reminders: reminders.to_vec(),
        ..append(task(number), seq)
    }
}

fn delivery(id: u128, due: i64) -> Delivery {
    Delivery {
        id: Uuid::from_u128(id),
        stream: task(1),
        kind: "webhook".into(),
        payload: "{\"to\":\"ann\"}".into(),
        due: at(due),
        tries: 0,
    }
}

fn delivering(number: u128, seq: u64, outbox: &[Delivery]) -> Append {
    Append {
        outbox: outbox.to_vec(),
        ..append(task(number), seq)
    }
}

async fn due(store: &Shared, now: i64, limit: u32) -> Result<Vec<(u128, String, i64)>, Error> {
    let due = store.due(&Scope::All, at(now), limit).await?;
    let plain = due
        .into_iter()
        .map(|(stream, name, due): (_, _, Timestamp)| {
            (stream.key().as_u128(), name, due.as_micros())
        });
    Ok(plain.collect())
}

pub async fn reminders_are_due_the_earliest_first(store: Shared) -> Result<(), Error> {
    assert_eq!(store.next_due(&Scope::All).await?, None);
    let batch = [
        reminding(1, 1, &[set("b", 30), set("a", 10)]),
        reminding(2, 1, &[set("a", 20)]),
    ];
    all(&store, &batch).await?;
    assert_eq!(store.next_due(&Scope::All).await?, Some(at(10)));
    assert_eq!(due(&store, 9, 9).await?, []);
    let expected = [(1, "a".into(), 10), (2, "a".into(), 20)];
    assert_eq!(due(&store, 20, 9).await?, expected);
    assert_eq!(due(&store, 99, 1).await?, expected[..1]);
    Ok(())
}

pub async fn a_reminder_is_replaced_and_cleared_by_name(store: Shared) -> Result<(), Error> {
    all(&store, &[reminding(1, 1, &[set("a", 10), set("b", 20)])]).await?;
    all(&store, &[reminding(1, 2, &[set("a", 40)])]).await?;
    let both = [(1, "b".into(), 20), (1, "a".into(), 40)];
    assert_eq!(due(&store, 99, 9).await?, both);
    all(&store, &[reminding(1, 3, &[clear("b"), clear("never")])]).await?;
    assert_eq!(due(&store, 99, 9).await?, both[1..]);
    // The last change of a name counts.
    let changes = [clear("a"), set("a", 50), set("c", 1), clear("c")];
    all(&store, &[reminding(1, 4, &changes)]).await?;
    assert_eq!(due(&store, 99, 9).await?, [(1, "a".into(), 50)]);
    Ok(())
}

pub async fn a_delivered_reminder_is_gone_unless_it_was_set_again(
    store: Shared,
) -> Result<(), Error> {
    let batch = [
        reminding(1, 1, &[set("a", 10)]),
        reminding(2, 1, &[set("a", 10)]),
    ];
    all(&store, &batch).await?;
    all(&store, &[reminding(2, 2, &[set("a", 60)])]).await?;
    for number in 1..=3 {
        store.delivered(task(number), "a", at(10)).await?;
    }
    assert_eq!(due(&store, 99, 9).await?, [(2, "a".into(), 60)]);
    Ok(())
}

pub async fn a_delivery_is_claimed_by_one_courier(store: Shared) -> Result<(), Error> {
    let batch = [
        delivering(1, 1, &[delivery(1, 30), delivery(2, 10)]),
        delivering(2, 1, &[delivery(3, 20), delivery(4, 90)]),
    ];
    all(&store, &batch).await?;
    let first = store.claim_due(at(50), at(100), 2).await?;
    assert_eq!(first, [delivery(2, 10), delivery(3, 20)]);
    let second = store.claim_due(at(50), at(100), 2).await?;
    assert_eq!(second, [delivery(1, 30)]);
    assert_eq!(store.claim_due(at(50), at(100), 2).await?, []);
    // A courier that died gives them back.
    let again = store.claim_due(at(100), at(200), 9).await?;
    let ids: Vec<_> = again.iter().map(|delivery| delivery.id.as_u128()).collect();
    assert_eq!(ids, [4, 1, 2, 3]);
    Ok(())
}

pub async fn a_postponed_delivery_counts_its_tries(store: Shared) -> Result<(), Error> {
    all(&store, &[delivering(1, 1, &[delivery(1, 10)])]).await?;
    store.claim_due(at(10), at(100), 9).await?;
    store.postpone(Uuid::from_u128(1), at(20)).await?;
    store.postpone(Uuid::from_u128(9), at(20)).await?;
    let again = store.claim_due(at(20), at(100), 9).await?;
    let expected = Delivery {
        tries: 1,
        ..delivery(1, 20)
    };
    assert_eq!(again, [expected]);
    Ok(())
}

pub async fn a_settled_delivery_is_gone(store: Shared) -> Result<(), Error> {
    all(&store, &[delivering(1, 1, &[delivery(1, 10)])]).await?;
    for _ in 0..2 {
        store.settle(Uuid::from_u128(1)).await?;
    }
    assert_eq!(store.claim_due(at(99), at(100), 9).await?, []);
    Ok(())
}

pub async fn a_delivery_is_added_once(store: Shared) -> Result<(), Error> {
    let batch = [
        delivering(1, 1, &[delivery(1, 10)]),
        delivering(2, 1, &[delivery(1, 20)]),
    ];
    all(&store, &batch).await?;
    let due = store.claim_due(at(99), at(100), 9).await?;
    assert_eq!(due, [delivery(1, 10)]);
    Ok(())
}

pub async fn refused_appends_have_no_effects(store: Shared) -> Result<(), Error> {
    let first = Append {
        idempotency: keyed(task(1), "key").idempotency,
        ..named(task(1), "name")
    };
    all(&store, &[first]).await?;
    let reminders = vec![set("a", 10)];
    let outbox = vec![delivery(1, 10)];
    for refused in [
        append(task(1), 9),
        keyed(task(2), "key"),
        named(task(3), "name"),
    ] {
        let refused = Append {
            reminders: reminders.clone(),
            outbox: outbox.clone(),
            ..refused
        };
        assert!(alone(&store, refused).await?.is_err());
    }
    assert_eq!(store.next_due(&Scope::All).await?, None);
    assert_eq!(store.claim_due(at(99), at(100), 9).await?, []);
    Ok(())
}
