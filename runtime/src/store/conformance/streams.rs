//! Facts of the index of streams.

use std::slice;

use protocol::{
    entity::{EntityId, EntityKind},
    record::Summary,
    shard::Shard,
};
use uuid::Uuid;

use super::{agent, all, append, at, named, task};
use crate::store::{Append, Error, Runs, Scope, Shared, StreamQuery, StreamRow};

fn query() -> StreamQuery {
    StreamQuery {
        tenant: "default".into(),
        kind: EntityKind::Task,
        status: None,
        user: None,
        parent: None,
        runs: None,
        text: None,
        before: None,
        limit: 100,
    }
}

async fn listed(store: &Shared, query: StreamQuery) -> Result<Vec<EntityId>, Error> {
    let rows = store.list(&query).await?;
    Ok(rows.iter().map(|row| row.stream).collect())
}

fn with(number: u128, change: impl FnOnce(&mut Summary)) -> Append {
    let mut append = append(task(number), 1);
    change(&mut append.summary);
    append
}

pub async fn the_index_shows_the_last_append(store: Shared) -> Result<(), Error> {
    let first = append(task(1), 1);
    all(&store, slice::from_ref(&first)).await?;
    let mut second = append(task(1), 2);
    second.record.tenant = "ignored: a stream stays with its tenant".into();
    second.record.count = 2;
    second.summary = Summary {
        status: "completed".into(),
        open: false,
        hidden: true,
        user: "eve".into(),
        name: Some("name".into()),
        parent: Some(task(7)),
        workflow: None,
        waits: true,
        body: "{}".into(),
    };
    all(&store, slice::from_ref(&second)).await?;
    let expected = StreamRow {
        stream: task(1),
        tenant: "default".into(),
        head: 3,
        epoch: second.record.epoch,
        created_at: first.record.at,
        updated_at: second.record.at,
        summary: second.summary,
        parked: None,
    };
    assert_eq!(store.stream(task(1)).await?, Some(expected));
    Ok(())
}

pub async fn lists_are_the_newest_first_and_leave_out_hidden_ones(
    store: Shared,
) -> Result<(), Error> {
    let batch = [
        append(task(2), 1),
        append(task(3), 1),
        append(task(1), 1),
        with(4, |summary| summary.hidden = true),
        append(agent(5), 1),
    ];
    all(&store, &batch).await?;
    assert_eq!(listed(&store, query()).await?, [task(3), task(2), task(1)]);
    let agents = StreamQuery {
        kind: EntityKind::Agent,
        ..query()
    };
    let rows = store.list(&agents).await?;
    let shown = store.stream(agent(5)).await?;
    assert_eq!(rows.first(), shown.as_ref());
    assert_eq!(rows.len(), 1);
    Ok(())
}

pub async fn lists_filter(store: Shared) -> Result<(), Error> {
    let mut theirs = append(task(1), 1);
    theirs.record.tenant = "theirs".into();
    let batch = [
        theirs,
        with(2, |summary| summary.status = "completed".into()),
        with(3, |summary| summary.user = "eve".into()),
        with(4, |summary| summary.parent = Some(task(2))),
        with(5, |summary| {
            summary.parent = Some(task(2));
            summary.status = "completed".into();
        }),
    ];
    all(&store, &batch).await?;
    type Change = fn(&mut StreamQuery);
    let cases: [(Change, &[u128]); 8] = [
        (|_| (), &[5, 4, 3, 2]),
        (|query| query.tenant = "theirs".into(), &[1]),
        (|query| query.status = Some("completed".into()), &[5, 2]),
        (|query| query.status = Some("pending".into()), &[4, 3]),
        (|query| query.status = Some("failed".into()), &[]),
        (|query| query.user = Some("eve".into()), &[3]),
        (|query| query.parent = Some(task(2)), &[5, 4]),
        (
            |query| {
                query.parent = Some(task(2));
                query.status = Some("completed".into());
                query.user = Some("ann".into());
            },
            &[5],
        ),
    ];
    for (index, (change, expected)) in cases.into_iter().enumerate() {
        let mut query = query();
        change(&mut query);
        let expected: Vec<_> = expected.iter().map(|number| task(*number)).collect();
        assert_eq!(listed(&store, query).await?, expected, "case {index}");
    }
    Ok(())
}

