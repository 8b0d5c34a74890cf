//! What a node asks of another one to which it has no link: one that is linked to both passes it on.

use std::time::Duration;

use protocol::{access::Caller, id::NodeId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Answer, Effect, Orchestrator, Place, UseCase};

/// A use case of one node, passed on by a node that has the store and so a link to each.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct Relay {
    node: NodeId,
    name: String,
    body: Box<RawValue>,
    effect: Effect,
    wait: Duration,
    within: Duration,
}

impl Relay {
    pub(in super::super) fn of<U: UseCase>(node: NodeId, case: &U) -> serde_json::Result<Self> {
        Ok(Self {
            node,
            name: U::NAME.to_owned(),
            body: serde_json::value::to_raw_value(case)?,
            effect: case.effect(),
            wait: case.wait(),
            within: case.read_within() + case.wait(),
        })
    }
}

impl UseCase for Relay {
    type Answer = Box<RawValue>;
    const NAME: &'static str = "node.relay";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    fn effect(&self) -> Effect {
        self.effect
    }

    fn wait(&self) -> Duration {
        self.wait
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Box<RawValue>> {
        let Self {
            node,
            name,
            body,
            within,
            ..
        } = self;
        at.pass_on(caller, node, name, body, within).await
    }
}
