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
        let (mut parcels, whole) = (Parcels::default(), long(size));
        let mut arrived = deliver(&mut parcels, &whole, &[]);
        assert_eq!(arrived.pop(), Some(Arrived::Whole(whole)));
        assert!(arrived.iter().all(|piece| *piece == Arrived::Kept));
        assert_eq!((parcels.kept, parcels.arriving.len()), (0, 0));
    }
}

#[test]
fn a_missing_piece_makes_the_rest_useless_and_the_parcel_can_be_sent_again() {
    let (mut parcels, whole) = (Parcels::default(), long(3 * PIECE));
    let arrived = deliver(&mut parcels, &whole, &[1]);
    assert_eq!(arrived, [Arrived::Kept, Arrived::Gone]);
    let arrived = deliver(&mut parcels, &whole, &[]);
    assert_eq!(arrived[2], Arrived::Whole(whole));
    assert_eq!(parcels.kept, 0);
}

#[test]
fn an_answer_is_fetched_in_pieces_once_by_whom_it_is_for() {
    let (mut parcels, whole) = (Parcels::default(), long(2 * PIECE + 5));
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
    let (mut parcels, whole) = (Parcels::default(), long(2 * PIECE));
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
