//! What an agent did lately, for whoever looks over its shoulder.

use std::collections::VecDeque;

use protocol::{api::AgentLogLine, time::Timestamp};
use runtime::redact::redact;

/// So many lines are kept.
const LINES: usize = 100;

/// The last lines of one agent on the node that hosts it. Gone with the node's process: what must last
/// stands in the journals of tasks and agents.
#[derive(Debug, Default)]
pub struct Diary(VecDeque<AgentLogLine>);

impl Diary {
    /// Adds a line; its moment is later than that of any before, so that it is a place to go on from.
    pub fn write(&mut self, mut line: AgentLogLine) {
        line.message = redact(&line.message).into_owned();
        if let Some(last) = self.0.back()
            && line.at <= last.at
        {
            line.at = Timestamp::from_micros(last.at.as_micros() + 1);
        }
        if self.0.len() == LINES {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// Lines from after this moment.
    #[must_use]
    pub fn after(&self, since: Timestamp) -> Vec<AgentLogLine> {
        let lines = self.0.iter();
        lines.filter(|line| line.at > since).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> AgentLogLine {
        AgentLogLine {
            at: Timestamp::from_micros(micros),
            ..AgentLogLine::default()
        }
    }

    #[test]
    fn each_line_has_a_later_moment_and_the_oldest_make_room() {
        let mut diary = Diary::default();
        for micros in [5, 5, 3] {
            diary.write(at(micros));
        }
        let seen = |since| {
            let lines = diary.after(Timestamp::from_micros(since));
            lines
                .iter()
                .map(|line| line.at.as_micros())
                .collect::<Vec<_>>()
        };
        assert_eq!(seen(0), [5, 6, 7]);
        assert_eq!(seen(6), [7]);
        for micros in 10..=200 {
            diary.write(at(micros));
        }
        let kept = diary.after(Timestamp::default());
        assert_eq!((kept.len(), kept[0].at.as_micros()), (LINES, 101));
    }
}
