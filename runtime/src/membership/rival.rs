//! Whoever has the name that a start of a node wants: another process, or only its lease.

use protocol::{id::NodeId, time::Timestamp};

use crate::store::EntryRefusal;

/// What was seen of the holder of a name since it was refused first.
///
/// A lease that runs says that its holder was there up to one length of it ago. Who renews it is there
/// now, and it will not end; whose process is gone lets it run out.
#[derive(Debug, Default)]
pub struct Rival(Option<(NodeId, Timestamp)>);

impl Rival {
    /// Whether a refusal holds for good. If not, entering is to be tried again until the lease is over.
    #[must_use]
    pub fn is_final(&mut self, refusal: &EntryRefusal) -> bool {
        match refusal {
            EntryRefusal::Removed => true,
            EntryRefusal::NameHeld {
                by, lease_until, ..
            } => {
                let seen = (*by, *lease_until);
                *self.0.get_or_insert(seen) != seen
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn held(by: u128, lease_until: i64) -> EntryRefusal {
        EntryRefusal::NameHeld {
            name: "w1".to_owned(),
            by: NodeId::from_uuid(Uuid::from_u128(by)),
            address: None,
            since: Timestamp::default(),
            lease_until: Timestamp::from_micros(lease_until),
        }
    }

    #[test]
    fn only_a_lease_that_is_renewed_or_taken_anew_has_somebody_behind_it() {
        let mut rival = Rival::default();
        assert!(!rival.is_final(&held(1, 6)));
        assert!(!rival.is_final(&held(1, 6)));
        assert!(rival.is_final(&held(1, 7)), "it was renewed");
        let mut rival = Rival::default();
        assert!(!rival.is_final(&held(1, 6)));
        assert!(rival.is_final(&held(2, 9)), "another was faster");
        assert!(Rival::default().is_final(&EntryRefusal::Removed));
    }
}
