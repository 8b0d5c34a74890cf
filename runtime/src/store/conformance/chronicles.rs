//! Facts of the past of supervision trees.

use protocol::{id::NodeId, time::Timestamp};
use uuid::Uuid;

use super::at;
use crate::store::{Error, Segment, SegmentKind, Shared};

const EVER: Timestamp = at(i64::MAX);

fn node(number: u128) -> NodeId {
    NodeId::from_uuid(Uuid::from_u128(number))
}

fn segment(of: u128, chapter: u64, number: u64) -> Segment {
    Segment {
        node: node(of),
        name: format!("node-{of}"),
        chapter,
        number,
        kind: if chapter == number {
            SegmentKind::Base
        } else {
            SegmentKind::Changes
        },
        until: at(number.cast_signed()),
        data: vec![u8::try_from(number).unwrap_or(0), 0, 255],
    }
}

async fn tell(store: &Shared, segments: &[(u128, u64, u64)]) -> Result<(), Error> {
    for &(of, chapter, number) in segments {
        store.inscribe(&segment(of, chapter, number)).await?;
    }
    Ok(())
}

async fn chapters(store: &Shared, from: i64, to: i64) -> Result<Vec<u64>, Error> {
    let chapters = store.chapters(at(from), at(to)).await?;
    Ok(chapters.iter().map(|it| it.chapter).collect())
}

pub async fn segments_read_back_in_order_up_to_a_moment(store: Shared) -> Result<(), Error> {
    tell(
        &store,
        &[
            (1, 10, 10),
            (1, 10, 12),
            (2, 10, 10),
            (1, 10, 11),
            (1, 13, 13),
        ],
    )
    .await?;
    let told = store.segments(node(1), 10, at(11)).await?;
    assert_eq!(told, [segment(1, 10, 10), segment(1, 10, 11)]);
    assert_eq!(store.segments(node(1), 10, EVER).await?.len(), 3);
    assert_eq!(store.segments(node(3), 10, EVER).await?, []);
    let last = store.last_chapter(node(1)).await?;
    assert_eq!(
        last.map(|it| (it.chapter, it.name)),
        Some((13, "node-1".into()))
    );
    assert_eq!(store.last_chapter(node(3)).await?, None);
    Ok(())
}

pub async fn a_segment_is_kept_once(store: Shared) -> Result<(), Error> {
    tell(&store, &[(1, 10, 10), (1, 10, 11), (1, 10, 11)]).await?;
    let other = Segment {
        data: vec![1; 100],
        ..segment(1, 10, 11)
    };
    store.inscribe(&other).await?;
    let told = store.segments(node(1), 10, EVER).await?;
    assert_eq!(told, [segment(1, 10, 10), segment(1, 10, 11)]);
    let chapter = store.last_chapter(node(1)).await?.map(|it| {
        assert_eq!((it.since, it.until, it.ended), (at(10), at(11), None));
        it.bytes
    });
    assert_eq!(chapter, Some(2 * segment(1, 10, 10).weight()));
    Ok(())
}

pub async fn a_moment_has_the_last_chapter_of_each_start_of_a_node(
    store: Shared,
) -> Result<(), Error> {
    tell(
        &store,
        &[
            (1, 10, 10),
            (1, 10, 19),
            (1, 20, 20),
            (2, 15, 15),
            (1, 30, 30),
        ],
    )
    .await?;
    assert_eq!(chapters(&store, 9, 9).await?, Vec::<u64>::new());
    assert_eq!(chapters(&store, 10, 10).await?, [10]);
    assert_eq!(chapters(&store, 25, 25).await?, [15, 20]);
    assert_eq!(chapters(&store, 15, 20).await?, [10, 15, 20]);
    assert_eq!(
        chapters(&store, i64::MIN, i64::MAX).await?,
        [10, 15, 20, 30]
    );
    Ok(())
}

pub async fn an_ended_chapter_says_when(store: Shared) -> Result<(), Error> {
    tell(&store, &[(1, 10, 10)]).await?;
    let end = Segment {
        kind: SegmentKind::End,
        ..segment(1, 10, i64::MAX.cast_unsigned())
    };
    let end = Segment {
        until: at(14),
        ..end
    };
    let later = Segment {
        until: at(16),
        ..end.clone()
    };
    for end in [end, later] {
        store.inscribe(&end).await?;
    }
    let ended = store.last_chapter(node(1)).await?.map(|it| it.ended);
    assert_eq!(ended, Some(Some(at(14))));
    let last = store.segments(node(1), 10, EVER).await?.pop();
    assert_eq!(last.map(|it| it.kind), Some(SegmentKind::End));
    Ok(())
}

