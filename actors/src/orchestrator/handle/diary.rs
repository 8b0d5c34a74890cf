//! What agents do, as it happens.

use std::{
    collections::{BTreeSet, VecDeque},
    pin::Pin,
    time::Duration,
};

use futures_util::{Stream, stream};
use protocol::{
    access::Caller,
    api::{AgentLogLine, EventView},
    id::TaskId,
};
use serde_json::Value;

use super::{
    Answer, Orchestrator,
    cases::{ReadDiary, ReadRecord, SeenTasks},
};
use crate::{Rejection, orchestrator::diary::LogPosition};

/// Lines of one agent, in order, until it is removed.
pub type AgentLog = Pin<Box<dyn Stream<Item = Result<AgentLogLine, Rejection>> + Send>>;

/// The pause between two looks at an agent that is followed.
const LOOK: Duration = Duration::from_millis(500);

impl Orchestrator {
    /// What the agent did lately, from after a line's cursor or a moment in microseconds on: the last of
    /// its recorded life, and its attempts as far as the node that hosts it remembers.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent); `Invalid` when it is no cursor.
    pub async fn agent_logs(
        &self,
        caller: &Caller,
        agent: &str,
        since: Option<&str>,
    ) -> Answer<Vec<AgentLogLine>> {
        let mut follow = self.reader(caller, agent, since)?;
        follow.look().await?;
        Ok(follow.ready.into())
    }

    /// The same, then each line as it comes.
    ///
    /// # Errors
    ///
    /// As [`agent_logs`](Self::agent_logs).
    pub async fn follow_agent(
        &self,
        caller: &Caller,
        agent: &str,
        since: Option<&str>,
    ) -> Answer<AgentLog> {
        let mut follow = self.reader(caller, agent, since)?;
        follow.look().await?;
        Ok(Box::pin(stream::unfold(follow, Follow::next)))
    }

    fn reader(&self, caller: &Caller, agent: &str, since: Option<&str>) -> Answer<Follow> {
        let position = match since {
            None => LogPosition::default(),
            Some(text) => text.parse().map_err(|_| {
                let message = "is neither the `cursor` of a line nor a moment in microseconds";
                Rejection::field("since", message)
            })?,
        };
        Ok(Follow {
            at: self.clone(),
            caller: caller.clone(),
            agent: agent.to_owned(),
            position,
            ready: VecDeque::new(),
        })
    }

    /// Takes out what is of tasks that the caller may not see.
    async fn veil(&self, caller: &Caller, lines: &mut [AgentLogLine]) {
        if caller.sees_all_users() {
            return;
        }
        let tasks: BTreeSet<TaskId> = lines.iter().filter_map(|line| line.task).collect();
        if tasks.is_empty() {
            return;
        }
        // Who cannot be asked shows nothing.
        let seen = self.carry_out(caller, SeenTasks { tasks }).await;
        let seen = seen.unwrap_or_default();
        for line in lines {
            if line.task.is_some_and(|task| !seen.contains(&task)) {
                line.message.clear();
                line.task = None;
                line.step = None;
                line.attempt = None;
                line.trace = None;
            }
        }
    }
}

/// One who reads the log of an agent.
struct Follow {
    at: Orchestrator,
    caller: Caller,
    agent: String,
    position: LogPosition,
    ready: VecDeque<AgentLogLine>,
}

impl Follow {
    async fn look(&mut self) -> Answer<()> {
        let (at, caller) = (&self.at, &self.caller);
        let view = at.agent(caller, &self.agent).await?;
        let case = ReadRecord {
            agent: self.agent.clone(),
            after: self.position.recorded(),
        };
        let recorded = at.carry_out(caller, case).await?;
        let mut written = Vec::new();
        if let Some(node) = at.node_named(&view.node) {
            let case = ReadDiary {
                node,
                agent: view.id,
                since: self.position.written_on(&view.node),
            };
            match at.carry_out(caller, case).await {
                Ok(lines) => written = lines,
                // Its host is on its way out, or it has another by now.
                Err(Rejection::Unavailable { .. }) => {}
                Err(rejection) => return Err(rejection),
            }
        }
        at.veil(caller, &mut written).await;
        let wanted_after = self.position.wanted_after();
        let recorded = recorded.iter().map(|event| Line {
            recorded: Some(event.seq),
            line: line_of(event, &view.name),
        });
        let written = written.into_iter().map(|line| Line {
            recorded: None,
            line,
        });
        let mut lines: Vec<Line> = recorded.chain(written).collect();
        // Each source keeps its own order, whatever the clocks of nodes say.
        lines.sort_by_key(|it| it.line.at);
        for Line { recorded, mut line } in lines {
            match recorded {
                Some(seq) => self.position.read_record(seq),
                None => self.position.read_written(&view.node, line.at),
            }
            let is_old = wanted_after.is_some_and(|after| line.at <= after);
            if recorded.is_none() || !is_old {
                line.cursor = self.position.to_string();
                self.ready.push_back(line);
            }
        }
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

/// A line and the position of the event that it tells of, if it was recorded.
struct Line {
    recorded: Option<u64>,
    line: AgentLogLine,
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
