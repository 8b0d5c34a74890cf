//! The slots of one agent: taken before a step is given to it, given back when the step ends.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use protocol::id::NodeId;

/// Called when a slot becomes free.
type Freed = Box<dyn Fn() + Send + Sync>;

/// The authority over an agent's slots.
pub struct Gate {
    limit: AtomicU32,
    taken: AtomicU32,
    assigned: AtomicU64,
    freed: Freed,
}

/// A slot that is taken until this is dropped, on this node or on another.
#[derive(Debug)]
pub struct Slot(Held);

#[derive(Debug)]
enum Held {
    Here(#[expect(dead_code, reason = "its drop is what counts")] Taken),
    There(Box<Booking>),
}

/// A slot of a gate of this node.
#[derive(Debug)]
struct Taken(Arc<Gate>);

/// A slot that another node keeps for an attempt.
pub struct Booking {
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: Arc<str>,
    /// By which number it knows the slot.
    pub number: u64,
    /// How long a call may take when its step does not say.
    pub timeout: Option<Duration>,
    /// Tells the node that the slot is not needed.
    pub(crate) release: Option<Release>,
}

/// What gives a slot of another node back.
pub(crate) type Release = Box<dyn FnOnce() + Send + Sync>;

impl fmt::Debug for Booking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Booking({} on {})", self.number, self.name)
    }
}

impl Booking {
    /// Its attempt was taken over by the node: nothing is to be given back.
    pub(crate) fn used(mut self) {
        self.release = None;
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl Slot {
    /// A slot of another node.
    #[must_use]
    pub fn there(booking: Booking) -> Self {
        Self(Held::There(Box::new(booking)))
    }

    /// The booking on another node, if that is where the slot is.
    #[must_use]
    pub fn booking(&self) -> Option<&Booking> {
        match &self.0 {
            Held::Here(_) => None,
            Held::There(booking) => Some(booking),
        }
    }

    /// The booking on another node, or the slot itself when it is on this one.
    ///
    /// # Errors
    ///
    /// The slot, when it is on this node.
    pub fn into_booking(self) -> Result<Booking, Self> {
        match self.0 {
            Held::There(booking) => Ok(*booking),
            held @ Held::Here(_) => Err(Self(held)),
        }
    }
}

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
        Some(Slot(Held::Here(Taken(self.clone()))))
    }
}

impl Drop for Taken {
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
