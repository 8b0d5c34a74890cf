//! Renews the node's lease and keeps its roster: one question at a time, never in a handler.

use std::{sync::Arc, time::Duration};

use protocol::{
    id::NodeId,
    member::{Member, MemberState},
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio_util::task::AbortOnDropHandle;

use super::{Hindrance, Membership, Rival, Roster, Standing};
use crate::{
    metrics,
    store::{Answer, EntryRefusal, Error, Survey},
    supervision::{ChildSpec, Message, Restart, child},
};

/// Where membership is written down: the store, or for nodes without one a node that has it.
pub trait Registrar: Send + Sync + std::fmt::Debug + 'static {
    /// Makes `member` a member; `former` is an earlier start that is proved dead, or itself.
    fn enter<'a>(
        &'a self,
        member: &'a Member,
        ttl: Duration,
        former: Option<NodeId>,
    ) -> Answer<'a, Result<(), EntryRefusal>>;

    /// Renews the member's lease; answers whether it was.
    fn renew<'a>(&'a self, node: NodeId, health: String, ttl: Duration) -> Answer<'a, bool>;

    /// Says where a member stands.
    fn set_state(&self, node: NodeId, state: MemberState) -> Answer<'_, ()>;

    /// Everyone, and every shard.
    fn survey(&self) -> Answer<'_, Survey>;
}

struct Keeper {
    membership: Membership,
    registrar: Arc<dyn Registrar>,
}

/// What lies in the keeper's mailbox.
#[derive(Debug)]
enum Notice {
    /// It is time to look, and perhaps to renew.
    Look,
    /// Somebody asked for a look before its time.
    Hurry,
    /// What became of a renewal that was sent at this moment of the boot clock.
    Renewed(Duration, Result<Lease, Error>),
    Surveyed(Result<Survey, Error>),
}
impl ractor::Message for Notice {}
impl Message for Notice {
    fn name(&self) -> &'static str {
        match self {
            Self::Look => "Look",
            Self::Hurry => "Hurry",
            Self::Renewed(..) => "Renewed",
            Self::Surveyed(_) => "Surveyed",
        }
    }
}

/// What the registrar said of a lease.
#[derive(Debug)]
enum Lease {
    Runs,
    /// It was over, and the node became a member anew: what it owned is lost.
    Anew,
    /// This node itself gave it up.
    GivenUp,
    Refused(EntryRefusal),
}

/// The child that keeps a node's membership.
#[must_use]
pub fn membership(membership: Membership, registrar: Arc<dyn Registrar>) -> ChildSpec {
    child("membership", "system", Restart::Permanent, move || {
        let keeper = Keeper {
            membership: membership.clone(),
            registrar: registrar.clone(),
        };
        (keeper, ())
    })
    .0
}

/// Nothing is amiss with a node that is no member yet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Was {
    #[default]
    Nobody,
    Member,
}

/// What is under way, so that nothing is asked twice at once.
#[derive(Debug, Default)]
pub(super) struct State {
    renewing: bool,
    surveying: bool,
    /// Somebody asked for another look while one was under way.
    again: bool,
    /// When the last renewal was sent, unless it failed.
    sent: Option<Duration>,
    was: Was,
    /// Who has its name, while it is no member yet.
    rival: Rival,
    _hurried: Option<AbortOnDropHandle<()>>,
}

impl Actor for Keeper {
    type Msg = Notice;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Notice>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        myself.cast(Notice::Look)?;
        let (membership, keeper) = (self.membership.clone(), myself);
        let hurried = tokio::spawn(async move {
            loop {
                membership.hurried().await;
                if keeper.cast(Notice::Hurry).is_err() {
                    return;
                }
            }
        });
        Ok(State {
            _hurried: Some(AbortOnDropHandle::new(hurried)),
            ..State::default()
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Notice>,
        notice: Notice,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let is_over = matches!(self.membership.standing(), Standing::Ended(_));
        if is_over || self.membership.is_leaving() {
            return Ok(());
        }
        match notice {
            Notice::Look => {
                self.check_fence();
                self.renew_if_due(&myself, state);
                self.survey(&myself, state);
                myself.send_after(self.membership.timing().look, || Notice::Look);
            }
            Notice::Hurry => self.survey(&myself, state),
            Notice::Renewed(sent, outcome) => {
                state.renewing = false;
                self.renewed(sent, outcome, state);
            }
            Notice::Surveyed(outcome) => {
                state.surveying = false;
                self.surveyed(outcome, state);
                if std::mem::take(&mut state.again) {
                    self.survey(&myself, state);
                }
            }
        }
        Ok(())
    }
}

impl Keeper {
    /// Whether the store has been silent for too long.
    fn check_fence(&self) {
        if let Some(left) = self.membership.fence().left() {
            ::metrics::gauge!(metrics::LEASE_LEFT).set(left.as_secs_f64());
            if left.is_zero() && self.membership.standing() == Standing::Member {
                tracing::error!(
                    "the lease could not be renewed in time; this node stops acting until it is"
                );
                self.membership.fenced();
            }
        }
    }

