//! Plans of all shapes.

use std::time::Duration;

use proptest::prelude::*;
use protocol::{
    plan::{Effect, RetryPolicy, StepSpec},
    task::Budget,
    time::Span,
};

pub(crate) fn step(id: &str, effect: Effect, needs: &[&str]) -> StepSpec {
    StepSpec {
        id: id.to_owned(),
        agent: None,
        capability: None,
        description: None,
        input: serde_json::Value::Null,
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        effect,
        retry: None,
        timeout: None,
    }
}

/// What each of `count` steps needs, by number.
fn needs() -> impl Strategy<Value = Vec<Vec<usize>>> {
    let chain = (1_usize..=12).prop_map(|count| {
        (0..count)
            .map(|at| at.checked_sub(1).into_iter().collect())
            .collect()
    });
    let diamond = (1_usize..=10).prop_map(|wide| {
        let mut needs = vec![Vec::new()];
        needs.extend((0..wide).map(|_| vec![0]));
        needs.push((1..=wide).collect());
        needs
    });
    let fan_out = (0_usize..=11).prop_map(|wide| {
        let mut needs = vec![Vec::new()];
        needs.extend((0..wide).map(|_| vec![0]));
        needs
    });
    let dag = proptest::collection::vec(any::<u16>(), 1..=12).prop_map(|masks| {
        let edges = |(at, mask): (usize, u16)| (0..at).filter(|to| mask >> to & 1 == 1).collect();
        masks.into_iter().enumerate().map(edges).collect()
    });
    prop_oneof![chain, diamond, fan_out, dag]
}

fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![
        Just(Effect::Pure),
        Just(Effect::Idempotent),
        Just(Effect::Guarded),
        Just(Effect::Irreversible),
    ]
}

fn retry() -> impl Strategy<Value = Option<RetryPolicy>> {
    let policy = (1_u32..=4, 0_u64..5000).prop_map(|(max_attempts, backoff)| RetryPolicy {
        max_attempts,
        backoff: Span(Duration::from_millis(backoff)),
    });
    proptest::option::of(policy)
}

fn span() -> impl Strategy<Value = Option<Span>> {
    proptest::option::weighted(
        0.3,
        (1_u64..30_000).prop_map(|millis| Span(Duration::from_millis(millis))),
    )
}

/// Steps in an order in which they could run, and limits that a review lets pass.
pub(crate) fn plan() -> impl Strategy<Value = (Vec<StepSpec>, Budget)> {
    needs()
        .prop_flat_map(|needs| {
            let count = needs.len();
            let kinds = proptest::collection::vec((effect(), retry()), count);
            let spare = proptest::option::weighted(0.4, 0_u32..8);
            (Just(needs), kinds, spare, span(), span())
        })
        .prop_map(|(needs, kinds, spare, wall_time, queue_time)| {
            let steps: Vec<StepSpec> = needs
                .iter()
                .zip(kinds)
                .enumerate()
                .map(|(at, (needs, (effect, retry)))| StepSpec {
                    needs: needs.iter().map(|need| format!("s{need}")).collect(),
                    retry,
                    ..step(&format!("s{at}"), effect, &[])
                })
                .collect();
            let least = u32::try_from(steps.len()).unwrap();
            let budget = Budget {
                max_attempts: spare.map(|spare| least + spare),
                wall_time,
                queue_time,
            };
            (steps, budget)
        })
}
