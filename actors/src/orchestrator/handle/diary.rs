//! What agents do, as it happens.

use std::{collections::VecDeque, pin::Pin, time::Duration};

use futures_util::{Stream, stream};
use protocol::{
    access::Caller,
    api::{AgentLogLine, EventView},
    time::Timestamp,
};
use serde_json::Value;

use super::{Answer, Orchestrator, cases::ReadDiary};
use crate::Rejection;

/// Lines of one agent, in order, until it is removed.
pub type AgentLog = Pin<Box<dyn Stream<Item = Result<AgentLogLine, Rejection>> + Send>>;

/// The pause between two looks at an agent that is followed.
const LOOK: Duration = Duration::from_millis(500);

/// Events of an agent that are read at once.
const EVENTS: u32 = 200;

impl Orchestrator {
    /// What the agent did lately, from after a moment on: its recorded life, and its attempts as far as
    /// the node that hosts it remembers.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn agent_logs(
        &self,
        caller: &Caller,
        agent: &str,
        since: Timestamp,
    ) -> Answer<Vec<AgentLogLine>> {
        let mut events = 0;
        self.lines(caller, agent, since, &mut events).await
    }

    /// The same, then each line as it comes.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn follow_agent(
        &self,
        caller: &Caller,
        agent: &str,
        since: Timestamp,
    ) -> Answer<AgentLog> {
        let mut follow = Follow {
            at: self.clone(),
            caller: caller.clone(),
            agent: agent.to_owned(),
            since,
            events: 0,
            ready: VecDeque::new(),
        };
        follow.look().await?;
        Ok(Box::pin(stream::unfold(follow, Follow::next)))
    }

    /// `events` is the position up to which its events were read.
    async fn lines(
        &self,
        caller: &Caller,
        agent: &str,
        since: Timestamp,
        events: &mut u64,
    ) -> Answer<Vec<AgentLogLine>> {
        let view = self.agent(caller, agent).await?;
        let recorded = self.agent_events(caller, agent, *events, EVENTS).await?;
        *events = recorded.last().map_or(*events, |event| event.seq);
        let recorded = recorded.iter().map(|event| line_of(event, &view.name));
        let mut lines: Vec<_> = recorded.filter(|line| line.at > since).collect();
        if let Some(node) = self.node_named(&view.node) {
            let case = ReadDiary {
                node,
                agent: view.id,
                since,
            };
            match self.carry_out(caller, case).await {
                Ok(written) => lines.extend(written),
                // Its host is on its way out, or it has another by now.
                Err(Rejection::Unavailable { .. }) => {}
                Err(rejection) => return Err(rejection),
            }
        }
        lines.sort_by_key(|line| line.at);
        Ok(lines)
    }
}

/// One who follows an agent.
struct Follow {
    at: Orchestrator,
    caller: Caller,
    agent: String,
    since: Timestamp,
    events: u64,
    ready: VecDeque<AgentLogLine>,
}

impl Follow {
    async fn look(&mut self) -> Answer<()> {
        let lines = self
            .at
            .lines(&self.caller, &self.agent, self.since, &mut self.events);
        let lines = lines.await?;
        self.since = lines.last().map_or(self.since, |line| line.at);
        self.ready.extend(lines);
        Ok(())
    }

    async fn next(mut self) -> Option<(Result<AgentLogLine, Rejection>, Self)> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some((Ok(line), self));
            }
            tokio::time::sleep(LOOK).await;
            match self.look().await {
                Ok(()) | Err(Rejection::Unavailable { .. }) => {}
                // It was removed, or the caller may see it no more.
                Err(_) => return None,
            }
        }
    }
}

fn line_of(event: &EventView, agent: &str) -> AgentLogLine {
    let kind = event.event.get("type").and_then(Value::as_str);
    let mut said = event.event.clone();
    if let Some(fields) = said.as_object_mut() {
        // A specification is long, and stands in the agent itself.
        fields.retain(|name, value| name != "type" && !value.is_object());
    }
    AgentLogLine {
        at: event.at,
        level: "info".to_owned(),
        event: kind.unwrap_or("event").to_owned(),
        agent: agent.to_owned(),
        message: format!("by {}: {said}", event.actor),
        ..AgentLogLine::default()
    }
}
