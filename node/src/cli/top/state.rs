//! What the screen shows, and how it changes with each key and each message from the cluster.

use protocol::api::{ActorView, AgentStats, AgentTotals, MemberView, TreeNode};
use ratatui::layout::Rect;

use super::{
    event::{Event, Press, Wish},
    lines::{Fold, Folds, Line, first_match, hot, matching, troubled},
    panes::{self, Panes},
    pick::{Focus, Mode, Pick, Step},
    reading::{Reading, Turn},
};
use crate::cli::{
    output::{Detail, plain},
    spend::spend,
    tree::{Key, Known, Link, News},
    view::View,
};

/// All that the screen shows.
#[derive(Debug, Default)]
pub(super) struct Top {
    pub(super) known: Known,
    pub(super) nodes: Vec<MemberView>,
    /// Why the nodes are not known.
    pub(super) nodes_error: Option<String>,
    /// What agents took so far, as far as they say.
    pub(super) spent: Option<AgentStats>,
    pub(super) link: Link,
    pub(super) mode: Mode,
    pub(super) focus: Focus,
    pub(super) filter: String,
    pub(super) lines: Vec<Line>,
    pub(super) troubled: Vec<Key>,
    pub(super) hot: Vec<Key>,
    picks: [Pick; 3],
    folds: Folds,
    size: Rect,
}

impl Top {
    /// Takes in what happened.
    pub(super) fn on(&mut self, event: Event) -> Option<Wish> {
        match event {
            Event::Press(press) => return self.press(press),
            Event::Size(size) => self.size = size,
            Event::News(News::Delta(delta)) => {
                self.known.apply(delta);
                self.list();
            }
            Event::News(News::Counters(rows)) => {
                self.known.count(rows);
                self.list();
            }
            Event::News(News::Link(link)) => self.link = link,
            Event::Nodes(Ok(nodes)) => (self.nodes, self.nodes_error) = (nodes, None),
            Event::Nodes(Err(error)) => self.nodes_error = Some(error),
            Event::Spent(spent) => self.spent = Some(spent),
            // Details grow old.
            Event::Tick => return self.reads().cloned().map(Wish::Look),
            Event::Actor(key, answer) => self.read(&key, answer),
        }
        self.settle();
        None
    }

    /// The actor whose details are on the screen.
    fn reads(&self) -> Option<&Key> {
        match &self.mode {
            Mode::Reading(reading) if reading.key.path().is_some() => Some(&reading.key),
            Mode::Reading(_) | Mode::Looking | Mode::Typing => None,
        }
    }

    fn press(&mut self, press: Press) -> Option<Wish> {
        if press == Press::Interrupt {
            return Some(Wish::Leave);
        }
        let wish = match &self.mode {
            Mode::Looking => self.look(press),
            Mode::Typing => {
                self.type_filter(press);
                None
            }
            Mode::Reading(_) => {
                self.turn_pages(press);
                None
            }
        };
        self.settle();
        wish
    }

    fn look(&mut self, press: Press) -> Option<Wish> {
        match press {
            Press::Char('q') => return Some(Wish::Leave),
            Press::Enter => return self.open(),
            Press::Step(step) => self.step(step),
            Press::Char('k') => self.step(Step::Up),
            Press::Char('j') => self.step(Step::Down),
            Press::Char('g') => self.step(Step::First),
            Press::Char('G') => self.step(Step::Last),
            Press::Left | Press::Char('h') => self.fold(),
            Press::Right | Press::Char('l') => self.unfold(),
            Press::Char(' ') => self.toggle(),
            Press::Char('/') => (self.focus, self.mode) = (Focus::Tree, Mode::Typing),
            Press::Escape => self.set_filter(String::new()),
            Press::Tab => self.focus = self.focus.next(),
            Press::BackTab => self.focus = self.focus.next().next(),
            Press::Erase | Press::Interrupt | Press::Char(_) => {}
        }
        None
    }

    fn type_filter(&mut self, press: Press) {
        let mut filter = self.filter.clone();
        match press {
            Press::Char(c) => filter.push(c),
            Press::Erase => drop(filter.pop()),
            Press::Enter => self.mode = Mode::Looking,
            Press::Escape => {
                self.mode = Mode::Looking;
                filter.clear();
            }
            Press::Step(step @ (Step::Up | Step::Down | Step::PageUp | Step::PageDown)) => {
                self.mode = Mode::Looking;
                self.step(step);
            }
            Press::Step(Step::First | Step::Last)
            | Press::Left
            | Press::Right
            | Press::Tab
            | Press::BackTab
            | Press::Interrupt => {}
        }
        self.set_filter(filter);
    }

    fn turn_pages(&mut self, press: Press) {
        let pane = Panes::of(self.size).details;
        if let Mode::Reading(reading) = &mut self.mode
            && reading.turn(press, pane) == Turn::Close
        {
            self.mode = Mode::Looking;
        }
    }

