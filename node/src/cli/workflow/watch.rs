//! Follows a run: its graph drawn in place on a terminal, a line for each event elsewhere.

use std::time::Duration;

use protocol::{
    api::{EventView, ExecutionView},
    id::TaskId,
};
use runtime::clock::Clock;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::{draw, end};
use crate::{
    cli::{
        exit::Outcome,
        output::{Output, visible},
        top::terminal_size,
        view::moment,
    },
    client::{Client, Error, Follow},
};

/// Between two pictures: quick enough to look live, seldom enough for the node.
const PERIOD: Duration = Duration::from_millis(100);

/// Without an event, the picture is drawn anew so often, for its times go on.
const TICK: Duration = Duration::from_secs(1);

pub(super) async fn watch(client: &Client, run: TaskId, output: &Output) -> Outcome {
    let shown = client.execution(run).await?;
    let is_drawn = !output.is_for_programs() && !output.is_quiet() && terminal_size().is_some();
    if is_drawn {
        return Picture::new(client, output, shown).live().await;
    }
    // One that is over is told from its beginning to its end as well.
    let mut events = client.follow_execution(run, 0);
    while let Some(event) = next(&mut events).await? {
        tell(&event, output)?;
        if is_last(&event) {
            break;
        }
    }
    Ok(end(client.execution(run).await?.status))
}

async fn next(events: &mut Follow<EventView>) -> Result<Option<EventView>, Error> {
    events.next_steadily().await.map(Some)
}

/// Whether nothing follows that a run would tell.
fn is_last(event: &EventView) -> bool {
    matches!(
        name(event),
        "workflow.completed" | "workflow.failed" | "workflow.cancelled"
    )
}

fn name(event: &EventView) -> &str {
    event.event["type"].as_str().unwrap_or_default()
}

fn tell(event: &EventView, output: &Output) -> Outcome {
    if output.is_for_programs() {
        return output.line(event);
    }
    if output.is_quiet() {
        return output.text(&format!("{}\n", event.seq));
    }
    output.text(&format!("{}\n", visible(&line(event))))
}

/// An event in one line.
fn line(event: &EventView) -> String {
    let at = event.at.to_string();
    let time = at.get(11..19).unwrap_or(&at);
    let said = &event.event;
    let what = name(event);
    let what = what.strip_prefix("workflow.").unwrap_or(what);
    let what = what.strip_prefix("node.").unwrap_or(what);
    let mut line = match (said["node"].as_str(), said["run"].as_u64()) {
        (Some(node), Some(run)) if run > 1 => format!("{time}  {node} (run {run})  {what}"),
        (Some(node), _) => format!("{time}  {node}  {what}"),
        (None, _) => format!("{time}  the run  {what}"),
    };
    let detail = [
        ("agent_name", ""),
        ("agent", ""),
        ("until", "until "),
        ("entity", "for "),
        ("due", "at "),
        ("reason", ""),
    ];
    for (key, before) in detail {
        if let Some(text) = said[key].as_str().filter(|text| !text.is_empty()) {
            let moment = text.parse().ok().map(moment);
            let shown = moment.as_deref().unwrap_or(text);
            line.push_str(&format!("  {before}{shown}"));
        }
    }
    if let Some(why) = said["error"]["message"].as_str() {
        line.push_str(&format!("  {why}"));
    }
    if let Some(calls) = said["calls"].as_u64().filter(|calls| *calls > 1) {
        line.push_str(&format!("  {calls} calls"));
    }
    if name(event) == "workflow.completed" && !said["result"].is_null() {
        line.push_str(&format!("  {}", brief(&said["result"])));
    }
    line
}

fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The graph as it was drawn last, so that it can be drawn over.
struct Picture<'a> {
    client: &'a Client,
    output: &'a Output,
    run: ExecutionView,
    lines: usize,
}

impl<'a> Picture<'a> {
    const fn new(client: &'a Client, output: &'a Output, run: ExecutionView) -> Self {
        Self {
            client,
            output,
            run,
            lines: 0,
        }
    }

    async fn live(mut self) -> Outcome {
        let mut events = self.client.follow_execution(self.run.id, self.run.position);
        self.draw()?;
        while !self.run.status.is_terminal() {
            if self.wait(&mut events).await? {
                self.run = self.client.execution(self.run.id).await?;
            }
            self.draw()?;
        }
        Ok(end(self.run.status))
    }

    /// Waits for what happens next, and for what happens along with it; whether anything did.
    async fn wait(&self, events: &mut Follow<EventView>) -> Result<bool, Error> {
        let first = match timeout(TICK, events.next_steadily()).await {
            Ok(event) => event?,
            Err(_) => return Ok(false),
        };
        let (mut over, until) = (is_last(&first), Instant::now() + PERIOD);
        while !over {
            let left = until.saturating_duration_since(Instant::now());
            match timeout(left, events.next_steadily()).await {
                Ok(event) => over = is_last(&event?),
                Err(_) => break,
            }
        }
        Ok(true)
    }

    fn draw(&mut self) -> Outcome {
        let size = terminal_size().unwrap_or((80, 24));
        let now = Clock::system().now();
        let lines = draw::lines(&self.run, now, size, self.output.is_coloured());
        let mut text = String::new();
        if self.lines > 0 {
            text.push_str(&format!("\u{1b}[{}A\u{1b}[J", self.lines));
        }
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        self.lines = lines.len();
        self.output.text(&text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "JSON is put together where it is used"
    )]
    fn event(event: Value) -> EventView {
        serde_json::from_value(json!({
            "entity": "task_01980000000070008000000000000001", "seq": 3,
            "at": "2026-01-01T10:20:30.5Z", "actor": "ann", "event": event,
        }))
        .unwrap()
    }

    #[test]
    fn an_event_is_one_line_that_names_node_run_and_cause() {
        let failed = event(json!({
            "type": "workflow.node.failed", "node": "a", "run": 2,
            "error": {"code": "timeout", "message": "it took too long"},
        }));
        assert_eq!(
            line(&failed),
            "10:20:30  a (run 2)  failed  it took too long"
        );
        assert!(!is_last(&failed));
        let waits = event(json!({
            "type": "workflow.node.waiting", "node": "a", "run": 1,
            "until": "2026-01-02T08:30:00.123456Z",
        }));
        assert_eq!(
            line(&waits),
            "10:20:30  a  waiting  until 2026-01-02T08:30:00Z"
        );
        let over = event(json!({"type": "workflow.completed", "result": {"a": 1}}));
        assert_eq!(line(&over), r#"10:20:30  the run  completed  {"a":1}"#);
        assert!(is_last(&over));
    }
}
