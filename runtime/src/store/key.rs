//! How stores keep an entity's address: a byte for the kind, then the sixteen of its key.
//!
//! Addresses are UUIDv7, so a kind's streams stand in the order in which they were made.

use protocol::entity::{EntityId, EntityKind};
use uuid::Uuid;

use super::Error;

/// The number that stands for a kind in every row; never used for another.
pub(super) const fn code(kind: EntityKind) -> u8 {
    match kind {
        EntityKind::Agent => 1,
        EntityKind::Task => 2,
        EntityKind::Hold => 3,
        EntityKind::Workflow => 4,
        EntityKind::Question => 5,
        EntityKind::Schedule => 6,
        EntityKind::Trigger => 7,
        EntityKind::Template => 8,
    }
}

pub(super) fn pack(stream: EntityId) -> Vec<u8> {
    let mut packed = Vec::with_capacity(17);
    packed.push(code(stream.kind()));
    packed.extend_from_slice(stream.key().as_bytes());
    packed
}

pub(super) fn unpack(packed: &[u8]) -> Result<EntityId, Error> {
    let parts = packed.split_first().and_then(|(first, key)| {
        let kind = EntityKind::ALL
            .into_iter()
            .find(|kind| code(*kind) == *first)?;
        Some(EntityId::new(kind, Uuid::from_slice(key).ok()?))
    });
    parts.ok_or_else(|| Error::Corrupt(format!("{packed:02x?} is no stream")))
}

/// The least and the greatest address of a kind.
pub(super) const fn bounds(kind: EntityKind) -> (EntityId, EntityId) {
    (
        EntityId::new(kind, Uuid::nil()),
        EntityId::new(kind, Uuid::max()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_and_keeps_its_order() {
        let mut last = Vec::new();
        for kind in EntityKind::ALL {
            for key in [0, 7, u128::MAX] {
                let stream = EntityId::new(kind, Uuid::from_u128(key));
                let packed = pack(stream);
                assert_eq!(unpack(&packed).unwrap(), stream);
                assert!(packed > last);
                last = packed;
            }
        }
    }

    #[test]
    fn bytes_that_are_no_address_are_corrupt() {
        for wrong in [&[][..], &[9; 17], &[1; 16], &[1; 18]] {
            assert!(matches!(unpack(wrong), Err(Error::Corrupt(_))));
        }
    }
}
