//! A closer look at one actor, wherever it stands.

use protocol::{
    access::{Caller, Role},
    api::{ActorMessages, EntityState},
    entity::meant_by,
};

use super::super::{
    Answer, Orchestrator,
    cases::{FindMessages, ShowState, at_least, is_path},
};

impl Orchestrator {
    /// The messages that an actor handled since somebody asked for them; from now on they are kept for a
    /// minute.
    ///
    /// # Errors
    ///
    /// As [`actor`](Self::actor), and `Overloaded` when those of too many are kept.
    pub async fn actor_messages(
        &self,
        caller: &Caller,
        path: &str,
        node: Option<&str>,
    ) -> Answer<ActorMessages> {
        at_least(caller, Role::Viewer)?;
        is_path(Some(path))?;
        let case = FindMessages {
            path: meant_by(path, &caller.tenant),
            node: node.map(str::to_owned),
        };
        self.carry_out(caller, case).await
    }

    /// What the events of the entity at a path made of it, up to the one at `position` or to the last.
    ///
    /// # Errors
    ///
    /// `NotFound` when no entity of the caller's stands there, `Invalid` for a position that it has not,
    /// `Unavailable` when no control node can be reached.
    pub async fn entity_state(
        &self,
        caller: &Caller,
        path: &str,
        position: Option<u64>,
    ) -> Answer<EntityState> {
        at_least(caller, Role::Viewer)?;
        is_path(Some(path))?;
        let case = ShowState {
            path: meant_by(path, &caller.tenant),
            at: position,
        };
        self.carry_out(caller, case).await
    }
}
