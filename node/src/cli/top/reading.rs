//! The details of an actor or of a node, page by page.

use ratatui::layout::Rect;

use super::{event::Press, pick::Step};
use crate::cli::tree::Key;

/// What is read, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) key: Key,
    pub(super) text: String,
    /// Why there is nothing newer.
    pub(super) error: Option<String>,
    pub(super) scroll: usize,
}

/// What a key leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Stay,
    Close,
}

impl Reading {
    pub(super) fn of(key: Key, text: String) -> Self {
        Self {
            key,
            text,
            error: None,
            scroll: 0,
        }
    }

    /// The text's lines, none longer than the inside of `pane`.
    pub(super) fn lines(&self, pane: Rect) -> Vec<String> {
        let width = usize::from(pane.width.saturating_sub(2)).max(1);
        let mut lines = Vec::new();
        let error = self.error.iter().flat_map(|error| [error.as_str(), ""]);
        for line in error.chain(self.text.lines()) {
            let letters: Vec<char> = line.chars().collect();
            if letters.is_empty() {
                lines.push(String::new());
            }
            lines.extend(letters.chunks(width).map(String::from_iter));
        }
        lines
    }

    /// Does what a key says, where the text stands in `pane`.
    pub(super) fn turn(&mut self, press: Press, pane: Rect) -> Turn {
        let page = usize::from(pane.height.saturating_sub(2)).max(1);
        let last = self.lines(pane).len().saturating_sub(page);
        let at = self.scroll;
        self.scroll = match press {
            Press::Char('q') | Press::Escape | Press::Enter | Press::Left => return Turn::Close,
            Press::Step(Step::Up) | Press::Char('k') => at.saturating_sub(1),
            Press::Step(Step::Down) | Press::Char('j') => at + 1,
            Press::Step(Step::PageUp) => at.saturating_sub(page),
            Press::Step(Step::PageDown) | Press::Char(' ') => at + page,
            Press::Step(Step::First) | Press::Char('g') => 0,
            Press::Step(Step::Last) | Press::Char('G') => last,
            Press::Right
            | Press::Tab
            | Press::BackTab
            | Press::Erase
            | Press::Interrupt
            | Press::Char(_) => at,
        }
        .min(last);
        Turn::Stay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_to_its_end_and_no_further_and_then_closed() {
        let mut reading = Reading::of(
            Key::node_itself("one"),
            "a\n\nlonger than six\nb".to_owned(),
        );
        let pane = Rect::new(0, 0, 8, 5);
        assert_eq!(
            reading.lines(pane),
            ["a", "", "longer", " than ", "six", "b"]
        );
        for (press, at) in [
            (Press::Step(Step::Up), 0),
            (Press::Step(Step::Down), 1),
            (Press::Step(Step::PageDown), 3),
            (Press::Step(Step::Last), 3),
            (Press::Char('g'), 0),
        ] {
            assert_eq!(reading.turn(press, pane), Turn::Stay);
            assert_eq!(reading.scroll, at, "{press:?}");
        }
        assert_eq!(reading.turn(Press::Escape, pane), Turn::Close);
    }

    #[test]
    fn what_was_read_last_stays_below_why_there_is_nothing_newer() {
        let mut reading = Reading::of(Key::node_itself("one"), "handled 7".to_owned());
        reading.error = Some("it was not found".to_owned());
        let lines = reading.lines(Rect::new(0, 0, 40, 9));
        assert_eq!(lines, ["it was not found", "", "handled 7"]);
    }
}
