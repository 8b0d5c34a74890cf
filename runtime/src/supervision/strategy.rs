//! Which siblings of a failed child go down, and which come up, in which order.

use super::Restart;

/// What one child's failure means for its siblings, in Erlang's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Children do not depend on each other: only the failed one restarts.
    OneForOne,
    /// Each depends on all others: all restart.
    OneForAll,
    /// Each depends on those started before it: the failed one and all after it restart.
    RestForOne,
}

/// Where a child stands when a sibling fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It runs.
    Up,
    /// It will be started: its turn or its back-off has not come.
    Waiting,
    /// It ended and was not to be restarted.
    Down,
}

/// A child as the strategies see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sibling<K> {
    /// What the supervisor calls it.
    pub key: K,
    /// When it is restarted.
    pub restart: Restart,
    /// Where it stands.
    pub standing: Standing,
}

/// What a supervisor does about one failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartPlan<K> {
    /// Running siblings to stop now, the last started first.
    pub stop: Vec<K>,
    /// Children to start when the back-off is over, in this order; the failed one is among them.
    pub start: Vec<K>,
    /// Of `stop`, those that are not started again: temporary ones.
    pub forget: Vec<K>,
}

impl Strategy {
    /// Plans the restart of `failed`, where `children` come in the order in which they were started.
    ///
    /// As in OTP, a transient child that had ended normally comes up again with its group.
    pub fn plan<K: Copy + PartialEq>(
        self,
        children: impl Iterator<Item = Sibling<K>>,
        failed: K,
    ) -> RestartPlan<K> {
        let mut plan = RestartPlan {
            stop: Vec::new(),
            start: Vec::new(),
            forget: Vec::new(),
        };
        match self {
            Self::OneForOne => plan.start.push(failed),
            Self::OneForAll => children.for_each(|child| plan.take_in(child, failed)),
            Self::RestForOne => children
                .skip_while(|child| child.key != failed)
                .for_each(|child| plan.take_in(child, failed)),
        }
        plan.stop.reverse();
        plan
    }
}

impl<K: Copy + PartialEq> RestartPlan<K> {
    fn take_in(&mut self, child: Sibling<K>, failed: K) {
        let Sibling { key, restart, .. } = child;
        if child.standing == Standing::Up && key != failed {
            self.stop.push(key);
            if restart == Restart::Temporary {
                self.forget.push(key);
                return;
            }
        }
        self.start.push(key);
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        prelude::{Just, prop_assert, prop_assert_eq, prop_oneof, proptest},
        strategy::Strategy as _,
    };

    use super::*;

    const UP: Standing = Standing::Up;

    fn siblings(of: &[(Restart, Standing)]) -> Vec<Sibling<usize>> {
        let sibling = |(key, &(restart, standing))| Sibling {
            key,
            restart,
            standing,
        };
        of.iter().enumerate().map(sibling).collect()
    }

    #[test]
    fn each_strategy_restarts_whom_it_says() {
        let four = siblings(&[(Restart::Permanent, UP); 4]);
        for (strategy, stop, start) in [
            (Strategy::OneForOne, vec![], vec![1]),
            (Strategy::OneForAll, vec![3, 2, 0], vec![0, 1, 2, 3]),
            (Strategy::RestForOne, vec![3, 2], vec![1, 2, 3]),
        ] {
            let plan = strategy.plan(four.iter().copied(), 1);
            assert_eq!((plan.stop, plan.start), (stop, start), "{strategy:?}");
            assert!(plan.forget.is_empty(), "{strategy:?}");
        }
    }

    #[test]
    fn a_temporary_sibling_is_stopped_for_good_and_one_that_never_ran_keeps_its_turn() {
        let children = siblings(&[
            (Restart::Permanent, UP),
            (Restart::Temporary, UP),
            (Restart::Temporary, Standing::Waiting),
        ]);
        let plan = Strategy::OneForAll.plan(children.into_iter(), 0);
        assert_eq!(plan.stop, [1]);
        assert_eq!(plan.forget, [1]);
        assert_eq!(plan.start, [0, 2]);
    }

    #[test]
    fn a_transient_child_that_ended_comes_up_again_with_its_group() {
        let children = siblings(&[
            (Restart::Transient, Standing::Down),
            (Restart::Permanent, UP),
        ]);
        let plan = Strategy::OneForAll.plan(children.into_iter(), 1);
        assert_eq!(plan.start, [0, 1]);
        assert!(plan.stop.is_empty());
    }

    fn any_children() -> impl proptest::strategy::Strategy<Value = Vec<(Restart, Standing)>> {
        let restart = prop_oneof![
            Just(Restart::Permanent),
            Just(Restart::Transient),
            Just(Restart::Temporary)
        ];
        let standing = prop_oneof![Just(UP), Just(Standing::Waiting), Just(Standing::Down)];
        proptest::collection::vec((restart, standing), 1..12)
    }

    fn any_strategy() -> impl proptest::strategy::Strategy<Value = Strategy> {
        prop_oneof![
            Just(Strategy::OneForOne),
            Just(Strategy::OneForAll),
            Just(Strategy::RestForOne)
        ]
    }

    proptest! {
        #[test]
        fn a_plan_starts_in_order_stops_in_reverse_and_loses_nobody(
            (children, failed) in any_children()
                .prop_flat_map(|children| { let n = children.len(); (Just(children), 0..n) }),
            strategy in any_strategy(),
        ) {
            let children = siblings(&children);
            let plan = strategy.plan(children.iter().copied(), failed);

            prop_assert!(plan.start.is_sorted());
            prop_assert!(plan.stop.iter().rev().is_sorted());
            prop_assert!(plan.start.contains(&failed));
            prop_assert!(!plan.stop.contains(&failed));
            for &key in &plan.stop {
                prop_assert_eq!(children[key].standing, UP);
                prop_assert!(plan.start.contains(&key) != plan.forget.contains(&key));
            }
            for &key in &plan.forget {
                prop_assert!(plan.stop.contains(&key));
                prop_assert_eq!(children[key].restart, Restart::Temporary);
            }
            // Nobody is started twice: who runs and is to start was stopped before.
            for &key in &plan.start {
                let runs = children[key].standing == UP && key != failed;
                prop_assert!(!runs || plan.stop.contains(&key));
            }
            if strategy == Strategy::RestForOne {
                prop_assert!(plan.start.iter().chain(&plan.stop).all(|&key| key >= failed));
            }
        }
    }
}
