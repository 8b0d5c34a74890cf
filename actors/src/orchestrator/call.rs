//! What nodes say to each other about use cases and about events.

use protocol::{
    access::Caller,
    api::EventView,
    id::{NodeId, TaskId},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::Rejection;

/// As whom the node that is asked carries a use case out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// As the owner of the entity; it says so when it is not.
    Owner,
    /// As one that can read the store, because the owner does not answer.
    Reader,
}

/// A use case that another node is to carry out.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Call {
    /// Which one.
    pub(super) name: String,
    /// For whom. The node that asks has found out who it is.
    pub(super) caller: Caller,
    pub(super) standing: Standing,
    /// The use case.
    pub(super) body: Box<RawValue>,
}

/// What came of a [`Call`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Answered(Box<RawValue>),
    Rejected(Rejection),
    /// Nothing happened: this node is not the one to ask, but maybe that one.
    Elsewhere(Option<NodeId>),
}

/// What a node that follows a task says to the task's owner.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Follow {
    /// Asked: send what is recorded from now on. Said again, it tells up to where all has arrived.
    Subscribe {
        /// Tells the subscriptions of one node apart.
        number: u64,
        task: TaskId,
        after: u64,
        caller: Caller,
    },
    /// Told: nobody follows any more.
    Unsubscribe { number: u64 },
    /// Told by the owner.
    News { number: u64, news: News },
}

/// What the owner of a task tells those who follow it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum News {
    /// What was recorded, in order.
    Events(Vec<EventView>),
    /// More was recorded than can be told: the store has it.
    Behind,
    /// There will be nothing more from here.
    Ended,
}

/// Whether a subscription stands.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Subscribed {
    Yes {
        /// Up to where everything was sent.
        sent: u64,
    },
    /// The task is not owned here.
    Elsewhere,
    Rejected(Rejection),
}

/// As sent.
pub(super) fn encode<T: Serialize>(what: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(what)
}

/// As received; a word that this version does not know is an error.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes)
}

impl Reply {
    /// What a use case gave, ready to be sent.
    pub(super) fn of<T: Serialize>(answer: Result<T, Rejection>) -> Self {
        match answer.map(|answer| serde_json::value::to_raw_value(&answer)) {
            Ok(Ok(answer)) => Self::Answered(answer),
            Ok(Err(error)) => Self::Rejected(unreadable("answer", &error)),
            Err(rejection) => Self::Rejected(rejection),
        }
    }
}

/// What one node wrote another cannot read: most likely their versions are too far apart.
pub(super) fn unreadable(what: &str, error: &serde_json::Error) -> Rejection {
    Rejection::Unavailable {
        message: format!(
            "the {what} could not be passed between two nodes ({error}); see whether they run the same version"
        ),
        retry_after: std::time::Duration::from_secs(5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_and_its_reply_read_back() {
        let call = Call {
            name: "task.show".to_owned(),
            caller: Caller::admin(),
            standing: Standing::Owner,
            body: serde_json::value::to_raw_value(&[1, 2]).unwrap(),
        };
        let read: Call = decode(&encode(&call).unwrap()).unwrap();
        assert_eq!((read.name, read.body.get()), (call.name, "[1,2]"));
        let reply = Reply::of(Ok(("x", true)));
        let Reply::Answered(answer) = decode(&encode(&reply).unwrap()).unwrap() else {
            panic!("it was answered");
        };
        assert_eq!(answer.get(), r#"["x",true]"#);
        let rejection = Rejection::not_found("task");
        let reply = Reply::of::<()>(Err(rejection.clone()));
        let Reply::Rejected(read) = decode(&encode(&reply).unwrap()).unwrap() else {
            panic!("it was rejected");
        };
        assert_eq!(read, rejection);
    }
}
