//! Draws the state: heading, tree, the lists beside it, details, and the keys.

use protocol::api::{AgentStats, TreeNode};
use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    style::{Color, Modifier, Style},
    text::{Line as Words, Span},
    widgets::{Block, Borders, Cell, Clear, Paragraph, Row, Table},
};

use super::{
    lines::{Fold, Line},
    lists,
    panes::Panes,
    pick::{Focus, Mode},
    reading::Reading,
    state::{Top, totals_of},
};
use crate::cli::{
    output::visible,
    spend::brief,
    tree::{Link, Trouble, per_second},
};

/// Whether there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Colours,
}

impl Paint {
    pub(super) const fn fg(self, colour: Color) -> Style {
        match self {
            Self::Colours => Style::new().fg(colour),
            Self::Plain => Style::new(),
        }
    }

    /// The look of a state's word; trouble is bold on a screen without colours as well.
    pub(super) fn state(self, state: &str) -> Style {
        match state {
            "stuck" | "crash_loop" | "parked" => self.fg(Color::Red).add_modifier(Modifier::BOLD),
            "starting" | "stopping" | "backing_off" | "paused" => self.fg(Color::Yellow),
            "running" => self.fg(Color::Green),
            _ => Style::new(),
        }
    }
}

const LOOKING: &str =
    " ↑↓ move  ←→ fold  Enter details  / filter  Esc clear  Tab next list  q quit";
const TYPING: &str = " type to filter by path, kind, state or node  Enter keep  Esc clear";
const READING: &str = " ↑↓ PgUp PgDn scroll  Esc back  Ctrl-C quit";

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, top: &Top, paint: Paint) {
    let panes = Panes::of(frame.area());
    frame.render_widget(header(top, paint), panes.header);
    tree(frame, panes.tree, top, paint);
    lists::nodes(frame, panes.nodes, top, paint);
    lists::attention(frame, panes.attention, top, paint);
    lists::mailboxes(frame, panes.mailboxes, top, paint);
    let keys = match &top.mode {
        Mode::Looking => LOOKING,
        Mode::Typing => TYPING,
        Mode::Reading(reading) => {
            details(frame, panes.details, reading);
            READING
        }
    };
    let keys = Paragraph::new(keys).style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_widget(keys, panes.footer);
}

fn header(top: &Top, paint: Paint) -> Words<'static> {
    let (mut actors, mut rate, mut restarts) = (0_usize, 0.0, 0_u64);
    for (_, row) in top.known.rows() {
        actors += 1;
        rate += row.rate;
        restarts += u64::from(row.restarts);
    }
    let old = |why: &str| {
        let look = paint.fg(Color::Red).add_modifier(Modifier::BOLD);
        Span::styled(format!("OLD: {}", visible(why)), look)
    };
    let link = match (&top.link, &top.nodes_error) {
        (Link::Lost(why), _) | (Link::Live, Some(why)) => old(why),
        (Link::Opening, _) => Span::raw("connecting …"),
        (Link::Live, None) => Span::styled("live", paint.fg(Color::Green)),
    };
    let mut words = vec![
        Span::styled("troupe top  ", Style::new().add_modifier(Modifier::BOLD)),
        link,
        Span::raw(format!(
            "  {actors} actors  {} msg/s  {restarts} restarts",
            per_second(rate)
        )),
    ];
    if !top.troubled.is_empty() {
        words.push(Span::styled(
            format!("  attention: {}", top.troubled.len()),
            paint.state("stuck"),
        ));
    }
    Words::from(words)
}

