//! Mistakes that a run can be made with, to see that the invariants find them.

/// A mistake in what the harness does around the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// An owner appends whether or not it still owns, and the store takes any epoch.
    NoFence,
    /// A client is answered before its task is on disk.
    EarlyAck,
    /// Attempts of a node that died are waited for for ever.
    ForgottenLostAttempt,
    /// Steps start without waiting for what they need.
    IgnoredDependency,
    /// A node acts on its lease until it is over by its own clock, without a margin for that clock.
    NoMargin,
    /// A reminder is forgotten before it was delivered.
    ReminderForgottenFirst,
    /// A new owner loads a stream without claiming it first.
    NoClaim,
    /// Attempts are handed to their hosts before the intent is on disk.
    DispatchBeforeCommit,
    /// An entity acts and answers without asking whether its node still owns it.
    UnfencedEffects,
    /// A node that the store calls the owner of what it does not hold leaves it at that.
    StrayShards,
}

impl Bug {
    pub(crate) const ALL: [Self; 10] = [
        Self::NoFence,
        Self::EarlyAck,
        Self::ForgottenLostAttempt,
        Self::IgnoredDependency,
        Self::NoMargin,
        Self::ReminderForgottenFirst,
        Self::NoClaim,
        Self::DispatchBeforeCommit,
        Self::UnfencedEffects,
        Self::StrayShards,
    ];
}
