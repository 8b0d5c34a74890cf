//! Whatever a network does, requests have one outcome, and it is true.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::*;
use crate::cluster::memory::Faults;

type Runs = Arc<Mutex<HashMap<u64, u32>>>;

/// Counts how often each request was handled.
fn counting(runs: &Runs) -> Handler {
    let runs = runs.clone();
    handler(move |incoming| {
        let id = u64::from_le_bytes(incoming.payload.as_slice().try_into().unwrap());
        let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
        *runs.entry(id).or_default() += 1;
        async move {
            let work = std::future::pending::<()>();
            let _ = tokio::time::timeout(Duration::from_millis(id % 40), work).await;
            Ok(incoming.payload)
        }
    })
}

/// Asks from both sides over a bad network that also breaks, and heals it at last.
async fn run(seed: u64) -> u64 {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut pair = Pair::new(Tuning::default()).await;
    pair.network = Network::new(seed);
    pair.link().await;
    let runs = Runs::default();
    pair.a.serve(SERVICE, counting(&runs));
    pair.b.serve(SERVICE, counting(&runs));
    pair.network.inject(Faults {
        drop: 0.1,
        duplicate: 0.1,
        reorder: 0.1,
        delay: Duration::ZERO..=Duration::from_millis(50),
    });
    let mut asks = Vec::new();
    for id in 0..200_u64 {
        let (from, to) = if chance.bool() {
            (pair.a.clone(), pair.b.me())
        } else {
            (pair.b.clone(), pair.a.me())
        };
        let within = Duration::from_millis(chance.u64(1..3000));
        asks.push(tokio::spawn(async move {
            let payload = id.to_le_bytes().to_vec();
            (id, from.ask(to, SERVICE, payload, within).await)
        }));
        match chance.u32(0..60) {
            0 => {
                pair.network.sever(pair.a.me(), pair.b.me());
                let (a, b) = (peer(&pair.a), peer(&pair.b));
                pair.network.connect(&pair.a, a, &pair.b, b);
            }
            1 => pair.network.cut(pair.a.me(), pair.b.me()),
            2 => pair.network.isolate(pair.b.me()),
            3 | 4 => pair.network.heal(),
            _ => {}
        }
        tokio::time::advance(Duration::from_millis(chance.u64(0..60))).await;
    }
    for ask in asks {
        let (id, outcome) = ask.await.unwrap();
        let runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
        let times = runs.get(&id).copied().unwrap_or(0);
        match outcome {
            Ok(answer) => assert_eq!((answer, times), (id.to_le_bytes().to_vec(), 1)),
            Err(fault) if fault.nothing_happened() => assert_eq!(times, 0, "{fault}"),
            Err(_) => assert!(times <= 1),
        }
    }
    let injected = pair.network.injected().total();
    pair.network.inject(Faults::default());
    pair.network.heal();
    pair.link().await;
    assert_eq!(pair.ask(&7_u64.to_le_bytes()).await.map(|a| a.len()), Ok(8));
    injected
}

#[tokio::test(start_paused = true)]
async fn requests_over_a_bad_network_have_one_true_outcome() {
    for seed in 0..100 {
        let injected = run(seed).await;
        assert!(injected > 50, "seed {seed} met {injected} faults only");
    }
}
