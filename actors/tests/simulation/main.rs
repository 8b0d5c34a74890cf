//! Seeded runs of a whole cluster in virtual time: partitions, crashes, zombies, a store that
//! comes and goes; then everything must heal, and every promise must have held.
//!
//! `TROUPE_SIM_SEEDS` sets how many runs there are, `TROUPE_SIM_SEED` plays one and prints it.

mod bug;
mod chance;
mod client;
mod faults;
mod host;
mod link;
mod node;
mod oracle;
mod owner;
mod store;
mod trace;
mod work;
mod world;

use std::{collections::BTreeMap, thread};

use bug::Bug;
use faults::Fault;
use trace::Keep;
use world::{Outcome, run};

/// Runs of the system as it is.
const SEEDS: u64 = 2_000;

/// Runs in which a planted bug must be found.
const HUNT: u64 = 400;

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs of these seeds, on every core.
fn runs<T: Send>(seeds: u64, each: impl Fn(u64, Outcome) -> T + Sync) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, usize::from) as u64;
    thread::scope(|scope| {
        let shares: Vec<_> = (0..cores)
            .map(|core| {
                let each = &each;
                scope.spawn(move || {
                    let mine = (0..seeds).filter(|seed| seed % cores == core);
                    let played = mine.map(|seed| each(seed, run(seed, None, Keep::Hash)));
                    played.collect::<Vec<_>>()
                })
            })
            .collect();
        shares
            .into_iter()
            .flat_map(|share| share.join().unwrap())
            .collect()
    })
}

#[test]
fn every_promise_holds_whatever_the_seed() {
    if let Some(seed) = from_env("TROUPE_SIM_SEED") {
        let outcome = run(seed, None, Keep::Lines);
        println!("{}", outcome.trace);
        println!("seed {seed}: {:?} {:?}", outcome.violation, outcome.met);
        assert_eq!(outcome.violation, None);
        return;
    }
    let seeds = from_env("TROUPE_SIM_SEEDS").unwrap_or(SEEDS);
    let mut met: BTreeMap<Fault, u64> = BTreeMap::new();
    let (mut broken, mut events, mut tasks, mut lasted) = (Vec::new(), 0, 0, 0);
    for (seed, outcome) in runs(seeds, |seed, outcome| (seed, outcome)) {
        broken.extend(outcome.violation.map(|why| (seed, why)));
        for (fault, times) in outcome.met {
            *met.entry(fault).or_default() += times;
        }
        events += outcome.events;
        tasks += outcome.tasks;
        lasted += outcome.lasted / 1_000_000;
    }
    println!(
        "{seeds} runs, {events} events, {tasks} tasks, {lasted} s of virtual time; met: {met:?}"
    );
    broken.sort();
    for (seed, why) in broken.iter().take(20) {
        println!("TROUPE_SIM_SEED={seed}: {why}");
    }
    assert_eq!(broken.len(), 0, "of {seeds} runs");
    for fault in Fault::ALL {
        assert!(met.contains_key(&fault), "no {fault:?} met anything");
    }
}

#[test]
fn each_planted_bug_is_found() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let found = (0..HUNT).find_map(|seed| {
            let why = run(seed, Some(bug), Keep::Hash).violation?;
            Some((seed, why))
        });
        match found {
            Some((seed, why)) => println!("{bug:?} was found by seed {seed}: {why}"),
            None => missed.push(bug),
        }
    }
    assert_eq!(missed, []);
}

#[test]
fn a_seed_plays_the_same_run_each_time() {
    for seed in 0..20 {
        let (one, other) = (run(seed, None, Keep::Hash), run(seed, None, Keep::Lines));
        assert_eq!((one.hash, one.events), (other.hash, other.events));
        let another = run(seed + 1_000, None, Keep::Hash);
        assert_ne!(one.hash, another.hash);
    }
}