    /// Opens the details of what is chosen, and finds it in the tree if it was chosen elsewhere.
    fn open(&mut self) -> Option<Wish> {
        let key = self.pick(self.focus).key()?.clone();
        if self.focus != Focus::Tree {
            self.set_filter(String::new());
            self.folds.show(&self.known, &key);
            self.picks[Focus::Tree as usize].choose(key.clone());
            self.focus = Focus::Tree;
            self.list();
        }
        let of_node = |key: &Key| {
            let node = self.nodes.iter().find(|node| node.name == key.node());
            node.map(|node| plain(&node.blocks(Detail::Wide)))
        };
        let (text, wish) = match key.path() {
            Some(_) => (String::new(), Some(Wish::Look(key.clone()))),
            None => (
                of_node(&key).unwrap_or("nothing is known of it".to_owned()),
                None,
            ),
        };
        self.mode = Mode::Reading(Reading::of(key, text));
        wish
    }

    fn read(&mut self, key: &Key, answer: Result<Box<ActorView>, String>) {
        let Mode::Reading(reading) = &mut self.mode else {
            return;
        };
        // An answer to a question that was closed since.
        if reading.key != *key {
            return;
        }
        let spent = |actor: &ActorView| {
            let totals = totals_of(self.spent.as_ref()?, &actor.row)?;
            Some(format!(
                "spent so far: {}\n\n",
                spend(totals.tokens, totals.cost_micros)
            ))
        };
        match answer {
            Ok(actor) => {
                let text = plain(&actor.blocks(Detail::Wide));
                reading.text = spent(&actor).unwrap_or_default() + &text;
                reading.error = None;
            }
            Err(error) => reading.error = Some(error),
        }
    }

    fn fold(&mut self) {
        let Some(line) = self.chosen_line() else {
            return;
        };
        if line.fold == Fold::Open && self.filter.is_empty() {
            return self.toggle();
        }
        // What is folded already leads to what stands above it.
        let depth = line.depth;
        let before = self.lines[..self.pick(Focus::Tree).index()].iter();
        if let Some(above) = before.rev().find(|line| line.depth < depth) {
            self.picks[Focus::Tree as usize].choose(above.key.clone());
        }
    }

    fn unfold(&mut self) {
        match self.chosen_line().map(|line| line.fold) {
            Some(Fold::Folded) => self.toggle(),
            Some(Fold::Open) => self.step(Step::Down),
            Some(Fold::Leaf) | None => {}
        }
    }

    fn toggle(&mut self) {
        let Some(line) = self.chosen_line() else {
            return;
        };
        if line.fold != Fold::Leaf {
            let key = line.key.clone();
            self.folds.toggle(&key);
            self.list();
        }
    }

    fn chosen_line(&self) -> Option<&Line> {
        match self.focus {
            Focus::Tree => self.lines.get(self.pick(Focus::Tree).index()),
            Focus::Attention | Focus::Mailboxes => None,
        }
    }

    fn set_filter(&mut self, filter: String) {
        if filter != self.filter {
            self.filter = filter;
            self.list();
            if !self.filter.is_empty()
                && let Some(key) = first_match(&self.lines, &self.known, &self.filter)
            {
                self.picks[Focus::Tree as usize].choose(key);
            }
        }
    }

    /// Finds out which lines there are.
    fn list(&mut self) {
        self.lines = match self.filter.is_empty() {
            true => self.folds.lines(&self.known),
            false => matching(&self.known, &self.filter),
        };
        self.troubled = troubled(&self.known);
        self.hot = hot(&self.known);
    }

    fn step(&mut self, step: Step) {
        self.move_in(self.focus, |pick, keys, height| {
            pick.step(step, keys, height);
        });
    }

    fn settle(&mut self) {
        for focus in [Focus::Tree, Focus::Attention, Focus::Mailboxes] {
            self.move_in(focus, Pick::settle);
        }
    }

    fn move_in(&mut self, focus: Focus, change: impl FnOnce(&mut Pick, &[&Key], usize)) {
        let panes = Panes::of(self.size);
        let mut pick = self.pick(focus).clone();
        match focus {
            Focus::Tree => {
                let keys: Vec<_> = self.lines.iter().map(|line| &line.key).collect();
                change(&mut pick, &keys, panes::lines(panes.tree));
            }
            Focus::Attention => {
                let keys: Vec<_> = self.troubled.iter().collect();
                change(&mut pick, &keys, panes::lines(panes.attention));
            }
            Focus::Mailboxes => {
                let keys: Vec<_> = self.hot.iter().collect();
                change(&mut pick, &keys, panes::lines(panes.mailboxes));
            }
        }
        self.picks[focus as usize] = pick;
    }

    /// What is chosen in a list.
    pub(super) const fn pick(&self, focus: Focus) -> &Pick {
        &self.picks[focus as usize]
    }
}

/// What an agent took so far, where a row is one of an agent, of its proxy or of what it works on.
pub(super) fn totals_of<'a>(spent: &'a AgentStats, row: &TreeNode) -> Option<&'a AgentTotals> {
    let name = row.path.strip_prefix("/agents/")?.split('/').next()?;
    // The names of a tenant other than the default one say whose they are.
    let name = name.rsplit_once('~').map_or(name, |(_, name)| name);
    spent.agents.get(name)
}
