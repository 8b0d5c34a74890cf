//! How operators end what runs under `/system`.
//!
//! Who ends it says why while the actor can be killed, and its supervisor makes it so that it cannot
//! before it tells of an end or of a begin: so each is told of one of them, and none of two.

use std::sync::Arc;

use super::{Row, Tree};

/// What ends an actor in the middle of whatever it does, or its wait for the next try.
pub(in crate::supervision) type Killer = Box<dyn Fn() + Send + Sync>;

/// How an actor can be ended.
pub(super) enum Aim {
    /// It just ends or begins.
    Nothing,
    Running(Killer),
    Waiting(Killer),
    /// Somebody had it ended, of which its supervisor is yet to hear.
    Hit,
}

/// What became of what was to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    /// It ends, and its supervisor begins it again at once.
    Ended,
    /// It waited for its next try, which comes at once instead.
    Hastened,
    /// It just ends or begins, or its supervisor is busy; it can be killed when that is over.
    NotNow,
    /// Nothing stands there.
    Absent,
    /// It is no actor.
    Never,
}

impl Tree {
    /// From now on the running actor can be killed by its place.
    pub(in crate::supervision) fn set_killer(&self, entry: &Arc<Row>, killer: Killer) {
        self.aim(entry, Aim::Running(killer));
    }

    /// From now on who kills the actor by its place ends its wait.
    pub(in crate::supervision) fn set_waker(&self, entry: &Arc<Row>, waker: Killer) {
        self.aim(entry, Aim::Waiting(waker));
    }

    /// Nobody can kill the actor until it is aimed at again. Answers whether somebody has.
    pub(in crate::supervision) fn spare(&self, entry: &Arc<Row>) -> bool {
        let Some(mut aimed) = self.0.aims.get_mut(entry.path()) else {
            return false;
        };
        let (row, aim) = aimed.value_mut();
        let former = Arc::ptr_eq(row, entry).then(|| std::mem::replace(aim, Aim::Nothing));
        matches!(former, Some(Aim::Hit))
    }

    pub(super) fn aim(&self, entry: &Arc<Row>, aim: Aim) {
        let place = Arc::clone(entry.shared_path());
        self.0.aims.insert(place, (Arc::clone(entry), aim));
    }

    /// Kills the actor at `path`, one of those under `/system`, in the middle of whatever it does; one
    /// that waits for its next try begins at once. To its supervisor that is no crash.
    #[must_use]
    pub fn kill(&self, path: &str, why: &str) -> Kill {
        let Some(mut aimed) = self.0.aims.get_mut(path) else {
            return self.row(path).map_or(Kill::Absent, |_| Kill::Never);
        };
        let (row, aim) = aimed.value_mut();
        let (kill, done) = match std::mem::replace(aim, Aim::Nothing) {
            Aim::Running(kill) => {
                *aim = Aim::Hit;
                (kill, Kill::Ended)
            }
            Aim::Waiting(wake) => (wake, Kill::Hastened),
            none @ (Aim::Nothing | Aim::Hit) => {
                *aim = none;
                return Kill::NotNow;
            }
        };
        row.ends_because(why);
        drop(aimed);
        kill();
        done
    }

    /// Whether [`kill`](Self::kill) finds what stands at `path`; absent when nothing does.
    #[must_use]
    pub fn can_kill(&self, path: &str) -> Option<bool> {
        self.row(path)?;
        let aimed = self.0.aims.get(path);
        let is_aimed = |aim: &Aim| matches!(aim, Aim::Running(_) | Aim::Waiting(_));
        Some(aimed.is_some_and(|aimed| is_aimed(&aimed.value().1)))
    }

    /// How many actors can be killed by their place, now or later.
    #[cfg(test)]
    pub(in crate::supervision) fn killers(&self) -> usize {
        self.0.aims.len()
    }
}
