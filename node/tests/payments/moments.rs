//! Moments at which a node is killed.

use std::time::Duration;

use tokio::{sync::watch, time::timeout};

use super::{orders::Chance, process::pause, till::Hand};

/// How long a kill waits for what it is to fall into.
const MOMENT: Duration = Duration::from_secs(1);

/// Into what a kill falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Whatever is there.
    Any,
    /// A call that must not come twice has come, and its answer has not gone.
    Irreversible,
    /// Any call has come, and its answer has not gone.
    Held,
    /// An answer has gone, and may be recorded.
    Answered,
    /// It has only just started, and takes up what it finds.
    Recovery,
}

impl Moment {
    pub(crate) fn any(chance: &mut Chance) -> Self {
        match chance.below(10) {
            0..=2 => Self::Any,
            3..=4 => Self::Irreversible,
            5..=6 => Self::Held,
            7..=8 => Self::Answered,
            _ => Self::Recovery,
        }
    }
}

/// Waits for the moment of a kill, but not for ever: nothing may be left to do.
pub(crate) async fn comes(moment: Moment, mut hand: watch::Receiver<Hand>, after: Duration) {
    let answered = hand.borrow().answered;
    let here = |hand: &Hand| match moment {
        Moment::Any | Moment::Recovery => true,
        Moment::Irreversible => hand.irreversible > 0,
        Moment::Held => hand.held > 0,
        Moment::Answered => hand.answered > answered,
    };
    if moment == Moment::Any {
        pause(after).await;
    } else {
        // Not always the first.
        pause(after / 3).await;
    }
    let _ = timeout(MOMENT, hand.wait_for(here)).await;
}
