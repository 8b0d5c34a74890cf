//! Holds: what operators keep from starting, and how far that gets.

use std::time::Duration;

use protocol::{
    access::{Caller, Role},
    api::{HoldChange, HoldView, Reach},
    hold::Target,
    id::{HoldId, NodeId},
    time::Timestamp,
};
use runtime::entity::Seed;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Answer, Effect, Orchestrator, Place, UseCase, at_least, unanswered, unreachable};
use crate::{
    Rejection,
    hold::{Act, Command, Fate, Message},
    orchestrator::members,
};

/// Characters that a reason or a name may have.
const LONGEST: usize = 1000;

/// Something is held from now on.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct PlaceHold {
    pub(in super::super) target: Target,
    pub(in super::super) reason: String,
    /// What becomes of what runs there.
    #[serde(default)]
    pub(in super::super) fate: Fate,
}

impl UseCase for PlaceHold {
    type Answer = HoldChange;
    const NAME: &'static str = "hold.place";
    // What is held already is not held twice.
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::New
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<HoldChange> {
        let Self {
            target,
            reason,
            fate,
        } = self;
        at_least(caller, Role::Operator)?;
        if reason.len() > LONGEST || target.to_string().len() > LONGEST {
            return Err(Rejection::field(
                "reason",
                "must have 1,000 characters at most",
            ));
        }
        let services = &at.own()?.services;
        services.holds.look().await?;
        let stands = services.holds.all().into_iter();
        let stands = stands.into_iter().find(|hold| hold.target == target);
        let hold = match stands {
            Some(hold) => hold,
            None => at.new_hold(caller, target, reason.clone()).await?,
        };
        tracing::info!(
            target: "audit", by = %caller, hold = %hold.id, what = %hold.target, reason, "a hold is placed"
        );
        let act = Act {
            on: Some(hold.target.clone()),
            fate,
            reason,
            ..Act::default()
        };
        let reach = at.act(act).await?;
        Ok(HoldChange { hold, reach })
    }
}

/// Something is held no more.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct LiftHold {
    pub(in super::super) id: HoldId,
}

impl UseCase for LiftHold {
    type Answer = HoldChange;
    const NAME: &'static str = "hold.lift";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<HoldChange> {
        at_least(caller, Role::Operator)?;
        let own = at.own()?;
        let user = caller.user.clone();
        let answer = own
            .services
            .held
            .ask(self.id.into(), |reply| Message {
                user,
                command: Command::Lift,
                reply,
            })
            .await
            .map_err(unreachable)?;
        let hold = answer.unwrap_or_else(|| Err(unanswered()))?;
        tracing::info!(
            target: "audit", by = %caller, hold = %hold.id, what = %hold.target, "a hold is lifted"
        );
        let act = Act {
            on: Some(hold.target.clone()),
            ..Act::default()
        };
        let reach = at.act(act).await?;
        Ok(HoldChange { hold, reach })
    }
}

/// Everything that is held.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ListHolds;

impl UseCase for ListHolds {
    type Answer = Vec<HoldView>;
    const NAME: &'static str = "hold.list";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Vec<HoldView>> {
        at_least(caller, Role::Viewer)?;
        let services = &at.own()?.services;
        if let Err(error) = services.look_at_holds().await {
            tracing::debug!(%error, "what is held could not be read: it is shown as known here");
        }
        Ok(services.holds.all())
    }
}

/// What runs in a scope is counted, interrupted, or waited for.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct Interrupt {
    pub(in super::super) target: Target,
    pub(in super::super) fate: Fate,
    pub(in super::super) reason: String,
    /// How long its end is waited for.
    pub(in super::super) within: Duration,
}

impl UseCase for Interrupt {
    type Answer = Reach;
    const NAME: &'static str = "hold.interrupt";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    fn wait(&self) -> Duration {
        self.within
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Reach> {
        at_least(caller, Role::Operator)?;
        let Self {
            target,
            fate,
            reason,
            within,
        } = self;
        at.act(Act {
            on: Some(target),
            fate,
            reason,
            within,
        })
        .await
    }
}

impl Orchestrator {
    async fn new_hold(&self, caller: &Caller, target: Target, reason: String) -> Answer<HoldView> {
        let id = HoldId::from_uuid(self.fresh_id()?);
        let seed = Seed {
            tenant: caller.tenant.as_str().into(),
            name: None,
        };
        let (reply, placed) = oneshot::channel();
        let message = Message {
            user: caller.user.clone(),
            command: Command::Place { target, reason },
            reply,
        };
        let held = &self.own()?.services.held;
        held.create(id.into(), seed, message)
            .await
            .map_err(unreachable)?;
        placed.await.unwrap_or_else(|_| Err(unanswered()))
    }

    async fn act(&self, act: Act) -> Answer<Reach> {
        let (mut reach, open) = self.own()?.services.act_everywhere(&act).await?;
        reach.unconfirmed = open.unconfirmed(|node| self.lease_of(node));
        Ok(reach)
    }

    /// A node's name, and by when its lease ends what it runs if it stays silent.
    pub(super) fn lease_of(&self, node: NodeId) -> (String, Option<Timestamp>) {
        if node == self.0.id {
            return (self.0.name.to_string(), None);
        }
        let Some(roll) = &self.0.roll else {
            let own = self.0.own.as_ref();
            let sites = own.map_or_else(Vec::new, |own| own.services.hosts.around.cluster.sites());
            let site = sites.iter().find(|site| site.node == node);
            let name = site.map_or_else(|| node.to_string(), |site| site.name.to_string());
            return (name, None);
        };
        let roster = roll.membership.roster();
        match roster.member(node) {
            Some(row) => {
                let until = roster.survey().at.plus(row.lease_left);
                (row.member.name.clone(), Some(until))
            }
            None => (node.to_string(), None),
        }
    }

    /// The same, for the newest start of the node of this name.
    pub(super) fn lease_of_name(&self, name: &str) -> Option<Timestamp> {
        let roster = self.0.roll.as_ref()?.membership.roster();
        let row = members::named(&roster, name).ok()?;
        self.lease_of(row.member.node).1
    }
}
