//! How often nodes show that they live, and how much one may owe another.

use std::time::Duration;

use protocol::wire::MAX_PAYLOAD;

/// Beside its payload, an envelope weighs less than this.
const HEAD: usize = 1024;

/// What a [`Mesh`](super::Mesh) keeps to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tuning {
    /// When nodes are heard, and missed.
    pub timing: Timing,
    /// How much waits or is under way.
    pub limits: Limits,
}

/// When nodes are heard, and missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How often a node shows each other that it lives.
    pub heartbeat: Duration,
    /// Silence after which a peer is shown as suspect.
    pub suspect: Duration,
    /// Silence after which its link is closed.
    pub dead: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(1),
            suspect: Duration::from_secs(3),
            dead: Duration::from_secs(10),
        }
    }
}

/// How much waits or is under way, each per peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Envelopes on one lane that a peer may send before this node is done with some.
    pub window: u32,
    /// Their weight in bytes.
    pub window_bytes: u32,
    /// Envelopes of one lane that may wait for the peer's window.
    pub queue: usize,
    /// Their weight in bytes.
    pub queue_bytes: usize,
    /// Requests of one peer that are handled at the same time.
    pub handlers: usize,
    /// Envelopes in one frame.
    pub batch: usize,
    /// Bytes of one frame that holds more than one envelope.
    pub batch_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: 8192,
            window_bytes: 2 * 1024 * 1024,
            queue: 8192,
            queue_bytes: 2 * 1024 * 1024,
            handlers: 1024,
            batch: 64,
            batch_bytes: 64 * 1024,
        }
    }
}

/// Why a mesh cannot keep to its tuning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untunable {
    /// A single lost heartbeat would raise the alarm, or none would.
    #[error(
        "0 < heartbeat < suspect < dead must hold, with suspect at least twice the heartbeat; \
         they are {0:?}, {1:?} and {2:?}"
    )]
    Timing(Duration, Duration, Duration),
    /// Two of the largest messages would not fit.
    #[error("window_bytes and queue_bytes must be {0} or more")]
    TooSmall(usize),
    /// Nothing could be sent at all.
    #[error("window must be 4 or more; queue, handlers and batch 1 or more")]
    Nothing,
}

impl Tuning {
    /// Checks the numbers against each other.
    ///
    /// # Errors
    ///
    /// Says what must hold.
    pub fn check(&self) -> Result<(), Untunable> {
        let Timing {
            heartbeat,
            suspect,
            dead,
        } = self.timing;
        if heartbeat.is_zero() || suspect < heartbeat * 2 || dead <= suspect {
            return Err(Untunable::Timing(heartbeat, suspect, dead));
        }
        let limits = &self.limits;
        let least = 2 * (MAX_PAYLOAD + HEAD);
        if (limits.window_bytes as usize) < least || limits.queue_bytes < least {
            return Err(Untunable::TooSmall(least));
        }
        if limits.window < 4 || limits.queue == 0 || limits.handlers == 0 || limits.batch == 0 {
            return Err(Untunable::Nothing);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_checked_against_each_other() {
        let mut tuning = Tuning::default();
        assert_eq!(tuning.check(), Ok(()));
        tuning.timing.suspect = tuning.timing.heartbeat;
        assert!(matches!(tuning.check(), Err(Untunable::Timing(..))));
        let mut tuning = Tuning::default();
        tuning.limits.queue_bytes = MAX_PAYLOAD;
        assert!(matches!(tuning.check(), Err(Untunable::TooSmall(_))));
        let mut tuning = Tuning::default();
        tuning.limits.window = 0;
        assert_eq!(tuning.check(), Err(Untunable::Nothing));
    }
}
