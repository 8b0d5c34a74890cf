//! Holds: what operators keep from starting, and how far that gets.

use std::time::Duration;

use protocol::{
    access::{Caller, DEFAULT_TENANT, Role},
    api::{HoldChange, HoldView, Reach},
    hold::Target,
    id::{HoldId, NodeId},
    member::MemberState,
    time::Timestamp,
};
use runtime::entity::Seed;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Answer, Effect, Orchestrator, Place, UseCase, at_least, unanswered, unreachable};
use crate::{
    Rejection,
    hold::{Act, Command, Fate, Message, keeps},
    orchestrator::members,
};

/// Characters that a reason or a name may have.
const LONGEST: usize = 1000;
const TOO_LONG: &str = "must have 1,000 characters at most";

/// Something is held from now on.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct PlaceHold {
    pub(in super::super) target: Target,
    pub(in super::super) reason: String,
    /// What becomes of what runs there.
    #[serde(default)]
    pub(in super::super) fate: Fate,
    /// Whether there must be something that it keeps.
    #[serde(default)]
    pub(in super::super) when: When,
}

/// Which names may be held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum When {
    /// Those of what is there: another one is mistyped.
    #[default]
    Known,
    /// Also those of what is to come.
    Ahead,
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
            when,
        } = self;
        at_least(caller, Role::Operator)?;
        may_turn(caller, &target)?;
        named(&target, "target")?;
        if reason.len() > LONGEST {
            return Err(Rejection::field("reason", TOO_LONG));
        }
        let services = &at.own()?.services;
        services.holds.look().await?;
        let mut stands = services.holds.of(&caller.tenant).into_iter();
        let known = at.known(caller, &target).await;
        let note = match (&known, when) {
            (Err(Rejection::NotFound { .. } | Rejection::Invalid { .. }), When::Ahead) => {
                Some(format!("nothing here is {target} now; what comes is kept"))
            }
            (Ok(()) | Err(_), When::Known | When::Ahead) => None,
        };
        let hold = match stands.find(|hold| hold.target == target) {
            Some(hold) => hold,
            None => {
                if note.is_none() {
                    known?;
                }
                at.new_hold(caller, target, reason.clone()).await?
            }
        };
        tracing::info!(
            target: "audit", by = %caller, hold = %hold.id, what = %hold.target, reason, "a hold is placed"
        );
        let act = Act::on(hold.target.clone(), caller, fate, reason);
        let reach = at.act(act).await?;
        Ok(HoldChange { hold, reach, note })
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
        let (user, tenant) = (caller.user.clone(), caller.tenant.clone());
        let answer = own
            .services
            .held
            .ask(self.id.into(), |reply| Message {
                user,
                tenant,
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
            lifted: Some(self.id),
            ..Act::on(hold.target.clone(), caller, Fate::GoesOn, String::new())
        };
        let reach = at.act(act).await?;
        let note = None;
        Ok(HoldChange { hold, reach, note })
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
        Ok(services.holds.of(&caller.tenant))
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
        may_turn(caller, &self.target)?;
        let Self {
            target,
            fate,
            reason,
            within,
        } = self;
        let act = Act::on(target, caller, fate, reason);
        at.act(Act { within, ..act }).await
    }
}

/// Whether a caller may turn this at all: what is everybody's is for operators of the default tenant.
pub(super) fn may_turn(caller: &Caller, target: &Target) -> Answer<()> {
    if target.is_shared() && caller.tenant != DEFAULT_TENANT {
        return Err(Rejection::Forbidden {
            message: format!(
                "{target} is every tenant's: this needs an operator of the tenant {DEFAULT_TENANT}; \
                 stop, pause or hold your own users, sessions and agents instead"
            ),
        });
    }
    Ok(())
}

/// Whether a target, which a caller gave as `field`, names something at all.
pub(super) fn named(target: &Target, field: &str) -> Answer<()> {
    if target.is_nameless() {
        let which = format!("{target} has no name: say which one is meant");
        return Err(Rejection::field(field, which));
    }
    if target.to_string().len() > LONGEST {
        return Err(Rejection::field(field, TOO_LONG));
    }
    Ok(())
}

fn unneeded(target: &Target) -> Rejection {
    let shown: String = target.to_string().chars().take(80).collect();
    Rejection::field(
        "target",
        format!(
            "no agent needs {shown}, so nothing would be held; correct the name, or pass `ahead` to keep \
             what comes later"
        ),
    )
}

impl Orchestrator {
    /// Whether there is what this names, as far as that can be known: of users and sessions only tasks
    /// speak, and agents have no other types than there are.
    pub(super) async fn known(&self, caller: &Caller, target: &Target) -> Answer<()> {
        match target {
            Target::Cluster | Target::Session(_) | Target::User(_) | Target::AgentType(_) => Ok(()),
            Target::Node(name) => self.known_node(name).await,
            Target::Agent(name) => {
                let agents = self.own()?.services.registry.tenant(&caller.tenant);
                if agents.agents.contains_key(name) {
                    return Ok(());
                }
                // By its name: an id would hold nothing.
                match self.agent_id(caller, name).await? {
                    Some(id) if id.to_string() != *name => Ok(()),
                    Some(_) | None => Err(Rejection::not_found(format!("agent {name}"))),
                }
            }
            Target::Tool(tool) => {
                let agents = self.own()?.services.registry.tenant(&caller.tenant);
                let has = agents.agents.values().any(|agent| {
                    let facts = agent.facts();
                    keeps(target, &facts.spec, None) || facts.tools.contains(tool)
                });
                if has { Ok(()) } else { Err(unneeded(target)) }
            }
            Target::Provider(_) => {
                let agents = self.own()?.services.registry.tenant(&caller.tenant);
                let mut agents = agents.agents.values();
                let has = agents.any(|agent| keeps(target, &agent.facts().spec, None));
                if has { Ok(()) } else { Err(unneeded(target)) }
            }
        }
    }

    /// Whether a node of this name is or was a member.
    async fn known_node(&self, name: &str) -> Answer<()> {
        if name == &*self.0.name {
            return Ok(());
        }
        let Some(roll) = &self.0.roll else {
            let sites = self.own()?.services.hosts.around.cluster.sites();
            let known = sites.iter().any(|site| *site.name == *name);
            return if known {
                Ok(())
            } else {
                Err(members::no_node(name))
            };
        };
        let roster = roll.look().await;
        match members::named(&roster, name)?.state {
            MemberState::Up | MemberState::Draining | MemberState::Left => Ok(()),
            MemberState::Removed => Err(members::no_node(name)),
        }
    }

    async fn new_hold(&self, caller: &Caller, target: Target, reason: String) -> Answer<HoldView> {
        let id = HoldId::from_uuid(self.fresh_id()?);
        // Every node reads them all at once, so all are kept in one place.
        let seed = Seed {
            tenant: DEFAULT_TENANT.into(),
            name: None,
        };
        let (reply, placed) = oneshot::channel();
        let message = Message {
            user: caller.user.clone(),
            tenant: caller.tenant.clone(),
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
