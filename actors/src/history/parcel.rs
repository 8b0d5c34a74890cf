//! A segment of the past as it crosses the mesh: its head as JSON, then its bytes as they are.

use runtime::store::Segment;

/// Bytes that tell how long the head is.
const LENGTH: usize = 4;

pub(super) fn pack(segment: &Segment) -> Vec<u8> {
    let head = Segment {
        data: Vec::new(),
        ..segment.clone()
    };
    // Text keys and no failing parts; what cannot be written is refused as unread.
    let head = serde_json::to_vec(&head).unwrap_or_default();
    let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &head, &segment.data].concat()
}

pub(super) fn unpack(payload: &[u8]) -> Option<Segment> {
    let (length, rest) = payload.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (head, data) = rest.split_at_checked(length)?;
    let mut segment: Segment = serde_json::from_slice(head).ok()?;
    segment.data = data.to_vec();
    Some(segment)
}

#[cfg(test)]
mod tests {
    use protocol::{id::NodeId, time::Timestamp};
    use runtime::store::SegmentKind;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_segment_arrives_as_it_was_and_anything_else_is_none() {
        let segment = Segment {
            node: NodeId::from_uuid(Uuid::from_u128(7)),
            name: "one".to_owned(),
            chapter: 3,
            number: 4,
            kind: SegmentKind::Changes,
            until: Timestamp::from_micros(5),
            data: vec![0, 255, 1],
        };
        let packed = pack(&segment);
        assert_eq!(unpack(&packed), Some(segment));
        for wrong in [&packed[..3], &packed[..20], b"\xff\xff\xff\xff{}", b""] {
            assert_eq!(unpack(wrong), None);
        }
    }
}
