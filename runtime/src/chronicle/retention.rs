//! Which chapters are spent.

use std::{collections::HashMap, time::Duration};

use protocol::{id::NodeId, time::Timestamp};

use crate::store::Chapter;

/// How much of the past is kept: the section `[history]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Bytes of all nodes' segments together.
    pub max_bytes: u64,
    /// What is older is dropped.
    pub max_age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_age: Duration::from_hours(7 * 24),
        }
    }
}

impl Retention {
    /// Chapters to drop at `now`, whole: such as ended too long ago, and of the rest the oldest until
    /// they are small enough. The last of a start of a node stays while it is young enough, so that
    /// what is written to it can be read.
    #[must_use]
    pub fn spent(&self, mut chapters: Vec<Chapter>, now: Timestamp) -> Vec<(NodeId, u64)> {
        let mut last = HashMap::<NodeId, u64>::new();
        for it in &chapters {
            let last = last.entry(it.node).or_default();
            *last = it.chapter.max(*last);
        }
        let mut bytes: u64 = chapters.iter().map(|it| it.bytes).sum();
        let mut spent = Vec::new();
        chapters.sort_by_key(|it| (it.until, it.node, it.chapter));
        for it in chapters {
            let is_old = now.since(it.until) > self.max_age;
            let is_over = it.ended.is_some() || last.get(&it.node) != Some(&it.chapter);
            if is_old || (bytes > self.max_bytes && is_over) {
                bytes -= it.bytes;
                spent.push((it.node, it.chapter));
            }
        }
        spent
    }

    /// Bytes from which a chapter is long enough to be followed by the next, so that there are
    /// several to choose from.
    pub(super) const fn chapter(&self) -> u64 {
        self.max_bytes / 16
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn chapter(node: u128, number: u64, bytes: u64) -> Chapter {
        Chapter {
            node: NodeId::from_uuid(Uuid::from_u128(node)),
            name: "one".to_owned(),
            chapter: number,
            since: Timestamp::from_micros(number.cast_signed()),
            until: Timestamp::from_micros(number.cast_signed() + 5),
            ended: None,
            bytes,
        }
    }

    fn spent(chapters: &[Chapter], max_bytes: u64, age_us: u64, now: i64) -> Vec<u64> {
        let retention = Retention {
            max_bytes,
            max_age: Duration::from_micros(age_us),
        };
        let spent = retention.spent(chapters.to_vec(), Timestamp::from_micros(now));
        spent.into_iter().map(|(_, number)| number).collect()
    }

    #[test]
    fn the_oldest_go_first_and_the_last_of_a_node_stays() {
        let chapters = [chapter(1, 30, 50), chapter(1, 10, 50), chapter(2, 20, 50)];
        assert_eq!(spent(&chapters, 150, 1_000, 40), [0_u64; 0]);
        assert_eq!(spent(&chapters, 149, 1_000, 40), [10]);
        assert_eq!(spent(&chapters, 0, 1_000, 40), [10]);
    }

    #[test]
    fn what_is_too_old_goes_whatever_its_size() {
        let chapters = [chapter(1, 10, 1), chapter(2, 20, 1)];
        assert_eq!(spent(&chapters, 1_000, 10, 25), [0_u64; 0]);
        assert_eq!(spent(&chapters, 1_000, 10, 26), [10]);
        assert_eq!(spent(&chapters, 1_000, 10, 99), [10, 20]);
    }

    #[test]
    fn the_last_chapter_of_a_node_that_is_over_is_as_good_as_any() {
        let mut over = chapter(1, 10, 50);
        over.ended = Some(over.until);
        assert_eq!(spent(&[over, chapter(2, 20, 50)], 99, 1_000, 40), [10]);
    }

    proptest! {
        #[test]
        fn what_is_left_is_small_enough_but_for_what_is_being_written(
            sizes in proptest::collection::vec((0_u128..4, 1_u64..100), 0..40),
            max_bytes in 0_u64..2_000,
        ) {
            let chapters: Vec<Chapter> = (1..).zip(&sizes)
                .map(|(number, &(node, bytes))| chapter(node, number, bytes))
                .collect();
            let gone = spent(&chapters, max_bytes, 1_000_000, 100);
            let left: Vec<&Chapter> = chapters.iter().filter(|it| !gone.contains(&it.chapter)).collect();
            let is_last = |it: &&&Chapter| {
                !chapters.iter().any(|other| other.node == it.node && other.chapter > it.chapter)
            };
            let bytes: u64 = left.iter().map(|it| it.bytes).sum();
            let being_written: u64 = left.iter().filter(is_last).map(|it| it.bytes).sum();
            prop_assert!(bytes <= max_bytes || bytes == being_written);
        }
    }
}