    fn renew_if_due(&self, myself: &ActorRef<Notice>, state: &mut State) {
        let now = self.membership.clock().boot();
        let timing = self.membership.timing();
        if state.renewing || !self.is_due(now, state) {
            return;
        }
        (state.renewing, state.sent) = (true, Some(now));
        let (registrar, membership) = (self.registrar.clone(), self.membership.clone());
        let keeper = myself.clone();
        tokio::spawn(async move {
            let asked = renew(&*registrar, &membership);
            let outcome = tokio::time::timeout(timing.ttl, asked)
                .await
                .unwrap_or_else(|_| Err(Error::Unavailable("no answer in time".to_owned())));
            // A keeper that was restarted asks anew.
            let _ = keeper.cast(Notice::Renewed(now, outcome));
        });
    }

    fn is_due(&self, now: Duration, state: &State) -> bool {
        let renew = self.membership.timing().renew;
        // Without a lease each look is another try.
        let fenced = self.membership.standing() == Standing::Fenced;
        fenced || state.sent.is_none_or(|sent| now >= sent + renew)
    }

    fn renewed(&self, sent: Duration, outcome: Result<Lease, Error>, state: &mut State) {
        match outcome {
            Ok(Lease::Runs) => {
                state.was = Was::Member;
                self.membership.confirmed(sent);
            }
            Ok(Lease::Anew) => {
                if std::mem::replace(&mut state.was, Was::Member) == Was::Member {
                    tracing::warn!("the lease was lost; this node is a member anew, with nothing");
                }
                self.membership.lost();
                self.membership.confirmed(sent);
            }
            Ok(Lease::GivenUp) => {}
            Ok(Lease::Refused(refusal)) if state.was == Was::Nobody => {
                self.not_let_in(&refusal, state);
            }
            Ok(Lease::Refused(refusal)) => {
                tracing::error!(%refusal, "this node is a member no more");
                self.membership.ended(refusal.to_string());
            }
            Err(error) => {
                // The next look tries again: there is no time to lose.
                state.sent = None;
                ::metrics::counter!(metrics::LEASE_FAILURES).increment(1);
                if state.was == Was::Member {
                    tracing::warn!(%error, "the lease was not renewed");
                } else {
                    tracing::info!(%error, "this node is no member yet");
                    self.membership.hindered(Hindrance {
                        why: error.to_string(),
                        passes: error.passes(),
                    });
                }
            }
        }
    }

    /// A name that another start holds is asked for with each look, until that one's lease is over or
    /// seen to be renewed. Whoever waits for this node to become a member says why it did not.
    fn not_let_in(&self, refusal: &EntryRefusal, state: &mut State) {
        tracing::info!(%refusal, "this node is not let in");
        if state.rival.is_final(refusal) {
            self.membership.ended(refusal.to_string());
        } else {
            self.membership.hindered(Hindrance {
                why: format!("{refusal}; if it is gone, try again when its lease is over"),
                passes: true,
            });
        }
    }

    fn survey(&self, myself: &ActorRef<Notice>, state: &mut State) {
        if std::mem::replace(&mut state.surveying, true) {
            state.again = true;
            return;
        }
        let registrar = self.registrar.clone();
        let limit = self.membership.timing().ttl;
        let keeper = myself.clone();
        tokio::spawn(async move {
            let outcome = tokio::time::timeout(limit, registrar.survey())
                .await
                .unwrap_or_else(|_| Err(Error::Unavailable("no answer in time".to_owned())));
            let _ = keeper.cast(Notice::Surveyed(outcome));
        });
    }

    fn surveyed(&self, outcome: Result<Survey, Error>, state: &State) {
        match outcome {
            Ok(survey) => {
                let roster = Roster::new(survey);
                let own = roster.member(self.membership.node()).map(|row| row.state);
                match own {
                    Some(MemberState::Removed) => self
                        .membership
                        .ended("an operator removed this node from the cluster".to_owned()),
                    Some(MemberState::Up | MemberState::Draining | MemberState::Left) | None => {}
                }
                self.membership.learn(roster);
            }
            Err(error) if state.was == Was::Member => {
                tracing::warn!(%error, "the cluster could not be looked at");
            }
            // The renewal says so.
            Err(_) => {}
        }
    }
}

/// Renews the lease, or enters anew when it is over.
async fn renew(registrar: &dyn Registrar, membership: &Membership) -> Result<Lease, Error> {
    let ttl = membership.timing().ttl;
    let node = membership.node();
    if registrar.renew(node, membership.health(), ttl).await? {
        return Ok(Lease::Runs);
    }
    if membership.is_leaving() {
        return Ok(Lease::GivenUp);
    }
    // Whatever it owned, it lets go first: it may not act on it any more.
    membership.fenced();
    let former = membership.former();
    match registrar.enter(membership.me(), ttl, Some(former)).await? {
        Ok(()) => {
            membership.entered();
            Ok(Lease::Anew)
        }
        Err(refusal) => Ok(Lease::Refused(refusal)),
    }
}

#[cfg(test)]
mod tests {
    use protocol::{member::Roles, time::Timestamp};
    use uuid::Uuid;