pub async fn lists_find_text_case_aside(store: Shared) -> Result<(), Error> {
    let body = |number, text: &'static str| {
        with(number, |summary| {
            summary.body = format!(r#"{{"description":"{text}"}}"#);
        })
    };
    let batch = [
        body(1, "Sweep the YARD"),
        body(2, "Über allen Gipfeln"),
        body(3, "100 % of a_b"),
        body(4, "sweep"),
    ];
    all(&store, &batch).await?;
    let cases: [(&str, u32, &[u128]); 9] = [
        ("SWEEP", 9, &[4, 1]),
        ("SWEEP", 1, &[4]),
        ("yard", 9, &[1]),
        ("üBER ALLEN", 9, &[2]),
        ("0 % o", 9, &[3]),
        ("a%b", 9, &[]),
        ("A_B", 9, &[3]),
        ("a\\_b", 9, &[]),
        ("", 9, &[4, 3, 2, 1]),
    ];
    for (text, limit, expected) in cases {
        let query = StreamQuery {
            text: Some(text.into()),
            limit,
            ..query()
        };
        let expected: Vec<_> = expected.iter().map(|number| task(*number)).collect();
        assert_eq!(listed(&store, query).await?, expected, "{text}");
    }
    Ok(())
}

fn workflow(number: u128) -> EntityId {
    EntityId::new(EntityKind::Workflow, Uuid::from_u128(number))
}

pub async fn runs_are_found_by_their_workflow_and_by_whether_they_wait(
    store: Shared,
) -> Result<(), Error> {
    let run = |number, of, waits| {
        with(number, |summary| {
            summary.workflow = Some(workflow(of));
            summary.waits = waits;
        })
    };
    let batch = [
        run(1, 8, false),
        append(task(2), 1),
        run(3, 9, true),
        run(4, 8, true),
        run(5, 8, false),
    ];
    all(&store, &batch).await?;
    let mut later = append(task(5), 2);
    // It is a run of the same workflow still, whatever is said of that now.
    later.summary.waits = true;
    all(&store, &[later]).await?;
    let cases: [(Option<u128>, Option<bool>, &[u128]); 5] = [
        (None, None, &[5, 4, 3, 1]),
        (Some(8), None, &[5, 4, 1]),
        (Some(8), Some(true), &[5, 4]),
        (Some(8), Some(false), &[1]),
        (None, Some(true), &[5, 4, 3]),
    ];
    for (of, waits, expected) in cases {
        let runs = Runs {
            of: of.map(workflow),
            waits,
        };
        let query = StreamQuery {
            runs: Some(runs),
            ..query()
        };
        let expected: Vec<_> = expected.iter().map(|number| task(*number)).collect();
        assert_eq!(listed(&store, query).await?, expected, "{runs:?}");
    }
    let row = store.stream(task(5)).await?.map(|row| row.summary);
    let row = row.map(|summary| (summary.workflow, summary.waits));
    assert_eq!(row, Some((Some(workflow(8)), true)));
    Ok(())
}

pub async fn lists_come_in_pages(store: Shared) -> Result<(), Error> {
    let batch: Vec<_> = (1..=7).map(|number| append(task(number), 1)).collect();
    all(&store, &batch).await?;
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = StreamQuery {
            before,
            limit: 3,
            ..query()
        };
        let page = listed(&store, page).await?;
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        before = Some(*last);
        found.extend(page);
    }
    let expected: Vec<_> = (1..=7).rev().map(task).collect();
    assert_eq!(found, expected);
    Ok(())
}

pub async fn streams_are_counted_by_status(store: Shared) -> Result<(), Error> {
    let mut theirs = append(task(1), 1);
    theirs.record.tenant = "theirs".into();
    let batch = [
        theirs,
        append(task(2), 1),
        append(task(3), 1),
        with(4, |summary| summary.status = "completed".into()),
        with(5, |summary| summary.hidden = true),
        append(agent(6), 1),
    ];
    all(&store, &batch).await?;
    assert_eq!(
        store.count("default", EntityKind::Task).await?,
        [("completed".into(), 1), ("pending".into(), 2)]
    );
    Ok(())
}

pub async fn open_streams_are_found_in_order(store: Shared) -> Result<(), Error> {
    let batch = [
        append(task(3), 1),
        append(task(1), 1),
        with(2, |summary| summary.open = false),
        append(task(4), 1),
        append(agent(5), 1),
    ];
    all(&store, &batch).await?;
    let open = store.open(EntityKind::Task, &Scope::All, None, 2).await?;
    assert_eq!(open, [task(1), task(3)]);
    let rest = store
        .open(EntityKind::Task, &Scope::All, Some(task(3)), 2)
        .await?;
    assert_eq!(rest, [task(4)]);
    let agents = store.open(EntityKind::Agent, &Scope::All, None, 9).await?;
    assert_eq!(agents, [agent(5)]);
    let mut settled = append(task(3), 2);
    settled.summary.open = false;
    all(&store, &[settled]).await?;
    let open = store.open(EntityKind::Task, &Scope::All, None, 9).await?;
    assert_eq!(open, [task(1), task(4)]);
    Ok(())
}

