//! Looks over the tree every few seconds, on a thread of its own: handlers that block may hold all
//! threads on which actors run.

use std::{
    io,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::supervision::{ChildSpec, Restart, Tree, child, handle};

/// Twice this and the limit of a handler are well within the ten seconds in which it is to be named.
const PERIOD: Duration = Duration::from_millis(2_500);

/// The child that reports who is stuck, and keeps count of how many messages a second each handles.
#[must_use]
pub fn sentry(tree: &Tree) -> ChildSpec {
    sentry_every(PERIOD, tree)
}

pub(in crate::supervision) fn sentry_every(period: Duration, tree: &Tree) -> ChildSpec {
    let tree = tree.clone();
    let make = move || {
        let tree = tree.clone();
        (Sentry { tree, period }, ())
    };
    child("sentry", "system", Restart::Permanent, make).0
}

struct Sentry {
    tree: Tree,
    period: Duration,
}

/// Nobody tells it anything.
#[derive(Debug)]
enum Message {}
impl ractor::Message for Message {}
impl handle::Message for Message {
    fn name(&self) -> &'static str {
        match *self {}
    }
}

impl Actor for Sentry {
    type Msg = Message;
    /// The thread ends when this is dropped.
    type State = Sender<()>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        (): (),
    ) -> Result<Sender<()>, ActorProcessingErr> {
        Ok(watch(self.tree.clone(), self.period)?)
    }
}

fn watch(tree: Tree, period: Duration) -> io::Result<Sender<()>> {
    let (sender, over) = mpsc::channel();
    thread::Builder::new()
        .name("sentry".to_owned())
        .spawn(move || {
            while over.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                tree.inspect();
            }
        })?;
    Ok(sender)
}
