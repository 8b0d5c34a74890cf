//! Draws the lists beside the tree: nodes, actors in trouble, full mailboxes.

use std::collections::BTreeMap;

use protocol::api::TreeNode;
use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    style::{Color, Style},
    text::Span,
    widgets::{Cell, Paragraph, Row, Table, Wrap},
};

use super::{
    draw::{Focused, Paint, framed, heading, right},
    panes::lines,
    pick::Focus,
    state::Top,
};
use crate::cli::{
    output::visible,
    spend::spend,
    tree::{Key, per_second, reason},
    view::cut,
};

/// Each node with its state, its actors and their rate.
pub(super) fn nodes(frame: &mut Frame<'_>, area: Rect, top: &Top, paint: Paint) {
    let title = match &top.spent {
        Some(spent) => format!(" nodes: {} ", spend(spent.tokens, spent.cost_micros)),
        None => " nodes ".to_owned(),
    };
    let frame_of = framed(title, Focused::No);
    if let (Some(error), true) = (&top.nodes_error, top.nodes.is_empty()) {
        let text = Paragraph::new(visible(error)).wrap(Wrap { trim: true });
        return frame.render_widget(text.block(frame_of), area);
    }
    let mut rates: BTreeMap<&str, (u64, f64)> = BTreeMap::new();
    for (key, row) in top.known.rows() {
        let (actors, rate) = rates.entry(key.node()).or_default();
        *actors += 1;
        *rate += row.rate;
    }
    let rows = top.nodes.iter().take(lines(area)).map(|node| {
        let (actors, rate) = rates.get(node.name.as_str()).copied().unwrap_or_default();
        let state = node.state.as_str();
        let look = match state {
            "up" => paint.fg(Color::Green),
            "dead" => paint.state("stuck"),
            _ => paint.fg(Color::Yellow),
        };
        Row::new([
            Cell::from(visible(&node.name)),
            Cell::from(Span::styled(state, look)),
            right(actors.to_string()),
            right(per_second(rate)),
        ])
    });
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(8),
        Constraint::Length(6),
        Constraint::Length(5),
    ];
    let table = Table::new(rows, widths)
        .header(heading(&["NODE", "STATE"], &["ACTORS", "MSG/S"]))
        .block(frame_of);
    frame.render_widget(table, area);
}

/// Actors that are stuck, in a crash loop or parked, and why.
pub(super) fn attention(frame: &mut Frame<'_>, area: Rect, top: &Top, paint: Paint) {
    let title = match top.troubled.len() {
        0 => " attention: none ".to_owned(),
        count => format!(" attention: {count} "),
    };
    let width = usize::from(area.width.saturating_sub(14)).max(8);
    let cells = |row: &TreeNode| {
        // The end of a path tells actors apart; where there is room, so does the reason.
        let mut what = tail(&visible(&row.path), width);
        let left = width.saturating_sub(what.chars().count() + 2);
        if left >= 12 {
            what = format!("{what}  {}", cut(&visible(&reason(row)), left));
        }
        let state = Span::styled(visible(&row.state), paint.state("stuck"));
        Row::new([Cell::from(state), Cell::from(what)])
    };
    let widths = [Constraint::Length(10), Constraint::Fill(1)];
    list(
        frame,
        area,
        (top, Focus::Attention),
        &top.troubled,
        |rows| {
            let rows = rows.map(|(row, look)| cells(row).style(look));
            Table::new(rows, widths)
                .header(heading(&["STATE", "ACTOR"], &[]))
                .block(framed(title, Focused::of(top, Focus::Attention)))
        },
    );
}

/// Actors with messages that wait, the most first.
pub(super) fn mailboxes(frame: &mut Frame<'_>, area: Rect, top: &Top, _: Paint) {
    let width = usize::from(area.width.saturating_sub(11)).max(8);
    let cells = |row: &TreeNode| {
        Row::new([
            right(row.mailbox.to_string()),
            Cell::from(tail(&visible(&row.path), width)),
        ])
    };
    let widths = [Constraint::Length(7), Constraint::Fill(1)];
    list(frame, area, (top, Focus::Mailboxes), &top.hot, |rows| {
        let rows = rows.map(|(row, look)| cells(row).style(look));
        Table::new(rows, widths)
            .header(heading(&["WAITING", "ACTOR"], &[]))
            .block(framed(
                " mailboxes ".to_owned(),
                Focused::of(top, Focus::Mailboxes),
            ))
    });
}

fn list<'a>(
    frame: &mut Frame<'_>,
    area: Rect,
    (top, focus): (&'a Top, Focus),
    keys: &'a [Key],
    table: impl FnOnce(&mut dyn Iterator<Item = (&'a TreeNode, Style)>) -> Table<'static>,
) {
    let (pick, focused) = (top.pick(focus), Focused::of(top, focus));
    let shown = keys.iter().enumerate().skip(pick.offset).take(lines(area));
    let mut rows = shown.filter_map(|(index, key)| {
        let look = match index == pick.index() {
            true => focused.chosen(),
            false => Style::new(),
        };
        Some((top.known.get(key)?, look))
    });
    frame.render_widget(table(&mut rows), area);
}

/// The end of `text`, `width` characters at most.
fn tail(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let kept = text.chars().skip(count - width.saturating_sub(1));
    format!("…{}", kept.collect::<String>())
}