    use super::{super::StoreRegistrar, *};
    use crate::{
        clock::{Clock, TestClock},
        membership::Fence,
        placement::Timing,
        store::{Memory, Shared},
    };

    fn me(clock: &Clock) -> Member {
        Member {
            node: NodeId::from_uuid(Uuid::from_u128(1)),
            name: "one".to_owned(),
            roles: Roles::all(),
            mesh: None,
            edge: None,
            region: String::new(),
            version: "1".to_owned(),
            protocol: 1,
            started_at: clock.now(),
            admin: None,
        }
    }

    #[test]
    fn a_renewal_that_failed_is_tried_again_at_the_next_look() {
        let clock = TestClock::at(Timestamp::default()).clock();
        let store: Shared = Arc::new(Memory::with_clock(clock.clone()));
        let fence = Fence::closed(clock.clone());
        let (me, timing) = (me(&clock), Timing::default());
        let keeper = Keeper {
            membership: Membership::new(me, Roster::empty(1), timing, clock.clone(), fence),
            registrar: Arc::new(StoreRegistrar(store)),
        };
        let now = clock.boot();
        let mut state = State {
            was: Was::Member,
            ..State::default()
        };
        assert!(keeper.is_due(now, &state));
        state.sent = Some(now);
        keeper.membership.confirmed(now);
        keeper.renewed(now, Ok(Lease::Runs), &mut state);
        assert!(!keeper.is_due(now, &state));
        let away = Error::Unavailable("it is away".to_owned());
        keeper.renewed(now, Err(away), &mut state);
        assert!(keeper.is_due(now, &state));
    }

    #[test]
    fn a_start_whose_name_is_held_waits_until_the_holder_is_seen_to_live() {
        let clock = TestClock::at(Timestamp::default()).clock();
        let store: Shared = Arc::new(Memory::with_clock(clock.clone()));
        let fence = Fence::closed(clock.clone());
        let (me, timing) = (me(&clock), Timing::default());
        let now = clock.boot();
        let keeper = Keeper {
            membership: Membership::new(me, Roster::empty(1), timing, clock, fence),
            registrar: Arc::new(StoreRegistrar(store)),
        };
        let refused = |lease_until| {
            Ok(Lease::Refused(EntryRefusal::NameHeld {
                name: "one".to_owned(),
                by: NodeId::from_uuid(Uuid::from_u128(7)),
                address: Some("10.0.0.7:4697".to_owned()),
                since: Timestamp::default(),
                lease_until: Timestamp::from_micros(lease_until),
            }))
        };
        let mut state = State::default();
        for _ in 0..2 {
            keeper.renewed(now, refused(6), &mut state);
            assert_eq!(keeper.membership.standing(), Standing::Fenced);
        }
        keeper.renewed(now, refused(7), &mut state);
        let Standing::Ended(why) = keeper.membership.standing() else {
            panic!("two processes would act as one node");
        };
        assert!(why.contains("`one`, at 10.0.0.7:4697 since "), "{why}");
    }

    #[tokio::test]
    async fn a_renewal_that_meets_a_leave_makes_no_member_anew() {
        let clock = TestClock::at(Timestamp::default()).clock();
        let store: Shared = Arc::new(Memory::with_clock(clock.clone()));
        let registrar = StoreRegistrar(store.clone());
        let me = me(&clock);
        let (node, timing) = (me.node, Timing::default());
        let entered = registrar.enter(&me, timing.ttl, None).await.unwrap();
        assert_eq!(entered, Ok(()));
        let fence = Fence::closed(clock.clone());
        let membership = Membership::new(me, Roster::empty(1), timing, clock, fence);
        membership.leaves();
        registrar.set_state(node, MemberState::Left).await.unwrap();
        let lease = renew(&registrar, &membership).await.unwrap();
        assert!(matches!(lease, Lease::GivenUp), "{lease:?}");
        let survey = store.survey().await.unwrap();
        assert!(survey.members.iter().all(|row| !row.lives()));
    }
}
