//! The preferred owner of a key: highest random weight, after Thaler and Ravishankar (1998).
//!
//! When a node comes or goes, only the keys move that it wins or held. The weights are part of the
//! contract between nodes of different versions: they must never change.

use protocol::{id::NodeId, shard::Shard};

/// A node that could own something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// What decides: the same after a restart, so that a node gets back what it had.
    pub name: &'a str,
    /// Which process that is now.
    pub node: NodeId,
}

/// Who should own a shard among these; nobody when there are none.
#[must_use]
pub fn owner(shard: Shard, candidates: &[Candidate<'_>]) -> Option<NodeId> {
    preferred(u64::from(shard.0), candidates)
}

/// Who comes first for a key among these.
#[must_use]
pub fn preferred(key: u64, candidates: &[Candidate<'_>]) -> Option<NodeId> {
    candidates
        .iter()
        .max_by_key(|candidate| (weight(key, candidate.name), candidate.node))
        .map(|candidate| candidate.node)
}

/// How much a name weighs for a key: FNV-1a of the name, mixed with the key by `SplitMix64`.
#[must_use]
pub fn weight(key: u64, name: &str) -> u64 {
    let name = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(name ^ mix(key))
}

/// The finaliser of Steele, Lea and Flood's `SplitMix64` (2014).
const fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use uuid::Uuid;

    use super::*;

    const NAMES: [&str; 5] = ["n1", "n2", "n3", "n4", "n5"];

    fn nodes(count: usize) -> Vec<Candidate<'static>> {
        (1..)
            .zip(&NAMES[..count])
            .map(|(number, name)| Candidate {
                name,
                node: NodeId::from_uuid(Uuid::from_u128(number)),
            })
            .collect()
    }

    fn owners(candidates: &[Candidate<'_>]) -> Vec<Option<NodeId>> {
        (0..256)
            .map(|shard| owner(Shard(shard), candidates))
            .collect()
    }

    #[test]
    fn weights_never_change() {
        assert_eq!(
            [
                weight(0, ""),
                weight(7, "n1"),
                weight(255, "node-3.example")
            ],
            [
                6_566_800_829_925_814_604,
                14_308_058_747_481_867_545,
                18_160_656_406_719_446_661
            ]
        );
    }

    #[test]
    fn shards_are_shared_out_about_evenly() {
        let mut shares = HashMap::new();
        for owner in owners(&nodes(3)) {
            *shares.entry(owner).or_insert(0) += 1;
        }
        assert!(
            shares.values().all(|share| (60..=110).contains(share)),
            "{shares:?}"
        );
    }

    #[test]
    fn only_the_shards_of_a_lost_node_move() {
        let all = nodes(5);
        let lost = all[2].node;
        let left: Vec<_> = all.iter().filter(|c| c.node != lost).cloned().collect();
        for (before, after) in owners(&all).into_iter().zip(owners(&left)) {
            assert!(before == after || before == Some(lost));
        }
        assert_eq!(owner(Shard(0), &[]), None);
    }
}