pub async fn a_parked_stream_is_not_open(store: Shared) -> Result<(), Error> {
    all(&store, &[append(task(1), 1), append(task(2), 1)]).await?;
    store.park(task(1), Some("it failed five times")).await?;
    store.park(task(9), Some("there is none")).await?;
    assert_eq!(
        store.open(EntityKind::Task, &Scope::All, None, 9).await?,
        [task(2)]
    );
    let parked = store.stream(task(1)).await?.and_then(|row| row.parked);
    assert_eq!(parked, Some("it failed five times".into()));
    assert_eq!(listed(&store, query()).await?, [task(2), task(1)]);
    store.park(task(1), None).await?;
    let open = store.open(EntityKind::Task, &Scope::All, None, 9).await?;
    assert_eq!(open, [task(1), task(2)]);
    Ok(())
}

pub async fn parked_streams_are_found_in_order_by_kind_and_shard(
    store: Shared,
) -> Result<(), Error> {
    let closed = with(5, |summary| summary.open = false);
    let made = [3, 1, 4].map(|number| append(task(number), 1));
    all(&store, &made).await?;
    all(&store, &[closed, append(agent(6), 1)]).await?;
    for stream in [task(3), task(1), task(5), agent(6)] {
        store.park(stream, Some("it failed five times")).await?;
    }
    let (kind, whole) = (EntityKind::Task, Scope::All);
    let first = store.parked(kind, &whole, None, 2).await?;
    let ids = |rows: &[StreamRow]| rows.iter().map(|row| row.stream).collect::<Vec<_>>();
    assert_eq!(ids(&first), [task(1), task(3)]);
    assert_eq!(first[0].parked.as_deref(), Some("it failed five times"));
    // What is settled may be parked as well: it could not be read any more.
    let rest = store.parked(kind, &whole, Some(task(3)), 2).await?;
    assert_eq!(ids(&rest), [task(5)]);
    let agents = store.parked(EntityKind::Agent, &whole, None, 9).await?;
    assert_eq!(ids(&agents), [agent(6)]);
    let count = 256;
    let shards = [Shard::of(task(3), count)].into();
    let some = Scope::Shards { count, shards };
    let found = store.parked(kind, &some, None, 9).await?;
    assert!(found.iter().all(|row| some.holds(row.stream)));
    assert!(found.iter().any(|row| row.stream == task(3)));
    store.park(task(3), None).await?;
    let left = store.parked(kind, &whole, None, 9).await?;
    assert_eq!(ids(&left), [task(1), task(5)]);
    Ok(())
}

pub async fn the_index_can_be_rebuilt(store: Shared) -> Result<(), Error> {
    all(&store, &[named(task(1), "old"), append(task(2), 1)]).await?;
    let before = store.stream(task(1)).await?;
    let summary = Summary {
        status: "completed".into(),
        open: false,
        hidden: false,
        user: "eve".into(),
        name: Some("new".into()),
        parent: Some(task(2)),
        workflow: Some(workflow(5)),
        waits: true,
        body: "{\"rebuilt\":true}".into(),
    };
    store.reindex(task(1), &summary).await?;
    store.reindex(task(9), &summary).await?;
    let expected = before.map(|row| StreamRow { summary, ..row });
    assert_eq!(store.stream(task(1)).await?, expected);
    assert_eq!(store.stream(task(9)).await?, None);
    assert_eq!(store.read(task(1), 0, 9).await?.len(), 1);
    all(&store, &[append(task(1), 2)]).await
}

pub async fn sizes_are_told(store: Shared) -> Result<(), Error> {
    let closed = with(2, |summary| summary.open = false);
    all(&store, &[append(task(1), 1), closed]).await?;
    all(&store, &[append(task(1), 2)]).await?;
    let census = store.census().await?;
    assert_eq!(
        (census.streams, census.open, census.records, census.schema),
        (2, 1, 3, 3)
    );
    let row = store.stream(task(1)).await?;
    assert_eq!(row.map(|row| row.updated_at), Some(at(1_002)));
    Ok(())
}