pub async fn what_is_told_after_an_end_voids_it(store: Shared) -> Result<(), Error> {
    tell(&store, &[(1, 10, 10)]).await?;
    let end = |number: u64, until| Segment {
        kind: SegmentKind::End,
        until: at(until),
        ..segment(1, 10, number)
    };
    let ended = async || {
        let last = store.last_chapter(node(1)).await;
        last.map(|it| it.and_then(|it| it.ended))
    };
    store.inscribe(&end(1_000, 14)).await?;
    // On its way when it ended.
    tell(&store, &[(1, 10, 13)]).await?;
    assert_eq!(ended().await?, Some(at(14)));
    tell(&store, &[(1, 10, 15)]).await?;
    assert_eq!(ended().await?, None);
    store.inscribe(&end(1_001, 17)).await?;
    assert_eq!(ended().await?, Some(at(17)));
    Ok(())
}

pub async fn a_chapter_begins_with_the_last_piece_of_its_base(store: Shared) -> Result<(), Error> {
    tell(&store, &[(1, 10, 10)]).await?;
    let piece = |number, kind| Segment {
        kind,
        until: at(21),
        ..segment(1, 20, number)
    };
    for number in [20, 21] {
        store.inscribe(&piece(number, SegmentKind::Part)).await?;
    }
    let last = async || {
        let last = store.last_chapter(node(1)).await;
        last.map(|it| it.map(|it| (it.chapter, it.since)))
    };
    assert_eq!(chapters(&store, 30, 30).await?, [10]);
    assert_eq!(last().await?, Some((10, at(10))));
    store.inscribe(&piece(22, SegmentKind::Base)).await?;
    assert_eq!(chapters(&store, 30, 30).await?, [20]);
    assert_eq!(last().await?, Some((20, at(21))));
    assert_eq!(store.segments(node(1), 20, at(21)).await?.len(), 3);
    Ok(())
}

pub async fn segments_read_backwards_a_few_at_a_time(store: Shared) -> Result<(), Error> {
    tell(
        &store,
        &[
            (1, 10, 10),
            (1, 10, 11),
            (1, 10, 12),
            (1, 10, 13),
            (2, 10, 11),
            (1, 14, 14),
        ],
    )
    .await?;
    let numbers = async |before, until| {
        let read = store.segments_back((node(1), 10), before, at(until), 2);
        let read = read.await;
        read.map(|it| it.iter().map(|it| it.number).collect::<Vec<_>>())
    };
    let last = i64::MAX.cast_unsigned();
    assert_eq!(numbers(last, 99).await?, [13, 12]);
    assert_eq!(numbers(12, 99).await?, [11, 10]);
    assert_eq!(numbers(10, 99).await?, [0_u64; 0]);
    assert_eq!(numbers(last, 12).await?, [12, 11]);
    Ok(())
}

pub async fn whole_chapters_are_forgotten(store: Shared) -> Result<(), Error> {
    tell(
        &store,
        &[
            (1, 10, 10),
            (1, 10, 11),
            (1, 20, 20),
            (2, 10, 10),
            (2, 10, 11),
        ],
    )
    .await?;
    assert_eq!(store.forgotten().await?, None);
    store.forget(&[(node(1), 10), (node(2), 7)]).await?;
    store.forget(&[]).await?;
    // What it told went on until the next one began.
    assert_eq!(store.forgotten().await?, Some(at(20)));
    assert_eq!(store.segments(node(1), 10, EVER).await?, []);
    assert_eq!(store.segments(node(2), 10, EVER).await?.len(), 2);
    assert_eq!(chapters(&store, i64::MIN, i64::MAX).await?, [10, 20]);
    let many: Vec<_> = (100..300).map(|number| (3, 100, number)).collect();
    tell(&store, &many).await?;
    store.forget(&[(node(3), 100)]).await?;
    assert_eq!(store.segments(node(3), 100, EVER).await?, []);
    assert_eq!(store.forgotten().await?, Some(at(299)));
    store.forget(&[(node(2), 10)]).await?;
    assert_eq!(store.forgotten().await?, Some(at(299)));
    Ok(())
}
