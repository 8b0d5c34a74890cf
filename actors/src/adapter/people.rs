//! People, as an agent written in Rust asks them while it works.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::{
    id::QuestionId,
    question::{Asking, Reply, Wanted},
    task::Failure,
};
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::task::suspend::{self, Replies};

/// What people replied before a call began, and what it asks them now. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct People(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    replies: Replies,
    asked: Mutex<Asked>,
    /// Told of each question without a reply: the call is to end.
    wants: Notify,
}

#[derive(Debug, Default)]
struct Asked {
    /// Questions without a name, which are told apart by their order.
    unnamed: u32,
    wanted: Vec<Wanted>,
}

impl People {
    pub(super) fn new(replies: Replies) -> Self {
        Self(Arc::new(Inner {
            replies,
            ..Inner::default()
        }))
    }

    /// The reply to a question. Without one this never ends, but the call does.
    pub(super) async fn ask(&self, name: Option<&str>, asking: Asking) -> Result<Value, Failure> {
        match self.find(name, asking)? {
            Some(Reply::Done { output, .. }) => Ok(output),
            Some(Reply::Failed { error }) => Err(error),
            None => {
                self.0.wants.notify_one();
                std::future::pending().await
            }
        }
    }

    fn find(&self, name: Option<&str>, asking: Asking) -> Result<Option<Reply>, Failure> {
        let mut asked = self.asked();
        let key = match name {
            // Names and numbers do not meet.
            Some(name) => format!("={name}"),
            None => {
                asked.unnamed += 1;
                asked.unnamed.to_string()
            }
        };
        if let Some(reply) = self.0.replies.get(&key) {
            return Ok(Some(reply.clone()));
        }
        if asked.wanted.iter().any(|wanted| wanted.key == key) {
            return Ok(None);
        }
        // Made once, here: whoever hears of it twice sees that it is the same.
        let question = QuestionId::from_uuid(Uuid::now_v7());
        let wanted = Wanted {
            key,
            question,
            asking,
        };
        suspend::review(&wanted)?;
        asked.wanted.push(wanted);
        Ok(None)
    }

    /// Ends as soon as something is wanted of people, with all that is wanted then.
    pub(super) async fn wanted(&self) -> Vec<Wanted> {
        loop {
            self.0.wants.notified().await;
            let wanted = std::mem::take(&mut self.asked().wanted);
            if !wanted.is_empty() {
                return wanted;
            }
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
