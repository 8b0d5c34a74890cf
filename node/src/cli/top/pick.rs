//! Where keys go: which list they move in, its chosen line, and which part of it is in view.

use super::reading::Reading;
use crate::cli::tree::Key;

/// Stays with the actor that was chosen, wherever that moves to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pick {
    key: Option<Key>,
    index: usize,
    /// The first line in view.
    pub(super) offset: usize,
}

/// How a choice moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
}

/// Where keys go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Looking,
    /// The filter is being written.
    Typing,
    Reading(Reading),
}

/// Which list the keys move in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Focus {
    #[default]
    Tree,
    Attention,
    Mailboxes,
}

impl Focus {
    /// The next one, and after the last the first.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Tree => Self::Attention,
            Self::Attention => Self::Mailboxes,
            Self::Mailboxes => Self::Tree,
        }
    }
}

impl Pick {
    pub(super) const fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// Which line it is.
    pub(super) const fn index(&self) -> usize {
        self.index
    }

    pub(super) fn choose(&mut self, key: Key) {
        self.key = Some(key);
    }

    /// Moves within `keys`, of which `height` are in view.
    pub(super) fn step(&mut self, step: Step, keys: &[&Key], height: usize) {
        let last = keys.len().saturating_sub(1);
        self.index = match step {
            Step::Up => self.index.saturating_sub(1),
            Step::Down => self.index + 1,
            Step::PageUp => self.index.saturating_sub(height.max(1)),
            Step::PageDown => self.index + height.max(1),
            Step::First => 0,
            Step::Last => last,
        }
        .min(last);
        self.key = keys.get(self.index).map(|key| (*key).clone());
        self.settle(keys, height);
    }

    /// Finds the chosen line again after the list changed; what took its place when it is gone.
    pub(super) fn settle(&mut self, keys: &[&Key], height: usize) {
        let found = |key: &Key| keys.iter().position(|other| *other == key);
        let last = keys.len().saturating_sub(1);
        let index = self.key.as_ref().and_then(found);
        self.index = index.unwrap_or(self.index.min(last));
        self.key = keys.get(self.index).map(|key| (*key).clone());
        let height = height.max(1);
        let lowest = (self.index + 1).saturating_sub(height);
        self.offset = self
            .offset
            .clamp(lowest, self.index)
            .min(keys.len().saturating_sub(height));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<Key> {
        names.iter().map(|name| Key::actor("one", name)).collect()
    }

    #[test]
    fn a_choice_stays_in_the_list_and_in_view() {
        let all = keys(&["/a", "/b", "/c", "/d", "/e"]);
        let all: Vec<_> = all.iter().collect();
        let mut pick = Pick::default();
        pick.settle(&all, 2);
        assert_eq!((pick.index(), pick.offset), (0, 0));
        for (step, index, offset) in [
            (Step::Up, 0, 0),
            (Step::Down, 1, 0),
            (Step::Down, 2, 1),
            (Step::PageDown, 4, 3),
            (Step::Down, 4, 3),
            (Step::Up, 3, 3),
            (Step::PageUp, 1, 1),
            (Step::Last, 4, 3),
            (Step::First, 0, 0),
        ] {
            pick.step(step, &all, 2);
            assert_eq!((pick.index(), pick.offset), (index, offset), "{step:?}");
        }
    }

    #[test]
    fn a_choice_follows_its_actor_and_falls_to_the_next_when_that_is_gone() {
        let (before, after) = (keys(&["/b", "/c"]), keys(&["/a", "/b", "/c"]));
        let mut pick = Pick::default();
        pick.choose(Key::actor("one", "/c"));
        pick.settle(&before.iter().collect::<Vec<_>>(), 9);
        assert_eq!(pick.index(), 1);
        pick.settle(&after.iter().collect::<Vec<_>>(), 9);
        assert_eq!(pick.index(), 2);
        pick.settle(&after[..2].iter().collect::<Vec<_>>(), 9);
        assert_eq!(pick.key(), Some(&Key::actor("one", "/b")));
        pick.settle(&[], 9);
        assert_eq!(pick.key(), None);
    }
}
