//! Pieces that arrive, are missing, or come too late.

use uuid::Uuid;

use super::*;

const NOW: Timestamp = Timestamp::from_micros(0);

fn node(number: u128) -> NodeId {
    NodeId::from_uuid(Uuid::from_u128(number))
}

fn long(size: usize) -> Vec<u8> {
    (0..size).map(|at| at.to_le_bytes()[0]).collect()
}

/// Gives the pieces of `whole` to `parcels`, except those left out.
fn deliver(parcels: &mut Parcels, whole: &[u8], left_out: &[u32]) -> Vec<Arrived> {
    let sent = (0..pieces(whole)).filter(|index| !left_out.contains(index));
    sent.map(|index| {
        let sent = Frame::part(7, whole, index).unwrap().encode();
        assert!(sent.len() <= MAX_PAYLOAD);
        let Some(Frame::Part {
            parcel,
            index,
            of,
            bytes,
        }) = Frame::decode(&sent)
        else {
            panic!("it is a piece");
        };
        parcels.arrived((node(1), parcel), (index, of), bytes, NOW)
    })
    .collect()
}

#[test]
fn pieces_make_the_whole_again_and_nothing_is_kept_then() {
    for size in [1, PIECE, PIECE + 1, 3 * PIECE] {
        let (mut parcels, whole) = (Parcels::new(Limits::CALLS), long(size));
        let mut arrived = deliver(&mut parcels, &whole, &[]);
        assert_eq!(arrived.pop(), Some(Arrived::Whole(whole)));
        assert!(arrived.iter().all(|piece| *piece == Arrived::Kept));
        assert_eq!(parcels.kept, size, "until it was handled");
        parcels.handled(node(1), size);
        assert_eq!((parcels.kept, parcels.arriving.len()), (0, 0));
    }
}

#[test]
fn a_missing_piece_makes_the_rest_useless_and_the_parcel_can_be_sent_again() {
    let (mut parcels, whole) = (Parcels::new(Limits::CALLS), long(3 * PIECE));
    let arrived = deliver(&mut parcels, &whole, &[1]);
    assert_eq!(arrived, [Arrived::Kept, Arrived::Gone]);
    let arrived = deliver(&mut parcels, &whole, &[]);
    assert_eq!(arrived[2], Arrived::Whole(whole));
    parcels.handled(node(1), 3 * PIECE);
    assert_eq!((parcels.kept, parcels.by_peer.len()), (0, 0));
}

#[test]
fn an_answer_is_fetched_in_pieces_once_by_whom_it_is_for() {
    let (mut parcels, whole) = (Parcels::new(Limits::CALLS), long(2 * PIECE + 5));
    let first = parcels.leave(node(1), whole.clone(), NOW).unwrap();
    let Some(Frame::Part {
        parcel, of, bytes, ..
    }) = Frame::decode(&first)
    else {
        panic!("it is a piece");
    };
    let mut fetched = bytes.to_vec();
    let stranger = parcels.fetched(node(2), parcel, 1, NOW);
    assert_eq!(Frame::decode(&stranger), Some(Frame::Gone));
    for index in 1..of {
        let piece = parcels.fetched(node(1), parcel, index, NOW);
        let Some(Frame::Part { bytes, .. }) = Frame::decode(&piece) else {
            panic!("it is a piece");
        };
        fetched.extend_from_slice(bytes);
    }
    assert!(fetched == whole);
    assert_eq!((parcels.kept, parcels.leaving.len()), (0, 0));
}

#[test]
fn what_nobody_comes_for_is_dropped() {
    let (mut parcels, whole) = (Parcels::new(Limits::CALLS), long(2 * PIECE));
    deliver(&mut parcels, &whole, &[1]);
    parcels.leave(node(1), whole, NOW).unwrap();
    assert_eq!(parcels.kept, 3 * PIECE);
    let later = NOW.plus(PATIENCE + Duration::from_millis(1));
    let piece = parcels.fetched(node(1), 1, 1, later);
    assert_eq!(Frame::decode(&piece), Some(Frame::Gone));
    assert_eq!((parcels.kept, parcels.arriving.len()), (0, 0));
}

#[test]
fn every_frame_reads_back_and_foreign_bytes_are_refused() {
    let frames = [
        Frame::Whole(b"all"),
        Frame::Next {
            parcel: 5,
            index: 2,
        },
        Frame::Kept,
        Frame::Gone,
    ];
    for frame in frames {
        assert_eq!(Frame::decode(&frame.encode()), Some(frame));
    }
    for foreign in [&[][..], &[9, 9], &[PART, 1, 2], &[NEXT, 0]] {
        assert_eq!(Frame::decode(foreign), None, "{foreign:?}");
    }
}

#[test]
fn one_node_fills_its_own_share_and_not_that_of_others() {
    let limits = Limits {
        largest: 3 * PIECE,
        peer: 5 * PIECE,
        all: 8 * PIECE,
    };
    let mut parcels = Parcels::new(limits);
    let three = long(3 * PIECE);
    assert!(parcels.leave(node(1), three.clone(), NOW).is_some());
    assert!(parcels.leave(node(1), three.clone(), NOW).is_none());
    assert!(parcels.leave(node(2), three.clone(), NOW).is_some());
    assert!(parcels.leave(node(3), three, NOW).is_none());
    assert!(parcels.leave(node(3), long(2 * PIECE), NOW).is_some());
    assert!(parcels.leave(node(4), long(4 * PIECE), NOW).is_none());
}

#[test]
fn a_piece_that_comes_twice_counts_once() {
    let (mut parcels, whole) = (Parcels::new(Limits::CALLS), long(4 * PIECE));
    for index in [0, 0, 1, 1, 2, 2] {
        let bytes = &whole[index * PIECE..(index + 1) * PIECE];
        let index = u32::try_from(index).unwrap();
        let kept = parcels.arrived((node(1), 7), (index, 4), bytes, NOW);
        assert_eq!(kept, Arrived::Kept);
    }
    let last = parcels.arrived((node(1), 7), (3, 4), &whole[3 * PIECE..], NOW);
    assert_eq!(last, Arrived::Whole(whole));
}

#[test]
fn what_looks_like_a_frame_travels_in_one() {
    for payload in [&b"{}"[..], b"", &[PART, 1], &[WHOLE], &[GONE]] {
        let sent = plain(payload.to_vec());
        let read = match Frame::decode(&sent) {
            Some(Frame::Whole(read)) => read,
            None => &sent,
            other => panic!("{other:?}"),
        };
        assert_eq!(read, payload);
    }
}
