//! Nodes of the cluster: who is there, who is to go.

use std::time::Duration;

use protocol::{
    access::{Caller, Role},
    api::{MemberStatus, MemberView},
    id::NodeId,
    member::{MemberState, Roles, Vitals},
};
use runtime::{membership::Roster, store::MemberRow};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{Answer, Effect, Orchestrator, Place, UseCase, at_least, runs_the_cluster};
use crate::{
    Rejection,
    cluster::Roll,
    orchestrator::members::{self, Clockwork, Watcher},
};

/// How long a node may take to say how it is.
const LIVE: Duration = Duration::from_secs(1);

/// Every node.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ListNodes;

impl UseCase for ListNodes {
    type Answer = Vec<MemberView>;
    const NAME: &'static str = "node.list";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Vec<MemberView>> {
        at_least(caller, Role::Viewer)?;
        let Some(roll) = &at.0.roll else {
            return Ok(vec![at.alone()]);
        };
        let roster = roll.look().await;
        let latest = members::latest(&roster);
        let views = latest.values().map(|row| at.show(roll, &roster, row, None));
        Ok(views.collect())
    }
}

/// One node, with what it says of itself now.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowNode {
    pub(in super::super) name: String,
}

impl UseCase for ShowNode {
    type Answer = MemberView;
    const NAME: &'static str = "node.show";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<MemberView> {
        at_least(caller, Role::Viewer)?;
        let Some(roll) = &at.0.roll else {
            let alone = at.alone();
            return if alone.name == self.name {
                Ok(alone)
            } else {
                Err(members::no_node(&self.name))
            };
        };
        let roster = roll.look().await;
        let row = members::named(&roster, &self.name)?;
        let live = at.ask_vitals(caller, row).await;
        Ok(at.show(roll, &roster, row, live))
    }
}

/// What one node says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowVitals {
    pub(in super::super) node: NodeId,
}

impl UseCase for ShowVitals {
    type Answer = Vitals;
    const NAME: &'static str = "node.vitals";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Node(self.node)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Vitals> {
        at_least(caller, Role::Viewer)?;
        Ok(at.own_vitals())
    }
}

/// Which way a node goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Turn {
    /// It hands over what it has.
    Drain,
    /// It takes part again.
    Resume,
}

/// Drains a node, or lets it take part again.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct TurnNode {
    pub(in super::super) name: String,
    pub(in super::super) to: Turn,
}

impl UseCase for TurnNode {
    type Answer = MemberView;
    const NAME: &'static str = "node.turn";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<MemberView> {
        at_least(caller, Role::Operator)?;
        runs_the_cluster(caller)?;
        let roll = at.roll()?;
        let roster = roll.look().await;
        let row = members::named(&roster, &self.name)?;
        let before = row.state;
        let (state, done) = match self.to {
            Turn::Drain => {
                members::may_drain(&roster, row)?;
                (MemberState::Draining, "a node is drained")
            }
            Turn::Resume => {
                members::may_resume(row)?;
                (MemberState::Up, "a node takes part again")
            }
        };
        roll.set(row.member.node, state).await?;
        let roster = roll.look().await;
        let row = members::named(&roster, &self.name)?;
        // Others may have been told to drain since, each while the rest was up.
        if self.to == Turn::Drain
            && let Err(refused) = members::may_drain(&roster, row)
        {
            roll.set(row.member.node, before).await?;
            return Err(refused);
        }
        tracing::info!(target: "audit", by = %caller, node = self.name, id = %row.member.node, "{done}");
        Ok(at.show(roll, &roster, row, None))
    }
}

/// Takes a node out for good.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct RemoveNode {
    pub(in super::super) name: String,
}

impl UseCase for RemoveNode {
    type Answer = ();
    const NAME: &'static str = "node.remove";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<()> {
        at_least(caller, Role::Admin)?;
        runs_the_cluster(caller)?;
        let (roll, store) = (at.roll()?, at.own()?.journal.store());
        let roster = roll.look().await;
        let row = members::named(&roster, &self.name);
        if let Ok(row) = row {
            members::may_remove(&roster, row)?;
        }
        // First of all: whoever has the certificate is refused from now on.
        let revoked = store.revoke_identities(&self.name).await?;
        if row.is_err() && revoked == 0 {
            return Err(members::no_node(&self.name));
        }
        let starts = roster.members().iter();
        let starts = starts.filter(|row| row.member.name == self.name);
        for start in starts.filter(|row| row.state != MemberState::Removed) {
            roll.set(start.member.node, MemberState::Removed).await?;
        }
        tracing::info!(target: "audit", by = %caller, node = self.name, certificates = revoked, "a node was removed");
        Ok(())
    }
}

impl Orchestrator {
    /// The cluster's members, for those who change them.
    pub(in super::super) fn roll(&self) -> Answer<&Roll> {
        self.0.roll.as_ref().ok_or_else(|| Rejection::Conflict {
            code: "alone",
            message: format!("{} is alone and has no cluster", self.0.name),
        })
    }

    fn show(
        &self,
        roll: &Roll,
        roster: &Roster,
        row: &MemberRow,
        live: Option<Vitals>,
    ) -> MemberView {
        let timing = roll.membership.timing();
        let clockwork = Clockwork {
            renew: timing.renew,
            ttl: timing.ttl,
        };
        let here = || (row.member.node == self.0.id).then(|| self.own_vitals());
        let vitals = live.or_else(here).unwrap_or_else(|| members::vitals(row));
        let watcher = Watcher {
            node: self.0.id,
            links: &roll.mesh.peers_view(),
        };
        members::view(row, roster, clockwork, watcher, vitals)
    }

    fn own_vitals(&self) -> Vitals {
        let told = self.0.roll.as_ref().map(|roll| roll.membership.health());
        let told = told.and_then(|health| serde_json::from_str::<Vitals>(&health).ok());
        told.unwrap_or_else(|| self.vitals())
    }

    /// What a node that can be reached says now.
    async fn ask_vitals(&self, caller: &Caller, row: &MemberRow) -> Option<Vitals> {
        let node = row.member.node;
        let peers = self.0.member.as_ref()?.peers.peers();
        if !row.lives() || !peers.iter().any(|peer| peer.node == node) {
            return None;
        }
        let asked = self.carry_out(caller, ShowVitals { node });
        timeout(LIVE, asked).await.ok()?.ok()
    }

    /// The only node, where nobody keeps members.
    fn alone(&self) -> MemberView {
        let vitals = self.vitals();
        MemberView {
            id: self.0.id,
            name: self.0.name.to_string(),
            state: MemberStatus::Up,
            roles: Roles::all(),
            region: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mesh: None,
            edge: None,
            started_at: self.0.started_at,
            actors: vitals.actors,
            tasks: vitals.tasks,
            agents: vitals.agents,
            running: vitals.running,
            cpu: None,
            memory: None,
            rtt_ms: None,
            lease_left_ms: None,
            shards: None,
        }
    }
}