/// A frame; the list that keys move in stands out.
pub(super) fn framed(title: String, is_focused: Focused) -> Block<'static> {
    let block = Block::new().borders(Borders::ALL).title(title);
    match is_focused {
        Focused::Yes => block.border_style(Style::new().add_modifier(Modifier::BOLD)),
        Focused::No => block.border_style(Style::new().add_modifier(Modifier::DIM)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Focused {
    Yes,
    No,
}

impl Focused {
    pub(super) fn of(top: &Top, focus: Focus) -> Self {
        if top.focus == focus {
            Self::Yes
        } else {
            Self::No
        }
    }

    /// The look of the chosen line.
    pub(super) const fn chosen(self) -> Style {
        match self {
            Self::Yes => Style::new().add_modifier(Modifier::REVERSED),
            Self::No => Style::new(),
        }
    }
}

/// The names of columns, those of numbers above them.
pub(super) fn heading<'a>(words: &[&'a str], numbers: &[&'a str]) -> Row<'a> {
    let words = words.iter().map(|name| Cell::from(*name));
    let numbers = numbers
        .iter()
        .map(|name| Cell::from(Words::from(*name).right_aligned()));
    Row::new(words.chain(numbers)).style(Style::new().add_modifier(Modifier::BOLD))
}

/// Beside the name of an actor: kind, state, mailbox, rate, restarts.
const COLUMNS: [u16; 5] = [11, 12, 7, 6, 8];

/// What agents took, where any says so and there is room.
const SPENT: u16 = 13;
const ROOMY: u16 = 96;

/// The spend that the tree shows beside its rows, if it does.
fn shown_spend(top: &Top, area: Rect) -> Option<&AgentStats> {
    let told = top.spent.as_ref().filter(|_| area.width >= ROOMY)?;
    let mut agents = told.agents.values();
    agents
        .any(|it| it.tokens > 0 || it.cost_micros > 0)
        .then_some(told)
}

fn tree(frame: &mut Frame<'_>, area: Rect, top: &Top, paint: Paint) {
    let focused = Focused::of(top, Focus::Tree);
    let title = match (&top.mode, top.filter.as_str()) {
        (Mode::Typing, filter) => format!(" filter: {}_ ", visible(filter)),
        (Mode::Looking | Mode::Reading(_), "") => " actors ".to_owned(),
        (Mode::Looking | Mode::Reading(_), filter) => {
            format!(" actors with \"{}\" ", visible(filter))
        }
    };
    let pick = top.pick(Focus::Tree);
    let spent = shown_spend(top, area);
    let columns: Vec<u16> = COLUMNS.into_iter().chain(spent.map(|_| SPENT)).collect();
    let taken: u16 = columns.iter().map(|width| width + 1).sum();
    let width = area.width.saturating_sub(taken + 2).max(8);
    let shown = top.lines.iter().enumerate().skip(pick.offset);
    let rows = shown.take(super::panes::lines(area)).map(|(index, line)| {
        let row = top.known.get(&line.key);
        let row = cells(line, (row, spent), usize::from(width), paint);
        match index == pick.index() {
            true => row.style(focused.chosen()),
            false => row,
        }
    });
    let widths = [Constraint::Length(width)]
        .into_iter()
        .chain(columns.into_iter().map(Constraint::Length));
    let mut numbers = vec!["MAILBOX", "RATE", "RESTARTS"];
    numbers.extend(spent.map(|_| "TOKENS/COST"));
    let table = Table::new(rows, widths)
        .header(heading(&["ACTOR", "KIND", "STATE"], &numbers))
        .block(framed(title, focused));
    frame.render_widget(table, area);
}

fn cells(
    line: &Line,
    (row, spent): (Option<&TreeNode>, Option<&AgentStats>),
    width: usize,
    paint: Paint,
) -> Row<'static> {
    let mark = match line.fold {
        Fold::Leaf => "  ",
        Fold::Open => "▾ ",
        Fold::Folded => "▸ ",
    };
    let indent = format!("{}{mark}", "  ".repeat(line.depth));
    let count = match line.fold {
        Fold::Folded => format!(" ({})", line.below),
        Fold::Leaf | Fold::Open => String::new(),
    };
    let room = width.saturating_sub(indent.chars().count() + count.chars().count());
    let name = format!("{indent}{}{count}", middle_cut(&visible(&line.name), room));
    // Trouble that is folded away shows on what hides it.
    let hides_trouble = line.fold == Fold::Folded && line.troubled > 0;
    let Some(row) = row else {
        let name = Span::styled(name, Style::new().add_modifier(Modifier::BOLD));
        return Row::new([Cell::from(name), Cell::from("node")]);
    };
    let state = match (hides_trouble, Trouble::of(row)) {
        (_, Some(_)) => Span::styled(format!("! {}", visible(&row.state)), paint.state("stuck")),
        (true, None) => Span::styled(format!("! {} below", line.troubled), paint.state("stuck")),
        (false, None) => Span::styled(visible(&row.state), paint.state(&row.state)),
    };
    // Of an agent alone: what runs for it took part of that.
    let spent = spent.filter(|_| row.kind == "agent");
    let spent = spent.and_then(|spent| totals_of(spent, row));
    let spent = spent.map(|totals| right(brief(totals.tokens, totals.cost_micros)));
    let cells = [
        Cell::from(name),
        Cell::from(visible(&row.kind)),
        Cell::from(state),
        right(row.mailbox.to_string()),
        right(per_second(row.rate)),
        right(row.restarts.to_string()),
    ];
    Row::new(cells.into_iter().chain(spent))
}

pub(super) fn right(text: String) -> Cell<'static> {
    Cell::from(Words::from(text).right_aligned())
}

/// `text` without its middle, where it is too long: ids differ at their ends.
fn middle_cut(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let head: String = text.chars().take(kept / 2).collect();
    let tail: String = text.chars().skip(count - kept.div_ceil(2)).collect();
    format!("{head}…{tail}")
}

fn details(frame: &mut Frame<'_>, area: Rect, reading: &Reading) {
    let name = reading.key.path();
    let title = format!(
        " {} on {} ",
        visible(name.as_deref().unwrap_or("node")),
        visible(reading.key.node())
    );
    let lines = reading.lines(area).into_iter().skip(reading.scroll);
    let text: Vec<_> = lines.map(Words::from).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(
        Paragraph::new(text).block(framed(title, Focused::Yes)),
        area,
    );
}
