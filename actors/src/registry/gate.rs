//! The slots of one agent: taken before a step is given to it, given back when the step ends.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

/// Called when a slot becomes free.
type Freed = Box<dyn Fn() + Send + Sync>;

/// The authority over an agent's slots.
pub struct Gate {
    limit: AtomicU32,
    taken: AtomicU32,
    assigned: AtomicU64,
    freed: Freed,
}

/// A slot that is taken until this is dropped.
#[derive(Debug)]
pub struct Slot(Arc<Gate>);

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gate({} of {})", self.taken(), self.limit())
    }
}

impl Gate {
    /// A gate with so many slots, that calls `freed` each time one is given back.
    pub fn new(limit: u32, freed: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            limit: AtomicU32::new(limit),
            taken: AtomicU32::new(0),
            assigned: AtomicU64::new(0),
            freed: Box::new(freed),
        }
    }

    /// How many slots there are.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes how many there are; those taken beyond it stay taken until they are given back.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
        (self.freed)();
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::SeqCst)
    }

    /// How many are free.
    #[must_use]
    pub fn free(&self) -> u32 {
        self.limit().saturating_sub(self.taken())
    }

    /// How many were ever taken.
    #[must_use]
    pub fn assigned(&self) -> u64 {
        self.assigned.load(Ordering::Relaxed)
    }

    /// Takes a slot, if one is free.
    pub fn take(self: &Arc<Self>) -> Option<Slot> {
        let limit = self.limit();
        self.taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| {
                (taken < limit).then_some(taken + 1)
            })
            .ok()?;
        self.assigned.fetch_add(1, Ordering::Relaxed);
        Some(Slot(self.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // In one order with the allocator's count of who waits: one of the two sees the other.
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
        (self.0.freed)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_never_gives_more_than_its_slots_and_tells_when_one_is_free() {
        let freed = Arc::new(AtomicU32::new(0));
        let count = freed.clone();
        let gate = Arc::new(Gate::new(2, move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        let (first, second) = (gate.take(), gate.take());
        assert!(first.is_some() && second.is_some() && gate.take().is_none());
        drop(first);
        assert_eq!(freed.load(Ordering::Relaxed), 1);
        assert_eq!((gate.free(), gate.assigned()), (1, 2));
        gate.set_limit(1);
        assert!(gate.take().is_none());
        drop(second);
        assert!(gate.take().is_some());
    }

    #[test]
    fn threads_that_race_for_slots_get_each_one_once() {
        let gate = Arc::new(Gate::new(5, || ()));
        let got: usize = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|_| {
                    let gate = &gate;
                    scope.spawn(move || {
                        let slots: Vec<_> = std::iter::from_fn(|| gate.take()).collect();
                        let count = slots.len();
                        std::mem::forget(slots);
                        count
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).sum()
        });
        assert_eq!(got, 5);
    }
}
